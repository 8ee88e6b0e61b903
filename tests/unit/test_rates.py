"""How fast a session's bytes come."""

from __future__ import annotations

import pytest

from client.rates import RateMeter
from common.messages import SchedulerStatus
from tests.status_builders import NODE_A, NODE_B, a_range, scheduler_status, traffic


def a_snapshot(at_sec: float, received_bytes: int, in_flight_bytes: int = 0) -> SchedulerStatus:
    return scheduler_status(
        published_unix_sec=at_sec,
        in_flight=(
            a_range(received_until_bytes=in_flight_bytes),
            a_range(session_id="other", node_url=NODE_B, received_until_bytes=900_000),
        ),
        sessions=(
            traffic(received_bytes=received_bytes),
            traffic(session_id="other", received_bytes=10**9),
        ),
    )


def a_meter(*snapshots: SchedulerStatus) -> RateMeter:
    meter = RateMeter()
    for snapshot in snapshots:
        meter.note(snapshot, "s1")
    return meter


def test_nothing_is_known_from_one_snapshot() -> None:
    meter = a_meter(a_snapshot(1000, 5_000_000))
    assert meter.current_mbps(1000) is None
    assert meter.rate_mbps == 0
    assert meter.history(1000) == ()


def test_the_rate_counts_ended_and_running_ranges_of_the_session_alone() -> None:
    meter = a_meter(a_snapshot(1000, 1_000_000), a_snapshot(1002, 3_000_000, 500_000))
    assert meter.current_mbps(1002) == pytest.approx(2.5 * 8 / 2)
    assert meter.node_urls == (NODE_A,)


def test_snapshots_within_a_second_are_taken_together() -> None:
    meter = a_meter(*(a_snapshot(1000 + n / 4, n * 250_000) for n in range(9)))
    assert [age_sec for age_sec, _ in meter.history(1002)] == [1, 0]
    assert [mbps for _, mbps in meter.history(1002)] == [pytest.approx(8)] * 2


def test_a_total_that_falls_is_no_negative_rate() -> None:
    meter = a_meter(a_snapshot(1000, 3_000_000), a_snapshot(1001, 1_000_000))
    assert meter.current_mbps(1001) == 0


def test_a_rate_does_not_stay_true_without_snapshots() -> None:
    meter = a_meter(a_snapshot(1000, 0), a_snapshot(1001, 1_000_000))
    assert meter.current_mbps(1003) == pytest.approx(8)
    assert meter.current_mbps(1010) is None


def test_the_history_is_a_minute_long() -> None:
    meter = a_meter(*(a_snapshot(1000 + n, n * 1_000_000) for n in range(200)))
    history = meter.history(1199)
    assert 59 <= len(history) <= 61
    assert max(age_sec for age_sec, _ in history) <= 60
    assert meter.history(1500) == ()
