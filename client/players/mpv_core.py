"""From mpv's events to what it shows, and from wishes of others to its commands.

No I/O, no clock, no randomness: events in, actions out; a shell (`client.players.mpv`) carries them out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from client.players.mpv_words import (
    FileEnded,
    MpvEvent,
    PlaybackRestarted,
    PropertyChanged,
    Refused,
    SeekBegan,
    Value,
)
from common.messages import ViewerReport, ViewerState

# A wish that is nearer than this to what is shown is fulfilled: it would only make the picture jump.
NEAR_SEC = 0.25
# The last picture, and a sound track that is a little shorter, end before the film does; more is missing film.
END_SLACK_SEC = 3.0
_MAX_ERROR_CHARS = 300


@dataclass(frozen=True, slots=True)
class Order:
    """A command for mpv."""

    words: tuple[Value, ...]
    request_id: int = 0


@dataclass(frozen=True, slots=True)
class Leave:
    """mpv shows nothing any more; `error` says why, empty for the end of the film or its viewer's wish."""

    error: str = ""


Action = ViewerReport | Order | Leave


@dataclass(slots=True)
class MpvCore:
    """What one mpv shows of one session."""

    session_id: str
    viewer_id: str
    # Of the session, as last heard.
    duration_sec: float = 0.0
    holes: int = 0
    shown: bool = False
    _position_sec: float = 0.0
    _paused: bool = False
    _waits: bool = False
    _seeks: bool = False
    _ended: bool = False
    _stopped: bool = False
    _speed_ratio: float = 1.0
    _dropped_frames: int = 0
    _error: str = ""
    _wish_serial: int = 0
    # A jump that was ordered and is not done: until then mpv tells where it was.
    _target_sec: float | None = None
    _target_begun: bool = False
    _request_id: int = 0
    _told: ViewerState | None = None

    # ------------------------------------------------------------ events

    def begin(self, url: str, title: str) -> list[Action]:
        """Have the film loaded; the session is told first, for whoever only asks is taken to show what it asks for."""
        return [
            self._report(),
            Order(("set_property", "force-media-title", title)),
            Order(("loadfile", url)),
        ]

    def handle(self, event: MpvEvent) -> list[Action]:
        """Take an event of mpv's."""
        if self._stopped:
            return [Leave()] if isinstance(event, FileEnded) else []
        match event:
            case PropertyChanged():
                return self._changed(event)
            case SeekBegan():
                self._target_begun = True
                self._seeks = True
            case PlaybackRestarted():
                return self._restarted()
            case FileEnded():
                return self._file_ended(event)
            case Refused():
                if event.request_id == self._request_id and self._target_sec is not None:
                    self._target_sec, self._seeks = None, False
            case _:
                assert_never(event)
        return self._report_change()

    def wished(self, *, serial: int, paused: bool, position_sec: float | None) -> list[Action]:
        """Obey what was asked of the session elsewhere; each `serial` once."""
        if serial <= self._wish_serial or self._ended or self._stopped:
            return []
        self._wish_serial = serial
        actions: list[Action] = []
        if position_sec is not None and abs(position_sec - self._position_sec) > NEAR_SEC:
            self._position_sec = position_sec
            self._target_sec, self._target_begun = position_sec, False
            if self.shown:
                actions.append(self._jump(position_sec))
        if paused != self._paused:
            actions.append(Order(("set_property", "pause", paused)))
        return [*actions, *self._report_change()]

    def tick(self) -> list[Action]:
        """Tell again what is shown: who is silent is taken to be gone."""
        return [] if self._ended or self._stopped else [self._report()]

    def stopped(self) -> list[Action]:
        """The session is over, whoever ended it."""
        self._stopped = True
        return [Order(("quit",))]

    # ------------------------------------------------------------ inside

    @property
    def _state(self) -> ViewerState:
        if self._ended:
            return "ended"
        if not self.shown:
            return "waiting"
        if self._target_sec is not None or self._seeks:
            return "seeking"
        if self._paused:
            return "paused"
        return "waiting" if self._waits else "playing"

    def _changed(self, event: PropertyChanged) -> list[Action]:
        value = event.value
        match event.name:
            case "time-pos":
                if value is not None and self._target_sec is None:
                    self._position_sec = max(0.0, float(value))
                return []
            case "pause":
                self._paused = bool(value)
            case "paused-for-cache":
                self._waits = bool(value)
            case "seeking":
                self._seeks = bool(value)
            case "speed":
                if value is not None and float(value) != self._speed_ratio:
                    self._speed_ratio = float(value)
                    return self.tick()
            case "frame-drop-count":
                self._dropped_frames = int(value or 0)
                return []
            case "eof-reached":
                # With `--keep-open` of the viewer's own the last picture stays.
                return self._over() if value and not self._ended else []
            case _:
                assert_never(event.name)
        return self._report_change()

    def _restarted(self) -> list[Action]:
        late = not self.shown and self._target_sec is not None
        self.shown = True
        if late and self._target_sec is not None:
            # Wished before there was a film to jump in.
            return [self._jump(self._target_sec), *self._report_change()]
        if self._target_begun:
            self._target_sec = None
        self._seeks = False
        return self._report_change()

    def _jump(self, position_sec: float) -> Order:
        self._request_id += 1
        return Order(("seek", position_sec, "absolute+exact"), self._request_id)

    def _file_ended(self, event: FileEnded) -> list[Action]:
        if self._ended:
            return [Leave()]
        match event.reason:
            case "eof":
                return self._over()
            case "error":
                self._error = event.error or "it cannot play the film"
                return [self._report(), Leave(self._error)]
            case "redirect":
                return []
        return [Leave()]

    def _over(self) -> list[Action]:
        """mpv has nothing more to show: the end of the film, unless it lost what comes after."""
        missing_sec = self.duration_sec - self._position_sec
        jumped = self._seeks or self._target_sec is not None
        if missing_sec > END_SLACK_SEC and not self.holes and not jumped:
            self._error = f"its stream broke off {missing_sec:.0f} s before the end"
            return [self._report(), Leave(self._error)]
        self._ended = True
        if self.duration_sec:
            self._position_sec = self.duration_sec
        return [self._report(), Leave()]

    def _report_change(self) -> list[Action]:
        return [self._report()] if self._state != self._told else []

    def _report(self) -> ViewerReport:
        self._told = self._state
        return ViewerReport(
            session_id=self.session_id,
            viewer_id=self.viewer_id,
            state=self._told,
            position_sec=self._position_sec,
            rate_ratio=self._speed_ratio,
            dropped_frames=self._dropped_frames,
            error=self._error[:_MAX_ERROR_CHARS],
        )
