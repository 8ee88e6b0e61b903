"""The playhead: its states, its clock, and the accounting of startup and stalls. No I/O, no clock, no randomness.

Definitions (after CTA-2066): startup runs from the viewer's command to the first byte the output took. A rebuffering
event is entered from `playing` when the verified media at the playhead is used up and more is due; one event per stall,
dated back to the instant the playhead stopped. Startup, pauses, seeks and the end never count. An output that does not
take its data holds the playhead too, but that is its stall, not the network's.

Where a real player tells what it shows, that is the playhead; in between it is extrapolated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from common.messages import PlaybackState, ViewerState

# Floating point sums of durations may differ by this.
_EPSILON_SEC = 1e-6
# A player that moved by more than this since it was last heard has jumped; what lies between was not played.
_JUMP_SEC = 2.0


@dataclass(slots=True)
class Playback:
    """One session's playhead; every method takes `now_sec` of a clock that only rises."""

    command_sec: float
    paced: bool
    state: PlaybackState = "startup"
    startup_latency_sec: float | None = None
    rebuffering_events: int = 0
    longest_stall_sec: float = 0.0
    # How often a player's picture stood still though it had, or could have had, what to show.
    player_stalls: int = 0
    # Seconds of the film a player shows in one.
    rate_ratio: float = 1.0
    played_sec: float = 0.0
    _stalled_sec: float = 0.0
    _stall_since_sec: float | None = None
    _position_sec: float = 0.0
    _at_sec: float = 0.0
    _level_seconds: float = 0.0
    _level_time_sec: float = 0.0
    _before_pause: PlaybackState = "playing"
    _followed_until_sec: float = -math.inf
    _follow_limit_sec: float = math.inf
    _at_end: bool = False
    _player_waits: bool = False
    _moves: bool = True

    @property
    def position_sec(self) -> float:
        """The playhead, as of the last `advance`."""
        return self._position_sec

    @property
    def started(self) -> bool:
        return self.startup_latency_sec is not None

    @property
    def average_buffer_sec(self) -> float:
        """Time-weighted mean of the buffer level since playback started."""
        return self._level_seconds / self._level_time_sec if self._level_time_sec else 0.0

    def stalled_sec(self, now_sec: float) -> float:
        """Return the seconds stalled so far, a running stall included."""
        running = now_sec - self._stall_since_sec if self._stall_since_sec is not None else 0.0
        return self._stalled_sec + max(0.0, running)

    def followed(self, now_sec: float) -> bool:
        """Whether a real player is the clock."""
        return now_sec < self._followed_until_sec

    # ------------------------------------------------------------ transitions

    def start(self, now_sec: float) -> None:
        """The output took its first bytes: the picture moves."""
        if self.startup_latency_sec is None:
            self.startup_latency_sec = now_sec - self.command_sec
        if self.state in ("startup", "seeking"):
            self.state = "playing"
            self._at_sec = now_sec

    def advance(
        self,
        now_sec: float,
        *,
        limit_sec: float,
        buffered_until_sec: float,
        ends_at_limit: bool,
        needs_player: bool = False,
    ) -> bool:
        """Move the playhead to `now_sec`; True when it has reached the end of the film.

        It does not pass `limit_sec`, the end of what the output was given; `buffered_until_sec` is the end of the
        verified media. `ends_at_limit` says that nothing comes after the limit, `needs_player` that the playhead
        stands where no player moves it.
        """
        span_sec = max(0.0, now_sec - self._at_sec)
        if self.followed(now_sec):
            self._extrapolate(span_sec, buffered_until_sec)
            self._at_sec = now_sec
            return self._at_end or (
                ends_at_limit and self._position_sec >= limit_sec - _EPSILON_SEC
            )
        if needs_player:
            self._at_sec = now_sec
            return False
        if self.state == "rebuffering" and buffered_until_sec > self._position_sec + _EPSILON_SEC:
            self._end_stall(now_sec)
            self.state = "playing"
            self._at_sec = now_sec
            return False
        if self.state != "playing":
            if self.state == "rebuffering":
                self._weigh(0.0, span_sec)
            self._at_sec = now_sec
            return False
        before_sec = self._position_sec
        target_sec = before_sec + span_sec if self.paced else limit_sec
        self._position_sec = max(before_sec, min(target_sec, limit_sec))
        self.played_sec += self._position_sec - before_sec
        self._weigh(max(0.0, buffered_until_sec - self._position_sec), span_sec)
        stopped_sec = now_sec - max(0.0, target_sec - self._position_sec) if self.paced else now_sec
        self._at_sec = now_sec
        if self._position_sec < limit_sec - _EPSILON_SEC:
            return False
        if ends_at_limit:
            return True
        dry = buffered_until_sec <= self._position_sec + _EPSILON_SEC
        if self.paced and dry and target_sec > limit_sec:
            self.state = "rebuffering"
            self.rebuffering_events += 1
            self._stall_since_sec = stopped_sec
        return False

    def follow(
        self,
        now_sec: float,
        *,
        state: ViewerState,
        position_sec: float,
        lease_sec: float,
        dry: bool = False,
        rate_ratio: float = 1.0,
        limit_sec: float = math.inf,
    ) -> None:
        """Take over what a real player shows; it is the clock for `lease_sec`, up to `limit_sec` of the film.

        `dry` says that nothing is there that it could show: then its waiting is the network's stall, else its own.
        """
        moved_sec = position_sec - self._position_sec
        if self.state == "playing" and abs(moved_sec) <= _JUMP_SEC:
            self.played_sec += moved_sec
        self._position_sec = position_sec
        self._at_sec = now_sec
        self._followed_until_sec = now_sec + lease_sec
        self._follow_limit_sec = limit_sec
        self._at_end = state == "ended"
        waits, waited = state == "waiting", self._player_waits
        self._player_waits = waits
        if not (waits and self.state == "rebuffering"):
            self._end_stall(now_sec)
        self.rate_ratio, self._moves = rate_ratio, state == "playing"
        if state == "playing":
            if self.startup_latency_sec is None:
                self.startup_latency_sec = now_sec - self.command_sec
            self.state = "playing"
        elif state == "paused":
            self.state, self._before_pause = "paused", "playing"
        elif state == "seeking" and self.started:
            self.state = "seeking"
        elif waits and self.state == "playing" and dry:
            self.state = "rebuffering"
            self.rebuffering_events += 1
            self._stall_since_sec = now_sec
        elif waits and self.state == "playing" and not waited:
            self.player_stalls += 1

    def _extrapolate(self, span_sec: float, buffered_until_sec: float) -> None:
        if self.state == "rebuffering":
            self._weigh(0.0, span_sec)
        elif self.state == "playing" and self._moves:
            before_sec = self._position_sec
            target_sec = before_sec + span_sec * self.rate_ratio
            until_sec = min(buffered_until_sec, self._follow_limit_sec)
            self._position_sec = max(before_sec, min(target_sec, until_sec))
            self.played_sec += self._position_sec - before_sec
            self._weigh(max(0.0, buffered_until_sec - self._position_sec), span_sec)

    def pause(self, now_sec: float, paused: bool) -> bool:
        """Stop or go on at the viewer's wish; False when that changes nothing."""
        if paused and self.state in ("playing", "rebuffering", "seeking"):
            self._end_stall(now_sec)
            self._before_pause = "seeking" if self.state == "seeking" else "playing"
            self.state = "paused"
            return True
        if not paused and self.state == "paused":
            self.state = self._before_pause
            self._at_sec = now_sec
            return True
        return False

    def seek(self, now_sec: float, position_sec: float) -> None:
        """Jump; playback goes on when `start` says that the output has media from there."""
        self._end_stall(now_sec)
        self._position_sec = position_sec
        self._at_sec = now_sec
        if self.state == "paused":
            self._before_pause = "seeking"
        elif self.started:
            self.state = "seeking"

    def skip_to(self, now_sec: float, position_sec: float) -> None:
        """Step over a hole; the time skipped was not played."""
        self._position_sec = max(self._position_sec, position_sec)
        self._at_sec = now_sec

    def end(self, now_sec: float, *, failed: bool) -> None:
        """Stop for good."""
        self._end_stall(now_sec)
        self.state = "failed" if failed else "ended"

    def _end_stall(self, now_sec: float) -> None:
        if self._stall_since_sec is not None:
            length_sec = max(0.0, now_sec - self._stall_since_sec)
            self._stalled_sec += length_sec
            self.longest_stall_sec = max(self.longest_stall_sec, length_sec)
            self._stall_since_sec = None

    def _weigh(self, level_sec: float, span_sec: float) -> None:
        self._level_seconds += level_sec * span_sec
        self._level_time_sec += span_sec
