"""Where the time until the first chunk went."""

import pytest

from bench.breakdown import node_times, node_times_text, request_rows, requests_text
from bench.deliveries import Body, StoredObject


def a_body(node: int, chunk: int, at: float, first: float, end: float) -> Body:
    size = round((end - first) * 1000)
    return Body(
        node=node,
        stored=StoredObject(chunk=chunk, part=0, size_bytes=1000),
        asked_sec=at,
        ended_sec=end,
        asked_from=0,
        asked_until=size,
        sent=((first, 0), (end, size)),
        sent_bytes=size,
        status=206,
        outcome="complete",
    )


BODIES = [
    a_body(0, 0, 0.1, 0.2, 0.5),
    a_body(0, 0, 0.5, 0.6, 0.7),
    a_body(0, 1, 0.8, 0.85, 1.2),
]


def test_the_time_of_a_node_adds_up() -> None:
    busy, unused = node_times(BODIES, nodes=2, until_sec=1.0)
    parts = {
        "unasked": busy.unasked_sec,
        "first answer": busy.first_answer_sec,
        "other answers": busy.other_answers_sec,
        "idle": busy.idle_sec,
        "urgent": busy.urgent_sec,
        "later": busy.later_sec,
    }
    assert parts == pytest.approx(
        {
            "unasked": 0.1,
            "first answer": 0.1,
            "other answers": 0.15,
            "idle": 0.1,
            "urgent": 0.4,
            "later": 0.15,
        },
        abs=0.005,
    )
    assert (busy.urgent_bytes, busy.requests) == (400, 3)
    assert unused.unasked_sec == pytest.approx(1.0)
    assert node_times_text([busy, unused]).count("\n") == 2


def test_requests_are_listed_in_the_order_in_which_they_were_asked() -> None:
    rows = request_rows(list(reversed(BODIES)))
    assert [row.asked_sec for row in rows] == [0.1, 0.5, 0.8]
    assert len(requests_text(rows, until_sec=0.6).splitlines()) == 3
