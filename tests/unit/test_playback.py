"""The playhead's accounts, with exact numbers."""

from __future__ import annotations

from typing import Any

import pytest

from buffer.playback import Playback
from common.messages import ViewerState


class Film:
    """A playback whose output was given media up to `limit_sec`, of which more is verified."""

    def __init__(self, *, paced: bool = True) -> None:
        self.playback = Playback(command_sec=100, paced=paced)
        self.limit_sec = 10.0
        self.buffered_sec = 10.0
        self.ends = False

    def to(self, now_sec: float) -> bool:
        return self.playback.advance(
            now_sec,
            limit_sec=self.limit_sec,
            buffered_until_sec=self.buffered_sec,
            ends_at_limit=self.ends,
        )

    def more(self, until_sec: float) -> None:
        self.limit_sec = self.buffered_sec = until_sec


def started(*, paced: bool = True) -> Film:
    """Return a film of which 10 s are at the output since second 102."""
    film = Film(paced=paced)
    film.playback.start(102)
    return film


def test_startup_runs_from_the_command_to_the_first_bytes_taken() -> None:
    film = Film()
    film.to(101.5)
    assert (film.playback.state, film.playback.position_sec) == ("startup", 0)
    film.playback.start(102.25)
    assert film.playback.startup_latency_sec == pytest.approx(2.25)
    assert film.playback.state == "playing"


def test_the_playhead_moves_with_the_clock() -> None:
    film = started()
    film.to(105)
    assert film.playback.position_sec == pytest.approx(3)
    assert film.playback.played_sec == pytest.approx(3)


def test_a_stall_is_dated_back_to_when_the_playhead_stopped() -> None:
    film = started()
    film.to(112.4)  # the media ended at 112.0
    playback = film.playback
    assert (playback.state, playback.position_sec, playback.rebuffering_events) == (
        "rebuffering",
        10,
        1,
    )
    assert playback.stalled_sec(112.4) == pytest.approx(0.4)


def test_one_stall_is_one_event_however_long_it_lasts() -> None:
    film = started()
    for now_sec in (112.5, 113, 114, 115):
        film.to(now_sec)
    film.more(20)
    film.to(115.5)
    playback = film.playback
    assert (playback.state, playback.rebuffering_events) == ("playing", 1)
    assert playback.stalled_sec(200) == pytest.approx(3.5)
    assert playback.longest_stall_sec == pytest.approx(3.5)
    film.to(117.5)
    assert playback.position_sec == pytest.approx(12)
    assert playback.played_sec == pytest.approx(12)


def test_the_longest_of_two_stalls_is_kept() -> None:
    film = started()
    film.to(113)
    film.more(20)
    film.to(115)
    film.to(127)
    film.more(30)
    film.to(127.5)
    assert film.playback.rebuffering_events == 2
    assert film.playback.stalled_sec(200) == pytest.approx(3 + 2.5)
    assert film.playback.longest_stall_sec == pytest.approx(3)


def test_an_output_that_is_slow_is_no_network_stall() -> None:
    film = started()
    film.buffered_sec = 30
    film.to(115)
    assert (film.playback.state, film.playback.position_sec) == ("playing", 10)
    assert film.playback.rebuffering_events == 0


def test_media_used_up_exactly_now_is_no_stall_yet() -> None:
    film = started()
    film.to(112)
    assert film.playback.rebuffering_events == 0


def test_the_end_of_the_film_is_no_stall() -> None:
    film = started()
    film.ends = True
    assert film.to(113)
    assert film.playback.rebuffering_events == 0
    film.playback.end(113, failed=False)
    assert (film.playback.state, film.playback.played_sec) == ("ended", 10)


def test_a_pause_does_not_count_as_anything() -> None:
    film = started()
    film.to(104)
    assert film.playback.pause(104, True)
    film.to(150)
    assert film.playback.pause(150, False)
    film.to(151)
    assert film.playback.position_sec == pytest.approx(3)
    assert film.playback.stalled_sec(151) == 0


def test_a_pause_ends_a_stall() -> None:
    film = started()
    film.to(113)
    film.playback.pause(114, True)
    assert film.playback.stalled_sec(200) == pytest.approx(2)


def test_pausing_twice_or_before_the_start_changes_nothing() -> None:
    film = Film()
    assert not film.playback.pause(101, True)
    film.playback.start(102)
    assert film.playback.pause(103, True)
    assert not film.playback.pause(104, True)


def test_a_seek_does_not_count_as_a_stall() -> None:
    film = started()
    film.to(104)
    film.playback.seek(104, 55)
    film.limit_sec = film.buffered_sec = 55
    film.to(106)
    assert (film.playback.state, film.playback.position_sec) == ("seeking", 55)
    film.more(60)
    film.playback.start(107)
    film.to(108)
    assert film.playback.position_sec == pytest.approx(56)
    assert film.playback.rebuffering_events == 0
    assert film.playback.played_sec == pytest.approx(3)
    assert film.playback.startup_latency_sec == pytest.approx(2), "a seek is no second startup"


def test_a_seek_while_paused_stays_paused() -> None:
    film = started()
    film.playback.pause(103, True)
    film.playback.seek(104, 5)
    states = [film.playback.state]
    film.playback.pause(105, False)
    assert [*states, film.playback.state] == ["paused", "seeking"]


def test_a_hole_is_not_played() -> None:
    film = started()
    film.to(113)
    film.playback.skip_to(113, 20)
    film.more(30)
    film.to(113)
    film.to(115)
    assert film.playback.position_sec == pytest.approx(22)
    assert film.playback.played_sec == pytest.approx(12)


def test_the_average_buffer_is_weighted_by_time() -> None:
    film = started()
    film.buffered_sec = film.limit_sec = 1000
    for step in range(1, 1001):
        film.to(102 + step / 100)  # 1000 s ahead at first, 990 s after 10 s
    assert film.playback.average_buffer_sec == pytest.approx(995, abs=0.01)


def test_an_empty_buffer_pulls_the_average_down() -> None:
    film = started()
    film.limit_sec = film.buffered_sec = 0.0
    film.to(102.0001)
    film.to(104)
    assert film.playback.average_buffer_sec == pytest.approx(0, abs=1e-6)
    film.more(1000)
    film.to(104)
    for step in range(1, 201):
        film.to(104 + step / 100)
    # 2 s at nothing and 2 s at about 999
    assert film.playback.average_buffer_sec == pytest.approx(499.5, rel=1e-3)


def test_without_pacing_the_playhead_jumps_and_never_stalls() -> None:
    film = started(paced=False)
    film.to(102.1)
    assert film.playback.position_sec == 10
    film.to(110)
    assert film.playback.rebuffering_events == 0


def test_a_clock_that_stands_still_is_harmless() -> None:
    film = started()
    film.to(105)
    film.to(105)
    assert film.playback.position_sec == pytest.approx(3)


# ---------------------------------------------------------------- a real player


def follow(
    film: Film, now_sec: float, state: ViewerState, position_sec: float, **more: Any
) -> None:
    film.to(now_sec)
    film.playback.follow(
        now_sec, state=state, position_sec=position_sec, **({"lease_sec": 5.0} | more)
    )


def test_startup_ends_when_the_player_shows_the_film() -> None:
    film = Film()
    follow(film, 101, "waiting", 0)
    assert (film.playback.state, film.playback.started) == ("startup", False)
    follow(film, 103, "playing", 0)
    assert film.playback.startup_latency_sec == pytest.approx(3)
    assert film.playback.state == "playing"


def test_between_two_words_the_playhead_moves_at_the_players_rate() -> None:
    film = Film()
    follow(film, 101, "playing", 0, rate_ratio=2.0)
    film.to(102.5)
    assert film.playback.position_sec == pytest.approx(3)
    follow(film, 103, "playing", 3.9)
    assert film.playback.position_sec == pytest.approx(3.9)
    assert film.playback.played_sec == pytest.approx(3.9)


def test_the_playhead_does_not_pass_what_is_held_nor_what_the_player_has() -> None:
    film = Film()
    follow(film, 101, "playing", 8.0)
    film.to(105)
    assert film.playback.position_sec == 10
    follow(film, 105, "playing", 2.0, limit_sec=4.0)
    film.to(109)
    assert film.playback.position_sec == 4


def test_only_a_player_that_waits_for_the_network_is_rebuffering() -> None:
    film = Film()
    follow(film, 101, "playing", 0)
    follow(film, 104, "waiting", 3.0)
    follow(film, 104.5, "waiting", 3.0)
    playback = film.playback
    assert (playback.rebuffering_events, playback.player_stalls) == (0, 1)
    follow(film, 105, "playing", 3.0)
    follow(film, 112, "waiting", 10.0, dry=True)
    follow(film, 112.5, "waiting", 10.0, dry=True)
    assert (playback.state, playback.rebuffering_events) == ("rebuffering", 1)
    assert playback.stalled_sec(113) == pytest.approx(1)
    follow(film, 114, "playing", 10.0)
    assert (playback.state, playback.longest_stall_sec) == ("playing", 2)


@pytest.mark.parametrize("state", ["paused", "seeking", "waiting"])
def test_while_the_picture_stands_the_playhead_stands(state: ViewerState) -> None:
    film = Film()
    follow(film, 101, "playing", 0)
    follow(film, 103, state, 2.0)
    film.to(106)
    assert film.playback.position_sec == 2
    assert film.playback.rebuffering_events == 0


def test_a_jump_was_not_played() -> None:
    film = Film()
    film.more(100)
    follow(film, 101, "playing", 0)
    follow(film, 103, "seeking", 50.0)
    follow(film, 104, "playing", 50.0)
    film.to(105)
    assert film.playback.played_sec == pytest.approx(3)


def test_the_player_says_when_the_film_is_over() -> None:
    film = Film()
    follow(film, 101, "playing", 0)
    assert not film.to(105)
    film.playback.follow(105, state="ended", position_sec=9.98, lease_sec=5.0)
    assert film.to(105.1)


def test_a_player_that_says_nothing_any_more_leaves_the_playhead_to_the_clock() -> None:
    film = Film()
    film.more(100)
    follow(film, 101, "playing", 5.0, rate_ratio=4.0)
    film.to(105.9)
    at_sec = film.playback.position_sec
    assert not film.playback.followed(106)
    film.to(106.9)
    assert film.playback.position_sec == pytest.approx(at_sec + 1)
