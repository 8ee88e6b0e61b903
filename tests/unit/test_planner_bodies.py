"""Nodes without `Range`: bodies from byte 0, tails taken by others, races, and answers that come as a surprise."""

from __future__ import annotations

import pytest

from common.messages import CancelRange, FetchRange
from common.units import node_of
from scheduler.bodies import MAX_RACERS
from tests.builders import FIVE_NODES, MB, A, B, C, a_chunk, a_demand, a_score, replica
from tests.planner_flow import flow
from tests.planner_rig import PlannerRig, sent


def a_rig(plain: tuple[str, ...], ranged: tuple[str, ...] = ()) -> PlannerRig:
    """Return a planner that knows nodes without `Range`, and others with it."""
    rig = PlannerRig()
    rig.know(
        *(a_score(node, accepts_ranges=False) for node in plain),
        *(a_score(node) for node in ranged),
    )
    return rig


# ---------------------------------------------------------------- alone


def test_a_node_without_range_is_asked_for_a_chunk_in_one_piece() -> None:
    rig = a_rig((A,))
    rig.feed(a_demand(a_chunk(0, [A], size_bytes=5 * MB)))
    fetch = rig.only_fetch()
    assert (fetch.start_bytes, fetch.end_bytes, fetch.accepts_ranges) == (0, 5 * MB, False)


def test_a_node_without_range_is_asked_for_what_is_missing_all_the_same() -> None:
    rig = a_rig((A,))
    rig.feed(a_demand(a_chunk(0, [A])))
    rig.end(rig.only_fetch(), "broken", until=MB, range_honoured=False)
    rig.pass_time(1)
    assert rig.spans(a_chunk()) == [(MB, 2 * MB)]


@pytest.mark.parametrize("due_sec", [0.0, 60.0])
def test_a_node_without_range_gets_no_small_probe(due_sec: float) -> None:
    rig = a_rig((A,))
    rig.feed(a_demand(a_chunk(0, [A]), due_sec=due_sec))
    rig.end(rig.only_fetch(), "silent")
    rig.pass_time(2)
    assert rig.only_fetch().end_bytes == 2 * MB


def test_what_the_answer_told_of_range_is_remembered() -> None:
    rig = PlannerRig()
    rig.know(a_score(A, accepts_ranges=None))
    rig.feed(a_demand(a_chunk(0, [A]), a_chunk(1, [A])))
    rig.head(rig.only_fetch(), honoured=False)
    rig.end(rig.only_fetch(), until=2 * MB, range_honoured=False)
    assert rig.only_fetch().accepts_ranges is False
    assert rig.spans(a_chunk(1)) == [(0, 2 * MB)]


def test_a_range_of_a_big_file_is_asked_for_by_offset() -> None:
    place = replica(A, "big-file")
    rig = PlannerRig()
    rig.know(a_score(A))
    rig.feed(a_demand(a_chunk(0, replicas=(place,))))
    assert rig.only_fetch().replica == place


# ---------------------------------------------------------------- beside nodes with Range


def test_bytes_before_the_offset_count_against_a_node_without_range() -> None:
    # Resuming near the end: A would have to send everything again.
    rig = a_rig((A,), (B,))
    rig.prove(B, mbps=5.0)
    rig.feed(a_demand(a_chunk(0, [C], size_bytes=400_000)))
    last = rig.fetch(C)
    rig.feed(a_demand(a_chunk(0, [A, B, C], size_bytes=400_000)))
    made = rig.end(last, "broken", until=380_000)
    assert [node_of(f.replica.url) for f in sent(made, FetchRange)] == [B]


def test_a_node_without_range_takes_the_beginning_and_others_the_tail() -> None:
    rig = a_rig((A,), (B, C))
    rig.know(a_score(A, mbps=60, accepts_ranges=False), a_score(B), a_score(C))
    rig.feed(a_demand(a_chunk()))
    assert rig.fetch(A).start_bytes == 0
    assert rig.fetch(B).start_bytes > MB // 2
    assert rig.fetch(C).start_bytes > MB // 2
    assert sum(f.end_bytes - f.start_bytes for f in rig.running.values()) == 2 * MB


@pytest.mark.parametrize("others_mbps", [1.0, 0.2])
def test_a_fast_body_goes_on_to_the_end_where_others_are_slow(others_mbps: float) -> None:
    rig = a_rig((A,), (B, C))
    rig.feed(a_demand(a_chunk()))
    flow(rig, {A: 20.0, B: others_mbps, C: others_mbps}, 15.0)
    assert rig.state_of(a_chunk()).complete
    # The body alone takes 0.8 s.
    assert rig.now_sec - 100 < 1.2, "nobody waits for the others' parts"


def test_nodes_with_range_take_a_slow_bodys_tail() -> None:
    rig = a_rig((A,), (B, C))
    rig.feed(a_demand(a_chunk()))
    flow(rig, {A: 2.0, B: 20.0, C: 20.0}, 10.0)
    assert rig.state_of(a_chunk()).complete
    assert rig.now_sec - 100 < 1.5, "the body alone would take eight seconds"


# ---------------------------------------------------------------- 200 instead of 206


def test_a_200_to_the_first_range_makes_it_the_whole_chunk() -> None:
    rig = PlannerRig()
    rig.know(*(a_score(n, accepts_ranges=None) for n in (A, B)))
    rig.feed(a_demand(a_chunk(0, [A, B])))
    first = rig.fetch(A)
    assert first.start_bytes == 0
    rig.head(first, honoured=False)
    rig.end(first, until=2 * MB, received_bytes=2 * MB, range_honoured=False)
    assert rig.state_of(a_chunk()).complete
    made = rig.verdict(first)
    assert rig.state_of(a_chunk()).delivered_sec is not None
    assert rig.running == {}, "B's part is not needed any more"
    assert made


def test_a_200_in_the_middle_begins_at_the_beginning() -> None:
    rig = PlannerRig()
    rig.know(*(a_score(n, accepts_ranges=None) for n in (A, B)))
    chunk = a_chunk(0, [A, B])
    rig.feed(a_demand(chunk))
    second = rig.fetch(B)
    assert second.start_bytes > 0
    rig.head(second, honoured=False)
    rig.progress(second, 300_000, received_bytes=300_000)
    assert rig.state_of(chunk).bytes_by_node() == {B: 300_000}


def test_a_report_that_is_older_than_the_surprise_claims_nothing() -> None:
    rig = PlannerRig()
    rig.know(*(a_score(n, accepts_ranges=None) for n in (A, B)))
    chunk = a_chunk(0, [A, B])
    rig.feed(a_demand(chunk))
    second = rig.fetch(B)
    rig.head(second, honoured=False)
    # The heartbeat was written before the answer's head came.
    rig.beat()
    assert rig.state_of(chunk).bytes_by_node() == {}


def test_bodies_that_bring_the_same_bytes_are_settled_when_their_rates_compare() -> None:
    rig = PlannerRig()
    nodes = (A, B, C)
    rig.know(*(a_score(n, accepts_ranges=False, mbps=None) for n in nodes))
    rig.feed(a_demand(a_chunk()))
    assert set(rig.busy_nodes()) == set(nodes), "nobody knows yet which of them is the fastest"
    made = flow(rig, {A: 5.0, B: 40.0, C: 10.0}, 5.0)
    assert len(sent(made, CancelRange)) == 2
    assert rig.state_of(a_chunk()).complete
    (account,) = rig.planner.accounts.all
    assert account.received_bytes < 1.4 * 2 * MB, "the race is short"
    assert rig.now_sec - 100 < 0.7, "the fastest alone brings it"


def test_only_a_few_nodes_race() -> None:
    rig = PlannerRig()
    rig.know(*(a_score(n, accepts_ranges=False, mbps=None) for n in FIVE_NODES))
    rig.feed(a_demand(a_chunk(0, FIVE_NODES)))
    assert len(rig.running) == MAX_RACERS


def test_known_nodes_without_range_do_not_race() -> None:
    rig = a_rig((A, B))
    for node in (A, B):
        rig.feed(a_demand(a_chunk(5, [node])))
        rig.end(rig.only_fetch(), range_honoured=False)
        rig.feed(a_demand())
    rig.feed(a_demand(a_chunk(0, [A, B])))
    assert len(rig.running) == 1


def test_with_time_to_spare_nobody_races() -> None:
    rig = PlannerRig()
    rig.know(*(a_score(n, accepts_ranges=False, mbps=None) for n in (A, B, C)))
    rig.feed(a_demand(a_chunk(), due_sec=60))
    assert len(rig.running) == 1
