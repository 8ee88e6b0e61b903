"""What the planner asks its shell to do. No I/O, no clock, no randomness."""

from __future__ import annotations

from dataclasses import dataclass

from common.messages import (
    CancelRange,
    ChunkTrouble,
    ChunkVerdict,
    CloseChunk,
    DiscardRange,
    EventKind,
    FetchRange,
    OpenChunk,
    ResizeRange,
    Transfer,
    WarmNodes,
)

JobMessage = (
    OpenChunk | FetchRange | ResizeRange | CancelRange | DiscardRange | CloseChunk | WarmNodes
)


@dataclass(frozen=True, slots=True)
class SendJob:
    """Send a message to a worker's inbox."""

    jobs_endpoint: str
    msg: JobMessage


@dataclass(frozen=True, slots=True)
class TellBuffer:
    """Tell the buffer that a chunk cannot be had for now."""

    msg: ChunkTrouble


@dataclass(frozen=True, slots=True)
class PublishTransfer:
    """Publish an ended range."""

    msg: Transfer


@dataclass(frozen=True, slots=True)
class PublishVerdict:
    """Publish whether a chunk was right, and whose bytes it was made of."""

    msg: ChunkVerdict


@dataclass(frozen=True, slots=True)
class Announce:
    """Publish something a viewer wants to read."""

    session_id: str
    kind: EventKind
    text: str


@dataclass(frozen=True, slots=True)
class ForgetWorker:
    """Close what leads to a worker that is gone."""

    jobs_endpoint: str


Command = SendJob | TellBuffer | PublishTransfer | PublishVerdict | Announce | ForgetWorker
