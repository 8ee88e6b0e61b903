"""What a scenario is made of: links, a film, faults over time. Pure data."""

from __future__ import annotations

from dataclasses import dataclass

from cluster.profiles import LinkProfile
from simulation.fault_events import FaultEvent as FaultEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A film on nodes behind links, and what goes wrong while it plays.

    `replicas` of None puts every chunk on every node; otherwise chunk i lies on `replicas` nodes from node i on, in
    turn. `coded` stores 3+2 fragments on five nodes instead: fragment f of every chunk on node f.
    """

    name: str
    title: str
    nodes: tuple[LinkProfile, ...]
    chunks: int
    chunk_bytes: int
    chunk_sec: float
    replicas: int | None = None
    coded: bool = False
    faults: tuple[FaultEvent, ...] = ()
    # Its nodes are up, honest and answer ranges: the stricter bound holds.
    healthy: bool = False

    @property
    def film_sec(self) -> float:
        """How long the film lasts."""
        return self.chunks * self.chunk_sec

    @property
    def whole_bodies(self) -> bool:
        """Whether no node answers ranges, so that a chunk comes from one node at best."""
        return all(node.no_range for node in self.nodes)

    def nodes_of(self, chunk: int) -> tuple[int, ...]:
        """Return the nodes on which a chunk lies, in the manifest's order."""
        count = len(self.nodes)
        copies = count if self.replicas is None else self.replicas
        return tuple((chunk + turn) % count if copies < count else turn for turn in range(copies))
