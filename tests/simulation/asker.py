"""A buffer that wants a few chunks: asks at once, each second and whenever one has come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

from common.messages import ChunkSpec, Demand, Policy
from simulation.agenda import Agenda
from tests.builders import a_demand

DEMAND_SEC = 1.0


class Asked(Protocol):
    """A world, simulated or real."""

    agenda: Agenda
    on_delivery: Callable[[str, ChunkSpec], None]

    def ask(self, demand: Demand) -> None:
        """Send a demand to the scheduler."""


class Asker:
    """Wants `chunks` until they are delivered or dropped."""

    def __init__(
        self, world: Asked, chunks: Sequence[ChunkSpec], *, policy: Policy = "deadline"
    ) -> None:
        self.wanted = list(chunks)
        self.delivered: Counter[str] = Counter()
        self._world, self._policy = world, policy
        world.on_delivery = self._on_delivery
        self._ask()
        world.agenda.every(DEMAND_SEC, self._repeat, first_sec=DEMAND_SEC)

    @property
    def satisfied(self) -> bool:
        return not self.wanted

    def drop(self, number: int) -> str | None:
        """Want a chunk no longer; return its id if it was wanted."""
        for chunk in self.wanted:
            if chunk.sequence_num == number:
                self.wanted.remove(chunk)
                self._repeat()
                return chunk.chunk_id
        return None

    def close(self) -> None:
        """Say that the session is over."""
        self.wanted.clear()
        self._world.ask(a_demand(closed=True))

    def _repeat(self) -> None:
        if self.wanted:
            self._ask()

    def _ask(self) -> None:
        demand = a_demand(*self.wanted, low_water_mark_sec=15.0, policy=self._policy)
        self._world.ask(demand)

    def _on_delivery(self, _session_id: str, chunk: ChunkSpec) -> None:
        self.delivered[chunk.chunk_id] += 1
        self.wanted = [c for c in self.wanted if c.chunk_id != chunk.chunk_id]
        self._ask()
