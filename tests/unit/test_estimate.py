"""From measurements to links: gaps are filled, spells become faults, requests are checked."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from simulation.comparison import compare, film_of
from simulation.estimate import AFTERWARDS_SEC, estimate, rate_at
from simulation.request import MAX_CHUNKS, Request

A = "http://a:1"
B = "http://b:1"


def a_node(url: str = A, **changes: Any) -> dict[str, Any]:
    given = {
        "url": url,
        "accepts_ranges": True,
        "bandwidth_mbps": None,
        "known": True,
        "latencies": [(0.0, 20.0)],
        "seconds": [(float(n), 1e6, 1.0) for n in range(10)],
        "spells": [],
        "lacks": [],
    }
    return given | changes


def a_chunk(number: int, **changes: Any) -> dict[str, Any]:
    given = {
        "number": number,
        "size_bytes": 500_000,
        "duration_sec": 2.0,
        "holders": [0],
        "parts": [],
    }
    return given | changes


def a_request(*nodes: dict[str, Any], **changes: Any) -> Request:
    given = {
        "span_sec": 10.0,
        "begin_sec": 0.5,
        "max_active_chunks": 4,
        "target_buffer_sec": 30.0,
        "low_water_mark_sec": 15.0,
        "start_playback_sec": 0.0,
        "nodes": list(nodes) or [a_node()],
        "chunks": [a_chunk(n) for n in range(4)],
    }
    return Request.model_validate(given | changes)


def rates_of(request: Request, url: str = A) -> list[float]:
    schedule = estimate(request).nodes[url].schedule
    assert schedule is not None
    return [step.bytes_per_sec for step in schedule.steps]


def test_a_gap_is_filled_on_the_straight_line_between_its_neighbours() -> None:
    rates = [(1.0, 100.0), (5.0, 300.0)]
    assert [rate_at(rates, t) for t in (0.0, 1.0, 3.0, 5.0, 9.0)] == [100, 100, 200, 300, 300]


def test_the_rate_is_what_came_over_the_time_in_which_it_flowed() -> None:
    request = a_request(a_node(seconds=[(0.0, 200_000, 0.5)]))
    assert rates_of(request) == [pytest.approx(400_000)] * 11


def test_a_second_that_says_too_little_is_filled_from_the_others() -> None:
    request = a_request(a_node(seconds=[(0.0, 1e6, 1.0), (1.0, 1000, 0.02), (2.0, 1e6, 1.0)]))
    assert rates_of(request)[1] == pytest.approx(1e6)


def test_a_node_nobody_measured_is_taken_for_the_median_of_the_others() -> None:
    request = a_request(a_node(), a_node(B, seconds=[]))
    assert rates_of(request, B)[0] == pytest.approx(1e6)


def test_the_last_rate_lasts_and_the_trace_does_not_begin_anew() -> None:
    schedule = estimate(a_request()).nodes[A].schedule
    assert schedule is not None
    assert schedule.steps[-1].duration_sec == AFTERWARDS_SEC
    assert schedule.step_at(5000.0).bytes_per_sec == pytest.approx(1e6)


def test_a_link_that_never_carried_a_byte_carries_none() -> None:
    schedule = estimate(a_request(a_node(seconds=[(0.0, 0.0, 1.0)]))).nodes[A].schedule
    assert schedule is not None
    assert schedule.bytes_until(3600.0) < 10


def test_the_observed_share_is_of_the_time_of_all_nodes() -> None:
    found = estimate(a_request(a_node(), a_node(B, seconds=[(0.0, 1e6, 1.0)] * 1)))
    assert found.observed_ratio == pytest.approx(11 / 20)


def test_spells_and_missing_chunks_become_faults_of_the_renumbered_film() -> None:
    node = a_node(spells=[("down", 1.0, 3.0), ("silent", 4.0, None)], lacks=[(12, 5.0)])
    request = a_request(node, chunks=[a_chunk(10), a_chunk(11), a_chunk(12)])
    faults = estimate(request).nodes[A].faults
    assert [(f.kind, f.at_sec, f.for_sec, f.chunk) for f in faults] == [
        ("down", 1.0, 2.0, None),
        ("silent", 4.0, None, None),
        ("missing", 0.0, 5.0, 2),
    ]


def test_all_policies_play_a_film_on_good_links_without_a_stall() -> None:
    request = a_request()
    for played in compare(estimate(request).nodes, film_of(request), known=True):
        assert (played.outcome, played.stalls) == ("played", 0)
        assert played.startup_sec is not None
        # It begins with the session's first request, not with the command.
        assert 0.5 < played.startup_sec < 3.0


def test_coded_chunks_are_played_under_all_policies() -> None:
    nodes = [a_node(f"http://n{n}:1") for n in range(5)]
    chunks = [a_chunk(n, holders=[0, 1, 2, 3, 4], parts=[0, 1, 2, 3, 4]) for n in range(3)]
    request = a_request(*nodes, chunks=chunks)
    outcomes = {p.outcome for p in compare(estimate(request).nodes, film_of(request), known=True)}
    assert outcomes == {"played"}


@pytest.mark.parametrize(
    "changes",
    [
        {"chunks": []},
        {"chunks": [a_chunk(n) for n in range(MAX_CHUNKS + 1)]},
        {"chunks": [a_chunk(0, holders=[1])]},
        {"chunks": [a_chunk(0, holders=[0], parts=[0])]},
        {"chunks": [a_chunk(0, size_bytes=2**40)]},
        {"span_sec": float("inf")},
        {"span_sec": 1e6},
        {"nodes": []},
        {"unknown": 1},
    ],
)
def test_a_request_beyond_the_bounds_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        a_request(**changes)
