"""What a run tells while it goes on: the live view, plain lines, or JSON lines."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

from client.live_figures import figures_of
from client.rates import RateMeter
from client.terminal import Screen, closing_text, mute
from common.messages import LogEvent, SchedulerStatus, SessionStatus
from common.units import clock_text

logger = logging.getLogger(__name__)

JSON_STATUS_SEC = 1.0
PLAIN_STATUS_SEC = 10.0
# The processes publish at this pace; a faster view would show nothing more.
REDRAW_SEC = 0.25


class Reporter:
    """Hears every message of the stack and tells those of one session."""

    def __init__(self, stream: TextIO, *, json_lines: bool, quiet: bool, plain: bool) -> None:
        """`stream` is where people read; JSON goes to standard output."""
        self._json_lines = json_lines
        self._rates = RateMeter()
        self._shown_sec = 0.0
        self.screen = Screen(stream, quiet=quiet or json_lines, plain=plain)

    def heard(self, msg: object, session_id: str | None) -> None:
        """Take a message; `session_id` is our session, None before there is one."""
        if isinstance(msg, SchedulerStatus):
            self._rates.note(msg, session_id)
        elif isinstance(msg, LogEvent) and _is_ours(msg, session_id):
            if self._json_lines:
                self._json({"event": msg.kind, "text": msg.text, "at_unix_sec": msg.at_unix_sec})
            else:
                self.screen.say(f"{time.strftime('%H:%M:%S')} {msg.text}")
        elif isinstance(msg, SessionStatus) and msg.session_id == session_id:
            self._progress(msg)

    def word(self, text: str) -> None:
        """Tell something of our own, as an event of the session."""
        now_unix_sec = time.time()
        event = LogEvent(at_unix_sec=now_unix_sec, session_id="", kind="session", text=text)
        self.heard(event, None)

    async def redraw(self, status: Callable[[], dict[str, Any]]) -> None:
        """Draw the live view again and again until cancelled; `status` is `SmartClient.get_status`."""
        try:
            while self.screen.wants_view:
                # Before the first time, too: while the stack starts nothing of the view is worth waiting for.
                await asyncio.sleep(REDRAW_SEC)
                self.screen.show(figures_of(status(), self._rates, (), time.time()))
        except Exception:
            # The film goes on without it.
            self.screen.close()
            logger.exception("live view ended")

    def summary(self, summary: dict[str, Any]) -> None:
        """Tell the totals of the run."""
        if self._json_lines:
            self._json({"event": "summary", **summary})
        else:
            self.screen.say(closing_text(summary))

    def _progress(self, status: SessionStatus) -> None:
        now_sec = time.monotonic()
        if self._json_lines:
            if now_sec - self._shown_sec >= JSON_STATUS_SEC:
                self._shown_sec = now_sec
                self._json(
                    {
                        "event": "status",
                        "state": status.state,
                        "playhead_sec": status.playhead_sec,
                        "duration_sec": status.duration_sec,
                        "buffer_level_sec": status.buffer_level_sec,
                        "rebuffering_events": status.rebuffering_events,
                        "stalled_sec": status.stalled_sec,
                        "rate_mbps": self._rates.rate_mbps,
                        "chunks_played": status.chunks_played,
                    }
                )
        elif (
            status.startup_latency_sec is not None
            and now_sec - self._shown_sec >= PLAIN_STATUS_SEC
            and not self.screen.wants_view
        ):
            self._shown_sec = now_sec
            self.screen.say(
                f"{time.strftime('%H:%M:%S')} {status.state} at {clock_text(status.playhead_sec)}, "
                f"buffer {status.buffer_level_sec:.1f} s"
            )

    def _json(self, line: dict[str, Any]) -> None:
        try:
            print(json.dumps(line, allow_nan=False), flush=True)
        except OSError:
            mute(sys.stdout)


def _is_ours(event: LogEvent, session_id: str | None) -> bool:
    """Whether it is about our session, or about the stack we hold."""
    about_the_stack = event.session_id == "" and event.kind == "session"
    return about_the_stack or event.session_id == session_id
