"""What goes wrong at a node, and when. Pure data.

No I/O, no clock, no randomness.
"""

from __future__ import annotations

from dataclasses import dataclass

from cluster.faults import FaultKind


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultEvent:
    """A fault of node `node` (from 0) `at_sec` after the manifest request; None as `for_sec` means for good.

    At 0 it is in force before the manifest is asked for. `chunk` narrows the fault "missing" to one chunk (sequence
    number).
    """

    node: int
    kind: FaultKind
    at_sec: float = 0.0
    for_sec: float | None = None
    chunk: int | None = None

    @property
    def end_sec(self) -> float:
        """When it is over; infinity for never."""
        return float("inf") if self.for_sec is None else self.at_sec + self.for_sec
