"""What a figure of the metrics is: its name, its meaning, and where it is read. No I/O, no clock.

Names are in base units (seconds, bytes, ratios 0-1); those of counters end in `_total`. A figure that its
source does not know is None and is left out: it is never made up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

Source = TypeVar("Source")


@dataclass(frozen=True, slots=True)
class Figure(Generic[Source]):
    """One number of a source."""

    name: str
    text: str
    read: Callable[[Source], float | None]
    label: ClassVar[str] = ""

    def values(self, source: Source) -> Mapping[tuple[str, ...], float | None]:
        """Return the value under no further label."""
        return {(): self.read(source)}


@dataclass(frozen=True, slots=True)
class Split(Generic[Source]):
    """Numbers of a source that differ in one more label."""

    name: str
    text: str
    label: str
    read: Callable[[Source], Mapping[str, float]]

    def values(self, source: Source) -> Mapping[tuple[str, ...], float | None]:
        """Return the values by the value of the further label."""
        return {(key,): value for key, value in self.read(source).items()}


@dataclass(frozen=True, slots=True)
class Group(Generic[Source]):
    """Figures of one kind of source, and the labels that tell sources of this kind apart."""

    labels: tuple[str, ...]
    figures: tuple[Figure[Source] | Split[Source], ...]


def one_of(options: tuple[str, ...], chosen: str) -> dict[str, float]:
    """Return 1 for the option chosen and 0 for the others."""
    return {option: float(option == chosen) for option in options}
