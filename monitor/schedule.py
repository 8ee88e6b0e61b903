"""Which nodes are pinged when. No I/O, no clock: time and rng are arguments."""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections import deque
from dataclasses import dataclass

# Ratio. Clients started together must not ping in step.
JITTER_RATIO = 0.1
# Probes in flight. A thousand nodes pinged every 3 s with 200 ms each need 67; the bound keeps a start with many nodes
# from connecting to all of them at once.
MAX_IN_FLIGHT = 256
# Nodes that did not answer last time wait for a timeout each: they get at most half, so that they
# never delay others.
MAX_SUSPECTS_IN_FLIGHT = 128


@dataclass(slots=True)
class _Timer:
    ticket: int
    suspect: bool
    is_new: bool


class PingSchedule:
    """A timer for each node, and at most one probe of a node in flight."""

    def __init__(
        self,
        *,
        interval_sec: float,
        rng: random.Random,
        max_in_flight: int = MAX_IN_FLIGHT,
        max_suspects_in_flight: int = MAX_SUSPECTS_IN_FLIGHT,
        second_after_sec: float = math.inf,
    ) -> None:
        """`second_after_sec` is how soon a new node that answered is probed again, if sooner than usual."""
        self._interval_sec = interval_sec
        self._rng = rng
        self._max_in_flight = max_in_flight
        self._max_suspects_in_flight = max_suspects_in_flight
        self._second_after_sec = second_after_sec
        self._tickets = itertools.count()
        self._timers: dict[str, _Timer] = {}
        self._heap: list[tuple[float, int, str]] = []
        self._waiting: deque[tuple[int, str]] = deque()
        self._waiting_suspects: deque[tuple[int, str]] = deque()
        self._in_flight: dict[str, tuple[float, bool]] = {}
        self._suspects_in_flight = 0

    def add(self, node_url: str, now_sec: float) -> None:
        """Ping a node from now on; one that is known already keeps its timer."""
        if node_url not in self._timers:
            self._timers[node_url] = _Timer(-1, suspect=False, is_new=True)
            if node_url not in self._in_flight:
                self._arm(node_url, now_sec)

    def remove(self, node_url: str) -> None:
        """Ping a node no more; a probe in flight may still finish."""
        self._timers.pop(node_url, None)

    def _arm(self, node_url: str, due_sec: float) -> None:
        ticket = next(self._tickets)
        self._timers[node_url].ticket = ticket
        heapq.heappush(self._heap, (due_sec, ticket, node_url))

    def _is_current(self, ticket: int, node_url: str) -> bool:
        timer = self._timers.get(node_url)
        return timer is not None and timer.ticket == ticket

    def due(self, now_sec: float) -> list[str]:
        """Return the nodes to probe now; they are in flight until `finished`.

        A node whose turn finds no room is returned by a later call.
        """
        while self._heap and self._heap[0][0] <= now_sec:
            _, ticket, node_url = heapq.heappop(self._heap)
            if self._is_current(ticket, node_url):
                suspect = self._timers[node_url].suspect
                (self._waiting_suspects if suspect else self._waiting).append((ticket, node_url))
        chosen: list[str] = []
        while self._waiting and len(self._in_flight) < self._max_in_flight:
            self._take(self._waiting.popleft(), now_sec, chosen)
        while (
            self._waiting_suspects
            and len(self._in_flight) < self._max_in_flight
            and self._suspects_in_flight < self._max_suspects_in_flight
        ):
            self._take(self._waiting_suspects.popleft(), now_sec, chosen)
        return chosen

    def _take(self, turn: tuple[int, str], now_sec: float, chosen: list[str]) -> None:
        ticket, node_url = turn
        if not self._is_current(ticket, node_url):
            return
        suspect = self._timers[node_url].suspect
        self._in_flight[node_url] = (now_sec, suspect)
        self._suspects_in_flight += suspect
        chosen.append(node_url)

    def finished(self, node_url: str, *, answered: bool, now_sec: float) -> None:
        """A probe is over; the next one is due one interval after it began."""
        started_sec, suspect = self._in_flight.pop(node_url, (now_sec, False))
        self._suspects_in_flight -= suspect
        timer = self._timers.get(node_url)
        if timer is not None:
            timer.suspect = not answered
            length_sec = self._interval_sec
            if answered and timer.is_new:
                timer.is_new, length_sec = False, min(length_sec, self._second_after_sec)
            wait_sec = length_sec * self._rng.uniform(1 - JITTER_RATIO, 1 + JITTER_RATIO)
            self._arm(node_url, max(now_sec, started_sec + wait_sec))

    def overdue(self, now_sec: float, limit_sec: float) -> list[str]:
        """Return nodes whose probe has been in flight for longer than `limit_sec`."""
        return [
            node_url
            for node_url, (started_sec, _) in self._in_flight.items()
            if now_sec - started_sec > limit_sec
        ]

    def next_due_sec(self) -> float | None:
        """Return when `due` is worth a call again.

        None: not before a probe finishes or a node is added.
        """
        return self._heap[0][0] if self._heap else None
