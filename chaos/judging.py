"""What a run has to show, and how many of them did. No I/O, no clock."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from chaos.schedule import Strike


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run: what struck, how the command ended, and what it left behind.

    `frames` are the output's pictures that agree with the source's, in order, of `expected_frames`. `back_sec` is how
    long each killed process was away, by its module.
    """

    seed: int
    strikes: tuple[Strike, ...]
    exit_code: int
    message: str
    frames: int
    found_frames: int
    expected_frames: int
    rebuffering_events: int
    stalled_sec: float
    left_processes: tuple[str, ...] = ()
    left_files: tuple[str, ...] = ()
    back_sec: tuple[tuple[str, float], ...] = ()

    def faults(self) -> list[str]:
        """Return what is wrong with it, in words; nothing when it is right."""
        wrong = []
        if self.exit_code:
            wrong.append(f"exit code {self.exit_code}: {self.message}")
        if not self.frames == self.found_frames == self.expected_frames:
            wrong.append(
                f"{self.found_frames} pictures, the first {self.frames} are the source's, "
                f"which has {self.expected_frames}"
            )
        if self.rebuffering_events:
            wrong.append(f"{self.rebuffering_events} stalls, {self.stalled_sec:.2f} s")
        wrong += [f"left behind: {what}" for what in (*self.left_processes, *self.left_files)]
        return wrong


@dataclass(slots=True)
class Tally:
    """All runs so far."""

    runs: list[Run] = field(default_factory=list)

    @property
    def right(self) -> int:
        """How many runs have no fault."""
        return sum(not run.faults() for run in self.runs)

    def median_back_sec(self, module: str) -> float | None:
        """Return how long a killed process of this kind was away, None when none was killed."""
        return _median([s for run in self.runs for name, s in run.back_sec if name == module])

    def lines(self) -> list[str]:
        """Return the summary for people."""
        made = [f"{self.right} of {len(self.runs)} runs right"]
        for module in sorted({name for run in self.runs for name, _ in run.back_sec}):
            count = sum(name == module for run in self.runs for name, _ in run.back_sec)
            made.append(
                f"{module}: killed {count} times, back after {self.median_back_sec(module):.2f} s"
                " (median)"
            )
        return made


def agreeing(found: Sequence[int], expected: Sequence[int]) -> int:
    """Return how many pictures from the beginning on are the same."""
    count = 0
    for one, other in zip(found, expected, strict=False):
        if one != other:
            break
        count += 1
    return count


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None
