"""How soon the planner reacts to faults in virtual time. Pure.

No I/O, no clock, no randomness. A fault is answered when every byte that was on its way from the node at that moment is
asked for elsewhere, has come all the same, or is no longer wanted; a recovery when the node is asked for anything.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from bench.scenarios import FaultEvent
from cluster.faults import FaultKind
from common.messages import FetchRange
from common.units import node_of
from scheduler.bytemap import Span, subtract
from scheduler.commands import Command, SendJob
from scheduler.planner import Event
from simulation.world import World

# Faults that make a node useless at once.
_SUDDEN: frozenset[FaultKind] = frozenset({"down", "silent", "silent_data", "503", "slow", "stall"})
# Just before: a node that goes down resets its connections at that very moment.
_BEFORE_SEC = 1e-9


@dataclass(slots=True)
class _Open:
    """Bytes that were on their way from a node when a fault struck, by lease."""

    at_sec: float
    node_url: str
    spans: dict[str, list[Span]] = field(default_factory=dict)


class Reactions:
    """Follows a world; `after_fault_sec` and `until_used_sec` fill while it runs."""

    def __init__(self) -> None:
        self.after_fault_sec: list[float] = []
        self.until_used_sec: list[float] = []
        self._open: list[_Open] = []
        self._recovered: dict[str, float] = {}

    def follow(self, world: World, node_url: str, fault: FaultEvent) -> None:
        """Note a fault to come."""
        if fault.kind not in _SUDDEN or fault.at_sec <= 0:
            return
        world.agenda.at(fault.at_sec - _BEFORE_SEC, lambda: self._strike(world, node_url))
        if fault.end_sec < math.inf:
            world.agenda.at(fault.end_sec, lambda: self._recover(world, node_url))

    def watch(self, world: World, _event: Event | None, commands: list[Command]) -> None:
        """Look at what the planner has just decided."""
        for command in commands:
            if isinstance(command, SendJob) and isinstance(command.msg, FetchRange):
                self._on_fetch(command.msg, world.now_sec)
        if self._open:
            self._close(world)

    def _strike(self, world: World, node_url: str) -> None:
        found = _Open(world.now_sec, node_url)
        for worker in world.workers.values():
            for read in worker.reads.values():
                request = read.request
                if request.node.url == node_url:
                    request.sync()
                    spans = found.spans.setdefault(read.fetch.lease_id, [])
                    spans.append((request.until, request.end))
        if found.spans:
            self._open.append(found)

    def _recover(self, world: World, node_url: str) -> None:
        self._recovered.setdefault(node_url, world.now_sec)

    def _on_fetch(self, fetch: FetchRange, now_sec: float) -> None:
        url = node_of(fetch.replica.url)
        if url in self._recovered:
            self.until_used_sec.append(now_sec - self._recovered.pop(url))
        for item in self._open:
            spans = item.spans.get(fetch.lease_id)
            if spans is not None and url != item.node_url:
                hole = (fetch.start_bytes, fetch.end_bytes)
                item.spans[fetch.lease_id] = subtract(spans, [hole])

    def _close(self, world: World) -> None:
        leases = {lease for w in world.workers.values() for lease in w.assemblies}
        for item in list(self._open):
            for lease, spans in item.spans.items():
                lacking = self._lacking(world, lease) if lease in leases else []
                item.spans[lease] = _common(spans, lacking)
            if not any(item.spans.values()):
                self._open.remove(item)
                self.after_fault_sec.append(world.now_sec - item.at_sec)

    def _lacking(self, world: World, lease_id: str) -> list[Span]:
        """Return what has not come yet of any part of a chunk."""
        for worker in world.workers.values():
            assembly = worker.assemblies.get(lease_id)
            if assembly is not None:
                parts = assembly.parts.values()
                return [span for part in parts for span in part.missing_within(0, part.size)]
        return []


def _common(spans: list[Span], others: list[Span]) -> list[Span]:
    return subtract(spans, subtract(spans, others))
