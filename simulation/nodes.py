"""A storage node in virtual time: answers requests over its link, as its faults allow.

No I/O, no clock; randomness comes from the `rng` handed in. `Request` is both ends of one HTTP request: what
`scheduler.fetcher` reads and what `cluster.exchange` sends.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cluster.faults import FaultKind, body_limit_bytes, rate_ratio, withholds_answer
from cluster.profiles import LinkProfile
from cluster.shaping import RateSchedule
from cluster.slow_start import CongestionWindow
from common.messages import RangeOutcome
from simulation.agenda import Agenda
from simulation.fault_events import FaultEvent
from simulation.links import EPSILON_BYTES, Flow, Link
from simulation.paced_links import PacedLink
from simulation.rates import rtt_sec, schedule_of

# Told (from, until, whether they are wrong) for bytes of use that have come.
Sink = Callable[[int, int, bool], None]


@dataclass(slots=True, kw_only=True)
class Wish:
    """What a worker asks for: bytes [start, end) of a part of `part_bytes` of chunk `number`."""

    number: int
    start: int
    end: int
    part_bytes: int
    silence_sec: float
    asks_range: bool
    cold: bool
    # Of the connection that is used; it counts only where the link has slow start.
    window: CongestionWindow | None = None


class Request:
    """One read, from the request to its end; `on_end` is called once, unless it is `forget` that ends it."""

    def __init__(
        self,
        node: SimNode,
        wish: Wish,
        *,
        sink: Sink,
        on_head: Callable[[bool], None],
        on_end: Callable[[RangeOutcome, str], None],
    ) -> None:
        self.node, self.wish = node, wish
        self.end, self.until = wish.end, wish.start
        self.received_bytes = 0
        self.honoured: bool | None = None
        self.first_byte_sec: float | None = None
        self.begun_sec = node.agenda.now_sec
        self.over = False
        # Whether the connection can be used again.
        self.reusable = False
        self._sink, self._on_head, self._on_end = sink, on_head, on_end
        self._flow: Flow | None = None
        self._base = 0
        self._body_bytes = 0
        self._answer_due = False
        connect_sec = node.round_trip_sec() if wish.cold else 0.0
        self._heard_sec = self.begun_sec + connect_sec
        self._cut_sec = node.profile.cut_response_after_sec
        if node.kind == "down":
            node.agenda.after(node.round_trip_sec(), lambda: self._finish("refused"))
            return
        node.agenda.after(connect_sec + node.answer_sec(), self._answer)
        node.agenda.at(self._heard_sec + wish.silence_sec, self._check_silence)
        if self._cut_sec is not None:
            node.agenda.after(connect_sec + self._cut_sec, self._cut)

    # ------------------------------------------------------------ the client's wishes

    def resize(self, end: int) -> None:
        """Move the end, as `RangeRead.resize` does."""
        self.sync()
        goes_on = not self.wish.asks_range or self.honoured is False
        if self.over or (end > self.end and not goes_on):
            return
        self.end = min(end, self.wish.part_bytes)
        if self.until >= self.end:
            self._finish("complete")
        else:
            self._aim()

    def cancel(self) -> None:
        """Stop reading."""
        self.sync()
        self._finish("cancelled")

    def forget(self) -> None:
        """Vanish without a word: its worker died."""
        self.over = True
        self._close()

    def sync(self) -> None:
        """Take note of the bytes that have come by now."""
        flow = self._flow
        if self.over or flow is None:
            return
        self.node.link.advance(self.node.agenda.now_sec)
        received = int(flow.got_bytes + EPSILON_BYTES)
        self.received_bytes = received
        until = min(self._base + received, self.end)
        if until > self.until:
            before, self.until = self.until, until
            self._sink(before, until, self.node.kind == "corrupt")

    # ------------------------------------------------------------ the node's doings

    def fault_changed(self) -> None:
        """Take note of another fault of the node; `sync` was called before it changed."""
        if self.over:
            return
        if self.node.kind == "down":
            self._finish("broken" if self.received_bytes else "refused")
        elif self._answer_due:
            self._answer()
        elif self._flow is not None:
            self._aim()

    def reached(self) -> None:
        """The flow has come as far as somebody wanted to know."""
        self.sync()
        if self.over:
            return
        if self.until >= self.end:
            flow = self._flow
            self.reusable = flow is not None and self.received_bytes >= self._body_bytes
            self._finish("complete")
        elif self.node.kind == "truncate":
            self._finish("short")
        else:
            # Half a body and then nothing: the connection stays open.
            self._heard_sec = self.node.agenda.now_sec
            self._close()

    def _answer(self) -> None:
        node, wish = self.node, self.wish
        if self.over:
            return
        if withholds_answer(node.kind, is_data=True):
            self._answer_due = True
            return
        self._answer_due = False
        now_sec = node.agenda.now_sec
        self._heard_sec = now_sec
        self.first_byte_sec = now_sec - self.begun_sec
        if node.kind == "503" or node.lacks(wish.number):
            self.reusable = True
            self._finish("unavailable" if node.kind == "503" else "missing")
            return
        honoured = wish.asks_range and not node.profile.no_range
        if honoured:
            self.honoured, self._base = True, wish.start
            self._body_bytes = wish.end - wish.start
        else:
            self._base, self._body_bytes = 0, wish.part_bytes
            if wish.asks_range:
                # All of the body is of use.
                self.honoured = False
                self.until, self.end = 0, wish.part_bytes
        self._flow = node.open_flow(self._body_bytes, wish.window)
        self._aim()
        self._on_head(honoured)

    def _aim(self) -> None:
        """Say how far the flow runs until somebody must look: to the end wanted, or where a fault ends it."""
        flow = self._flow
        if flow is None:
            return
        limit = body_limit_bytes(self.node.kind, self._body_bytes)
        flow.target_bytes = min(self.end - self._base, limit)
        self.node.replan()

    def _check_silence(self) -> None:
        if self.over:
            return
        self.sync()
        if self._flow is not None:
            self._heard_sec = max(self._heard_sec, self._flow.heard_sec)
        due_sec = self._heard_sec + self.wish.silence_sec
        if due_sec <= self.node.agenda.now_sec + 1e-6:
            self._finish("silent")
        else:
            self.node.agenda.at(due_sec, self._check_silence)

    def _cut(self) -> None:
        self.sync()
        if not self.over:
            self._finish("short" if self.first_byte_sec is not None else "refused")

    def _finish(self, outcome: RangeOutcome) -> None:
        if self.over:
            return
        self.over = True
        self._close()
        if self.until >= self.end:
            outcome = "complete"
        detail = "" if outcome in ("complete", "cancelled") else outcome
        self._on_end(outcome, detail)

    def _close(self) -> None:
        if self._flow is not None:
            self.node.link.close(self._flow, self.node.agenda.now_sec)
            self._flow = None
        self.node.requests.pop(self, None)
        self.node.replan()

    @property
    def due(self) -> bool:
        """Whether its flow has reached its target."""
        return self._flow is not None and self._flow.due


class SimNode:
    """One node: its link, its faults, the requests it answers."""

    def __init__(
        self,
        url: str,
        profile: LinkProfile,
        faults: Sequence[FaultEvent],
        *,
        agenda: Agenda,
        rng: random.Random,
        schedule: RateSchedule | None = None,
    ) -> None:
        """`schedule` replaces the rates that the profile names."""
        self.url, self.profile, self.agenda = url, profile, agenda
        self._schedule = schedule or schedule_of(profile)
        offset_sec = profile.trace_offset_sec
        self.link: Link | PacedLink = Link(self._schedule, offset_sec=offset_sec)
        if profile.slow_start:
            self.link = PacedLink(self._schedule, self._rtt_at, offset_sec=offset_sec)
        self.faults = tuple(faults)
        self.kind: FaultKind = "none"
        # How often its connections were reset.
        self.resets = 0
        self.requests: dict[Request, None] = {}
        self._rng = rng
        self._plan = 0
        for fault in self.faults:
            for at_sec in (fault.at_sec, fault.end_sec):
                if 0 < at_sec < float("inf"):
                    agenda.at(at_sec, self._change)
        self._change()

    def request(
        self,
        wish: Wish,
        *,
        sink: Sink,
        on_head: Callable[[bool], None],
        on_end: Callable[[RangeOutcome, str], None],
    ) -> Request:
        """Begin a read."""
        request = Request(self, wish, sink=sink, on_head=on_head, on_end=on_end)
        self.requests[request] = None
        return request

    def round_trip_sec(self) -> float:
        """Return the link's round trip now."""
        return self._rtt_at(self.agenda.now_sec)

    def open_flow(self, size_bytes: int, window: CongestionWindow | None) -> Flow:
        """Begin to send a body over the connection with this window."""
        if isinstance(self.link, PacedLink):
            return self.link.open(size_bytes, self.agenda.now_sec, window)
        return self.link.open(size_bytes, self.agenda.now_sec)

    def answer_sec(self) -> float:
        """Return how long an answer takes over an open connection."""
        return self.round_trip_sec() + self._rng.uniform(0.0, self.profile.jitter_ms / 1000)

    def answers_pings(self) -> bool:
        """Whether a ping is answered now."""
        return self.kind not in ("down", "silent")

    def lacks(self, number: int) -> bool:
        """Whether a chunk cannot be had here now."""
        now_sec = self.agenda.now_sec
        return any(
            f.kind == "missing" and f.chunk in (None, number) and f.at_sec <= now_sec < f.end_sec
            for f in self.faults
        )

    def _rtt_at(self, at_sec: float) -> float:
        return rtt_sec(self.profile, self._schedule, at_sec)

    def replan(self) -> None:
        """Look again when the next flow comes to its target."""
        self._plan += 1
        plan = self._plan
        due_sec = self.link.next_due_sec()
        if due_sec < float("inf"):
            self.agenda.at(due_sec, lambda: self._look(plan))

    def _look(self, plan: int) -> None:
        if plan != self._plan:
            return
        self.link.advance(self.agenda.now_sec)
        for request in [r for r in self.requests if r.due]:
            request.reached()
        if plan == self._plan:
            self.replan()

    def _change(self) -> None:
        """Put the fault of this moment in force; the latest of several wins."""
        now_sec = self.agenda.now_sec
        for request in self.requests:
            request.sync()
        current = [f for f in self.faults if f.at_sec <= now_sec < f.end_sec and f.chunk is None]
        self.kind = max(current, key=lambda f: f.at_sec).kind if current else "none"
        halted = withholds_answer(self.kind, is_data=True)
        self.link.set_rate_ratio(0.0 if halted else rate_ratio(self.kind), now_sec)
        if self.kind == "down":
            self.resets += 1
        for request in list(self.requests):
            request.fault_changed()
        self.replan()
