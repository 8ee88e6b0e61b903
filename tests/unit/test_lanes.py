"""Several ranges at once where round trips are long: when, how long, and for which bytes."""

from __future__ import annotations

import pytest

from common.messages import FetchRange, ResizeRange, WarmNodes
from scheduler.assignment import MAX_RANGE_BYTES, RANGE_ROUND_TRIPS
from scheduler.lanes import (
    FIRST_WINDOW_BYTES,
    MAX_LANES,
    MAX_RANGES,
    MIN_ROUND_TRIP_SEC,
    MIN_WINDOWS,
    busy_sec,
    lanes,
    place,
)
from scheduler.selection import Node, NodeBook
from scheduler.theft import best_theft
from scheduler.timing import COMMAND_SEC
from tests.builders import MB, A, B, a_chunk, a_demand, a_job, a_node, a_score, a_wanted
from tests.planner_rig import PlannerRig, sent

NOW_SEC = 100.0
RTT_SEC = 0.2
MBPS = 20.0
# More than any share limits.
LONG = 50 * MB


def a_far_node(mbps: float = MBPS, rtt_sec: float = RTT_SEC) -> Node:
    """Return a node whose rate was measured."""
    node = a_node(A, mbps=mbps, latency_ms=rtt_sec * 1000)
    node.rate.add(mbps)
    return node


def a_rig(*nodes: str, mbps: float | None = MBPS, rtt_sec: float = RTT_SEC) -> PlannerRig:
    rig = PlannerRig()
    rig.know(*(a_score(node, mbps=mbps, latency_ms=rtt_sec * 1000) for node in nodes))
    return rig


def length(fetch: FetchRange) -> int:
    return fetch.end_bytes - fetch.start_bytes


def numbers(fetches: list[FetchRange], rig: PlannerRig) -> list[str]:
    return [rig.chunk_of(fetch)[-1] for fetch in fetches]


# ---------------------------------------------------------------- how many


@pytest.mark.parametrize(
    ("mbps", "rtt_sec", "count"),
    [
        (20.0, 0.2, MAX_LANES),
        (5.0, 0.1, MAX_LANES),
        # It holds 50 KB.
        (5.0, 0.08, 1),
        (20.0, 0.02, 1),
        # However fast, its first round trips are over soon.
        (1000.0, MIN_ROUND_TRIP_SEC - 0.001, 1),
    ],
)
def test_a_link_that_holds_many_windows_gets_several_ranges(
    mbps: float, rtt_sec: float, count: int
) -> None:
    assert lanes(a_far_node(mbps, rtt_sec)) == count


def test_the_least_number_of_windows_is_that_of_two_round_trips() -> None:
    least_mbps = MIN_WINDOWS * FIRST_WINDOW_BYTES * 8 / 1e6 / RTT_SEC
    assert lanes(a_far_node(least_mbps * 1.01)) > 1
    assert lanes(a_far_node(least_mbps * 0.99)) == 1


def test_nothing_is_assumed_of_a_node_of_unknown_latency() -> None:
    assert lanes(Node(A)) == 1


# ---------------------------------------------------------------- first ranges


def test_the_first_ranges_of_a_far_node_divide_its_share() -> None:
    rig = a_rig(A, B, mbps=None)
    chunk = a_chunk(0, [A, B], size_bytes=1_600_000)
    rig.feed(a_demand(chunk))
    assert [length(f) for f in rig.fetches_at(A)] == pytest.approx([200_000] * MAX_LANES, abs=2)
    assert [length(f) for f in rig.fetches_at(B)] == pytest.approx([200_000] * MAX_LANES, abs=2)
    assert sum(map(length, rig.running.values())) == 1_600_000


def test_ranges_that_their_rate_bounds_end_one_after_the_other() -> None:
    rig = a_rig(A)
    rig.prove(A, mbps=MBPS)
    rig.feed(a_demand(a_chunk(0, [A], size_bytes=LONG)))
    whole = MBPS * 1e6 / 8 * RANGE_ROUND_TRIPS * RTT_SEC
    expected = [whole / 4, whole / 3, whole / 2, whole]
    assert [length(f) for f in rig.fetches_at(A)] == pytest.approx(expected, rel=0.05)


def test_with_time_to_spare_one_long_range_is_enough() -> None:
    rig = a_rig(A)
    rig.feed(a_demand(a_chunk(0, [A], size_bytes=LONG), due_sec=60.0))
    assert length(rig.only_fetch()) == MAX_RANGE_BYTES


def test_all_ranges_are_of_the_most_urgent_chunk() -> None:
    rig = a_rig(A)
    rig.feed(a_demand(*(a_chunk(n, [A], size_bytes=LONG) for n in range(3))))
    assert numbers(rig.fetches_at(A), rig) == ["0"] * MAX_LANES


def test_bytes_of_the_next_chunk_wait_until_the_urgent_ones_are_through() -> None:
    rig = a_rig(A)
    rig.feed(a_demand(a_chunk(0, [A], size_bytes=MB), a_chunk(1, [A], size_bytes=LONG)))
    first, *others = rig.fetches_at(A)
    rig.pass_time(RTT_SEC)
    for fetch in (first, *others):
        rig.head(fetch)
    rig.end(first)
    assert numbers(rig.fetches_at(A), rig) == ["0"] * (MAX_LANES - 1)
    for fetch in others:
        rig.end(fetch)
    assert set(numbers(rig.fetches_at(A), rig)) == {"1"}


def test_a_lane_that_ends_takes_more_at_once() -> None:
    rig = a_rig(A)
    rig.prove(A, mbps=MBPS)
    rig.feed(a_demand(a_chunk(0, [A], size_bytes=LONG)))
    first, *others = rig.fetches_at(A)
    rig.pass_time(RTT_SEC)
    for fetch in (first, *others):
        rig.head(fetch)
    made = rig.end(first)
    assert len(sent(made, FetchRange)) == 1
    assert len(rig.fetches_at(A)) == MAX_LANES


def test_a_node_is_never_asked_for_too_much_at_a_time() -> None:
    rig = a_rig(A)
    rig.prove(A, mbps=MBPS)
    rig.feed(a_demand(*(a_chunk(n, [A], size_bytes=300_000) for n in range(4))))
    for _ in range(40):
        rig.pass_time(0.05)
        for fetch in rig.fetches_at(A)[:1]:
            rig.head(fetch)
            rig.end(fetch)
        assert len(rig.fetches_at(A)) <= MAX_RANGES


# ---------------------------------------------------------------- what shares a link


def test_ranges_side_by_side_share_the_rate() -> None:
    node = a_far_node()
    chunk = a_wanted()
    jobs = [
        a_job(
            chunk,
            start=start,
            end=start + 250_000,
            received_until=start,
            headed_sec=NOW_SEC,
            progress_sec=NOW_SEC,
            lanes=2,
        )
        for start in (0, 250_000)
    ]
    assert busy_sec(jobs, node, NOW_SEC) == pytest.approx(0.2)
    # One of them was reported 50 ms ago and had the link to itself until the other one began.
    jobs[0].progress_sec = NOW_SEC - 0.05
    jobs[1].progress_sec = NOW_SEC - 0.02
    per_sec = MBPS * 1e6 / 8
    assert place(jobs[0], jobs, node, NOW_SEC) == pytest.approx(per_sec * (0.03 + 0.02 / 2))
    assert place(jobs[1], jobs, node, NOW_SEC) - 250_000 == pytest.approx(per_sec * 0.02 / 2)


def test_a_range_asked_for_ahead_waits_for_its_round_trip() -> None:
    node = a_far_node()
    chunk = a_wanted()
    flowing = a_job(chunk, end=25_000, headed_sec=NOW_SEC, progress_sec=NOW_SEC, lanes=MAX_LANES)
    coming = a_job(chunk, start=25_000, end=75_000, begun_sec=NOW_SEC, lanes=MAX_LANES)
    expected = RTT_SEC + COMMAND_SEC + 50_000 * 8e-6 / MBPS
    assert busy_sec([flowing, coming], node, NOW_SEC) == pytest.approx(expected)


def test_what_is_taken_from_one_range_the_others_of_its_node_gain() -> None:
    """Half a megabyte in two ranges at 4 Mbit/s: a node of the same rate gets half of all, not of one."""
    book = NodeBook()
    book.update((a_score(A, latency_ms=5.0), a_score(B, latency_ms=5.0)))
    for url in (A, B):
        book.node(url).rate.add(4.0)
    chunk = a_wanted(a_chunk(0, [A, B], size_bytes=500_000))
    for start in (0, 250_000):
        a_job(
            chunk,
            A,
            start=start,
            end=start + 250_000,
            received_until=start,
            headed_sec=NOW_SEC,
            progress_sec=NOW_SEC,
            rate_mbps=2.0,
            paced=True,
            lanes=2,
        )
    found = best_theft(book.node(B), chunk, chunk.sources(), book, NOW_SEC, busy_sec={})
    assert found is not None
    assert found.choice.end - found.choice.start == pytest.approx(250_000, rel=0.05)


def test_an_idle_node_takes_from_all_ranges_of_a_late_one_at_once() -> None:
    rig = a_rig(A, rtt_sec=RTT_SEC)
    rig.know(
        a_score(A, mbps=None, latency_ms=RTT_SEC * 1000), a_score(B, mbps=50.0, latency_ms=5.0)
    )
    rig.prove(B, mbps=50.0)
    chunk = a_chunk(0, [A, B], size_bytes=2 * MB)
    rig.feed(a_demand(chunk))
    slow = rig.fetches_at(A)
    assert len(slow) == MAX_LANES
    while found := rig.fetches_at(B):
        rig.end(found[0], mbps=50.0)
    rig.pass_time(RTT_SEC)
    rig.commands.clear()
    for fetch in slow:
        rig.head(fetch)
    for step in range(1, 5):
        rig.pass_time(0.1)
        for fetch in rig.fetches_at(A):
            rig.progress(fetch, fetch.start_bytes + step * 2_500, received_bytes=step * 2_500)
    cut = {resize.job_id for resize in sent(rig.commands, ResizeRange)}
    assert len(cut & {fetch.job_id for fetch in slow}) > 1


# ---------------------------------------------------------------- connections


def test_nothing_is_asked_for_ahead_where_another_connection_would_begin_slowly() -> None:
    asked = []
    for slow in (False, True):
        rig = a_rig(A)
        rig.prove(A, mbps=MBPS)
        rig.planner.nodes.node(A).ramp.begins_slowly = slow
        rig.feed(a_demand(a_chunk(0, [A], size_bytes=400_000), a_chunk(1, [A], size_bytes=LONG)))
        running = rig.fetches_at(A)
        rig.pass_time(RTT_SEC)
        for fetch in running:
            rig.head(fetch)
        rig.pass_time(0.05)
        for fetch in running:
            rig.progress(fetch, fetch.end_bytes - 2_000)
        asked.append("1" in numbers(rig.fetches_at(A), rig))
    assert asked == [True, False]


def test_where_connections_begin_slowly_chunks_stay_with_the_worker_that_has_some() -> None:
    homes = []
    for slow in (False, True):
        rig = PlannerRig("w1", "w2")
        rig.know(a_score(A, mbps=5.0, latency_ms=20.0), a_score(B, mbps=5.0, latency_ms=20.0))
        for url in (A, B):
            rig.planner.nodes.node(url).ramp.begins_slowly = slow
        rig.feed(a_demand(a_chunk(0, [A], size_bytes=MB), a_chunk(1, [B], size_bytes=MB)))
        homes.append(len({owner for owner, _ in rig.leases.values()}))
    assert homes == [2, 1]


def test_workers_keep_as_many_connections_as_a_far_node_may_be_asked_over() -> None:
    rig = PlannerRig()
    rig.know(a_score(A, latency_ms=20.0))
    rig.commands.clear()
    rig.know(a_score(A, latency_ms=20.0), a_score(B, latency_ms=RTT_SEC * 1000))
    (told,) = sent(rig.commands, WarmNodes)
    assert told.per_node_count == MAX_RANGES
