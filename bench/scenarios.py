"""What the bench and the simulation play: links, films, faults over time. Pure data, no I/O."""

from __future__ import annotations

from dataclasses import dataclass

from cluster.faults import FaultKind
from cluster.profiles import LinkProfile


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultEvent:
    """A fault of node `node` (from 0) `at_sec` after the manifest request; None as `for_sec` means for good.

    `chunk` narrows the fault "missing" to one chunk (sequence number).
    """

    node: int
    kind: FaultKind
    at_sec: float = 0.0
    for_sec: float | None = None
    chunk: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A film on nodes behind links, and what goes wrong while it plays.

    `replicas` of None puts every chunk on every node; otherwise chunk i lies on `replicas` nodes from node i on, in
    turn. `coded` stores 3+2 fragments on five nodes instead. `dead_first` lists a node that is down before others.
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
