"""A link on which connections begin slowly, in virtual time. Pure.

No I/O, no clock, no randomness. Sends as `cluster.exchange` does, with the same bucket and the same windows: a piece
at a time, no more on the way than the connection's window.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from cluster.shaping import Grant, LinkBucket, RateSchedule
from cluster.slow_start import CongestionWindow
from simulation.links import Flow

# The head of an answer opens the window, too.
HEAD_BYTES = 200


@dataclass(slots=True, eq=False, kw_only=True)
class _PacedFlow(Flow):
    """A body on its way over a connection: when its sender acts next, and the piece it waits to send."""

    window: CongestionWindow
    next_sec: float
    grant: Grant | None = None
    # It waits for its window; the link does not save up for it.
    waits: bool = False


class PacedLink:
    """One node's link; `rtt_sec` tells its round trip. Otherwise as `simulation.links.Link`."""

    def __init__(
        self,
        schedule: RateSchedule,
        rtt_sec: Callable[[float], float],
        *,
        offset_sec: float = 0.0,
    ) -> None:
        self._bucket = LinkBucket(schedule)
        self._rtt_sec, self._offset_sec = rtt_sec, offset_sec
        self._halted = False
        self._at_sec = 0.0
        self._flows: list[_PacedFlow] = []

    def set_rate_ratio(self, rate_ratio: float, now_sec: float) -> None:
        """Change the share of its rate that the link keeps, 0 for a standstill."""
        self.advance(now_sec)
        if rate_ratio > 0:
            self._bucket.set_rate_ratio(rate_ratio)
        self._halted = rate_ratio <= 0
        for flow in self._flows if self._halted else ():
            self._give_back(flow)
            flow.next_sec = now_sec

    def open(
        self, target_bytes: float, now_sec: float, window: CongestionWindow | None = None
    ) -> Flow:
        """Begin a transfer over the connection that has this window, or over a new one."""
        self.advance(now_sec)
        window = window or CongestionWindow()
        window.room_bytes(now_sec)
        window.note_sent(HEAD_BYTES, now_sec, self._rtt_sec(now_sec))
        flow = _PacedFlow(
            target_bytes=target_bytes, heard_sec=now_sec, window=window, next_sec=now_sec
        )
        self._flows.append(flow)
        self._bucket.open_transfer(self._link_sec(now_sec))
        return flow

    def close(self, flow: Flow, now_sec: float) -> None:
        """End a transfer, however far it came."""
        self.advance(now_sec)
        for mine in [f for f in self._flows if f is flow]:
            self._flows.remove(mine)
            self._give_back(mine)
            if not mine.waits:
                self._bucket.close_transfer()

    def advance(self, now_sec: float) -> None:
        """Let bytes flow up to now."""
        while (flow := self._next()) is not None:
            at_sec = max(self._at_sec, flow.next_sec)
            if at_sec > now_sec:
                break
            self._at_sec = at_sec
            self._act(flow, at_sec)
        self._at_sec = max(self._at_sec, now_sec)

    def next_due_sec(self) -> float:
        """Return when to look again: a flow is at its target, or a piece leaves; infinity for never."""
        if any(flow.due for flow in self._flows):
            return self._at_sec
        flow = self._next()
        return math.inf if flow is None else max(self._at_sec, flow.next_sec)

    def _next(self) -> _PacedFlow | None:
        if self._halted:
            return None
        flowing = [flow for flow in self._flows if not flow.due]
        return min(flowing, key=lambda flow: flow.next_sec, default=None)

    def _act(self, flow: _PacedFlow, now_sec: float) -> None:
        """Send the piece that the link has carried by now, and ask for the next one."""
        if flow.grant is not None:
            size_bytes, flow.grant = flow.grant.size_bytes, None
            flow.window.note_sent(size_bytes, now_sec, self._rtt_sec(now_sec))
            flow.got_bytes = min(flow.got_bytes + size_bytes, flow.target_bytes)
            flow.heard_sec = now_sec
            flow.next_sec = now_sec
            if flow.due:
                return
        room_bytes = flow.window.room_bytes(now_sec)
        if flow.waits != (not room_bytes):
            flow.waits = not room_bytes
            if flow.waits:
                self._bucket.close_transfer()
            else:
                self._bucket.open_transfer(self._link_sec(now_sec))
        if not room_bytes:
            flow.next_sec = flow.window.opens_at_sec(now_sec)
            return
        link_sec = self._link_sec(now_sec)
        left_bytes = math.ceil(flow.target_bytes - flow.got_bytes)
        size_bytes = min(self._bucket.quantum_bytes(link_sec), room_bytes, left_bytes)
        flow.grant = self._bucket.reserve(size_bytes, link_sec)
        flow.next_sec = max(now_sec, flow.grant.ready_sec - self._offset_sec)

    def _give_back(self, flow: _PacedFlow) -> None:
        if flow.grant is not None:
            self._bucket.give_back(flow.grant, self._link_sec(self._at_sec))
            flow.grant = None

    def _link_sec(self, at_sec: float) -> float:
        return at_sec + self._offset_sec
