"""The connections of a worker in virtual time, kept as `scheduler.connections` keeps them. No I/O, no clock."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from cluster.slow_start import CongestionWindow
from simulation.nodes import SimNode


@dataclass(frozen=True, slots=True, eq=False)
class Connection:
    """A connection: how often its node had reset all by then, and how much may be on the way."""

    resets: int
    cold: bool
    window: CongestionWindow = field(default_factory=CongestionWindow)


class Connections:
    """Idle connections by node; the one used last is taken first.

    With `warm` one is set up already whenever none is left; it has its first window still.
    """

    def __init__(self, nodes: Mapping[str, SimNode], *, warm: bool) -> None:
        self._nodes, self._warm = nodes, warm
        self._idle: dict[str, list[Connection]] = defaultdict(list)

    def take(self, url: str) -> Connection:
        """Take an idle connection, or set one up."""
        resets, idle = self._nodes[url].resets, self._idle[url]
        while idle:
            kept = idle.pop()
            if kept.resets == resets:
                return kept
        return Connection(resets, cold=not self._warm)

    def keep(self, url: str, used: Connection) -> None:
        """Put a connection back that can be used again."""
        self._idle[url].append(Connection(used.resets, cold=False, window=used.window))
