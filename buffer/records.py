"""What became of a chunk, for the chunk map. No I/O, no clock, no randomness."""

from __future__ import annotations

from dataclasses import dataclass

from common.messages import SourceShare


@dataclass(slots=True)
class Record:
    """A chunk that came, and from where."""

    size_bytes: int
    duration_sec: float
    sources: tuple[SourceShare, ...]
    played: bool = False
