"""mpv's events become what a player shows; wishes become its commands."""

from __future__ import annotations

import json
from typing import assert_never

from client.players.mpv_core import Leave, MpvCore, Order
from client.players.mpv_words import (
    FileEnded,
    MpvEvent,
    PlaybackRestarted,
    PropertyChanged,
    Refused,
    SeekBegan,
    command_line,
    event_from,
)
from common.messages import ViewerReport

FILM_SEC = 40.0


class Rig:
    """A core, and what came of it."""

    def __init__(self, *, shown: bool = True, holes: int = 0) -> None:
        self.core = MpvCore(session_id="s1", viewer_id="v1", duration_sec=FILM_SEC, holes=holes)
        self.reports: list[ViewerReport] = []
        self.orders: list[Order] = []
        self.left: list[Leave] = []
        self.take(self.core.begin("http://film", "A film"))
        if shown:
            self.see(PlaybackRestarted())

    def take(self, actions: list[ViewerReport | Order | Leave]) -> None:
        for action in actions:
            match action:
                case ViewerReport():
                    self.reports.append(action)
                case Order():
                    self.orders.append(action)
                case Leave():
                    self.left.append(action)
                case _:
                    assert_never(action)

    def see(self, *events: MpvEvent) -> None:
        for event in events:
            self.take(self.core.handle(event))

    def at(self, position_sec: float) -> None:
        self.see(PropertyChanged("time-pos", position_sec))

    def wish(self, serial: int, *, paused: bool = False, position_sec: float | None = None) -> None:
        self.take(self.core.wished(serial=serial, paused=paused, position_sec=position_sec))

    @property
    def shown(self) -> tuple[str, float]:
        self.take(self.core.tick())
        return self.reports[-1].state, self.reports[-1].position_sec


def test_the_session_hears_of_the_player_before_the_player_asks_for_anything() -> None:
    actions = MpvCore(session_id="s1", viewer_id="v1").begin("http://film", "A film")
    assert isinstance(actions[0], ViewerReport)
    assert (actions[0].state, actions[0].position_sec) == ("waiting", 0)
    assert actions[-1] == Order(("loadfile", "http://film"))


def test_it_plays_once_the_first_picture_is_shown() -> None:
    rig = Rig(shown=False)
    rig.at(0.0)
    assert rig.shown == ("waiting", 0.0)
    rig.see(PlaybackRestarted())
    assert rig.reports[-1].state == "playing"


def test_positions_are_told_by_the_clock_and_states_at_once() -> None:
    rig = Rig()
    told = len(rig.reports)
    rig.at(1.0)
    rig.at(1.04)
    assert len(rig.reports) == told
    rig.see(PropertyChanged("pause", True))
    assert (rig.reports[-1].state, rig.reports[-1].position_sec) == ("paused", 1.04)
    rig.see(PropertyChanged("pause", False), PropertyChanged("paused-for-cache", True))
    assert [r.state for r in rig.reports[-2:]] == ["playing", "waiting"]
    rig.see(PropertyChanged("paused-for-cache", False))
    assert rig.shown == ("playing", 1.04)


def test_speed_and_lost_pictures_are_told() -> None:
    rig = Rig()
    rig.see(PropertyChanged("frame-drop-count", 3), PropertyChanged("speed", 2.0))
    assert (rig.reports[-1].rate_ratio, rig.reports[-1].dropped_frames) == (2.0, 3)


def test_a_wish_moves_the_player_and_old_positions_do_not_move_the_session_back() -> None:
    rig = Rig()
    rig.at(3.0)
    rig.wish(1, position_sec=25.0)
    assert rig.orders[-1].words == ("seek", 25.0, "absolute+exact")
    assert (rig.reports[-1].state, rig.reports[-1].position_sec) == ("seeking", 25.0)
    # Of a jump before, and from where it was: both on their way when the order went out.
    rig.see(PlaybackRestarted())
    rig.at(3.1)
    assert rig.shown == ("seeking", 25.0)
    rig.see(SeekBegan(), PropertyChanged("seeking", True))
    rig.see(PropertyChanged("seeking", False), PlaybackRestarted())
    rig.at(25.04)
    assert rig.shown == ("playing", 25.04)


def test_a_wish_is_obeyed_once_and_only_where_it_changes_something() -> None:
    rig = Rig()
    before = len(rig.orders)
    rig.wish(1, paused=True)
    rig.wish(1, paused=True)
    assert [order.words for order in rig.orders[before:]] == [("set_property", "pause", True)]
    rig.at(3.0)
    rig.wish(2, position_sec=3.1)
    assert len(rig.orders) == before + 1


def test_a_jump_wished_before_the_film_is_there_is_made_up_for() -> None:
    rig = Rig(shown=False)
    rig.wish(1, position_sec=25.0)
    assert rig.orders[-1].words[0] == "loadfile"
    rig.see(PlaybackRestarted())
    assert rig.orders[-1].words == ("seek", 25.0, "absolute+exact")
    assert rig.shown == ("seeking", 25.0)


def test_a_jump_that_mpv_refuses_is_forgotten() -> None:
    rig = Rig()
    rig.at(3.0)
    rig.wish(1, position_sec=25.0)
    rig.see(Refused(rig.orders[-1].request_id))
    rig.at(3.5)
    assert rig.shown == ("playing", 3.5)


def test_the_end_of_the_film_is_told() -> None:
    rig = Rig()
    rig.at(FILM_SEC - 0.04)
    rig.see(FileEnded("eof", ""))
    assert (rig.reports[-1].state, rig.reports[-1].position_sec) == ("ended", FILM_SEC)
    assert rig.left == [Leave()]


def test_a_last_picture_that_stays_is_the_end_too() -> None:
    rig = Rig()
    rig.at(FILM_SEC)
    rig.see(PropertyChanged("eof-reached", True))
    assert rig.reports[-1].state == "ended"


def test_a_stream_that_breaks_off_is_no_end() -> None:
    rig = Rig()
    rig.at(12.0)
    rig.see(FileEnded("eof", ""))
    assert rig.left == [Leave("its stream broke off 28 s before the end")]
    assert rig.reports[-1].state != "ended"
    assert rig.reports[-1].error


def test_a_jump_behind_the_end_is_the_end() -> None:
    rig = Rig()
    rig.at(12.0)
    rig.see(SeekBegan(), PropertyChanged("seeking", True), FileEnded("eof", ""))
    assert rig.reports[-1].state == "ended"


def test_nothing_follows_a_hole_at_the_end() -> None:
    rig = Rig(holes=1)
    rig.at(30.0)
    rig.see(FileEnded("eof", ""))
    assert rig.reports[-1].state == "ended"


def test_quitting_and_failing_differ() -> None:
    rig = Rig()
    rig.see(FileEnded("quit", ""))
    assert rig.left == [Leave()]
    rig = Rig()
    rig.see(FileEnded("error", "loading failed"))
    assert rig.left == [Leave("loading failed")]


def test_after_the_sessions_end_nothing_is_told() -> None:
    rig = Rig()
    rig.take(rig.core.stopped())
    assert rig.orders[-1].words == ("quit",)
    told = len(rig.reports)
    rig.see(PropertyChanged("pause", True), FileEnded("quit", ""))
    rig.wish(9, paused=True)
    assert len(rig.reports) == told
    assert rig.left == [Leave()]


def line(**told: object) -> bytes:
    return json.dumps(told).encode() + b"\n"


def test_lines_become_events() -> None:
    changed = line(event="property-change", id=1, name="time-pos", data=1.5)
    assert event_from(changed) == PropertyChanged("time-pos", 1.5)
    assert event_from(line(event="property-change", name="time-pos")) == PropertyChanged(
        "time-pos", None
    )
    assert event_from(line(event="end-file", reason="error", file_error="x")) == FileEnded(
        "error", "x"
    )
    assert event_from(line(event="seek")) == SeekBegan()
    assert event_from(line(event="playback-restart")) == PlaybackRestarted()
    assert event_from(line(request_id=3, error="property unavailable")) == Refused(3)


def test_lines_of_no_interest_are_none() -> None:
    for told in (
        line(request_id=3, error="success"),
        line(event="idle"),
        line(event="property-change", name="volume", data=3),
        b"[]\n",
        b"no json\n",
        b"\xff\n",
    ):
        assert event_from(told) is None


def test_commands_are_lines() -> None:
    sent = command_line(("seek", 2.5, "absolute"), 4)
    assert sent.endswith(b"\n")
    assert json.loads(sent) == {"command": ["seek", 2.5, "absolute"], "request_id": 4}
