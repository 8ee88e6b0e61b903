"""What the comparison clients decide: the viewer's clock, the original's scores."""

from __future__ import annotations

import pytest

from bench.clients.original import HISTORY, Scores
from bench.clients.playout import Playout

NEAR, FAR = "http://near", "http://far"


def playing(chunks: int = 6, *, arrived: int = 1) -> Playout:
    """Return ten-second chunks of which the first ones came at second 2."""
    playout = Playout(chunks, 10.0)
    for index in range(arrived):
        playout.arrive(index, 2.0)
    return playout


def test_playback_starts_with_the_first_chunk_and_not_with_a_later_one() -> None:
    playout = Playout(3, 10.0)
    started_sec = []
    for index, now_sec in ((1, 1.0), (0, 4.0)):
        playout.arrive(index, now_sec)
        started_sec.append(playout.started_sec)
    assert started_sec == [None, 4.0]
    assert playout.playhead_sec(9.0) == 5.0


def test_a_stall_begins_where_the_chunks_end_and_ends_with_the_next() -> None:
    playout = playing()
    playout.arrive(1, 15.5)
    assert playout.stalls_sec == [3.5]
    assert playout.playhead_sec(16.0) == pytest.approx(10.5)


def test_a_stall_that_lasts_is_counted() -> None:
    playout = playing()
    assert (playout.stalls(20.0), playout.stalled_sec(20.0)) == (1, 8.0)


def test_a_chunk_behind_a_hole_ends_no_stall() -> None:
    playout = playing()
    playout.arrive(2, 15.0)
    assert playout.stalls_sec == []
    playout.arrive(1, 16.0)
    assert playout.stalls_sec == [4.0]


def test_the_chunk_that_comes_just_in_time_is_no_stall() -> None:
    playout = playing()
    playout.arrive(1, 12.0)
    assert playout.stalls(12.0) == 0


def test_the_end_of_the_film_is_no_stall() -> None:
    playout = playing(1)
    assert (playout.stalls(100.0), playout.stalled_sec(100.0)) == (0, 0.0)


def test_thirty_seconds_may_be_fetched_before_playback() -> None:
    playout = Playout(6, 10.0)
    assert [playout.wait_sec(index, 0.0) for index in range(4)] == [0.0, 0.0, 0.0, None]


def test_the_window_moves_with_the_playhead() -> None:
    playout = playing(arrived=3)
    assert playout.wait_sec(4, 5.0) == pytest.approx(7.0)
    assert playout.wait_sec(4, 12.1) == 0.0


def test_a_stalled_picture_opens_nothing_by_itself() -> None:
    playout = playing()
    assert playout.wait_sec(5, 20.0) is None


def test_what_is_held_counts_behind_a_hole_too() -> None:
    playout = playing()
    playout.arrive(3, 6.0)
    assert playout.held_sec(6.0) == pytest.approx(6.0 + 10.0)


def test_the_original_prefers_a_near_slow_node() -> None:
    scores = Scores((NEAR, FAR))
    for url, latency_ms, bandwidth_mbps in ((NEAR, 1.0, 10.0), (FAR, 20.0, 25.0)):
        scores.note_ping(url, latency_ms)
        scores.begin(url)
        scores.end(url, bandwidth_mbps)
    assert scores.ranked([FAR, NEAR]) == [NEAR, FAR]


def test_the_original_learns_nothing_from_a_failed_download() -> None:
    scores = Scores((NEAR, FAR))
    scores.note_ping(NEAR, 1.0)
    scores.note_ping(FAR, 20.0)
    for _ in range(HISTORY):
        scores.begin(NEAR)
        scores.end(NEAR, None)
    assert scores.ranked([FAR, NEAR])[0] == NEAR


def test_the_original_shuns_a_node_that_answers_no_ping() -> None:
    scores = Scores((NEAR, FAR))
    scores.note_ping(FAR, 500.0)
    scores.note_ping(NEAR, None)
    assert scores.ranked([NEAR, FAR]) == [FAR, NEAR]


def test_the_original_takes_another_node_only_when_many_downloads_run() -> None:
    scores = Scores((NEAR, FAR))
    scores.note_ping(NEAR, 1.0)
    scores.note_ping(FAR, 10.0)
    chosen = []
    for _ in range(5):
        best = scores.ranked([FAR, NEAR])[0]
        scores.begin(best)
        chosen.append(best)
    assert chosen == [NEAR] * 5
