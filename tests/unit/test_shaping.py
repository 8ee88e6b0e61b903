"""The bucket of a node's link, in virtual time."""

from random import Random

import pytest
from hypothesis import given, settings, strategies as st

from cluster.link import Link
from cluster.profiles import LinkProfile
from cluster.shaping import (
    BURST_SEC,
    MAX_QUANTUM_BYTES,
    MIN_QUANTUM_BYTES,
    LinkBucket,
    RateSchedule,
    TraceStep,
)

RATE_MBPS = 8.0
RATE_BYTES_PER_SEC = 1_000_000.0


def a_bucket(rate_mbps: float = RATE_MBPS) -> LinkBucket:
    return LinkBucket(RateSchedule.constant(rate_mbps))


def a_step(duration_sec: float, mbps: float, latency_ms: float = 0.0) -> TraceStep:
    return TraceStep(duration_sec=duration_sec, bytes_per_sec=mbps * 1e6 / 8, latency_ms=latency_ms)


def send(
    bucket: LinkBucket, total_bytes: int, now_sec: float, late_sec: tuple[float, ...] = (0.0,)
) -> float:
    """Send as a node does, waking `late_sec` (in turns) after each grant is due; return the end."""
    bucket.open_transfer(now_sec)
    sent_bytes = turns = 0
    while sent_bytes < total_bytes:
        size_bytes = min(bucket.quantum_bytes(now_sec), total_bytes - sent_bytes)
        grant = bucket.reserve(size_bytes, now_sec)
        now_sec = max(now_sec, grant.ready_sec) + late_sec[turns % len(late_sec)]
        sent_bytes += size_bytes
        turns += 1
    bucket.close_transfer()
    return now_sec


@pytest.mark.parametrize("rate_mbps", [0.5, 2.0, 20.0, 200.0])
def test_a_transfer_takes_the_time_its_rate_means(rate_mbps: float) -> None:
    end_sec = send(a_bucket(rate_mbps), 1_000_000, now_sec=5.0)
    assert end_sec - 5.0 == pytest.approx(8.0 / rate_mbps, rel=0.001)


def test_a_sender_that_wakes_a_little_late_loses_no_rate() -> None:
    end_sec = send(a_bucket(), 1_000_000, now_sec=0.0, late_sec=(0.001, 0.015, 0.0, 0.003))
    assert end_sec == pytest.approx(1.0, abs=BURST_SEC)


def test_time_lost_by_a_very_late_sender_is_accounted_for() -> None:
    bucket = a_bucket()
    send(bucket, 100_000, now_sec=0.0, late_sec=(0.100,))
    log = bucket.log()
    assert log.granted_bytes == 100_000
    assert log.lost_bytes > 0
    assert log.granted_bytes + log.lost_bytes == pytest.approx(log.busy_sec * RATE_BYTES_PER_SEC)


def test_an_idle_link_saves_nothing_up() -> None:
    bucket = a_bucket()
    send(bucket, 10_000, now_sec=0.0)
    assert send(bucket, 100_000, now_sec=60.0) == pytest.approx(60.1)


def test_two_transfers_share_the_rate_evenly() -> None:
    bucket = a_bucket()
    due = {"left": 0.0, "right": 0.0}
    sent = {"left": 0, "right": 0}
    for _ in due:
        bucket.open_transfer(0.0)
    while min(due.values()) < 1.0:
        name = min(due, key=lambda key: due[key])
        size_bytes = bucket.quantum_bytes(due[name])
        due[name] = bucket.reserve(size_bytes, due[name]).ready_sec
        sent[name] += size_bytes
    assert abs(sent["left"] - sent["right"]) <= MAX_QUANTUM_BYTES
    assert sum(sent.values()) == pytest.approx(RATE_BYTES_PER_SEC, rel=0.03)


def test_nothing_passes_in_an_outage() -> None:
    schedule = RateSchedule([a_step(1.0, 8.0), a_step(3.0, 0.0), a_step(1.0, 8.0)])
    assert send(LinkBucket(schedule), 1_500_000, now_sec=0.0) == pytest.approx(4.5, rel=0.01)


def test_a_trace_plays_in_a_loop() -> None:
    schedule = RateSchedule([a_step(1.0, 8.0), a_step(1.0, 16.0)])
    assert schedule.bytes_until(21.0) == pytest.approx(31_000_000)
    assert schedule.step_at(21.5).bytes_per_sec == 2_000_000


def test_a_ratio_slows_the_grants_from_then_on() -> None:
    bucket = a_bucket()
    middle_sec = send(bucket, 500_000, now_sec=0.0)
    bucket.set_rate_ratio(0.02)
    assert send(bucket, 10_000, middle_sec) - middle_sec == pytest.approx(0.5, rel=0.01)


def test_a_grant_given_back_is_free_again() -> None:
    bucket = a_bucket()
    bucket.open_transfer(0.0)
    grant = bucket.reserve(10_000, 0.0)
    bucket.give_back(grant, 0.004)
    assert bucket.log().granted_bytes == 0
    assert bucket.reserve(10_000, 0.004).ready_sec == pytest.approx(0.014)


def test_a_grant_followed_by_another_stays_spent() -> None:
    bucket = a_bucket()
    bucket.open_transfer(0.0)
    bucket.open_transfer(0.0)
    first = bucket.reserve(10_000, 0.0)
    second = bucket.reserve(10_000, 0.0)
    bucket.give_back(first, 0.0)
    assert bucket.reserve(10_000, 0.0).start_sec == second.ready_sec


@pytest.mark.parametrize("rate_mbps", [0.01, 1.0, 10_000.0])
def test_a_quantum_stays_within_its_limits(rate_mbps: float) -> None:
    assert MIN_QUANTUM_BYTES <= a_bucket(rate_mbps).quantum_bytes(0.0) <= MAX_QUANTUM_BYTES


@pytest.mark.parametrize("steps", [[], [a_step(1.0, 0.0)], [a_step(0.0, 1.0)], [a_step(1.0, -1.0)]])
def test_a_trace_that_carries_nothing_is_refused(steps: list[TraceStep]) -> None:
    with pytest.raises(ValueError, match="a trace needs"):
        RateSchedule(steps)


@pytest.mark.parametrize(
    ("arrived_sec", "answer_at_sec"),
    [(10.0, 10.2), (10.04, 10.2), (10.1, 10.2), (12.0, 12.1)],
    ids=["at once", "during set-up", "after set-up", "kept connection"],
)
def test_setting_a_connection_up_takes_one_more_round_trip(
    arrived_sec: float, answer_at_sec: float
) -> None:
    link = Link(LinkProfile(rtt_ms=100.0), seed="node-1")
    at_sec = link.answer_at_sec(accepted_sec=10.0, arrived_sec=arrived_sec)
    assert at_sec == pytest.approx(answer_at_sec)


def test_jitter_adds_to_the_round_trip_and_stays_within_its_limit() -> None:
    link = Link(LinkProfile(rtt_ms=100.0, jitter_ms=50.0), seed="node-1")
    delays = [link.answer_at_sec(accepted_sec=0.0, arrived_sec=1.0) - 1.1 for _ in range(200)]
    assert -1e-9 <= min(delays) < 0.01
    assert 0.04 < max(delays) <= 0.05 + 1e-9


STEPS = st.lists(
    st.builds(a_step, st.floats(0.001, 20.0), st.sampled_from([0.0, 0.3, 2.0, 50.0])),
    min_size=1,
    max_size=8,
).filter(lambda steps: any(step.bytes_per_sec for step in steps))


@settings(derandomize=True, deadline=None, max_examples=100)
@given(STEPS, st.floats(0.0, 500.0), st.floats(1.0, 1e7))
def test_time_when_inverts_bytes_until(
    steps: list[TraceStep], start_sec: float, size_bytes: float
) -> None:
    schedule = RateSchedule(steps)
    wanted_bytes = schedule.bytes_until(start_sec) + size_bytes
    at_sec = schedule.time_when(wanted_bytes)
    assert at_sec >= start_sec
    assert schedule.bytes_until(at_sec) == pytest.approx(wanted_bytes, abs=1.0)


@settings(derandomize=True, deadline=None, max_examples=50)
@given(STEPS, st.integers(0, 1000))
def test_a_link_never_gives_more_than_it_has(steps: list[TraceStep], seed: int) -> None:
    rng = Random(seed)
    schedule = RateSchedule(steps)
    bucket = LinkBucket(schedule)
    now_sec = rng.uniform(0.0, 10.0)
    begun_sec = now_sec
    bucket.open_transfer(now_sec)
    for _ in range(50):
        grant = bucket.reserve(rng.randint(1, 50_000), now_sec)
        now_sec = max(now_sec, grant.ready_sec) + rng.choice([0.0, 0.001, 0.3])
    carried_bytes = schedule.bytes_until(now_sec) - schedule.bytes_until(begun_sec)
    assert bucket.log().granted_bytes <= carried_bytes + 1.0
