"""The planner and nodes in doubt: silence, suspensions, probes, and when suspensions do not count."""

from __future__ import annotations

import itertools

import pytest

from common.messages import CancelRange, FetchRange, RangeOutcome
from common.units import node_of
from scheduler.assignment import PROBE_BYTES
from scheduler.commands import Command
from scheduler.selection import OPEN_BASE_SEC, OPEN_JITTER_RATIO
from tests.builders import FIVE_NODES, MB, A, B, C, a_chunk, a_demand, a_score
from tests.planner_flow import flow
from tests.planner_rig import PlannerRig, announced, sent


def a_rig(*nodes: str, seed: int = 1) -> PlannerRig:
    """Return a planner that knows equal nodes."""
    rig = PlannerRig(seed=seed)
    rig.know(*(a_score(node) for node in nodes or (A, B, C)))
    return rig


# ---------------------------------------------------------------- silence


def unanswered(rig: PlannerRig, fetch: FetchRange) -> list[Command]:
    """Report the end of a range that was taken over, or cancelled, before its first byte."""
    outcome: RangeOutcome = "cancelled" if fetch.job_id in rig.cancelled else "complete"
    return rig.end(
        fetch,
        outcome,
        until=fetch.start_bytes,
        first_byte_sec=None,
        duration_sec=0.1,
        range_honoured=None,
    )


def test_other_quiet_ranges_of_a_silent_node_need_not_wait_for_their_own_silence() -> None:
    rig = a_rig(A)
    rig.prove(A)
    rig.feed(a_demand(a_chunk(0, [A], size_bytes=20 * MB)))
    first = rig.fetch(A)
    while len(rig.running) == 1:
        made = flow(rig, {A: 20.0}, 0.02, report_sec=0.02)
    second = rig.fetches_at(A)[-1]
    assert first.job_id in rig.running
    rig.pass_time(0.5)
    made = rig.end(first, "silent")
    assert [c.job_id for c in sent(made, CancelRange)] == [second.job_id]
    assert len(announced(made, "suspended")) == 1


def test_a_silent_node_is_suspended_though_its_ranges_are_taken_over_before() -> None:
    rig = a_rig(A, B)
    rig.prove(A, B)
    chunks = [a_chunk(n, [A, B], size_bytes=MB // 2) for n in range(4)]
    rig.feed(a_demand(*chunks))
    patience_sec = rig.planner.nodes.node(A).silence_sec()
    began_sec = rig.now_sec
    made: list[Command] = []
    while not announced(made, "suspended"):
        made += rig.pass_time(0.05)
        for fetch in list(rig.running.values()):
            if node_of(fetch.replica.url) == B:
                made += rig.end(fetch)
            elif fetch.end_bytes == fetch.start_bytes:
                made += unanswered(rig, fetch)
        assert rig.now_sec - began_sec < patience_sec + 0.3, "silence counts over its requests"
    made = rig.pass_time(0.3)
    made += [c for f in rig.fetches_at(A) for c in unanswered(rig, f)]
    asked = {node_of(f.replica.url) for f in sent(made, FetchRange)}
    assert asked <= {B}, "it gets nothing more while it is suspended"


def test_a_range_that_brought_nothing_does_not_close_a_breaker() -> None:
    rig = a_rig(A, B)
    rig.prove(A, B)
    rig.feed(a_demand(a_chunk(0, [A, B], size_bytes=200_000)))
    rig.end(rig.fetch(A), "silent")
    rig.deliver(a_chunk(0))
    rig.pass_time(1.5)
    rig.feed(a_demand(a_chunk(1, [A, B], size_bytes=2 * MB)))
    probe = rig.fetch(A)
    made: list[Command] = []
    rig.end(rig.fetches_at(B)[0])
    while rig.running[probe.job_id].end_bytes > probe.start_bytes:
        made += rig.pass_time(0.05)
        for fetch in rig.fetches_at(B):
            made += rig.end(fetch)
        assert probe.job_id in rig.running
    made += unanswered(rig, probe)
    assert announced(made, "recovered") == []
    assert rig.planner.nodes.node(A).breaker.state(rig.now_sec) != "closed"


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


@pytest.mark.parametrize("due_sec", [0.0, 60.0])
def test_a_suspended_node_proves_itself_with_a_small_range_first(due_sec: float) -> None:
    rig = a_rig(A, B)
    rig.prove(A, B)
    rig.feed(a_demand(a_chunk(0, [A], size_bytes=200_000)))
    rig.end(rig.fetch(A), "silent")
    rig.pass_time(OPEN_BASE_SEC * (1 + OPEN_JITTER_RATIO) + 0.1)
    rig.feed(a_demand(a_chunk(1, [A], size_bytes=5 * MB), due_sec=due_sec))
    probe = rig.only_fetch()
    assert probe.end_bytes - probe.start_bytes == PROBE_BYTES
    rig.pass_time(0.02)
    rig.head(probe)
    rig.progress(probe, PROBE_BYTES - 10)
    assert list(rig.running) == [probe.job_id], "nothing more until it has ended well"
    made = rig.end(probe)
    assert len(announced(made, "recovered")) == 1
    next_range = rig.fetches_at(A)[0]
    assert next_range.end_bytes - next_range.start_bytes > PROBE_BYTES


def test_a_probe_that_fails_suspends_for_longer() -> None:
    rig = a_rig(A, B)
    breaker = rig.planner.nodes.node(A).breaker
    lengths = []
    for number in range(3):
        rig.feed(a_demand(a_chunk(number, [A])))
        while not rig.running:
            rig.pass_time(0.05)
        rig.end(rig.only_fetch(), "silent")
        lengths.append((breaker.open_until_sec or 0.0) - rig.now_sec)
        rig.pass_time(lengths[-1] + 0.01)
        rig.feed(a_demand())
    for shorter, longer in itertools.pairwise(lengths):
        assert longer > shorter


def test_a_good_ping_does_not_end_a_suspension() -> None:
    rig = a_rig(A, B)
    rig.feed(a_demand(a_chunk(0, [A])))
    rig.end(rig.only_fetch(), "silent")
    rig.know(a_score(A), a_score(B))
    rig.feed(a_demand(a_chunk(1, [A, B])))
    assert rig.busy_nodes() == [B]


def test_retry_after_of_a_node_is_respected() -> None:
    rig = a_rig(A, B)
    rig.feed(a_demand(a_chunk(0, [A, B])))
    rig.end(rig.fetch(A), "unavailable", retry_after_sec=15.0)
    breaker = rig.planner.nodes.node(A).breaker
    assert breaker.state(rig.now_sec + 14.9) == "open"
    assert breaker.state(rig.now_sec + 15.1) == "half_open"


def test_the_last_node_is_used_even_while_it_is_suspended() -> None:
    rig = a_rig(A)
    rig.feed(a_demand(a_chunk(0, [A])))
    rig.end(rig.only_fetch(), "silent")
    rig.feed(a_demand(a_chunk(0, [A]), a_chunk(1, [A])))
    assert rig.busy_nodes() == [A]


@pytest.mark.parametrize(("lost", "asked"), [(2, 2), (3, 4)])
def test_suspensions_do_not_count_when_fewer_than_half_of_the_nodes_are_left(
    lost: int, asked: int
) -> None:
    nodes = FIVE_NODES[:4]
    rig = a_rig(*nodes)
    rig.feed(a_demand(a_chunk(0, nodes)))
    for node in nodes[:lost]:
        rig.end(rig.fetch(node), "silent")
    rig.feed(a_demand(a_chunk(1, nodes, size_bytes=2 * MB)))
    assert len(set(rig.busy_nodes())) == asked
