"""The planner when things fail: failover, back-off, missing chunks."""

from __future__ import annotations

import pytest

from common.messages import ChunkTrouble, CloseChunk, FetchRange, RangeOutcome
from common.units import node_of
from scheduler.choosing import RETRY_BASE_SEC, RETRY_JITTER_RATIO, RETRY_MAX_SEC
from scheduler.commands import Command
from scheduler.wanted import SECOND_CHANCE_SEC
from tests.builders import MB, A, B, C, a_chunk, a_coded_chunk, a_demand, a_score
from tests.planner_flow import flow
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


def fail_all(rig: PlannerRig, outcome: RangeOutcome, detail: str = "") -> list[Command]:
    """Let every range fail until none is left."""
    made: list[Command] = []
    while rig.running:
        made += rig.end(next(iter(rig.running.values())), outcome, detail=detail)
    return made


# ---------------------------------------------------------------- failover


@pytest.mark.parametrize("outcome", FAILURES)
def test_an_idle_node_goes_on_at_the_offset_at_once(outcome: RangeOutcome) -> None:
    rig = a_rig(A, B)
    rig.feed(a_demand(a_chunk(0, [A, B], size_bytes=400_000)))
    failed = rig.fetch(A)
    rig.end(rig.fetch(B))
    until = failed.start_bytes + 20_000
    made = rig.end(failed, outcome, until=until)
    (again,) = sent(made, FetchRange)
    assert rig.busy_nodes() == [B]
    assert (again.start_bytes, again.end_bytes) == (until, failed.end_bytes)
    assert again.lease_id == failed.lease_id, "the bytes stay where they are"
    assert len(announced(made, "failover")) == 1


@pytest.mark.parametrize("outcome", FAILURES)
def test_a_node_that_failed_is_not_asked_for_the_chunk_again(outcome: RangeOutcome) -> None:
    rig = a_rig(A, B)
    rig.prove(A, B)
    chunk = a_chunk(0, [A, B], size_bytes=5 * MB)
    rig.feed(a_demand(chunk))
    failed = rig.fetches_at(A)[0]
    made = rig.end(failed, outcome, until=failed.start_bytes + 70_000)
    while rig.fetches(chunk):
        made += rig.end(rig.fetches(chunk)[0])
    asked = [node_of(f.replica.url) for f in sent(made, FetchRange)]
    assert set(asked) == {B}
    assert rig.state_of(chunk).complete


def test_an_answer_that_ended_early_but_brought_much_is_continued_at_the_same_node() -> None:
    rig = a_rig(A)
    rig.prove(A)
    rig.feed(a_demand(a_chunk(0, [A], size_bytes=400_000)))
    made = rig.end(rig.only_fetch(), "short", until=200_000)
    (again,) = sent(made, FetchRange)
    assert (again.start_bytes, troubles(made)) == (200_000, [])
    made = rig.end(again, "short", until=200_100)
    assert [t.fault for t in troubles(made)] == ["unreachable"], "this was no answer"


def test_a_node_that_failed_has_a_second_chance_while_others_bring_the_chunk() -> None:
    rig = a_rig(A, B)
    rig.prove(A, B)
    chunk = a_chunk(0, [A, B], size_bytes=20 * MB)
    rig.feed(a_demand(chunk))
    rig.end(rig.fetch(A), "missing")
    made = flow(rig, {B: 20.0}, SECOND_CHANCE_SEC - 0.1)
    assert {node_of(f.replica.url) for f in sent(made, FetchRange)} <= {B}
    made = flow(rig, {B: 20.0}, 0.3)
    assert A in {node_of(f.replica.url) for f in sent(made, FetchRange)}


def test_bytes_of_a_failed_range_go_to_the_first_node_that_is_free() -> None:
    rig = a_rig(A, B, C)
    rig.feed(a_demand(a_chunk(size_bytes=600_000), a_chunk(1, size_bytes=600_000)))
    failed = rig.fetch(A)
    rig.end(failed, "broken", until=failed.start_bytes + 50_000)
    made = rig.end(rig.fetch(C))
    (again,) = sent(made, FetchRange)
    assert (again.start_bytes, again.end_bytes) == (failed.start_bytes + 50_000, failed.end_bytes)


def test_two_ranges_that_fail_at_one_node_are_one_failover() -> None:
    rig = a_rig(A, B)
    rig.prove(A, B)
    chunk = a_chunk(0, [A, B], size_bytes=20 * MB)
    rig.feed(a_demand(chunk))
    while len(rig.fetches_at(A)) < 2:
        flow(rig, {A: 20.0, B: 20.0}, 0.02, report_sec=0.02)
    for fetch in rig.fetches_at(A):
        rig.end(fetch, "refused")
        for theirs in rig.fetches_at(B):
            rig.end(theirs)
    account = next(a for a in rig.planner.accounts.all if a.session_id == "s1")
    assert (account.failed_downloads, account.failover_count) == (2, 1)


def test_a_404_says_nothing_against_the_node() -> None:
    rig = a_rig(A)
    rig.feed(a_demand(a_chunk(0, [A]), a_chunk(1, [A])))
    rig.end(rig.only_fetch(), "missing")
    assert rig.chunk_of(rig.fetch(A)) == a_chunk(1).chunk_id
    assert rig.planner.nodes.node(A).breaker.state(rig.now_sec) == "closed"


def test_a_late_report_of_a_failure_does_not_count_twice() -> None:
    rig = a_rig()
    rig.feed(a_demand(a_chunk()))
    failed = rig.fetch(A)
    rig.end(failed, "silent")
    before = list(rig.running)
    made = rig.end(failed, "silent")
    assert list(rig.running) == before
    assert made == []


# ---------------------------------------------------------------- all replicas failed


def failing_rounds(
    rig: PlannerRig, due_sec: float, count: int
) -> tuple[list[ChunkTrouble], list[float]]:
    """Let all nodes say that they lack a chunk, again and again; return what is told and how long it waits."""
    chunk = a_chunk(0, [A, B])
    told, waits = [], []
    for _ in range(count):
        rig.feed(a_demand(chunk, due_sec=due_sec))
        told += troubles(fail_all(rig, "missing", "answered 404"))
        began_sec = rig.now_sec
        while not rig.running:
            rig.pass_time(0.05)
            rig.feed(a_demand(chunk, due_sec=due_sec))
        waits.append(rig.now_sec - began_sec)
    return told, waits


def test_the_buffer_is_told_and_all_replicas_are_tried_again_with_growing_waits() -> None:
    told, waits = failing_rounds(a_rig(A, B), 60, 6)
    assert [t.rounds for t in told] == [1, 2, 3, 4, 5, 6]
    assert {(t.fault, t.detail.split(": ")[1]) for t in told} == {("missing", "answered 404")}
    for round_number, wait_sec in enumerate(waits):
        nominal_sec = min(RETRY_MAX_SEC, RETRY_BASE_SEC * 2**round_number)
        assert wait_sec >= nominal_sec * (1 - RETRY_JITTER_RATIO)
        assert wait_sec <= nominal_sec * (1 + RETRY_JITTER_RATIO) + 0.1


def test_a_chunk_that_the_playhead_waits_for_is_tried_again_soon() -> None:
    _, waits = failing_rounds(a_rig(A, B), 0, 6)
    assert max(waits) <= RETRY_BASE_SEC * (1 + RETRY_JITTER_RATIO) + 0.1


def test_a_chunk_is_not_given_up_while_one_of_its_nodes_still_sends() -> None:
    rig = a_rig(A, B)
    rig.feed(a_demand(a_chunk(0, [A, B])))
    made = rig.end(rig.fetch(A), "missing")
    assert troubles(made) == []
    made = rig.end(rig.fetch(B), "missing")
    assert [t.fault for t in troubles(made)] == ["missing"]


def test_fresh_replicas_end_the_wait() -> None:
    rig = a_rig(A, B)
    rig.feed(a_demand(a_chunk(0, [A])))
    rig.end(rig.only_fetch(), "missing")
    assert rig.running == {}
    rig.feed(a_demand(a_chunk(0, [A, B])))
    assert B in rig.busy_nodes()


def test_a_chunk_without_any_replica_is_reported_as_missing() -> None:
    rig = a_rig()
    made = rig.feed(a_demand(a_chunk(0, [])))
    assert [(t.fault, t.detail) for t in troubles(made)] == [("missing", "no replica is known")]


def test_missing_chunks_do_not_keep_the_others_from_being_fetched() -> None:
    rig = a_rig(A)
    missing = [a_chunk(n, []) for n in range(4)]
    rig.feed(a_demand(*missing, a_chunk(4, [A])))
    assert rig.chunk_of(rig.only_fetch()) == a_chunk(4).chunk_id


def test_a_chunk_that_waits_with_nothing_in_hand_gives_its_home_back() -> None:
    rig = a_rig(A, B)
    rig.join("w1", slots=1)
    rig.feed(a_demand(a_chunk(0, [A]), a_chunk(1, [B])))
    made = rig.end(rig.fetch(A), "missing")
    assert len(sent(made, CloseChunk)) == 1
    assert rig.chunk_of(rig.fetch(B)) == a_chunk(1).chunk_id


def test_a_chunk_that_waits_keeps_the_bytes_it_has() -> None:
    rig = a_rig(A)
    rig.feed(a_demand(a_chunk(0, [A])))
    rig.end(rig.only_fetch(), "broken", until=MB)
    rig.pass_time(2)
    assert rig.spans(a_chunk(0))[0][0] == MB


def test_too_few_fragments_are_reported() -> None:
    rig = a_rig()
    rig.feed(a_demand(a_coded_chunk()))
    made = fail_all(rig, "missing")
    assert [t.fault for t in troubles(made)] == ["missing"]
