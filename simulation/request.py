"""What `python -m simulation` is asked: the conditions a session met, checked before anything is made of them.

No I/O, no clock, no randomness. Times are seconds since the viewer's command, or since the part looked at began.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cluster.faults import FaultKind

MAX_NODES = 64
MAX_CHUNKS = 400
MAX_CHUNK_BYTES = 64 * 1024 * 1024
MAX_SPAN_SEC = 3600.0

Span = Annotated[float, Field(ge=0, le=MAX_SPAN_SEC, allow_inf_nan=False)]
# A figure of a node may be from before the part that is looked at, as long as the dashboard has listened.
Moment = Annotated[float, Field(allow_inf_nan=False)]
Amount = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)]
PolicyName = Literal["deadline", "score", "round_robin"]
POLICIES: tuple[PolicyName, ...] = ("deadline", "score", "round_robin")


class Part(BaseModel):
    """One object of JSON; what it does not know is an error, so that both sides mean the same."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NodeSeen(Part):
    """What was seen of a node.

    `latencies` are (when, ms); `seconds` (start, bytes, seconds in which it sent or should have); `spells` (fault,
    from, until; None for good); `lacks` (chunk that it answered not to have, until). `known` says that it was pinged
    before.
    """

    url: Annotated[str, Field(min_length=1, max_length=2000)]
    accepts_ranges: bool | None
    bandwidth_mbps: Amount | None
    known: bool
    latencies: Annotated[list[tuple[Moment, Amount]], Field(max_length=4000)]
    seconds: Annotated[list[tuple[Moment, Amount, Annotated[float, Field(ge=0, le=1)]]], Field()]
    spells: Annotated[list[tuple[FaultKind, Span, Moment | None]], Field(max_length=256)]
    lacks: Annotated[list[tuple[int, Span | None]], Field(max_length=256)]


class ChunkSeen(Part):
    """A chunk: `holders` are places in the list of nodes, `parts` which fragment each has; empty for whole copies."""

    number: Annotated[int, Field(ge=0)]
    size_bytes: Annotated[int, Field(gt=0, le=MAX_CHUNK_BYTES)]
    duration_sec: Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]
    holders: Annotated[list[int], Field(min_length=1, max_length=5 * MAX_NODES)]
    parts: Annotated[list[Annotated[int, Field(ge=0, le=4)]], Field(max_length=5 * MAX_NODES)]


class Request(Part):
    """A session's conditions and how it was played; `begin_sec` is when its first byte was asked for."""

    span_sec: Span
    begin_sec: Span
    max_active_chunks: Annotated[int, Field(ge=1, le=64)]
    target_buffer_sec: Annotated[float, Field(gt=0, le=3600)]
    low_water_mark_sec: Annotated[float, Field(ge=0, le=3600)]
    start_playback_sec: Annotated[float, Field(ge=0, le=3600)]
    nodes: Annotated[list[NodeSeen], Field(min_length=1, max_length=MAX_NODES)]
    chunks: Annotated[list[ChunkSeen], Field(min_length=1, max_length=MAX_CHUNKS)]

    @model_validator(mode="after")
    def _fits_together(self) -> Request:
        for chunk in self.chunks:
            if not all(0 <= place < len(self.nodes) for place in chunk.holders):
                raise ValueError(f"chunk {chunk.number}: a holder is no place in the list of nodes")
            if chunk.parts and len(chunk.parts) != len(chunk.holders):
                raise ValueError(f"chunk {chunk.number}: as many parts as holders")
            if chunk.parts and len(set(chunk.parts)) < 3:
                raise ValueError(f"chunk {chunk.number}: fewer than three fragments")
        return self
