"""How many ranges a node sends side by side, of which bytes, and how long they take together."""

from __future__ import annotations

import pytest

from scheduler.assignment import Choice, next_range
from scheduler.lanes import (
    FIRST_WINDOW_BYTES,
    MAX_LANES,
    MIN_TRIP_SEC,
    MIN_WINDOWS,
    busy_sec,
    lanes,
    left_bytes,
    may_send_more,
    share_a_link,
)
from scheduler.selection import NodeBook
from scheduler.wanted import Job, Wanted
from tests.builders import MB, A, a_chunk, a_demand, a_job, a_node, a_score, a_wanted
from tests.planner_rig import PlannerRig

NOW_SEC = 100.0
LONG_MS = 200.0
MBPS = 20.0


def mbps_for(windows: float, latency_ms: float) -> float:
    """Return the rate at which a link holds so many first windows."""
    return windows * FIRST_WINDOW_BYTES * 8e-6 / (latency_ms / 1000)


def shares(chunk: Wanted, *, latency_ms: float, urgent: bool = True) -> list[Choice]:
    """Return what one node takes of a chunk, range by range, until it sends as many as it may."""
    book = NodeBook()
    book.update((a_score(A, MBPS, latency_ms),))
    book.node(A).note_progress(MBPS, NOW_SEC)
    taken: list[Choice] = []
    for _ in range(MAX_LANES + 1):
        choice = next_range(
            book.node(A),
            chunk,
            chunk.sources(),
            book,
            {},
            NOW_SEC,
            urgent=urgent,
            leading=urgent,
            starting=False,
        )
        if choice is None or len(taken) == choice.lanes:
            break
        taken.append(choice)
        a_job(chunk, A, start=choice.start, end=choice.end, lanes=choice.lanes)
    return taken


def side_by_side(chunk: Wanted, *, flowing: int) -> list[Job]:
    """Return as many ranges of a node as it may send at once; the first ones flow."""
    size = 2 * MB // MAX_LANES
    return [
        a_job(
            chunk,
            A,
            start=index * size,
            end=(index + 1) * size,
            lanes=MAX_LANES,
            headed_sec=NOW_SEC if index < flowing else None,
            begun_sec=NOW_SEC,
            progress_sec=NOW_SEC,
        )
        for index in range(MAX_LANES)
    ]


# ---------------------------------------------------------------- how many


@pytest.mark.parametrize(
    ("windows", "expected"), [(MIN_WINDOWS / 2, 1), (MIN_WINDOWS - 0.1, 1), (MIN_WINDOWS + 0.1, 4)]
)
@pytest.mark.parametrize("latency_ms", [50.0, LONG_MS])
def test_lanes_follow_the_bandwidth_delay_product(
    windows: float, expected: int, latency_ms: float
) -> None:
    assert lanes(a_node(A, mbps_for(windows, latency_ms), latency_ms=latency_ms)) == expected


def test_a_link_that_holds_a_hundred_windows_has_no_more_lanes_than_others() -> None:
    assert lanes(a_node(A, mbps_for(100, LONG_MS), latency_ms=LONG_MS)) == MAX_LANES


def test_over_a_short_trip_there_is_one_lane_however_fast_the_link_is() -> None:
    latency_ms = 1000 * MIN_TRIP_SEC - 1
    assert lanes(a_node(A, mbps_for(100, latency_ms), latency_ms=latency_ms)) == 1


@pytest.mark.parametrize(("accepts_ranges", "expected"), [(True, MAX_LANES), (False, 1), (None, 1)])
def test_only_a_node_known_for_range_has_lanes(accepts_ranges: bool | None, expected: int) -> None:
    node = a_node(A, MBPS, latency_ms=LONG_MS, accepts_ranges=accepts_ranges)
    assert lanes(node) == expected


@pytest.mark.parametrize("accepts_ranges", [False, None])
def test_such_a_node_is_asked_for_one_range(accepts_ranges: bool | None) -> None:
    rig = PlannerRig()
    rig.know(a_score(A, MBPS, LONG_MS, accepts_ranges=accepts_ranges))
    rig.feed(a_demand(a_chunk(0, [A])))
    assert rig.only_fetch().start_bytes == 0


# ---------------------------------------------------------------- of which bytes


@pytest.mark.parametrize("size_bytes", [100_000, 999_999])
def test_the_shares_of_the_lanes_add_up_to_the_share(size_bytes: int) -> None:
    # Over this trip one range may be longer than either chunk: the node's share is all of it.
    taken = shares(a_wanted(a_chunk(0, [A], size_bytes=size_bytes)), latency_ms=LONG_MS)
    assert [choice.lanes for choice in taken] == [MAX_LANES] * MAX_LANES
    ends = [choice.end for choice in taken]
    assert [choice.start for choice in taken] == [0, *ends[:-1]]
    assert ends[-1] == size_bytes
    sizes = [choice.end - choice.start for choice in taken]
    assert max(sizes) - min(sizes) <= MAX_LANES


def test_one_lane_takes_the_share_in_one_piece() -> None:
    (only,) = shares(a_wanted(a_chunk(0, [A], size_bytes=100_000)), latency_ms=20.0)
    assert (only.start, only.end, only.lanes) == (0, 100_000, 1)


def test_a_chunk_that_has_time_is_read_over_one_connection() -> None:
    chunk = a_wanted(a_chunk(0, [A], size_bytes=100_000))
    (only,) = shares(chunk, latency_ms=LONG_MS, urgent=False)
    assert (only.start, only.end, only.lanes) == (0, 100_000, 1)


def test_a_later_chunk_gets_no_lanes() -> None:
    rig = PlannerRig()
    rig.know(a_score(A, MBPS, LONG_MS))
    rig.prove(A, mbps=MBPS)
    first, later = a_chunk(0, [A]), a_chunk(1, [A])
    rig.feed(a_demand(first, later))
    assert len(rig.fetches(first)) == MAX_LANES
    assert rig.fetches(later) == []


# ---------------------------------------------------------------- together


def test_ranges_side_by_side_bring_what_is_left_at_the_links_rate() -> None:
    node = a_node(A, 8.0, latency_ms=LONG_MS)
    jobs = side_by_side(a_wanted(), flowing=MAX_LANES)
    assert share_a_link(jobs)
    assert left_bytes(jobs, node, NOW_SEC) == 2 * MB
    assert busy_sec(jobs, node, NOW_SEC) == pytest.approx(2 * MB * 8e-6 / 8.0)


def test_none_is_added_before_one_of_them_flows() -> None:
    node = a_node(A, MBPS, latency_ms=LONG_MS)
    assert not may_send_more(node, side_by_side(a_wanted(), flowing=0))
    assert may_send_more(node, side_by_side(a_wanted(), flowing=1))
