"""How a node's bytes begin to flow, and what is learned from it."""

from __future__ import annotations

import pytest

from scheduler.ramp import PAUSE_SEC, RAMP_RATIO, RAMP_ROUND_TRIPS, Ramp
from tests.builders import A, a_node

RTT_SEC = 0.2
OLD_SEC = RAMP_ROUND_TRIPS * RTT_SEC


def ramp_of(*samples: tuple[float, float]) -> Ramp:
    """Return a flow that began at 0 and was sampled at these times with these rates."""
    ramp = Ramp()
    ramp.heard(0.0, 0.0, RTT_SEC)
    for at_sec, mbps in samples:
        ramp.sampled(mbps, at_sec, RTT_SEC)
    return ramp


def test_a_steady_flow_does_not_begin_slowly() -> None:
    assert not ramp_of((0.1, 5.0), (0.2, 5.4), (0.3, 4.8)).begins_slowly


@pytest.mark.parametrize(("at_sec", "slow"), [(OLD_SEC - 0.1, True), (OLD_SEC + 0.1, False)])
def test_a_rate_that_rises_in_the_first_round_trips_tells(at_sec: float, slow: bool) -> None:
    assert ramp_of((0.1, 5.0), (at_sec, 5.0 * RAMP_RATIO + 0.1)).begins_slowly is slow


@pytest.mark.parametrize(("begun_sec", "slow"), [(0.1, True), (OLD_SEC, False)])
def test_a_pause_in_the_first_round_trips_tells(begun_sec: float, slow: bool) -> None:
    ramp = ramp_of()
    ramp.heard(0.0, begun_sec, RTT_SEC)
    ramp.heard(0.0, begun_sec + PAUSE_SEC + 0.01, RTT_SEC)
    assert ramp.begins_slowly is slow


def test_the_time_between_two_flows_is_no_pause() -> None:
    ramp = ramp_of((0.1, 5.0))
    ramp.ended()
    ramp.heard(1.0, 1.05, RTT_SEC)
    ramp.sampled(9.0, 1.1, RTT_SEC)
    assert not ramp.begins_slowly


def test_of_bursts_the_faster_sample_counts_at_first_and_later_the_mean() -> None:
    ramp = ramp_of((0.1, 8.0), (0.2, 2.0))
    assert ramp.pace_mbps(0.2, RTT_SEC) == 8.0
    assert ramp.pace_mbps(OLD_SEC + 0.1, RTT_SEC) == 5.0


def test_a_slow_beginning_says_nothing_against_a_link_where_beginnings_are_slow() -> None:
    node = a_node(A, mbps=None, latency_ms=RTT_SEC * 1000)
    node.ramp.heard(0.0, 0.0, RTT_SEC)
    for at_sec, mbps in ((0.1, 5.0), (0.3, 10.0), (0.5, 20.0), (0.7, 2.0)):
        node.note_progress(mbps, at_sec)
    assert node.rate_mbps == 20.0
    node.forget_flow()
    node.ramp.heard(10.0, 10.0, RTT_SEC)
    node.note_progress(1.0, 10.1)
    assert node.rate_mbps == 20.0
    node.note_progress(10.0, 10.1 + OLD_SEC)
    assert node.rate_mbps < 20.0, "by now it would be fast"
