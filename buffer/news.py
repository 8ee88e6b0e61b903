"""What a viewer is told of playback. No I/O, no clock, no randomness."""

from __future__ import annotations

from dataclasses import dataclass

from buffer.commands import Command, CountView, Tell
from buffer.playback import Playback
from common.messages import PlaybackState
from common.units import clock_text


@dataclass(slots=True)
class News:
    """Remembers what was told, so that each change is told once, whoever moves the playhead."""

    _started: bool = False
    _events: int = 0
    _state: PlaybackState = "startup"

    def of(self, playback: Playback) -> list[Command]:
        """Return what has become of playback since this was last asked."""
        commands: list[Command] = []
        if playback.startup_latency_sec is not None and not self._started:
            text = f"playback started after {playback.startup_latency_sec:.2f} s"
            commands += [Tell("playing", text), CountView()]
        if playback.rebuffering_events > self._events:
            where = clock_text(playback.position_sec)
            commands.append(Tell("rebuffering", f"rebuffering at {where}"))
        elif self._state == "rebuffering" and playback.state == "playing":
            commands.append(Tell("playing", "playback goes on"))
        self._started, self._events = playback.started, playback.rebuffering_events
        self._state = playback.state
        return commands
