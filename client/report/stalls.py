"""When playback stood, from a row of session snapshots. No I/O, no clock, no randomness.

Lengths come from the session's own account, so that they add up to what its summary says.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from common.messages import SessionStatus

SpanKind = Literal["startup", "rebuffering", "paused", "seeking"]
_STANDING: dict[str, SpanKind] = {
    "startup": "startup",
    "rebuffering": "rebuffering",
    "paused": "paused",
    "seeking": "seeking",
}
# More are no table anybody reads, and no picture.
MAX_STALLS = 500
MAX_SPANS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A stretch of the session in which the picture stood."""

    kind: SpanKind
    from_sec: float
    until_sec: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Stall:
    """A rebuffering event, or several that no snapshot tells apart; `position_sec` is where in the film."""

    events: int
    from_sec: float
    length_sec: float
    position_sec: float


class StallLog:
    """Folds snapshots of one session, in order."""

    def __init__(self) -> None:
        self.stalls: list[Stall] = []
        self.spans: list[Span] = []
        self.left_out = 0
        self._last: SessionStatus | None = None
        self._open: Stall | None = None
        self._open_from_stalled_sec = 0.0
        self._span: Span | None = None

    def add(self, at_sec: float, status: SessionStatus) -> None:
        """Take in a snapshot that came at `at_sec`."""
        last = self._last
        known_events = last.rebuffering_events if last is not None else 0
        known_sec = last.stalled_sec if last is not None else 0.0
        fresh = status.rebuffering_events - known_events
        begins = fresh > 0 and self._open is None
        if begins:
            self._open_from_stalled_sec = known_sec
            self._open = Stall(
                events=fresh, from_sec=at_sec, length_sec=0.0, position_sec=status.playhead_sec
            )
        elif fresh > 0 and self._open is not None:
            self._open = replace(self._open, events=self._open.events + fresh)
        if self._open is not None:
            length_sec = max(0.0, status.stalled_sec - self._open_from_stalled_sec)
            from_sec = max(0.0, at_sec - length_sec) if begins else self._open.from_sec
            self._open = replace(self._open, from_sec=from_sec, length_sec=length_sec)
            if status.state != "rebuffering":
                self._close_stall()
        self._stand(at_sec, status)
        self._last = status

    def _close_stall(self) -> None:
        if self._open is not None:
            if len(self.stalls) < MAX_STALLS:
                self.stalls.append(self._open)
            else:
                self.left_out += self._open.events
        self._open = None

    def _stand(self, at_sec: float, status: SessionStatus) -> None:
        kind = _STANDING.get(status.state)
        span = self._span
        if span is not None:
            span = replace(span, until_sec=at_sec)
            if kind != span.kind:
                self._keep(span)
                span = None
        if span is None and kind is not None:
            # Startup begins with the command.
            from_sec = 0.0 if kind == "startup" and not self.spans else at_sec
            if kind == "rebuffering" and self._open is not None:
                from_sec = self._open.from_sec
            span = Span(kind=kind, from_sec=from_sec, until_sec=at_sec)
        self._span = span

    def _keep(self, span: Span) -> None:
        if len(self.spans) < MAX_SPANS:
            self.spans.append(span)

    def finish(self, until_sec: float) -> tuple[list[Stall], list[Span]]:
        """Return all of them, those that go on at `until_sec` included; changes nothing."""
        stalls, spans = list(self.stalls), list(self.spans)
        if self._open is not None:
            stalls.append(self._open)
        if self._span is not None:
            spans.append(replace(self._span, until_sec=max(until_sec, self._span.until_sec)))
        return stalls, spans
