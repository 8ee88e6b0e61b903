"""Players move the playhead of their session: by what they tell, or by what they ask for."""

from __future__ import annotations

from typing import Any

import pytest

from buffer.commands import CountView, SkipInOutput
from buffer.following import ASKED_LEASE_SEC, REPORT_LEASE_SEC, Following
from buffer.patience import ROUNDS_BEFORE_GIVING_UP
from common.messages import ViewerReport
from tests.builders import a_manifest
from tests.session_rig import Viewing

KEEP_BYTES = 10_000


class Watched:
    """A session of ten chunks of 10 s and those who watch it."""

    def __init__(self, *, awaits_viewer: bool = True, held: int = 3, **options: Any) -> None:
        self.viewing = Viewing(
            a_manifest(10), awaits_viewer=awaits_viewer, keep_bytes=KEEP_BYTES, **options
        )
        self.following = Following(self.viewing.core)
        self.core = self.viewing.core
        for number in range(held):
            self.viewing.arrive(number)

    def shown(self) -> tuple[str, float]:
        return self.core.playback.state, round(self.core.playback.position_sec, 2)

    def say(self, state: str, position_sec: float, **more: Any) -> None:
        fields: dict[str, Any] = {
            "session_id": "s1",
            "viewer_id": "v1",
            "state": state,
            "position_sec": position_sec,
            "rate_ratio": 1.0,
            "dropped_frames": 0,
            "error": "",
        }
        report = ViewerReport(**(fields | more))
        self.viewing.note(self.following.said(report, self.viewing.now_sec))

    def ask(self, number: int) -> None:
        """Ask for a segment, and get it where it is held."""
        self.viewing.note(self.following.asked(number, self.viewing.now_sec))
        if self.core.store.find(number) is not None:
            self.viewing.note(self.following.served(number, self.viewing.now_sec))

    def pass_time(self, duration_sec: float) -> None:
        for _ in range(round(duration_sec / 0.25)):
            self.viewing.pass_time(0.25)
            self.viewing.note(self.following.tick(self.viewing.now_sec))


def test_nothing_plays_before_a_player_shows_it() -> None:
    watched = Watched()
    watched.pass_time(20)
    assert watched.shown() == ("startup", 0)
    assert watched.viewing.asked() == [], "three chunks are the target"
    watched.say("playing", 0)
    assert watched.shown() == ("playing", 0)
    assert watched.viewing.count(CountView) == 1
    assert watched.viewing.told("playing") == ["playback started after 20.50 s"]


def test_the_demand_follows_what_the_player_shows() -> None:
    watched = Watched()
    watched.say("playing", 0)
    watched.pass_time(1)
    watched.say("playing", 1)
    assert watched.viewing.asked() == [3]
    watched.viewing.arrive(3)
    for second in range(2, 13):
        watched.pass_time(1)
        watched.say("playing", second)
    assert watched.viewing.asked() == [4]
    assert watched.core.playback.rebuffering_events == 0


def test_a_step_back_within_what_is_kept_asks_for_nothing() -> None:
    watched = Watched()
    for second in range(25):
        watched.say("playing", second)
        watched.pass_time(1)
    before = watched.viewing.asked()
    watched.say("seeking", 3)
    assert watched.shown() == ("seeking", 3)
    assert 0 not in watched.viewing.asked()
    assert set(watched.viewing.asked()) <= set(before)
    watched.say("playing", 3)
    assert watched.shown() == ("playing", 3)


def test_a_jump_ahead_drops_what_lies_between() -> None:
    watched = Watched(held=1)
    watched.say("playing", 0)
    watched.say("seeking", 75)
    assert watched.viewing.asked() == [7, 8, 9]
    watched.viewing.arrive(7)
    watched.say("playing", 75)
    assert watched.shown() == ("playing", 75)
    assert watched.core.playback.rebuffering_events == 0


def test_a_player_that_waits_for_what_is_not_there_is_rebuffering() -> None:
    watched = Watched(held=1)
    watched.say("playing", 0)
    for second in range(1, 10):
        watched.pass_time(1)
        watched.say("playing", second)
    watched.pass_time(1)
    watched.say("waiting", 9.98)
    assert watched.shown()[0] == "rebuffering"
    assert len(watched.viewing.told("rebuffering")) == 1
    watched.viewing.arrive(1)
    watched.say("playing", 9.98)
    assert watched.shown()[0] == "playing"
    assert watched.core.playback.rebuffering_events == 1
    assert watched.viewing.told("playing")[1:] == ["playback goes on"]


def test_a_hole_is_skipped_though_the_players_last_picture_ends_before_it() -> None:
    watched = Watched(held=1, on_missing="skip")
    watched.viewing.arrive(2)
    watched.say("playing", 9.5)
    watched.viewing.trouble(1, rounds=ROUNDS_BEFORE_GIVING_UP)
    assert watched.viewing.count(SkipInOutput) == 0
    watched.pass_time(0.5)
    watched.say("waiting", 9.96)
    watched.viewing.trouble(1, rounds=ROUNDS_BEFORE_GIVING_UP)
    assert watched.viewing.count(SkipInOutput) == 1
    watched.ask(1)
    assert 1 not in watched.viewing.asked(), "nobody has it"


def test_when_the_last_player_is_gone_the_film_is_held() -> None:
    watched = Watched()
    watched.say("playing", 4)
    watched.pass_time(REPORT_LEASE_SEC + 2)
    assert watched.shown()[0] == "paused"
    at_sec = watched.shown()[1]
    watched.pass_time(30)
    assert watched.shown() == ("paused", at_sec)
    watched.say("playing", at_sec)
    assert watched.shown()[0] == "playing"


def test_a_session_that_plays_by_itself_does_so_again_when_its_player_is_gone() -> None:
    watched = Watched(awaits_viewer=False)
    watched.pass_time(2)
    assert watched.shown() == ("playing", 2)
    watched.say("playing", 12)
    watched.pass_time(REPORT_LEASE_SEC + 2)
    assert watched.shown()[0] == "playing"
    assert watched.shown()[1] > 12 + REPORT_LEASE_SEC


def test_the_player_says_when_the_film_is_over() -> None:
    watched = Watched(held=10)
    watched.say("playing", 97)
    watched.say("ended", 99.9)
    assert watched.core.closing
    watched.viewing.closed()
    assert (watched.core.outcome, watched.core.exit_code) == ("played", 0)


def test_who_only_asks_is_where_it_asked_last() -> None:
    watched = Watched()
    watched.ask(0)
    assert watched.shown() == ("playing", 0)
    watched.ask(1)
    watched.ask(2)
    assert watched.shown() == ("playing", 20)
    watched.pass_time(3)
    assert watched.shown() == ("playing", 23)


def test_who_only_asks_does_not_play_what_it_has_not_got() -> None:
    watched = Watched(held=5)
    watched.ask(0)
    watched.pass_time(25)
    assert watched.shown() == ("playing", 10)
    watched.pass_time(ASKED_LEASE_SEC)
    assert watched.shown() == ("paused", 10)
    watched.ask(1)
    assert watched.shown() == ("playing", 10)


def test_a_segment_that_is_not_there_is_wanted_at_once() -> None:
    watched = Watched(held=1)
    watched.ask(0)
    watched.ask(1)
    assert watched.viewing.asked()[0] == 1
    watched.ask(7)
    assert watched.viewing.asked() == [1, 7, 8, 9], "somebody waits for the other one still"


def test_who_asks_elsewhere_while_another_tells_is_served_and_moves_nothing() -> None:
    watched = Watched(held=4)
    watched.say("playing", 35)
    watched.ask(9)
    assert watched.viewing.asked()[0] == 9
    assert watched.shown()[1] == 35
    watched.viewing.arrive(9)
    assert watched.core.store.find(9) is not None
    watched.ask(0)
    assert watched.core.store.find(0) is not None, "it was kept"


def test_what_was_never_here_is_fetched_for_who_asks_and_kept() -> None:
    watched = Watched(held=1)
    watched.say("playing", 75)
    watched.viewing.arrive(7)
    watched.ask(2)
    assert watched.viewing.asked()[0] == 2
    watched.viewing.arrive(2)
    assert watched.core.store.find(2) is not None
    assert 2 not in watched.viewing.asked()
    assert watched.shown()[1] == 75


def test_a_wish_that_is_taken_back_is_fetched_no_more() -> None:
    watched = Watched(held=1)
    watched.say("playing", 75)
    watched.ask(2)
    watched.viewing.note(watched.core.want_no_more(2, watched.viewing.now_sec))
    assert 2 not in watched.viewing.asked()


@pytest.mark.parametrize("position_sec", [-5.0, 1e6])
def test_a_player_outside_the_film_is_at_its_edge(position_sec: float) -> None:
    watched = Watched()
    watched.say("playing", position_sec)
    assert 0 <= watched.core.playback.position_sec <= 100


def test_the_players_own_account_is_passed_on() -> None:
    watched = Watched()
    watched.say("playing", 0, dropped_frames=3, error="the sound cannot be decoded")
    assert watched.following.dropped_frames == 3
    assert watched.following.error == "the sound cannot be decoded"


def test_of_two_players_the_first_leads_until_it_is_gone() -> None:
    watched = Watched()
    watched.say("playing", 0, viewer_id="v1")
    watched.say("paused", 25, viewer_id="v2")
    assert watched.shown() == ("playing", 0)
    watched.pass_time(REPORT_LEASE_SEC + 1)
    watched.say("playing", 25, viewer_id="v2")
    assert watched.shown() == ("playing", 25)
