"""When a node's next request leaves: just in time, in order, and never to a quiet node."""

from __future__ import annotations

import pytest

from common.messages import CancelRange, FetchRange, ResizeRange
from common.units import transfer_sec
from scheduler.lanes import MAX_LANES
from scheduler.timing import AHEAD_SEC, COMMAND_SEC, QUIET_SEC, RATE_WINDOW_SEC
from tests.builders import MB, A, B, a_chunk, a_demand, a_score
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


def length(fetch: FetchRange) -> int:
    return fetch.end_bytes - fetch.start_bytes


# ---------------------------------------------------------------- just in time


def run_down(rig: PlannerRig, left_sec: float, mbps: float = 20.0) -> FetchRange:
    """Let the only range run until this much is left of it; return it as it was then."""
    fetch = rig.only_fetch()
    rig.now_sec += RTT_SEC + COMMAND_SEC
    rig.head(fetch)
    per_sec = mbps * 1e6 / 8
    whole_sec = length(fetch) / per_sec
    done_sec = 0.0
    while done_sec < whole_sec - left_sec - 1e-9:
        step_sec = min(0.1, whole_sec - left_sec - done_sec)
        done_sec += step_sec
        rig.now_sec += step_sec
        rig.progress(fetch, fetch.start_bytes + round(per_sec * done_sec))
    return fetch


def test_the_next_range_is_asked_for_just_before_the_running_one_ends() -> None:
    rig = a_rig(A)
    rig.feed(a_demand(a_chunk(0, [A], size_bytes=LONG)))
    ahead_sec = RTT_SEC + COMMAND_SEC + AHEAD_SEC
    first = run_down(rig, ahead_sec + 0.03)
    assert list(rig.running) == [first.job_id], "too early: it would take half the link"
    rig.now_sec += 0.04
    rig.progress(first, first.end_bytes - round((ahead_sec - 0.01) * 20e6 / 8))
    _, second = rig.fetches_at(A)
    assert second.start_bytes == first.end_bytes


def test_the_next_range_leaves_between_two_reports_when_its_time_has_come() -> None:
    rig = a_rig(A)
    rig.feed(a_demand(a_chunk(0, [A], size_bytes=LONG)))
    run_down(rig, 0.1)
    assert len(rig.running) == 1
    rig.pass_time(0.08)
    assert len(rig.running) == 2, "without a report it counts what must have come by now"


def test_a_node_never_has_three_ranges() -> None:
    rig = a_rig(A)
    rig.feed(a_demand(a_chunk(0, [A], size_bytes=LONG)))
    first = run_down(rig, 0.01)
    assert len(rig.running) == 2
    rig.progress(first, first.end_bytes - 1)
    rig.pass_time(0.1)
    assert len(rig.running) == 2


def test_an_unmeasured_node_is_asked_for_one_range_at_a_time() -> None:
    rig = PlannerRig()
    rig.know(a_score(A))
    rig.feed(a_demand(a_chunk(0, [A], size_bytes=LONG)))
    fetch = rig.only_fetch()
    rig.pass_time(RTT_SEC)
    rig.head(fetch)
    # So soon after the answer its bytes are a burst and say nothing of the rate.
    rig.pass_time(RATE_WINDOW_SEC / 2)
    rig.progress(fetch, fetch.end_bytes - 1000)
    assert list(rig.running) == [fetch.job_id]


def test_a_short_range_is_followed_soon_so_that_a_long_way_is_not_idle() -> None:
    rig = a_rig(A, mbps=100.0, latency_ms=35)
    rig.feed(a_demand(a_chunk(0, [A], size_bytes=100_000), a_chunk(1, [A], size_bytes=LONG)))
    assert transfer_sec(100_000, 100.0) < AHEAD_SEC
    rig.pass_time(AHEAD_SEC)
    assert [rig.chunk_of(f)[-1] for f in rig.fetches_at(A)] == ["0", "1"]


def test_short_ranges_side_by_side_are_followed_once_the_first_of_them_flows() -> None:
    rig = a_rig(A, mbps=100.0, latency_ms=200)
    rig.feed(a_demand(a_chunk(0, [A], size_bytes=100_000), a_chunk(1, [A], size_bytes=LONG)))
    first, *others = rig.fetches_at(A)
    assert {rig.chunk_of(f)[-1] for f in (first, *others)} == {"0"}
    assert len(others) == MAX_LANES - 1
    rig.pass_time(0.2)
    assert rig.fetches_at(A) == [first, *others]
    rig.head(first)
    assert [rig.chunk_of(f)[-1] for f in rig.fetches_at(A)] == ["0"] * MAX_LANES + ["1"]


def test_two_requests_that_reach_a_node_in_swapped_order_do_no_harm() -> None:
    rig = a_rig(A, B, mbps=100.0)
    chunk = a_chunk(0, [A], size_bytes=MB)
    rig.feed(a_demand(a_chunk(8, [A], size_bytes=100_000), chunk))
    rig.pass_time(AHEAD_SEC)
    first, second = rig.fetches_at(A)
    rig.commands.clear()
    # Travelling on two connections, the later one is answered first, and to its end.
    rig.head(second)
    rig.pass_time(0.02)
    rig.progress(second, second.start_bytes + 150_000)
    rig.pass_time(0.02)
    assert (sent(rig.commands, CancelRange), sent(rig.commands, ResizeRange)) == ([], [])
    rig.end(second)
    rig.head(first)
    rig.end(first)
    rig.deliver(chunk)
    rig.verdict(first)
    account = next(a for a in rig.planner.accounts.all if a.session_id == "s1")
    assert account.received_bytes == account.needed_bytes == MB + 100_000
    assert rig.planner.nodes.node(A).breaker.state(rig.now_sec) == "closed"


@pytest.mark.parametrize("due_sec", [0.0, 60.0])
def test_a_later_chunk_is_not_asked_for_together_with_an_earlier_one(due_sec: float) -> None:
    rig = a_rig(A, mbps=100.0)
    chunks = [a_chunk(n, [A], size_bytes=50_000) for n in range(2)]
    rig.feed(a_demand(*chunks, due_sec=due_sec))
    first = rig.only_fetch()
    rig.pass_time(COMMAND_SEC)
    assert list(rig.running) == [first.job_id]
    rig.pass_time(RTT_SEC)
    rig.head(first)
    assert [rig.chunk_of(f) for f in rig.running.values()] == [c.chunk_id for c in chunks]


def test_a_quiet_node_gets_no_further_work() -> None:
    rig = a_rig(A)
    rig.feed(a_demand(a_chunk(0, [A], size_bytes=400_000)))
    fetch = run_down(rig, 0.001)
    assert list(rig.running) == [fetch.job_id], "nothing else is wanted"
    rig.now_sec += QUIET_SEC + 0.01
    rig.feed(a_demand(a_chunk(0, [A], size_bytes=400_000), a_chunk(1, [A])))
    assert list(rig.running) == [fetch.job_id], "its last bytes do not come"
    rig.progress(fetch, fetch.end_bytes - 1)
    assert len(rig.running) == 2


def test_the_rate_of_a_node_with_two_ranges_is_that_of_both_together() -> None:
    rig = a_rig(A)
    rig.feed(a_demand(a_chunk(0, [A], size_bytes=LONG)))
    first = run_down(rig, 0.04)
    _, second = rig.fetches_at(A)
    # They overlap, and share the link: half of it each.
    left = first.end_bytes - round(0.04 * 20e6 / 8)
    came = 0
    for _ in range(8):
        rig.now_sec += 0.01
        came += round(0.005 * 20e6 / 8)
        rig.progress(first, left + came)
        rig.progress(second, second.start_bytes + came, range_honoured=True)
    assert rig.planner.nodes.node(A).rate_mbps == pytest.approx(20.0, rel=0.15)
