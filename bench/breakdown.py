"""Where the time of a startup went, node by node, from what the nodes noted. No I/O, no clock, no randomness.

From the manifest request to the first chunk's last byte each link could have carried bytes of it. What it did instead
adds up to the distance from the optimum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bench.deliveries import Body

# Links are counted in stretches of this length.
_STEP_SEC = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeTime:
    """How a node spent the time until `until_sec`, in seconds: they add up to it.

    `unasked`: nothing had been asked of it yet; `first_answer`: its first answer was on the way; `other_answers`:
    later ones were, and nothing flowed; `idle`: nothing was due; `urgent`: it sent the first chunk; `later`: other
    chunks.
    """

    node: int
    unasked_sec: float
    first_answer_sec: float
    other_answers_sec: float
    idle_sec: float
    urgent_sec: float
    later_sec: float
    urgent_bytes: int
    later_bytes: int
    requests: int


class RequestRow(NamedTuple):
    """One request for bytes of a chunk: seconds after the clock's zero, node and chunk from 0, positions."""

    asked_sec: float
    # When the first byte of the body had left; None when none did.
    first_sec: float | None
    ended_sec: float
    node: int
    chunk: int
    part: int
    asked_from: int
    asked_until: int
    sent_bytes: int
    status: int
    outcome: str


def node_times(bodies: Sequence[Body], nodes: int, until_sec: float) -> list[NodeTime]:
    """Return how each node spent the time until then."""
    return [
        _node_time(node, [b for b in bodies if b.node == node], until_sec) for node in range(nodes)
    ]


def _node_time(node: int, bodies: Sequence[Body], until_sec: float) -> NodeTime:
    spent = dict.fromkeys(("unasked", "first", "other", "idle", "urgent", "later"), 0.0)
    first_asked_sec = min((b.asked_sec for b in bodies), default=until_sec)
    first_sent_sec = min((b.sent[0][0] for b in bodies if b.sent), default=until_sec)
    for index in range(int(until_sec / _STEP_SEC)):
        spent[_state(bodies, index * _STEP_SEC, first_asked_sec, first_sent_sec)] += _STEP_SEC
    asked = [b for b in bodies if b.asked_sec < until_sec]
    sent = [(b.stored.chunk, b.sent_until(until_sec) - b.asked_from) for b in asked]
    return NodeTime(
        node=node,
        unasked_sec=spent["unasked"],
        first_answer_sec=spent["first"],
        other_answers_sec=spent["other"],
        idle_sec=spent["idle"],
        urgent_sec=spent["urgent"],
        later_sec=spent["later"],
        urgent_bytes=sum(size for chunk, size in sent if chunk == 0),
        later_bytes=sum(size for chunk, size in sent if chunk),
        requests=len(asked),
    )


def _state(
    bodies: Sequence[Body], at_sec: float, first_asked_sec: float, first_sent_sec: float
) -> str:
    flowing = [b for b in bodies if b.sent and b.sent[0][0] <= at_sec <= b.sent[-1][0]]
    if flowing:
        return "urgent" if any(b.stored.chunk == 0 for b in flowing) else "later"
    if at_sec < first_asked_sec:
        return "unasked"
    if at_sec < first_sent_sec:
        return "first"
    return "other" if any(b.asked_sec <= at_sec < b.ended_sec for b in bodies) else "idle"


def node_times_text(times: Sequence[NodeTime]) -> str:
    """Return a table of them."""
    head = "node  unasked  1st answer  later answers    idle  urgent   other  urgent KB  other KB  requests"
    rows = [
        f"{t.node + 1:>4} {t.unasked_sec:8.3f} {t.first_answer_sec:11.3f} {t.other_answers_sec:14.3f} "
        f"{t.idle_sec:7.3f} {t.urgent_sec:7.3f} {t.later_sec:7.3f} {t.urgent_bytes / 1e3:10.0f} "
        f"{t.later_bytes / 1e3:9.0f} {t.requests:9}"
        for t in times
    ]
    return "\n".join([head, *rows])


def request_rows(bodies: Sequence[Body]) -> tuple[RequestRow, ...]:
    """Return what is kept of each request, in the order in which they were asked."""
    return tuple(
        RequestRow(
            asked_sec=round(body.asked_sec, 4),
            first_sec=round(body.sent[0][0], 4) if body.sent else None,
            ended_sec=round(body.ended_sec, 4),
            node=body.node,
            chunk=body.stored.chunk,
            part=body.stored.part,
            asked_from=body.asked_from,
            asked_until=body.asked_until,
            sent_bytes=body.sent_bytes,
            status=body.status,
            outcome=body.outcome,
        )
        for body in sorted(bodies, key=lambda b: b.asked_sec)
    )


def requests_text(rows: Sequence[RequestRow], until_sec: float) -> str:
    """Return the requests asked until then, one a line."""
    head = "  asked   first     end node chunk        range          sent answer"
    lines = [
        f"{row.asked_sec:7.3f} {'      -' if row.first_sec is None else f'{row.first_sec:7.3f}'} "
        f"{row.ended_sec:7.3f} {row.node + 1:>4} {row.chunk:>3}.{row.part} "
        f"{row.asked_from:>8}-{row.asked_until:<8} {row.sent_bytes:>8} {row.status} {row.outcome}"
        for row in rows
        if row.asked_sec <= until_sec
    ]
    return "\n".join([head, *lines])
