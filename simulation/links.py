"""A link in virtual time: transfers under way at the same time share its rate evenly. Pure.

No I/O, no clock, no randomness. Fluid: between two looks each flow has got its share of what the schedule carried.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from cluster.shaping import RateSchedule

# Bytes come in packets; less than one of them is not heard.
PACKET_BYTES = 1448
# Looks this close together need no exact time of the last packet.
_CLOSE_SEC = 0.02
# Rounding of byte counts of about 1e7.
EPSILON_BYTES = 1e-3


@dataclass(slots=True, eq=False)
class Flow:
    """A body on its way: `got_bytes` of it have come, at `target_bytes` somebody must look."""

    target_bytes: float
    heard_sec: float
    got_bytes: float = 0.0

    @property
    def due(self) -> bool:
        return self.got_bytes >= self.target_bytes - EPSILON_BYTES


class Link:
    """One node's link. `schedule` begins `offset_sec` before time 0; `rate_ratio` is the share that faults leave."""

    def __init__(self, schedule: RateSchedule, *, offset_sec: float = 0.0) -> None:
        self._schedule = schedule
        self._offset_sec = offset_sec
        self._rate_ratio = 1.0
        self._at_sec = 0.0
        self.flows: list[Flow] = []

    def set_rate_ratio(self, rate_ratio: float, now_sec: float) -> None:
        """Change the share of its rate that the link keeps, 0 for a standstill."""
        self.advance(now_sec)
        self._rate_ratio = rate_ratio

    def open(self, target_bytes: float, now_sec: float) -> Flow:
        """Begin a transfer."""
        self.advance(now_sec)
        flow = Flow(target_bytes=target_bytes, heard_sec=now_sec)
        self.flows.append(flow)
        return flow

    def close(self, flow: Flow, now_sec: float) -> None:
        """End a transfer, however far it came."""
        self.advance(now_sec)
        if flow in self.flows:
            self.flows.remove(flow)

    def advance(self, now_sec: float) -> None:
        """Let bytes flow up to now."""
        from_sec = self._at_sec
        if now_sec <= from_sec:
            return
        self._at_sec = now_sec
        count = len(self.flows)
        if not count or self._rate_ratio <= 0:
            return
        carried_before = self._carried(from_sec)
        carried = self._carried(now_sec) - carried_before
        if carried <= 0:
            return
        share = carried * self._rate_ratio / count
        for flow in self.flows:
            before = flow.got_bytes
            flow.got_bytes = min(before + share, max(before, flow.target_bytes))
            packets = (flow.got_bytes + EPSILON_BYTES) // PACKET_BYTES
            if packets > before // PACKET_BYTES or flow.due:
                flow.heard_sec = now_sec
                if now_sec - from_sec > _CLOSE_SEC:
                    last = min(packets * PACKET_BYTES, flow.got_bytes) if packets else share
                    needed = max(0.0, last - before) * count / self._rate_ratio
                    heard_sec = self._schedule.time_when(carried_before + needed) - self._offset_sec
                    flow.heard_sec = min(now_sec, max(from_sec, heard_sec))

    def next_due_sec(self) -> float:
        """Return when the next flow reaches its target if nothing changes; infinity for never."""
        if not self.flows or self._rate_ratio <= 0:
            return math.inf
        left = min(flow.target_bytes - flow.got_bytes for flow in self.flows)
        if left <= EPSILON_BYTES:
            return self._at_sec
        needed = left * len(self.flows) / self._rate_ratio
        carried = self._carried(self._at_sec)
        return max(self._at_sec, self._schedule.time_when(carried + needed) - self._offset_sec)

    def _carried(self, at_sec: float) -> float:
        return self._schedule.bytes_until(at_sec + self._offset_sec)
