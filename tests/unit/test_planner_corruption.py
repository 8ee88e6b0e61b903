"""The planner when bytes are wrong: who is suspected, who is convicted, and what comes after."""

from __future__ import annotations

import pytest

from common.messages import ChunkSpec, CloseChunk, DiscardRange, FetchRange
from common.units import node_of
from scheduler.commands import Command, PublishVerdict
from scheduler.selection import OFFENCES_TO_BAN
from tests.builders import FIVE_NODES, A, B, C, a_beat, a_chunk, a_coded_chunk, a_demand, a_score
from tests.planner_rig import PlannerRig, announced, sent, troubles

SIZE_BYTES = 400_000


def a_rig(*nodes: str) -> PlannerRig:
    """Return a planner that knows equal nodes."""
    rig = PlannerRig()
    rig.know(*(a_score(node) for node in nodes or (A, B, C)))
    return rig


def small(number: int = 0, *nodes: str) -> ChunkSpec:
    return a_chunk(number, nodes, size_bytes=SIZE_BYTES)


def offences(rig: PlannerRig) -> dict[str, int]:
    return {node.node_url: node.offences for node in rig.planner.nodes}


def discarded(commands: list[Command]) -> list[tuple[int, int]]:
    return [(d.start_bytes, d.end_bytes) for d in sent(commands, DiscardRange)]


def asked(commands: list[Command]) -> set[str]:
    """Return the nodes that were asked for bytes."""
    return {node_of(f.replica.url) for f in sent(commands, FetchRange)}


# ---------------------------------------------------------------- one contributor


def test_the_only_contributor_is_banned_and_its_bytes_are_fetched_again() -> None:
    rig = a_rig(A, B)
    rig.feed(a_demand(small(0, A)))
    fetch = rig.only_fetch()
    rig.end(fetch)
    rig.feed(a_demand(small(0, A, B)))
    made = rig.verdict(fetch, corrupt_part=-1)
    assert discarded(made) == [(0, SIZE_BYTES)]
    assert asked(made) == {B}
    assert rig.spans(small()) == [(0, SIZE_BYTES)]
    assert len(announced(made, "corrupt")) == 1
    assert offences(rig) == {A: 1, B: 0}


def test_a_node_that_lied_once_still_serves_other_chunks() -> None:
    rig = a_rig(A)
    rig.feed(a_demand(small(0, A), small(1, A)))
    fetch = rig.fetches_at(A)[0]
    rig.end(fetch)
    rig.verdict(fetch, corrupt_part=-1)
    assert rig.chunk_of(rig.fetch(A)) == small(1).chunk_id


def test_a_second_lie_bans_the_node_for_all_chunks() -> None:
    rig = a_rig(A, B)
    for number in range(OFFENCES_TO_BAN):
        rig.feed(a_demand(small(number, A)))
        fetch = rig.fetches_at(A)[0]
        rig.end(fetch)
        rig.verdict(fetch, corrupt_part=-1)
    made = rig.feed(a_demand(*(small(n, A, B) for n in (2, 3, 4))))
    assert asked(made) == {B}


def test_a_banned_node_is_asked_when_nobody_else_has_the_chunk() -> None:
    rig = a_rig(A, B)
    rig.planner.nodes.node(A).offences = OFFENCES_TO_BAN
    made = rig.feed(a_demand(small(0, A)))
    assert asked(made) == {A}


def test_wrong_bytes_everywhere_are_told_as_such_and_tried_again() -> None:
    rig = a_rig(A, B)
    made: list[Command] = []
    rig.feed(a_demand(small(0, A)))
    for _ in range(2):
        fetch = rig.only_fetch()
        rig.end(fetch)
        rig.feed(a_demand(small(0, A, B)))
        made += rig.verdict(fetch, corrupt_part=-1)
    assert [t.fault for t in troubles(made)] == ["integrity"]
    rig.pass_time(1.5)
    assert rig.fetches(small()) != []


def test_every_verdict_is_published_with_the_suspect() -> None:
    rig = a_rig(A, B)
    rig.feed(a_demand(small(0, A)))
    fetch = rig.only_fetch()
    rig.end(fetch)
    rig.feed(a_demand(small(0, A, B)))
    made = rig.verdict(fetch, corrupt_part=-1)
    again = rig.only_fetch()
    rig.end(again)
    made += rig.verdict(again)
    published = [c.msg for c in made if isinstance(c, PublishVerdict)]
    assert [(v.verdict, v.suspect_url, v.certain) for v in published] == [
        ("corrupt", A, True),
        ("delivered", "", False),
    ]
    assert {v.sequence_num for v in published} == {0}


# ---------------------------------------------------------------- two contributors


def two_contributors(rig: PlannerRig, *replacing: str) -> tuple[FetchRange, FetchRange]:
    """Let A bring three quarters of a chunk and B the rest; then these nodes are known to have it, too."""
    rig.know(a_score(A, mbps=30), a_score(B, mbps=10), a_score(C, mbps=20))
    rig.feed(a_demand(small(0, A, B)))
    large, rest = rig.fetch(A), rig.fetch(B)
    rig.end(large)
    rig.end(rest)
    assert large.end_bytes - large.start_bytes > 2 * (rest.end_bytes - rest.start_bytes)
    rig.feed(a_demand(small(0, *replacing)))
    return large, rest


def test_the_larger_of_two_contributors_is_suspected_first() -> None:
    rig = a_rig()
    large, _ = two_contributors(rig, A, B, C)
    made = rig.verdict(large, corrupt_part=-1)
    assert discarded(made) == [(large.start_bytes, large.end_bytes)]
    assert A not in asked(made)
    assert asked(made) <= {B, C}
    assert rig.spans(small())[0][0] == large.start_bytes
    assert offences(rig) == {A: 0, B: 0, C: 0}, "nothing is proven yet"


def test_a_chunk_that_is_right_without_the_suspect_convicts_it() -> None:
    rig = a_rig()
    large, _ = two_contributors(rig, A, C)
    rig.verdict(large, corrupt_part=-1)
    made = rig.deliver(small())
    assert offences(rig) == {A: 1, B: 0, C: 0}
    assert len(announced(made, "corrupt")) == 1


def test_who_was_there_both_times_is_suspected_before_a_newcomer() -> None:
    rig = a_rig()
    large, rest = two_contributors(rig, A, C)
    rig.verdict(large, corrupt_part=-1)
    again = rig.bring(small())
    assert node_of(again.replica.url) == C
    made = rig.verdict(again, corrupt_part=-1)
    assert discarded(made) == [(rest.start_bytes, rest.end_bytes)]
    assert asked(made) == {C}
    rig.deliver(small())
    assert offences(rig) == {A: 0, B: 1, C: 0}


def test_a_cleared_suspect_is_not_convicted_for_the_other() -> None:
    rig = a_rig()
    large, _ = two_contributors(rig, A, B)
    rig.verdict(large, corrupt_part=-1)
    # Now all of it comes from B, and it is still wrong.
    again = rig.bring(small())
    rig.verdict(again, corrupt_part=-1)
    rig.feed(a_demand(small(0, A, C)))
    rig.deliver(small())
    assert offences(rig) == {A: 0, B: 1, C: 0}


def test_a_suspect_is_not_asked_for_the_chunk_while_it_is_suspected() -> None:
    rig = a_rig()
    large, _ = two_contributors(rig, A, B, C)
    made = rig.verdict(large, corrupt_part=-1)
    while rig.fetches(small()):
        made += rig.end(rig.fetches(small())[0])
        made += rig.pass_time(0.1)
    assert A not in asked(made)


def nobody_left(rig: PlannerRig) -> list[Command]:
    """Let A break off early and B bring the rest; the chunk is wrong, B suspected and A has failed already."""
    rig.feed(a_demand(small(0, A, B)))
    rig.end(rig.fetch(B))
    rig.end(rig.fetch(A), "broken", until=10_000)
    return rig.verdict(rig.bring(small()), corrupt_part=-1)


def test_a_round_without_a_culprit_starts_the_next_one_from_nothing() -> None:
    rig = a_rig(A, B)
    assert len(troubles(nobody_left(rig))) == 1
    rig.pass_time(1)
    assert rig.spans(small()) == [(0, SIZE_BYTES)]


def test_the_next_round_does_without_those_who_were_not_suspected() -> None:
    rig = a_rig(A, B)
    nobody_left(rig)
    made = rig.pass_time(1)
    assert asked(made) == {B}, "now for the other way round"
    rig.deliver(small())
    assert offences(rig) == {A: 1, B: 0}


def test_the_next_round_asks_one_node_at_a_time_until_one_is_right() -> None:
    # A broke off, B and C brought the rest, and the chunk was wrong whoever's bytes were replaced.
    rig = a_rig(A, B, C)
    rig.feed(a_demand(small(0, A, B, C)))
    rig.end(rig.fetch(A), "broken", until=10_000)
    made: list[Command] = []
    while not troubles(made):
        made = rig.verdict(rig.bring(small()), corrupt_part=-1)
    rig.pass_time(1)
    liars = []
    for _ in range(2):
        (liar,) = {node_of(fetch.replica.url) for fetch in rig.running.values()}
        liars.append(liar)
        made = rig.verdict(rig.bring(small()), corrupt_part=-1)
        assert len(announced(made, "corrupt")) == 1
        assert offences(rig)[liar] == 1, "nobody else can have been it"
    (honest,) = {node_of(fetch.replica.url) for fetch in rig.running.values()}
    assert {honest, *liars} == {A, B, C}
    rig.deliver(small())
    assert offences(rig) == {honest: 0} | dict.fromkeys(liars, 1)


# ---------------------------------------------------------------- fragments


def a_coded_rig() -> PlannerRig:
    """Return a planner that reads three data fragments, each in one range."""
    rig = a_rig(*FIVE_NODES)
    rig.feed(a_demand(a_coded_chunk(), due_sec=60))
    assert sorted(f.part for f in rig.running.values()) == [0, 1, 2]
    return rig


def a_fragment(rig: PlannerRig, part: int) -> FetchRange:
    return next(f for f in rig.running.values() if f.part == part)


def test_a_wrong_fragment_is_replaced_by_another() -> None:
    rig = a_coded_rig()
    wrong = a_fragment(rig, 0)
    rig.end(wrong)
    made = rig.verdict(wrong, corrupt_part=0)
    assert [d.part for d in sent(made, DiscardRange)] == [0]
    assert [f.part for f in sent(made, FetchRange)] in ([3], [4])
    assert offences(rig)[FIVE_NODES[0]] == 1


def test_a_verdict_said_twice_blames_nobody_else() -> None:
    rig = a_coded_rig()
    wrong = a_fragment(rig, 0)
    rig.end(wrong)
    rig.verdict(wrong, corrupt_part=0)
    running = dict(rig.running)
    made = rig.verdict(wrong, corrupt_part=0)
    assert troubles(made) == []
    assert rig.running == running
    assert sum(offences(rig).values()) == 1


@pytest.mark.parametrize("liar", range(5))
def test_fragments_that_decode_to_something_else_are_replaced_until_they_match(liar: int) -> None:
    rig = a_coded_rig()
    wrong, verdicts = FIVE_NODES[liar], 0
    while rig.state_of(a_coded_chunk()).delivered_sec is None:
        rig.pass_time(0.5)
        rig.feed(a_demand(a_coded_chunk(), due_sec=60))
        if not rig.fetches(a_coded_chunk()):
            continue
        last = rig.bring(a_coded_chunk())
        held = rig.state_of(a_coded_chunk()).bytes_by_node()
        verdicts += 1
        rig.verdict(last, corrupt_part=-1 if wrong in held else None)
        assert verdicts < 10, "two fragments are to spare"
    assert {node for node, count in offences(rig).items() if count} <= {wrong}


# ---------------------------------------------------------------- workers


def test_a_worker_that_lost_a_home_is_asked_to_close_it() -> None:
    rig = a_rig()
    rig.feed(a_demand(a_chunk()))
    fetch = rig.fetch(A)
    rig.feed(a_demand())
    made = rig.feed(a_beat(leases=[fetch.lease_id]))
    assert [c.lease_id for c in sent(made, CloseChunk)] == [fetch.lease_id]
