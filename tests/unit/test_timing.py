"""How long ranges take: position, pace, what is left, and the rates that come of it."""

from __future__ import annotations

import pytest

from scheduler.selection import MIN_RATE_SAMPLE_BYTES, Node
from scheduler.timing import (
    COMMAND_SEC,
    FIRST_WINDOW_SEC,
    LONG_RATE_WINDOW_SEC,
    OVERDUE_RATIO,
    OVERDUE_SEC,
    QUIET_SEC,
    REPORT_SEC,
    is_overdue,
    is_quiet,
    measure,
    pace_mbps,
    position,
    remaining_sec,
    sample,
)
from scheduler.wanted import Job
from tests.builders import MB, A, a_job, a_node, a_wanted

NOW_SEC = 100.0


def bring(job: Job, node: Node, size_bytes: int, now_sec: float) -> None:
    """Note bytes of a range as the planner does."""
    job.received_until += size_bytes
    job.progress_sec = now_sec
    measure(job, node, size_bytes, now_sec)
    sample(node, now_sec)


# ---------------------------------------------------------------- where it is and what is left


def test_remaining_time_follows_the_ranges_own_pace() -> None:
    job = a_job(a_wanted(), A, rate_mbps=8.0, received_until=MB, progress_sec=NOW_SEC)
    assert remaining_sec(job, a_node(A, mbps=50), NOW_SEC) == pytest.approx(1.0)


def test_without_a_byte_the_way_there_counts_and_the_nodes_rate() -> None:
    node = a_node(A, mbps=8, latency_ms=100)
    job = a_job(a_wanted(), A, begun_sec=NOW_SEC)
    assert remaining_sec(job, node, NOW_SEC) == pytest.approx(0.1 + COMMAND_SEC + 2.0)
    assert remaining_sec(job, node, NOW_SEC + 0.1) == pytest.approx(COMMAND_SEC + 2.0)
    assert remaining_sec(job, node, NOW_SEC + 0.12) == pytest.approx(2.0)


def test_the_later_a_first_byte_is_the_longer_it_may_yet_take() -> None:
    node = a_node(A, mbps=8, latency_ms=100)
    job = a_job(a_wanted(), A, begun_sec=NOW_SEC)
    late = [remaining_sec(job, node, NOW_SEC + 0.2 + COMMAND_SEC + late) for late in (0.3, 0.6)]
    assert late == pytest.approx([2.3, 2.6])


def test_between_reports_the_bytes_that_must_have_come_count() -> None:
    job = a_job(a_wanted(), A, rate_mbps=8.0, received_until=MB, progress_sec=NOW_SEC)
    job.headed_sec = NOW_SEC
    assert position(job, a_node(A), NOW_SEC + 0.1) == pytest.approx(1.1 * MB)
    assert position(job, a_node(A), NOW_SEC + QUIET_SEC - 0.01) == pytest.approx(
        MB + REPORT_SEC * 1e6
    )


def test_of_a_range_that_is_quiet_only_what_was_reported_counts() -> None:
    job = a_job(
        a_wanted(), A, rate_mbps=8.0, received_until=MB, headed_sec=NOW_SEC, progress_sec=NOW_SEC
    )
    assert position(job, a_node(A), NOW_SEC + QUIET_SEC + 0.01) == MB


def test_a_position_is_never_beyond_the_end() -> None:
    job = a_job(a_wanted(), A, rate_mbps=800.0, received_until=MB, progress_sec=NOW_SEC)
    assert position(job, a_node(A), NOW_SEC + 0.1) == 2 * MB


def test_the_pace_falls_the_longer_nothing_comes() -> None:
    node = a_node(A)
    job = a_job(a_wanted(), A, rate_mbps=8.0, received_until=MB, progress_sec=NOW_SEC)
    paces = [pace_mbps(job, node, NOW_SEC + REPORT_SEC * quiet) for quiet in (0.5, 0.9, 2, 4)]
    assert paces[:2] == [8.0, 8.0]
    assert paces[1] > 2 * paces[2] > 4 * paces[3]


def test_before_the_first_byte_there_is_no_pace_to_fall() -> None:
    job = a_job(a_wanted(), A, begun_sec=NOW_SEC - 9, progress_sec=NOW_SEC - 9)
    assert pace_mbps(job, a_node(A, mbps=20), NOW_SEC) == 20.0


def test_a_whole_body_counts_what_comes_before_its_first_useful_byte() -> None:
    node = a_node(A, mbps=8, latency_ms=0)
    job = a_job(a_wanted(), A, start=MB, whole_body=True, headed_sec=NOW_SEC, progress_sec=NOW_SEC)
    assert remaining_sec(job, node, NOW_SEC) == pytest.approx(2.0)
    job.received_bytes = MB // 2
    assert remaining_sec(job, node, NOW_SEC) == pytest.approx(1.5)


def test_a_range_is_quiet_when_it_stops_after_it_began() -> None:
    job = a_job(a_wanted(), A, progress_sec=NOW_SEC)
    assert not is_quiet(job, NOW_SEC + 9), "its first byte may be on the way"
    job.headed_sec = NOW_SEC
    assert not is_quiet(job, NOW_SEC + QUIET_SEC - 0.01)
    assert is_quiet(job, NOW_SEC + QUIET_SEC + 0.01)


def test_a_first_byte_is_overdue_after_one_and_a_half_times_its_way() -> None:
    node = a_node(A, latency_ms=100)
    job = a_job(a_wanted(), A, begun_sec=NOW_SEC)
    due_sec = OVERDUE_RATIO * (0.1 + COMMAND_SEC) + OVERDUE_SEC
    assert not is_overdue(job, node, NOW_SEC + due_sec - 0.001)
    assert is_overdue(job, node, NOW_SEC + due_sec + 0.001)


# ---------------------------------------------------------------- rates


def test_a_pace_is_measured_from_the_head_of_the_answer() -> None:
    node = a_node(A, mbps=None)
    job = a_job(a_wanted(), A, begun_sec=NOW_SEC - 1, headed_sec=NOW_SEC)
    bring(job, node, 100_000, NOW_SEC + 0.1)
    assert job.rate_mbps == pytest.approx(8.0)
    assert node.rate_mbps == pytest.approx(8.0)


def test_a_moment_is_too_short_for_the_nodes_rate() -> None:
    node = a_node(A, mbps=None)
    job = a_job(a_wanted(), A, headed_sec=NOW_SEC)
    bring(job, node, 100_000, NOW_SEC + FIRST_WINDOW_SEC - 0.01)
    assert not node.measured
    assert not job.paced


def test_a_first_figure_of_a_node_lasts_only_until_the_next() -> None:
    node = a_node(A, mbps=None)
    job = a_job(a_wanted(), A, headed_sec=NOW_SEC)
    bring(job, node, 100_000, NOW_SEC + FIRST_WINDOW_SEC)
    assert node.rate_mbps == pytest.approx(100_000 * 8 / 1e6 / FIRST_WINDOW_SEC)
    assert not job.paced
    bring(job, node, 100_000, NOW_SEC + 0.2)
    assert node.rate_mbps == pytest.approx(8.0), "all bytes over all the time, not a mean of two"


def test_the_next_bytes_do_not_count_the_first_again() -> None:
    node = a_node(A, mbps=None)
    job = a_job(a_wanted(), A, headed_sec=NOW_SEC)
    for step in range(1, 6):
        bring(job, node, 100_000, NOW_SEC + step * 0.1)
        assert node.rate_mbps == pytest.approx(8.0)
        assert job.rate_mbps == pytest.approx(8.0)


def test_few_bytes_say_nothing_until_they_are_a_trickle() -> None:
    node = a_node(A, mbps=None)
    job = a_job(a_wanted(), A, headed_sec=NOW_SEC)
    bring(job, node, MIN_RATE_SAMPLE_BYTES // 4, NOW_SEC + 0.1)
    assert not node.measured
    bring(job, node, MIN_RATE_SAMPLE_BYTES // 4, NOW_SEC + LONG_RATE_WINDOW_SEC)
    expected_mbps = MIN_RATE_SAMPLE_BYTES / 2 * 8e-6 / LONG_RATE_WINDOW_SEC
    assert node.rate_mbps == pytest.approx(expected_mbps)


def test_two_ranges_of_a_node_add_up() -> None:
    node = a_node(A, mbps=None)
    chunk = a_wanted()
    first = a_job(chunk, A, end=MB, headed_sec=NOW_SEC)
    second = a_job(chunk, A, start=MB, received_until=MB, headed_sec=NOW_SEC)
    for step in range(1, 101):
        for job in (first, second):
            bring(job, node, 1000, NOW_SEC + step * 0.002)
    assert node.rate_mbps == pytest.approx(8.0, rel=0.03)
    assert first.rate_mbps == pytest.approx(4.0, rel=0.03)


def test_a_node_is_slow_at_once_and_fast_in_the_end() -> None:
    node = a_node(A, mbps=None)
    job = a_job(a_wanted(), A, headed_sec=NOW_SEC)
    rates = []
    for step, size_bytes in enumerate([100_000, 20_000, 100_000, 100_000], 1):
        bring(job, node, size_bytes, NOW_SEC + step * 0.1)
        rates.append(node.rate_mbps)
    assert rates[1] < 0.6 * rates[0]
    assert rates[1] < rates[2] < rates[3] < rates[0]
