"""The planner when things fail: failover, breakers, back-off, wrong bytes."""

from __future__ import annotations

import pytest

from common.messages import CloseChunk, FetchRange, RangeOutcome
from scheduler.planner import RETRY_BASE_SEC, RETRY_JITTER_RATIO, RETRY_MAX_SEC
from tests.builders import MB, A, B, C, a_chunk, a_coded_chunk, a_demand, a_score
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


# ---------------------------------------------------------------- failover


@pytest.mark.parametrize("outcome", FAILURES)
def test_the_next_replica_goes_on_at_the_offset_at_once(outcome: RangeOutcome) -> None:
    rig = a_rig()
    rig.feed(a_demand(a_chunk()))
    failed = rig.only_fetch()
    first = node_of_only(rig)
    made = rig.end(failed, outcome, until=700_000)
    (again,) = sent(made, FetchRange)
    assert node_of_only(rig) != first
    assert (again.start_bytes, again.end_bytes) == (700_000, 2 * MB)
    assert again.lease_id == failed.lease_id, "the bytes stay where they are"
    assert len(announced(made, "failover")) == 1


def test_a_404_says_nothing_against_the_node() -> None:
    rig = a_rig(A)
    rig.feed(a_demand(a_chunk(0, [A]), a_chunk(1, [A])))
    rig.end(rig.only_fetch(), "missing")
    assert rig.chunk_of(rig.fetch(A)) == a_chunk(1).chunk_id
    assert rig.planner.nodes.node(A).breaker.state(rig.now_sec) == "closed"


def test_a_late_report_of_a_failure_does_not_count_twice() -> None:
    rig = a_rig()
    rig.feed(a_demand(a_chunk()))
    failed = rig.only_fetch()
    rig.end(failed, "silent")
    before = list(rig.running)
    rig.end(failed, "silent")
    assert list(rig.running) == before


# ---------------------------------------------------------------- breaker


@pytest.mark.parametrize("outcome", ["silent", "refused", "unavailable"])
def test_a_node_that_gave_nothing_is_left_alone_at_once(outcome: RangeOutcome) -> None:
    rig = a_rig(A, B)
    rig.feed(a_demand(a_chunk(0, [A, B]), a_chunk(1, [A, B])))
    made = rig.end(rig.fetch(A), outcome)
    assert rig.busy_nodes() == [B]
    assert len(announced(made, "suspended")) == 1


def test_a_node_that_breaks_off_is_left_alone_after_the_third_time() -> None:
    rig = a_rig(A)
    chunks = [a_chunk(n, [A]) for n in range(3)]
    rig.feed(a_demand(*chunks))
    breaker = rig.planner.nodes.node(A).breaker
    states = []
    for _ in chunks:
        rig.end(rig.only_fetch(), "broken")
        states.append(breaker.state(rig.now_sec))
    assert states == ["closed", "closed", "open"]


def test_a_suspended_node_proves_itself_with_a_small_range_first() -> None:
    rig = a_rig(A, B)
    rig.feed(a_demand(a_chunk(0, [A, B]), due_sec=60, low_water_mark_sec=1))
    rig.end(rig.only_fetch(), "silent")
    suspended = next(n.node_url for n in rig.planner.nodes if n.breaker.open_until_sec)
    other = node_of_only(rig)
    rig.end(rig.only_fetch())
    rig.pass_time(2)
    made = rig.feed(a_demand(a_chunk(1, [suspended]), due_sec=60, low_water_mark_sec=1))
    (probe,) = sent(made, FetchRange)
    assert probe.end_bytes - probe.start_bytes == 64 * 1024
    made = rig.end(probe)
    assert len(announced(made, "recovered")) == 1
    assert rig.fetch(suspended).end_bytes == 2 * MB
    assert other != suspended


def test_retry_after_of_a_node_is_respected() -> None:
    rig = a_rig(A, B)
    rig.feed(a_demand(a_chunk(0, [A, B])))
    first = node_of_only(rig)
    rig.end(rig.only_fetch(), "unavailable", retry_after_sec=20.0)
    breaker = rig.planner.nodes.node(first).breaker
    assert breaker.state(rig.now_sec + 19.9) == "open"
    assert breaker.state(rig.now_sec + 20.1) == "half_open"


def test_the_last_node_is_used_even_while_it_is_suspended() -> None:
    rig = a_rig(A)
    rig.feed(a_demand(a_chunk(0, [A])))
    rig.end(rig.only_fetch(), "silent")
    rig.feed(a_demand(a_chunk(0, [A]), a_chunk(1, [A])))
    assert rig.busy_nodes() == [A]


# ---------------------------------------------------------------- all replicas failed


def test_the_buffer_is_told_and_all_replicas_are_tried_again_with_growing_waits() -> None:
    rig = a_rig(A, B)
    chunk = a_chunk(0, [A, B])
    told, waits = [], []
    for _ in range(6):
        rig.feed(a_demand(chunk))
        while rig.running:
            rig.end(rig.only_fetch(), "missing", detail="answered 404")
        told += troubles(rig.commands)
        rig.commands.clear()
        began_sec = rig.now_sec
        while not rig.running:
            rig.pass_time(0.05)
            rig.feed(a_demand(chunk))
        waits.append(rig.now_sec - began_sec)
    assert [t.rounds for t in told] == [1, 2, 3, 4, 5, 6]
    assert {(t.fault, t.detail.split(": ")[1]) for t in told} == {("missing", "answered 404")}
    for round_number, wait_sec in enumerate(waits):
        nominal_sec = min(RETRY_MAX_SEC, RETRY_BASE_SEC * 2**round_number)
        assert wait_sec >= nominal_sec * (1 - RETRY_JITTER_RATIO)
        assert wait_sec <= nominal_sec * (1 + RETRY_JITTER_RATIO) + 0.1


def test_fresh_replicas_end_the_wait() -> None:
    rig = a_rig(A, B)
    rig.feed(a_demand(a_chunk(0, [A])))
    rig.end(rig.only_fetch(), "missing")
    assert rig.running == {}
    rig.feed(a_demand(a_chunk(0, [A, B])))
    assert len(rig.running) == 1


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
    assert rig.only_fetch().start_bytes == MB


def test_too_few_fragments_are_reported() -> None:
    rig = a_rig()
    rig.feed(a_demand(a_coded_chunk()))
    rig.pass_time(0.3)
    made = []
    while rig.running:
        made += rig.end(next(iter(rig.running.values())), "missing")
    assert [t.fault for t in troubles(made)] == ["missing"]
