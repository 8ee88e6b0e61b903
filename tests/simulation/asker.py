"""A buffer that wants a few chunks: asks at once, each second and whenever one has come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from bench.world import World
from common.messages import ChunkSpec
from tests.builders import a_demand

DEMAND_SEC = 1.0


class Asker:
    """Wants `chunks` until they are delivered or dropped."""

    def __init__(self, world: World, chunks: Sequence[ChunkSpec]) -> None:
        self.wanted = list(chunks)
        self.delivered: Counter[str] = Counter()
        self._world = world
        world.on_delivery = self._on_delivery
        self._ask()
        world.agenda.every(DEMAND_SEC, self._ask, first_sec=DEMAND_SEC)

    @property
    def satisfied(self) -> bool:
        return not self.wanted

    def drop(self, number: int) -> str | None:
        """Want a chunk no longer; return its id if it was wanted."""
        for chunk in self.wanted:
            if chunk.sequence_num == number:
                self.wanted.remove(chunk)
                self._ask()
                return chunk.chunk_id
        return None

    def close(self) -> None:
        """Say that the session is over."""
        self.wanted.clear()
        self._world.ask(a_demand(closed=True))

    def _ask(self) -> None:
        if self.wanted:
            self._world.ask(a_demand(*self.wanted, low_water_mark_sec=15.0))

    def _on_delivery(self, _session_id: str, chunk: ChunkSpec) -> None:
        self.delivered[chunk.chunk_id] += 1
        self.wanted = [c for c in self.wanted if c.chunk_id != chunk.chunk_id]
        self._world.ask(a_demand(*self.wanted, low_water_mark_sec=15.0))
