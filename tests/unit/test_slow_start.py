"""TCP slow start of one connection, in virtual time."""

import pytest
from hypothesis import given, settings, strategies as st

from cluster.shaping import LinkBucket, RateSchedule
from cluster.slow_start import INITIAL_WINDOW_BYTES, SEGMENT_BYTES, CongestionWindow

RTT_SEC = 0.2


def send_rounds(window: CongestionWindow, rounds: int, now_sec: float) -> list[int]:
    """Send all that may leave, once a round trip; return how much that was each time."""
    sent = []
    for _ in range(rounds):
        sent.append(window.room_bytes(now_sec))
        window.note_sent(sent[-1], now_sec, RTT_SEC)
        now_sec += RTT_SEC
    return sent


def send(
    window: CongestionWindow, bucket: LinkBucket, total_bytes: int, now_sec: float
) -> tuple[float, list[tuple[float, int]]]:
    """Send as a node does; return the end and what left when."""
    left: list[tuple[float, int]] = []
    bucket.open_transfer(now_sec)
    sent_bytes = 0
    while sent_bytes < total_bytes:
        if not (room_bytes := window.room_bytes(now_sec)):
            bucket.close_transfer()
            now_sec = window.opens_at_sec(now_sec)
            bucket.open_transfer(now_sec)
            continue
        size_bytes = min(bucket.quantum_bytes(now_sec), total_bytes - sent_bytes, room_bytes)
        now_sec = max(now_sec, bucket.reserve(size_bytes, now_sec).ready_sec)
        window.note_sent(size_bytes, now_sec, RTT_SEC)
        left.append((now_sec, size_bytes))
        sent_bytes += size_bytes
    bucket.close_transfer()
    return now_sec, left


def test_the_window_doubles_each_round_trip_that_uses_it() -> None:
    sent = send_rounds(CongestionWindow(), 4, now_sec=7.0)
    assert sent == [INITIAL_WINDOW_BYTES * 2**n for n in range(4)]


def test_a_window_is_closed_until_the_reply_comes_back() -> None:
    window = CongestionWindow()
    window.note_sent(INITIAL_WINDOW_BYTES, 1.0, RTT_SEC)
    assert window.room_bytes(1.19) == 0
    assert window.opens_at_sec(1.19) == pytest.approx(1.2)
    assert window.room_bytes(1.2) == 2 * INITIAL_WINDOW_BYTES


def test_small_answers_do_not_widen_the_window() -> None:
    window = CongestionWindow()
    for number in range(50):
        window.note_sent(SEGMENT_BYTES, number * 0.1, rtt_sec=0.05)
    assert window.window_bytes == INITIAL_WINDOW_BYTES


@pytest.mark.parametrize(("pause_sec", "kept"), [(0.19, True), (0.21, False)])
def test_a_pause_takes_the_window_back(pause_sec: float, kept: bool) -> None:
    window = CongestionWindow()
    send_rounds(window, 4, now_sec=0.0)
    room_bytes = window.room_bytes(4 * RTT_SEC + pause_sec)
    assert room_bytes == INITIAL_WINDOW_BYTES * (16 if kept else 1)


def test_a_round_trip_longer_than_the_pause_takes_no_window_back() -> None:
    window = CongestionWindow()
    window.note_sent(INITIAL_WINDOW_BYTES, 0.0, rtt_sec=0.6)
    assert window.room_bytes(0.599) == 0
    assert window.room_bytes(0.7) == 2 * INITIAL_WINDOW_BYTES


def test_a_slow_link_is_not_slowed_down_further() -> None:
    # 0.5 Mbit/s at 200 ms: 12.5 KB on the way, less than the initial window.
    bucket = LinkBucket(RateSchedule.constant(0.5))
    end_sec, _ = send(CongestionWindow(), bucket, 250_000, now_sec=3.0)
    assert end_sec - 3.0 == pytest.approx(4.0, rel=0.01)


def test_a_fast_link_needs_round_trips_to_get_going() -> None:
    # 20 Mbit/s at 200 ms holds 500 KB: windows of 14, 29, 58, 116 and 232 KB leave it idle.
    bucket = LinkBucket(RateSchedule.constant(20.0))
    end_sec, left = send(CongestionWindow(), bucket, 2_000_000, now_sec=0.0)
    begun_bytes = sum(size for at, size in left if at < RTT_SEC)
    assert begun_bytes == INITIAL_WINDOW_BYTES
    # 449 KB take five round trips, the rest goes at the link's rate.
    bound_sec = 5 * RTT_SEC + (2_000_000 - 31 * INITIAL_WINDOW_BYTES) / 2_500_000
    assert bound_sec < end_sec < bound_sec * 1.05


@given(
    rate_mbps=st.floats(0.1, 200.0),
    total_bytes=st.integers(1, 3_000_000),
    pauses_sec=st.lists(st.floats(0.0, 1.0), max_size=4),
)
@settings(derandomize=True, max_examples=60)
def test_never_more_on_the_way_than_the_window_and_everything_arrives(
    rate_mbps: float, total_bytes: int, pauses_sec: list[float]
) -> None:
    window = CongestionWindow()
    bucket = LinkBucket(RateSchedule.constant(rate_mbps))
    now_sec = 0.0
    for pause_sec in (0.0, *pauses_sec):
        begun_sec = now_sec + pause_sec
        now_sec, left = send(window, bucket, total_bytes, begun_sec)
        assert sum(size for _, size in left) == total_bytes
        assert sum(size for at, size in left if at < begun_sec + RTT_SEC) <= 2 * window.window_bytes
        assert now_sec - begun_sec >= (total_bytes * 8 / 1e6 / rate_mbps) - 0.021
