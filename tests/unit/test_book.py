"""Samples in, score and health out: numbers worked out by hand, time moved by hand."""

import math

import pytest

from common.clock import ManualClock
from common.messages import RangeOutcome
from monitor.book import (
    ASSUMED_BANDWIDTH_MBPS,
    ASSUMED_LATENCY_MS,
    GREY_SEC,
    NodeBook,
    answer_age_limit_sec,
)

A = "http://node-a:8081"
B = "http://node-b:8082"
CHUNK = 2_000_000
FAILURES: tuple[RangeOutcome, ...] = (
    "refused",
    "silent",
    "broken",
    "unavailable",
    "short",
    "malformed",
)
NO_EVIDENCE: tuple[RangeOutcome, ...] = ("missing", "cancelled", "lost")


class Bench:
    """A book with a clock that its calls take their time from."""

    def __init__(self, history_size: int = 10) -> None:
        self.clock = ManualClock(1000.0)
        self.book = NodeBook(history_size=history_size, timeout_sec=10.0)

    def ping(self, latency_ms: float | None = 20.0, *, ranges: bool | None = None) -> None:
        now_sec = self.clock.now_sec()
        self.book.record_ping(
            A, latency_ms, accepts_ranges=ranges, now_sec=now_sec, now_unix_sec=now_sec + 5e8
        )

    def transfer(
        self,
        outcome: RangeOutcome = "complete",
        *,
        size_bytes: int = CHUNK,
        goodput_mbps: float | None = None,
        range_honoured: bool | None = None,
    ) -> None:
        now_sec = self.clock.now_sec()
        self.book.record_transfer(
            A,
            outcome,
            size_bytes=size_bytes,
            goodput_mbps=goodput_mbps,
            range_honoured=range_honoured,
            now_sec=now_sec,
            now_unix_sec=now_sec + 5e8,
        )

    def healthy(self, timeout_sec: float | None = None) -> bool:
        return self.book.healthy(A, now_sec=self.clock.now_sec(), timeout_sec=timeout_sec)


# ---------------------------------------------------------------- score


def test_unknown_node_scores_nothing() -> None:
    assert Bench().book.score(A) == 0


def test_node_without_samples_scores_nothing() -> None:
    bench = Bench()
    bench.book.add_node(A)
    assert bench.book.score(A) == 0
    assert bench.book.node_score(A, now_sec=0).measurements_count == 0


def test_score_follows_from_ping_and_transfer() -> None:
    bench = Bench()
    bench.ping(20)
    bench.transfer(goodput_mbps=50)
    assert bench.book.score(A) == pytest.approx(50 / 3)


def test_score_follows_from_histories_filled_by_hand() -> None:
    book = Bench().book
    book.latencies_ms[A].extend([20, 120, 20])  # 20, 120, 94
    book.bandwidths_mbps[A].extend([10, 20])  # 10, 13
    book.success_ratios[A].extend([1, 0])  # 1, 0.8
    assert book.score(A) == pytest.approx(13 * 0.8 / (1 + 9.4))


def test_before_the_first_transfer_latency_ranks_the_nodes() -> None:
    book = Bench().book
    book.latencies_ms[A].append(10)
    book.latencies_ms[B].append(40)
    assert book.score(A) == pytest.approx(ASSUMED_BANDWIDTH_MBPS / 2)
    assert book.score(B) == pytest.approx(ASSUMED_BANDWIDTH_MBPS / 5)


def test_bandwidth_without_a_ping_counts_with_an_assumed_latency() -> None:
    book = Bench().book
    book.record_bandwidth(A, 22)
    assert ASSUMED_LATENCY_MS == 100
    assert book.score(A) == pytest.approx(2)


def test_node_that_only_failed_scores_nothing() -> None:
    bench = Bench()
    bench.ping(None)
    assert bench.book.score(A) == 0


def test_only_the_kept_history_counts() -> None:
    bench = Bench(history_size=3)
    bench.ping(500)
    for _ in range(3):
        bench.ping(20)
    assert bench.book.latencies_ms.samples(A) == (20, 20, 20)
    assert bench.book.latency_ms(A) == 20


def test_a_history_of_failures_ends_at_zero() -> None:
    bench = Bench(history_size=3)
    bench.ping(20)
    for _ in range(3):
        bench.ping(None)
    assert bench.book.score(A) == 0


def test_small_transfers_tell_nothing_about_bandwidth() -> None:
    bench = Bench()
    bench.transfer(size_bytes=16 * 1024 - 1, goodput_mbps=0.1)
    assert bench.book.bandwidth_mbps(A) is None
    bench.transfer(size_bytes=16 * 1024, goodput_mbps=4)
    assert bench.book.bandwidth_mbps(A) == 4


@pytest.mark.parametrize("rate_mbps", [math.nan, math.inf, -1.0])
def test_impossible_bandwidths_are_ignored(rate_mbps: float) -> None:
    bench = Bench()
    bench.transfer(goodput_mbps=rate_mbps)
    assert bench.book.bandwidths_mbps.samples(A) == ()


# ---------------------------------------------------------------- reliability


@pytest.mark.parametrize("outcome", FAILURES)
def test_failed_transfers_cost_reliability(outcome: RangeOutcome) -> None:
    bench = Bench()
    bench.ping()
    bench.transfer(outcome, size_bytes=0)
    assert bench.book.reliability_ratio(A) == pytest.approx(0.8)


@pytest.mark.parametrize("outcome", NO_EVIDENCE)
def test_outcomes_that_are_not_the_nodes_doing_leave_reliability_alone(
    outcome: RangeOutcome,
) -> None:
    bench = Bench()
    bench.ping()
    bench.transfer(outcome, size_bytes=0)
    assert bench.book.success_ratios.samples(A) == (1.0,)


def test_node_that_answers_pings_and_hangs_on_data_becomes_unreliable() -> None:
    bench = Bench()
    for _ in range(10):
        bench.ping()
    assert bench.healthy()
    # The scheduler tries it again after growing pauses; pings go on every three seconds.
    for pings in (0, 1, 2, 3, 5, 10):
        for _ in range(pings):
            bench.clock.advance(3)
            bench.ping()
        bench.transfer("silent", size_bytes=0)
    assert not bench.healthy()
    # Ten samples: nine pings worth a quarter and a failure: below a third of the full score.
    assert (bench.book.reliability_ratio(A) or 0) < 0.3


def test_data_that_flows_again_makes_pings_count_again() -> None:
    bench = Bench()
    for _ in range(2):
        bench.transfer("silent", size_bytes=0)
    bench.ping()
    bench.transfer("complete")
    bench.ping()
    assert bench.book.success_ratios.samples(A) == (0, 0, 0.25, 1, 1)


def test_old_failures_do_not_discount_pings_for_ever() -> None:
    bench = Bench()
    for _ in range(2):
        bench.transfer("broken", size_bytes=0)
    bench.clock.advance(GREY_SEC)
    bench.ping()
    assert bench.book.success_ratios.samples(A) == (0, 0, 1)


def test_a_single_failed_transfer_does_not_discount_pings() -> None:
    bench = Bench()
    bench.transfer("broken", size_bytes=0)
    bench.ping()
    assert bench.book.success_ratios.samples(A) == (0, 1)


# ---------------------------------------------------------------- health


def test_node_without_a_good_sample_is_not_healthy() -> None:
    bench = Bench()
    bench.book.add_node(A)
    assert not bench.healthy()
    bench.ping(None)
    assert not bench.healthy()
    bench.ping(20)
    assert bench.healthy()


def test_node_that_fell_silent_is_not_healthy() -> None:
    bench = Bench()
    bench.ping()
    bench.clock.advance(10)
    assert bench.healthy()
    bench.clock.advance(0.1)
    assert not bench.healthy()
    assert bench.healthy(timeout_sec=11)
    assert not Bench().healthy(timeout_sec=1e9)


@pytest.mark.parametrize(("failures", "healthy"), [(2, True), (3, False)])
def test_half_of_the_last_five_samples_must_be_good(failures: int, healthy: bool) -> None:
    bench = Bench()
    for _ in range(10):
        bench.ping()
    for _ in range(failures):
        bench.ping(None)
    assert bench.healthy() is healthy


def test_missing_chunk_is_an_answer() -> None:
    bench = Bench()
    bench.ping()
    bench.clock.advance(9)
    bench.transfer("missing", size_bytes=0)
    bench.clock.advance(9)
    assert bench.healthy()


def test_worker_that_died_says_nothing_about_the_node() -> None:
    bench = Bench()
    bench.ping()
    bench.clock.advance(9)
    bench.transfer("lost", size_bytes=0)
    bench.clock.advance(9)
    assert not bench.healthy()


@pytest.mark.parametrize(("interval_sec", "limit_sec"), [(3, 10), (0.5, 10), (5, 15)])
def test_answers_may_be_three_intervals_old_but_always_ten_seconds(
    interval_sec: float, limit_sec: float
) -> None:
    assert answer_age_limit_sec(interval_sec) == limit_sec


# ---------------------------------------------------------------- ranges, snapshot, nodes


def test_ranges_are_unknown_until_someone_tells() -> None:
    bench = Bench()
    bench.ping()
    bench.transfer("silent", size_bytes=0)
    assert bench.book.node_score(A, now_sec=1000).accepts_ranges is None
    bench.ping(ranges=True)
    assert bench.book.node_score(A, now_sec=1000).accepts_ranges is True


def test_transfers_outrank_what_a_ping_promises() -> None:
    bench = Bench()
    bench.transfer(range_honoured=False)
    bench.ping(ranges=True)
    assert bench.book.node_score(A, now_sec=1000).accepts_ranges is False


def test_snapshot_holds_what_was_measured() -> None:
    bench = Bench()
    for latency_ms in (30, 10, 20):
        bench.ping(latency_ms)
    bench.transfer(goodput_mbps=10)
    bench.transfer(goodput_mbps=20)
    found = bench.book.node_score(A + "/", now_sec=1000)
    assert found.node_url == A
    assert found.healthy
    assert (found.latency_ms, found.latency_min_ms, found.latency_max_ms) == (20, 10, 30)
    # 30, then 30 - 0.26 x 20 = 24.8, then 24.8 - 0.26 x 4.8
    assert found.latency_average_ms == pytest.approx(23.552)
    assert found.bandwidth_mbps == 20
    assert found.bandwidth_average_mbps == pytest.approx(13)
    assert found.success_rate_ratio == 1
    assert found.measurements_count == 5
    assert found.last_update_unix_sec == 5e8 + 1000
    assert found.score == pytest.approx(13 / 3.3552)


def test_spellings_of_a_url_are_one_node() -> None:
    bench = Bench()
    bench.ping(20)
    bench.book.record_bandwidth("HTTP://Node-A:8081/", 50)
    assert bench.book.node_urls() == (A,)
    assert bench.book.score("http://node-a:8081/") == pytest.approx(50 / 3)
    assert "http://node-a:8081/" in bench.book.latencies_ms


def test_removed_node_is_forgotten() -> None:
    bench = Bench()
    bench.ping()
    bench.book.remove_node(A + "/")
    assert not bench.book.knows(A)
    assert bench.book.node_urls() == ()
    assert bench.book.score(A) == 0


def test_history_of_an_unknown_node_is_empty_and_bounded() -> None:
    book = Bench(history_size=2).book
    assert list(book.latencies_ms[B]) == []
    book.latencies_ms[B] = [1, 2, 3]
    book.latencies_ms[B].append(4)
    assert list(book.latencies_ms[B]) == [3, 4]
    assert book.node_urls() == (B,)
