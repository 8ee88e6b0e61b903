"""How an urgent chunk is shared out: equal finish, sizes of ranges; and the relaxed mode."""

from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies as st

from common.messages import FetchRange
from common.units import node_of, transfer_sec
from scheduler.assignment import (
    FAST_RANGE_SEC,
    FAST_RATE_MBPS,
    MAX_RANGE_BYTES,
    MIN_RANGE_BYTES,
    MIN_SHARE_BYTES,
    RANGE_ROUND_TRIPS,
    RANGE_SEC,
)
from tests.builders import MB, A, B, C, a_chunk, a_coded_chunk, a_demand, a_score
from tests.planner_rig import PlannerRig, sent

# More than any share limits.
LONG = 50 * MB
RTT_SEC = 0.02


def a_rig(*nodes: str, mbps: float = 20.0, latency_ms: float = RTT_SEC * 1000) -> PlannerRig:
    """Return a planner that has had bytes of equal nodes."""
    rig = PlannerRig()
    rig.know(*(a_score(node, mbps=mbps, latency_ms=latency_ms) for node in nodes))
    rig.prove(*nodes, mbps=mbps)
    return rig


def finish_sec(fetch: FetchRange, mbps: float, rtt_sec: float) -> float:
    """Return when the only range of a node will be over."""
    return rtt_sec + transfer_sec(fetch.end_bytes - fetch.start_bytes, mbps)


def length(fetch: FetchRange) -> int:
    return fetch.end_bytes - fetch.start_bytes


# ---------------------------------------------------------------- equal finish


def test_all_nodes_of_an_urgent_chunk_end_together() -> None:
    links = {A: (20.0, 0.02), B: (5.0, 0.08), C: (10.0, 0.005)}
    rig = PlannerRig()
    rig.know(*(a_score(n, mbps=r, latency_ms=rtt * 1000) for n, (r, rtt) in links.items()))
    rig.feed(a_demand(a_chunk(size_bytes=1_500_000)))
    ends = [finish_sec(rig.fetch(node), *link) for node, link in links.items()]
    assert max(ends) - min(ends) < 0.02
    assert sum(length(f) for f in rig.running.values()) == 1_500_000


@settings(derandomize=True, max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([2.0, 5.0, 10.0, 25.0]), st.sampled_from([0.005, 0.03, 0.1])),
        min_size=1,
        max_size=6,
    )
)
def test_every_byte_of_a_chunk_is_given_out_once_and_no_node_ends_late(
    links: list[tuple[float, float]],
) -> None:
    nodes = [f"http://node-{i}:80" for i in range(len(links))]
    rig = PlannerRig()
    rig.know(
        *(
            a_score(node, mbps=rate, latency_ms=rtt * 1000)
            for node, (rate, rtt) in zip(nodes, links, strict=True)
        )
    )
    chunk = a_chunk(0, nodes, size_bytes=MB)
    rig.feed(a_demand(chunk))
    spans = rig.spans(chunk)
    assert [spans[0][0], *(end for _, end in spans)] == [*(start for start, _ in spans), MB]
    # The fluid optimum, with everybody there from the nearest node's first byte on.
    ideal_sec = min(rtt for _, rtt in links) + transfer_sec(MB, sum(rate for rate, _ in links))
    for node, link in zip(nodes, links, strict=True):
        for fetch in rig.fetches_at(node):
            small_sec = finish_sec(fetch, *link) if length(fetch) > 2 * MIN_SHARE_BYTES else 0.0
            assert small_sec < ideal_sec + max(rtt for _, rtt in links) + 0.05


def test_a_node_too_far_to_help_is_left_out() -> None:
    rig = PlannerRig()
    rig.know(a_score(A, latency_ms=20), a_score(B, latency_ms=20), a_score(C, latency_ms=900))
    rig.prove(A, B, C)
    rig.feed(a_demand(a_chunk()))
    assert sorted(rig.busy_nodes()) == [A, B], "two ends in 0.4 s, the third would begin in 0.9 s"


def test_a_busy_node_is_given_less_of_the_next_chunk_than_an_idle_one() -> None:
    rig = a_rig(A, B)
    rig.feed(a_demand(a_chunk(8, [A], size_bytes=200_000)))
    fetch = rig.fetch(A)
    # 60 ms of another session's chunk are left at A.
    rig.pass_time(RTT_SEC)
    rig.head(fetch)
    rig.pass_time(0.02)
    rig.progress(fetch, 50_000)
    rig.feed(a_demand(a_chunk(9, [A, B], size_bytes=300_000), session_id="s2"))
    share = length(rig.fetch(B))
    # B reads alone while A ends what it has; then both read.
    assert 150_000 + 0.5 * 0.02 * 20e6 / 8 < share < 300_000


@pytest.mark.parametrize("size_bytes", [1, 2, 3, 1000])
def test_the_smallest_chunk_is_read_by_somebody(size_bytes: int) -> None:
    rig = a_rig(A, B, C)
    rig.feed(a_demand(a_chunk(size_bytes=size_bytes)))
    assert rig.spans(a_chunk()) == [(0, size_bytes)]


def test_nothing_is_split_below_the_smallest_share() -> None:
    rig = a_rig(A, B, C)
    rig.feed(a_demand(a_chunk(size_bytes=MIN_SHARE_BYTES + 100)))
    assert len(rig.running) == 1


# ---------------------------------------------------------------- how much at once


@pytest.mark.parametrize(
    ("mbps", "rtt_sec"), [(10.0, 0.02), (20.0, 0.02), (2.5, 0.15), (1.0, 0.02), (150.0, 0.02)]
)
def test_a_range_lasts_a_fifth_of_a_second_or_two_round_trips(mbps: float, rtt_sec: float) -> None:
    rig = a_rig(A, mbps=mbps, latency_ms=rtt_sec * 1000)
    rig.feed(a_demand(a_chunk(0, [A], size_bytes=LONG)))
    size = mbps * 1e6 / 8 * max(RANGE_SEC, RANGE_ROUND_TRIPS * rtt_sec)
    bounded = min(MAX_RANGE_BYTES, max(MIN_RANGE_BYTES, size))
    assert length(rig.only_fetch()) == pytest.approx(bounded, rel=0.02)


@pytest.mark.parametrize("due_sec", [0.0, 60.0])
def test_on_a_fast_link_a_range_may_be_longer(due_sec: float) -> None:
    mbps = 4 * FAST_RATE_MBPS
    rig = a_rig(A, mbps=mbps)
    rig.feed(a_demand(a_chunk(0, [A], size_bytes=LONG), due_sec=due_sec))
    assert length(rig.only_fetch()) == pytest.approx(mbps * 1e6 / 8 * FAST_RANGE_SEC, rel=0.02)


def test_a_first_range_is_the_nodes_own_part_of_the_chunk_and_no_small_trial() -> None:
    rig = PlannerRig()
    rig.know(*(a_score(node, mbps=None) for node in (A, B, C)))
    rig.feed(a_demand(a_chunk(size_bytes=900_000)))
    assert [length(f) for f in rig.running.values()] == [300_000] * 3


def test_a_first_range_is_never_longer_than_a_mebibyte() -> None:
    rig = PlannerRig()
    rig.know()
    rig.feed(a_demand(a_chunk(size_bytes=LONG)))
    assert {length(f) for f in rig.running.values()} == {MAX_RANGE_BYTES}


def test_the_share_bounds_the_range() -> None:
    rig = a_rig(A, B)
    rig.feed(a_demand(a_chunk(0, [A, B], size_bytes=300_000)))
    assert [length(f) for f in rig.running.values()] == pytest.approx([150_000] * 2, rel=0.1)


def test_ranges_of_later_chunks_are_short_while_the_first_is_due() -> None:
    chunks = [a_chunk(0, [A], size_bytes=LONG), a_chunk(1, [B], size_bytes=LONG)]
    sizes = []
    for due_sec in (0.0, 2.0):
        rig = a_rig(A, B, mbps=40.0, latency_ms=35)
        rig.feed(a_demand(*chunks, due_sec=due_sec))
        sizes.append(length(rig.fetch(B)))
    assert sizes == pytest.approx([40e6 / 8 * 0.035, 40e6 / 8 * RANGE_SEC], rel=0.02)


# ---------------------------------------------------------------- relaxed mode


def test_with_time_to_spare_one_node_reads_a_chunk_in_long_ranges() -> None:
    rig = a_rig(A, B, C)
    rig.feed(a_demand(a_chunk(size_bytes=LONG), due_sec=60))
    assert length(rig.only_fetch()) == MAX_RANGE_BYTES


def test_with_time_to_spare_each_node_has_a_chunk_of_its_own() -> None:
    rig = a_rig(A, B, C)
    chunks = [a_chunk(n, size_bytes=LONG) for n in range(4)]
    rig.feed(a_demand(*chunks, due_sec=60))
    assert sorted(rig.busy_nodes()) == [A, B, C]
    assert len(rig.chunks_read()) == 3


def test_a_node_stays_with_its_chunk() -> None:
    rig = a_rig(A, B)
    chunks = [a_chunk(n, [A, B], size_bytes=3 * MB) for n in range(2)]
    rig.feed(a_demand(*chunks, due_sec=60))
    home = {rig.chunk_of(f): node_of(f.replica.url) for f in rig.running.values()}
    assert set(home.values()) == {A, B}
    for _ in range(2):
        for fetch in list(rig.running.values()):
            rig.end(fetch)
    assert {rig.chunk_of(f): node_of(f.replica.url) for f in rig.running.values()} == home


def test_with_time_to_spare_a_slow_range_is_left_alone() -> None:
    rig = a_rig(A, B)
    rig.feed(a_demand(a_chunk(0, [A, B], size_bytes=500_000), due_sec=60))
    fetch = rig.only_fetch()
    for step in range(1, 10):
        rig.now_sec += 0.1
        rig.progress(fetch, 3000 * step)
    assert list(rig.running) == [fetch.job_id]
    assert rig.running[fetch.job_id] == fetch


def test_a_chunk_that_becomes_urgent_is_shared_by_all() -> None:
    rig = a_rig(A, B, C)
    chunk = a_chunk(size_bytes=LONG)
    rig.feed(a_demand(chunk, due_sec=15.5))
    assert len(rig.running) == 1
    fetch = rig.only_fetch()
    for step in range(1, 7):
        rig.pass_time(0.1)
        rig.progress(fetch, 50_000 * step)
    assert sorted(set(rig.busy_nodes())) == [A, B, C]


def test_three_data_fragments_are_read_and_no_parity_when_there_is_time() -> None:
    rig = PlannerRig()
    rig.feed(a_demand(a_coded_chunk(), due_sec=60))
    assert sorted(f.part for f in rig.running.values()) == [0, 1, 2]


def test_no_byte_is_read_twice_in_either_mode() -> None:
    for due_sec in (0.0, 60.0):
        rig = a_rig(A, B, C)
        chunks = [a_chunk(n, size_bytes=3 * MB) for n in range(3)]
        rig.feed(a_demand(*chunks, due_sec=due_sec))
        for chunk in chunks:
            rig.deliver(chunk)
        (account,) = (a for a in rig.planner.accounts.all if a.session_id == "s1")
        assert account.received_bytes == account.needed_bytes == 9 * MB
    assert sent(rig.commands, FetchRange)
