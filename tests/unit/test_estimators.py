"""The running estimates, with numbers worked out by hand."""

import pytest
from hypothesis import given, settings, strategies as st

from common.estimators import Goodput, PeakLatency, Reliability, RoundTrip, node_score


def test_score_is_the_documented_formula() -> None:
    # 50 x 1 / (1 + 20 x 0.1) = 50 / 3
    score = node_score(bandwidth_mbps=50, reliability_ratio=1, latency_ms=20)
    assert score == pytest.approx(50 / 3)


def test_half_the_reliability_is_half_the_score() -> None:
    assert node_score(bandwidth_mbps=30, reliability_ratio=0.5, latency_ms=10) == pytest.approx(7.5)


def test_estimates_know_nothing_before_their_first_sample() -> None:
    assert PeakLatency().value_ms is None
    assert Goodput().value_mbps is None
    assert Reliability().value_ratio is None


def test_latency_jumps_up_and_comes_back_slowly() -> None:
    latency = PeakLatency()
    latency.add(20)
    latency.add(120)
    assert latency.value_ms == 120
    latency.add(20)  # 120 - 0.26 x 100
    assert latency.value_ms == pytest.approx(94)


def test_bandwidth_falls_fast_and_rises_slowly() -> None:
    goodput = Goodput()
    goodput.add(10)
    goodput.add(20)  # 10 + 0.3 x 10
    assert goodput.value_mbps == pytest.approx(13)
    goodput.add(3)  # 13 - 0.6 x 10
    assert goodput.value_mbps == pytest.approx(7)


def test_one_failure_costs_a_fifth_of_the_reliability() -> None:
    reliability = Reliability()
    reliability.add(1)
    reliability.add(0)
    assert reliability.value_ratio == pytest.approx(0.8)
    reliability.add(1)
    assert reliability.value_ratio == pytest.approx(0.84)


def test_silence_is_judged_by_the_round_trip_and_its_variation() -> None:
    trip = RoundTrip()
    assert trip.silence_sec(0.5) == 0.5
    trip.add(0.2)  # srtt 0.2, rttvar 0.1: 0.6 s
    assert trip.silence_sec(0.5) == pytest.approx(0.6)
    trip.add(0.2)  # rttvar 0.075
    assert trip.silence_sec(0.1) == pytest.approx(0.5)


@settings(derandomize=True, deadline=None, max_examples=50)
@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=20))
def test_estimates_stay_within_their_samples(samples: list[float]) -> None:
    latency, goodput, reliability = PeakLatency(), Goodput(), Reliability()
    for sample in samples:
        latency.add(sample)
        goodput.add(sample)
        reliability.add(sample)
    slack = 1e-6 * max(samples)
    for value in (latency.value_ms, goodput.value_mbps, reliability.value_ratio):
        assert value is not None
        assert min(samples) - slack <= value <= max(samples) + slack
