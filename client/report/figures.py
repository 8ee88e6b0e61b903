"""Everything a report shows, as plain values. No I/O, no clock, no randomness."""

from __future__ import annotations

from dataclasses import dataclass

from client.recording.values import End, Header
from client.report.curves import Level
from client.report.stalls import Span, Stall
from common.stack_state import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelFigures:
    """The buffer level over time, and the marks it is kept between."""

    points: tuple[tuple[float, Level], ...]
    target_sec: float
    low_water_sec: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RateFigures:
    """What nodes delivered: a row for each `width_sec` from the start, a column for each name and one for others."""

    width_sec: float
    names: tuple[str, ...]
    rows_mbps: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkFigures:
    """One chunk: who delivered how much of it, who failed, and when it was there."""

    sequence_num: int
    chunk_id: str
    state: str
    size_bytes: int
    duration_sec: float
    sources: tuple[tuple[str, int], ...]
    failures: tuple[tuple[str, int], ...]
    held_sec: float | None

    @property
    def retries(self) -> int:
        """How many ranges of it ended badly."""
        return sum(count for _, count in self.failures)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFigures:
    """One node: `delivered_bytes` are in chunks that were delivered, `received_bytes` all that came from it."""

    node_url: str
    delivered_bytes: int
    share_ratio: float
    chunks: int
    received_bytes: int
    goodput_mbps: float | None
    ping_ms: float | None
    first_byte_ms: float | None
    failures: tuple[tuple[str, int], ...]
    suspensions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFigures:
    """Something that was said."""

    at_sec: float
    kind: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A measured time beside the least it could have been, None where nobody knows; `text` says how, or why not."""

    name: str
    measured_sec: float | None
    floor_sec: float | None
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """A whole report; `summary` has the keys of the command's own summary.

    Times count from the command. The session's own clock, which its startup latency is taken from, begins
    `queued_sec` later: as long as the command waited for the buffer process to start.
    """

    header: Header
    end: End | None
    summary: Json
    title: str
    output: str
    total_chunks: int
    length_sec: float
    queued_sec: float
    level: LevelFigures
    rates: RateFigures
    spans: tuple[Span, ...]
    stalls: tuple[Stall, ...]
    stalls_left_out: int
    chunks: tuple[ChunkFigures, ...]
    nodes: tuple[NodeFigures, ...]
    nodes_left_out: int
    events: tuple[EventFigures, ...]
    events_left_out: int
    comparisons: tuple[Comparison, ...]
    lost_records: int
