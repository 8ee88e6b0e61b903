"""The planner when bytes are wrong, and what comes after."""

from __future__ import annotations

from common.messages import CloseChunk, DiscardRange, FetchRange, RangeOutcome
from tests.builders import MB, A, B, C, a_beat, a_chunk, a_coded_chunk, a_demand, a_score, replica
from tests.planner_rig import PlannerRig, announced, sent, troubles

FAILURES: tuple[RangeOutcome, ...] = (
    "refused",
    "silent",
    "broken",
    "missing",
    "unavailable",
    "short",
    "malformed",
)


def a_rig(*nodes: str, seed: int = 1) -> PlannerRig:
    """Return a planner that knows equal nodes."""
    rig = PlannerRig(seed=seed)
    rig.know(*(a_score(node) for node in nodes or (A, B, C)))
    return rig


def node_of_only(rig: PlannerRig) -> str:
    (node,) = rig.busy_nodes()
    return node


# ---------------------------------------------------------------- wrong bytes


def test_the_only_contributor_is_banned_and_its_bytes_are_fetched_again() -> None:
    rig = a_rig(A, B)
    rig.feed(a_demand(a_chunk(0, [A, B])))
    liar, fetch = node_of_only(rig), rig.only_fetch()
    rig.end(fetch)
    made = rig.verdict(fetch, corrupt_part=-1)
    assert [(d.start_bytes, d.end_bytes) for d in sent(made, DiscardRange)] == [(0, 2 * MB)]
    assert node_of_only(rig) != liar
    assert rig.only_fetch().start_bytes == 0
    assert len(announced(made, "corrupt")) == 1
    assert rig.planner.nodes.node(liar).offences == 1


def test_a_node_that_lied_once_still_serves_other_chunks() -> None:
    rig = a_rig(A)
    rig.feed(a_demand(a_chunk(0, [A]), a_chunk(1, [A])))
    fetch = rig.only_fetch()
    rig.end(fetch)
    rig.verdict(fetch, corrupt_part=-1)
    assert rig.chunk_of(rig.fetch(A)) == a_chunk(1).chunk_id


def test_a_second_lie_bans_the_node_for_all_chunks() -> None:
    rig = a_rig(A, B)
    for number in range(2):
        rig.feed(a_demand(a_chunk(number, [A])))
        fetch = rig.only_fetch()
        rig.end(fetch)
        rig.verdict(fetch, corrupt_part=-1)
    assert rig.planner.nodes.node(A).banned
    rig.feed(a_demand(*(a_chunk(n, [A, B]) for n in (2, 3, 4))))
    assert rig.busy_nodes() == [B]


def two_contributors(rig: PlannerRig, first_until: int) -> tuple[str, str, FetchRange]:
    """Let a first node send up to an offset and a second one the rest; return both and the last range."""
    rig.feed(a_demand(a_chunk(0)))
    first = node_of_only(rig)
    rig.end(rig.only_fetch(), "broken", until=first_until)
    second, fetch = node_of_only(rig), rig.only_fetch()
    rig.end(fetch)
    return first, second, fetch


def test_the_larger_of_two_contributors_is_suspected_first() -> None:
    rig = a_rig()
    first, _, fetch = two_contributors(rig, 1_500_000)
    made = rig.verdict(fetch, corrupt_part=-1)
    assert [(d.start_bytes, d.end_bytes) for d in sent(made, DiscardRange)] == [(0, 1_500_000)]
    assert node_of_only(rig) != first
    assert rig.planner.nodes.node(first).offences == 0, "not proven yet"


def test_who_was_there_both_times_is_suspected_before_a_newcomer() -> None:
    rig = a_rig()
    small, large, fetch = two_contributors(rig, 10_000)
    made = rig.verdict(fetch, corrupt_part=-1)
    assert [d.start_bytes for d in sent(made, DiscardRange)] == [10_000]
    while node_of_only(rig) == small:
        rig.end(rig.only_fetch(), "missing")
    newcomer, again = node_of_only(rig), rig.only_fetch()
    rig.end(again)
    made = rig.verdict(again, corrupt_part=-1)
    assert [(d.start_bytes, d.end_bytes) for d in sent(made, DiscardRange)] == [(0, 10_000)]
    assert node_of_only(rig) == newcomer
    rig.end(rig.only_fetch())
    rig.verdict(again)
    offences = {node: rig.planner.nodes.node(node).offences for node in (A, B, C)}
    assert offences == {small: 1, large: 0, newcomer: 0}


def test_a_round_without_a_culprit_starts_the_next_one_from_nothing() -> None:
    rig = a_rig(A, B)
    chunk = a_chunk(0, [A, B])
    rig.feed(a_demand(chunk))
    rig.end(rig.only_fetch(), "broken", until=10_000)
    fetch = rig.only_fetch()
    rig.end(fetch)
    # The node whose first bytes are still held has broken off before: nobody is left.
    made = rig.verdict(fetch, corrupt_part=-1)
    assert len(troubles(made)) == 1
    rig.pass_time(1)
    assert rig.only_fetch().start_bytes == 0


def test_the_next_round_does_without_those_who_were_not_suspected() -> None:
    rig = a_rig(A, B)
    rig.feed(a_demand(a_chunk(0, [A, B])))
    rig.end(rig.only_fetch(), "broken", until=10_000)
    large, fetch = node_of_only(rig), rig.only_fetch()
    small = A if large == B else B
    rig.end(fetch)
    rig.verdict(fetch, corrupt_part=-1)
    rig.pass_time(1)
    assert node_of_only(rig) == large, "now for the other way round"
    again = rig.only_fetch()
    rig.end(again)
    rig.verdict(again)
    offences = [rig.planner.nodes.node(node).offences for node in (small, large)]
    assert offences == [1, 0]


def test_a_chunk_that_is_right_without_the_suspect_convicts_it() -> None:
    rig = a_rig()
    first, _, fetch = two_contributors(rig, 1_500_000)
    rig.verdict(fetch, corrupt_part=-1)
    again = rig.only_fetch()
    rig.end(again)
    rig.verdict(again)
    assert rig.planner.nodes.node(first).offences == 1


def test_a_cleared_suspect_is_not_convicted_for_the_other() -> None:
    rig = a_rig()
    first, second, fetch = two_contributors(rig, 1_500_000)
    rig.verdict(fetch, corrupt_part=-1)
    while node_of_only(rig) != second:
        # The third node does not have it: all of the chunk comes from the second one.
        rig.end(rig.only_fetch(), "missing")
    again = rig.only_fetch()
    rig.end(again)
    rig.verdict(again, corrupt_part=-1)
    while not rig.running:
        rig.pass_time(0.1)
        rig.feed(a_demand(a_chunk(0)))
    while node_of_only(rig) != C:
        rig.end(rig.only_fetch(), "missing")
    last = rig.only_fetch()
    rig.end(last)
    rig.verdict(last)
    assert rig.planner.nodes.node(second).offences == 1
    assert rig.planner.nodes.node(first).offences == 0


def test_a_verdict_said_twice_blames_nobody_else() -> None:
    rig = a_rig()
    rig.feed(a_demand(a_coded_chunk()))
    rig.pass_time(0.3)
    wrong = next(f for f in rig.running.values() if f.part == 0)
    rig.end(wrong)
    rig.verdict(wrong, corrupt_part=0)
    made = rig.verdict(wrong, corrupt_part=0)
    assert troubles(made) == []
    assert sorted(f.part for f in rig.running.values())[:2] == [1, 2]
    assert len(rig.running) == 3


def test_a_wrong_fragment_is_replaced_by_another() -> None:
    rig = a_rig()
    chunk = a_coded_chunk()
    rig.feed(a_demand(chunk))
    rig.pass_time(0.3)
    wrong = next(f for f in rig.running.values() if f.part == 0)
    rig.end(wrong)
    made = rig.verdict(wrong, corrupt_part=0)
    assert [d.part for d in sent(made, DiscardRange)] == [0]
    assert next(f.part for f in sent(made, FetchRange)) in (3, 4)


def test_wrong_bytes_everywhere_are_told_as_such_and_tried_again() -> None:
    rig = a_rig(A, B)
    chunk = a_chunk(0, [A, B])
    rig.feed(a_demand(chunk))
    made = []
    for _ in range(2):
        fetch = rig.only_fetch()
        rig.end(fetch)
        made += rig.verdict(fetch, corrupt_part=-1)
    assert [t.fault for t in troubles(made)] == ["integrity"]
    rig.pass_time(1.5)
    assert len(rig.running) == 1


def test_fragments_that_decode_to_something_else_are_all_forgotten() -> None:
    rig = a_rig()
    chunk = a_coded_chunk()
    rig.feed(a_demand(chunk))
    rig.pass_time(0.3)
    for fetch in list(rig.running.values()):
        rig.end(fetch)
    made = rig.verdict(fetch, corrupt_part=-1)
    assert [t.fault for t in troubles(made)] == ["integrity"]
    assert rig.state_of(chunk).bytes_by_node() == {}


# ---------------------------------------------------------------- nodes without Range


def test_a_node_without_range_is_asked_for_what_is_missing_all_the_same() -> None:
    rig = PlannerRig()
    rig.know(a_score(A, accepts_ranges=False))
    rig.feed(a_demand(a_chunk(0, [A])))
    assert rig.only_fetch().accepts_ranges is False
    rig.end(rig.only_fetch(), "broken", until=MB)
    rig.pass_time(1)
    assert (rig.only_fetch().start_bytes, rig.only_fetch().end_bytes) == (MB, 2 * MB)


def test_a_node_without_range_gets_no_small_probe() -> None:
    rig = PlannerRig()
    rig.know(a_score(A, accepts_ranges=False))
    rig.feed(a_demand(a_chunk(0, [A]), due_sec=60, low_water_mark_sec=1))
    rig.end(rig.only_fetch(), "silent")
    rig.pass_time(2)
    assert rig.only_fetch().end_bytes == 2 * MB


def test_what_the_answer_told_of_range_is_remembered() -> None:
    rig = PlannerRig()
    rig.know(a_score(A, accepts_ranges=None))
    rig.feed(a_demand(a_chunk(0, [A]), a_chunk(1, [A])))
    rig.end(rig.only_fetch(), range_honoured=False)
    assert rig.only_fetch().accepts_ranges is False


def test_bytes_before_the_offset_count_against_a_node_without_range() -> None:
    # Resuming at 1.9 of 2 MB: A would have to send everything again.
    rig = PlannerRig()
    rig.know(a_score(A, mbps=20, accepts_ranges=False), a_score(B, mbps=10), a_score(C, mbps=40))
    rig.feed(a_demand(a_chunk(0)))
    rig.end(rig.fetch(C), "broken", until=1_900_000)
    assert rig.busy_nodes() == [B]


def test_a_range_of_a_big_file_is_asked_for_by_offset() -> None:
    place = replica(A, "big-file")
    rig = a_rig(A)
    rig.feed(a_demand(a_chunk(0, replicas=(place,))))
    assert rig.only_fetch().replica == place


def test_a_worker_that_lost_a_home_is_asked_to_close_it() -> None:
    rig = a_rig()
    rig.feed(a_demand(a_chunk()))
    fetch = rig.only_fetch()
    rig.feed(a_demand())
    made = rig.feed(a_beat(leases=[fetch.lease_id]))
    assert [c.lease_id for c in sent(made, CloseChunk)] == [fetch.lease_id]
