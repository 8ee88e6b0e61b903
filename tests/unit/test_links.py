"""Links and nodes in virtual time."""

from __future__ import annotations

import math
import random

import pytest

from bench.scenarios import FaultEvent
from cluster.faults import FaultKind
from cluster.profiles import LinkProfile
from cluster.shaping import RateSchedule, TraceStep
from cluster.slow_start import INITIAL_WINDOW_BYTES, CongestionWindow
from simulation.agenda import Agenda
from simulation.connections import Connections
from simulation.links import Link
from simulation.nodes import Request, SimNode, Wish
from simulation.paced_links import HEAD_BYTES

MB = 1_000_000


def a_link(*rates: float) -> Link:
    """Return a link whose rate in bytes a second changes every second."""
    steps = [TraceStep(duration_sec=1.0, bytes_per_sec=rate, latency_ms=0.0) for rate in rates]
    return Link(RateSchedule(steps))


class Watcher:
    """A request and what it said."""

    def __init__(self, *faults: FaultEvent, profile: LinkProfile | None = None) -> None:
        self.agenda = Agenda()
        profile = profile or LinkProfile(rate_mbps=8.0, rtt_ms=100.0)
        self.node = SimNode(
            "http://node", profile, faults, agenda=self.agenda, rng=random.Random(1)
        )
        self.heads: list[tuple[float, bool]] = []
        self.ends: list[tuple[float, str]] = []
        self.got: list[tuple[int, int, bool]] = []

    def ask(
        self,
        start: int = 0,
        end: int = MB,
        *,
        cold: bool = False,
        window: CongestionWindow | None = None,
        **changed: object,
    ) -> Request:
        wish = Wish(
            number=0,
            start=start,
            end=end,
            part_bytes=MB,
            silence_sec=0.5,
            asks_range=changed.get("asks_range", True) is True,
            cold=cold,
            window=window,
        )
        return self.node.request(
            wish,
            sink=self._take,
            on_head=lambda honoured: self.heads.append((self.agenda.now_sec, honoured)),
            on_end=lambda outcome, _detail: self.ends.append((self.agenda.now_sec, outcome)),
        )

    def _take(self, start: int, end: int, wrong: bool) -> None:
        if self.got and self.got[-1][1:] == (start, wrong):
            start = self.got.pop()[0]
        self.got.append((start, end, wrong))

    def expect_head(self, at_sec: float, *, honoured: bool) -> None:
        ((when_sec, said),) = self.heads
        assert (round(when_sec, 6), said) == (at_sec, honoured)

    def expect_end(self, at_sec: float, outcome: str) -> None:
        ((when_sec, said),) = self.ends
        assert (round(when_sec, 6), said) == (at_sec, outcome)

    def run(self, until_sec: float = 100.0) -> None:
        self.agenda.run(until_sec, lambda: False)


def a_fault(kind: FaultKind, at_sec: float = 0.0, for_sec: float | None = None) -> FaultEvent:
    return FaultEvent(node=0, kind=kind, at_sec=at_sec, for_sec=for_sec)


def test_one_flow_takes_the_whole_rate_over_changes_of_it() -> None:
    link = a_link(100.0, 0.0, 50.0)
    flow = link.open(125.0, 0.0)
    assert link.next_due_sec() == pytest.approx(2.5)
    link.advance(2.5)
    assert flow.due


def test_two_flows_share_evenly_and_the_rest_goes_to_who_is_left() -> None:
    link = a_link(100.0)
    first, second = link.open(30.0, 0.0), link.open(80.0, 0.0)
    assert link.next_due_sec() == pytest.approx(0.6)
    link.close(first, 0.6)
    assert second.got_bytes == pytest.approx(30.0)
    assert link.next_due_sec() == pytest.approx(1.1)


def test_a_standstill_has_no_end() -> None:
    link = a_link(100.0)
    flow = link.open(30.0, 0.0)
    link.set_rate_ratio(0.0, 0.1)
    assert link.next_due_sec() == math.inf
    link.advance(5.0)
    assert flow.got_bytes == pytest.approx(10.0)
    link.set_rate_ratio(0.5, 5.0)
    assert link.next_due_sec() == pytest.approx(5.4)


def test_the_last_packet_tells_when_a_flow_was_heard() -> None:
    link = a_link(2000.0)
    flow = link.open(1e6, 0.0)
    link.advance(1.0)
    assert flow.heard_sec == pytest.approx(1448 / 2000)


def test_a_range_takes_a_round_trip_and_its_bytes() -> None:
    watcher = Watcher()
    watcher.ask(0, 500_000)
    watcher.run()
    watcher.expect_head(0.1, honoured=True)
    watcher.expect_end(0.6, "complete")
    assert watcher.got == [(0, 500_000, False)]


def test_a_cold_connection_takes_one_round_trip_more() -> None:
    watcher = Watcher()
    watcher.ask(0, 500_000, cold=True)
    watcher.run()
    watcher.expect_end(0.7, "complete")


def test_a_shortened_range_ends_there_and_its_connection_is_lost() -> None:
    watcher = Watcher()
    request = watcher.ask(0, 500_000)
    watcher.agenda.at(0.2, lambda: request.resize(300_000))
    watcher.run()
    watcher.expect_end(0.4, "complete")
    assert not request.reusable


def test_without_range_the_body_begins_at_the_first_byte() -> None:
    profile = LinkProfile(rate_mbps=8.0, rtt_ms=100.0, no_range=True)
    watcher = Watcher(profile=profile)
    request = watcher.ask(500_000, 600_000)
    watcher.run()
    watcher.expect_head(0.1, honoured=False)
    assert watcher.got == [(0, MB, False)]
    assert request.honoured is False


def test_a_body_known_to_be_whole_is_read_through_to_the_bytes_asked_for() -> None:
    profile = LinkProfile(rate_mbps=8.0, rtt_ms=100.0, no_range=True)
    watcher = Watcher(profile=profile)
    request = watcher.ask(500_000, 600_000, asks_range=False)
    watcher.run()
    assert watcher.got == [(500_000, 600_000, False)]
    watcher.expect_end(0.7, "complete")
    assert request.received_bytes == 600_000


def test_a_node_that_falls_silent_is_given_up_after_the_silence() -> None:
    watcher = Watcher(a_fault("silent", at_sec=0.3))
    watcher.ask()
    watcher.run()
    ((at_sec, outcome),) = watcher.ends
    assert outcome == "silent"
    assert at_sec == pytest.approx(0.8, abs=0.01)


def test_a_node_that_is_silent_for_a_moment_goes_on() -> None:
    watcher = Watcher(a_fault("silent", at_sec=0.3, for_sec=0.4))
    watcher.ask()
    watcher.run()
    watcher.expect_end(1.5, "complete")


def test_a_dead_node_refuses_after_a_round_trip() -> None:
    watcher = Watcher(a_fault("down"))
    watcher.ask()
    watcher.run()
    watcher.expect_end(0.1, "refused")


def test_a_node_that_dies_breaks_its_answers() -> None:
    watcher = Watcher(a_fault("down", at_sec=0.3))
    request = watcher.ask()
    watcher.run()
    watcher.expect_end(0.3, "broken")
    assert request.until == 200_000


def test_a_truncating_node_ends_after_half() -> None:
    watcher = Watcher(a_fault("truncate"))
    request = watcher.ask(0, 400_000)
    watcher.run()
    watcher.expect_end(0.3, "short")
    assert request.until == 200_000


def test_a_stalling_node_says_half_and_then_nothing() -> None:
    watcher = Watcher(a_fault("stall"))
    watcher.ask(0, 400_000)
    watcher.run()
    watcher.expect_end(0.8, "silent")


def test_wrong_bytes_are_known_for_wrong() -> None:
    watcher = Watcher(a_fault("corrupt", at_sec=0.2))
    watcher.ask(0, 300_000)
    watcher.run()
    assert watcher.got == [(0, 100_000, False), (100_000, 300_000, True)]


def test_a_missing_chunk_is_told_after_a_round_trip() -> None:
    watcher = Watcher(FaultEvent(node=0, kind="missing", chunk=0))
    request = watcher.ask()
    watcher.run()
    watcher.expect_end(0.1, "missing")
    assert request.reusable


def test_a_slow_node_keeps_a_fiftieth_of_its_rate() -> None:
    watcher = Watcher(a_fault("slow"))
    watcher.ask(0, 20_000)
    watcher.run()
    watcher.expect_end(1.1, "complete")


def test_an_answer_is_cut_after_its_time() -> None:
    profile = LinkProfile(rate_mbps=0.8, rtt_ms=100.0, no_range=True, cut_response_after_sec=2.0)
    watcher = Watcher(profile=profile)
    request = watcher.ask()
    watcher.run()
    watcher.expect_end(2.0, "short")
    assert request.until == 190_000


# ---------------------------------------------------------------- connections that begin slowly

FAR = LinkProfile(rate_mbps=20.0, rtt_ms=200.0, slow_start=True)
RTT_SEC = 0.2


def ended_sec(watcher: Watcher) -> float:
    """Let a request end; return when that was."""
    watcher.agenda.run(60.0, lambda: bool(watcher.ends))
    return watcher.ends[-1][0]


def test_a_fresh_connection_sends_a_window_a_round_trip() -> None:
    watcher = Watcher(profile=FAR)
    request = watcher.ask()
    received = []
    for number in range(1, 5):
        watcher.agenda.run(number * RTT_SEC + 0.9 * RTT_SEC, lambda: False)
        request.sync()
        received.append(request.received_bytes + HEAD_BYTES)
    sent = [INITIAL_WINDOW_BYTES * (2**number - 1) for number in range(1, 5)]
    assert received == pytest.approx(sent, rel=0.05)


def test_it_takes_as_long_as_on_a_real_node() -> None:
    # Five windows of 14, 29, 58, 116 and 232 KB leave the link idle, then it is full.
    left = 1 * MB - 31 * INITIAL_WINDOW_BYTES
    watcher = Watcher(profile=FAR)
    watcher.ask()
    bound_sec = 6 * RTT_SEC + left * 8e-6 / 20.0
    assert bound_sec < ended_sec(watcher) < bound_sec * 1.05


def test_a_connection_that_was_used_just_now_goes_on_with_its_window() -> None:
    nodes: dict[str, SimNode] = {}
    ends = []
    for pause_sec in (0.05, 1.0):
        watcher = Watcher(profile=FAR)
        nodes["http://node"] = watcher.node
        kept = Connections(nodes, warm=False)
        first = kept.take("http://node")
        watcher.ask(window=first.window)
        begun_sec = ended_sec(watcher) + pause_sec
        kept.keep("http://node", first)
        again = kept.take("http://node")
        assert (first.cold, again.cold) == (True, False)
        watcher.agenda.run(begun_sec, lambda: False)
        watcher.ends.clear()
        watcher.ask(window=again.window)
        ends.append(ended_sec(watcher) - begun_sec)
    whole_sec = MB * 8e-6 / 20.0
    assert ends[0] < RTT_SEC + whole_sec * 1.1
    assert ends[1] > 6 * RTT_SEC


def test_two_slow_beginnings_are_twice_as_fast_as_one() -> None:
    alone, two = Watcher(profile=FAR), Watcher(profile=FAR)
    requests = [alone.ask(0, 100_000), two.ask(0, 100_000), two.ask(100_000, 200_000)]
    for watcher in (alone, two):
        watcher.agenda.run(3.5 * RTT_SEC, lambda: False)
    for request in requests:
        request.sync()
    assert requests[1].received_bytes + requests[2].received_bytes == pytest.approx(
        2 * requests[0].received_bytes, rel=0.02
    )


def test_a_slow_beginning_waits_while_its_node_is_silent() -> None:
    dark = FaultEvent(node=0, kind="silent", at_sec=0.21, for_sec=0.3)
    watcher, free = Watcher(dark, profile=FAR), Watcher(profile=FAR)
    watcher.ask()
    free.ask()
    assert ended_sec(watcher) > ended_sec(free) + 0.1
    assert watcher.ends[-1][1] == "complete"


def test_a_connection_reset_by_its_node_is_set_up_anew() -> None:
    watcher = Watcher(FaultEvent(node=0, kind="down", at_sec=1.0, for_sec=1.0))
    pool = Connections({"http://node": watcher.node}, warm=False)
    pool.keep("http://node", pool.take("http://node"))
    watcher.agenda.run(3.0, lambda: False)
    assert pool.take("http://node").cold
