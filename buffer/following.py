"""What players tell, or only ask for, becomes the playhead of their session.

No I/O, no clock, no randomness: events and `now_sec` in, commands out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from buffer.commands import Command
from buffer.session import Session
from common.messages import ViewerReport, ViewerState

# A player that tells what it shows does so each second; without a word for this long it is gone.
REPORT_LEASE_SEC = 5.0
# One that only asks for segments may hold some that last for a while.
ASKED_LEASE_SEC = 30.0
# It asks for them one after the other, some ahead of what it shows; anything else is a jump.
LOOKAHEAD_CHUNKS = 3
# With less than this in front of the playhead a player that waits waits for the network: mpv's decoders and its sound
# output hold the last 0.3 s at fourfold speed.
DRY_SEC = 0.5


@dataclass(slots=True)
class Following:
    """Lets the players of a session move its playhead.

    The first one that reports is followed as it says. While none does, one that only asks for segments (ffmpeg, VLC) is
    taken to show what it asked for last. What others ask for elsewhere is fetched for them, without moving anything.
    """

    session: Session
    # The player's own account.
    dropped_frames: int = 0
    error: str = ""
    # Of the player that tells, or told last, what it shows.
    leader_id: str = ""
    _reports_until_sec: float = -math.inf

    def said(self, report: ViewerReport, now_sec: float) -> list[Command]:
        """Follow what a player shows."""
        if self.session.closing or (report.viewer_id != self.leader_id and self._told(now_sec)):
            return []
        self.leader_id = report.viewer_id
        self._reports_until_sec = now_sec + REPORT_LEASE_SEC
        self.dropped_frames, self.error = report.dropped_frames, report.error
        position_sec = min(max(0.0, report.position_sec), self.session.timeline.end_sec)
        commands: list[Command] = []
        number = self.session.timeline.chunk_at(position_sec)
        if not self.session.current_sequence <= number <= self.session.store.position:
            commands = self.session.seek(position_sec, now_sec)
        return commands + self._follow(
            now_sec,
            state=report.state,
            position_sec=position_sec,
            lease_sec=REPORT_LEASE_SEC,
            rate_ratio=report.rate_ratio,
        )

    def asked(self, number: int, now_sec: float) -> list[Command]:
        """A player waits for chunk `number`."""
        session = self.session
        commands: list[Command] = []
        here = session.current_sequence
        if not (self._told(now_sec) or here <= number <= here + LOOKAHEAD_CHUNKS):
            commands = session.seek(session.timeline.start_sec(number), now_sec)
        return commands + session.want_also(number, now_sec)

    def served(self, number: int, now_sec: float) -> list[Command]:
        """A player got chunk `number`."""
        timeline, playback = self.session.timeline, self.session.playback
        if self.session.closing or self._told(now_sec):
            return []
        return self._follow(
            now_sec,
            state="playing",
            position_sec=max(timeline.start_sec(number), playback.position_sec),
            lease_sec=ASKED_LEASE_SEC,
            limit_sec=timeline.start_sec(number + 1),
        )

    def tick(self, now_sec: float) -> list[Command]:
        """Hold a session that is there for players when none is left."""
        playback = self.session.playback
        if not self.session.options.awaits_viewer or playback.followed(now_sec):
            return []
        return self.session.pause(True, now_sec) if playback.started else []

    def _told(self, now_sec: float) -> bool:
        """Whether a player tells what it shows."""
        return now_sec < self._reports_until_sec

    def _follow(
        self,
        now_sec: float,
        *,
        state: ViewerState,
        position_sec: float,
        lease_sec: float,
        rate_ratio: float = 1.0,
        limit_sec: float = math.inf,
    ) -> list[Command]:
        session = self.session
        session.advance(now_sec)
        session.playback.follow(
            now_sec,
            state=state,
            position_sec=position_sec,
            lease_sec=lease_sec,
            dry=session.buffered_until_sec - position_sec <= DRY_SEC and not session.nothing_left,
            rate_ratio=rate_ratio,
            limit_sec=limit_sec,
        )
        return session.go_on(now_sec)
