"""What a session asks its shell to do, and the options it was given. No I/O, no clock, no randomness."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from buffer.store import HeldChunk
from common.messages import EventKind, OnMissing, Policy, WantedChunk


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOptions:
    """What the viewer asked for."""

    paced: bool = True
    can_seek: bool = True
    # Nothing is played before a player takes it, nor while none is there.
    awaits_viewer: bool = False
    # How much of what was played stays within reach of players.
    keep_bytes: int = 0
    on_missing: OnMissing = "wait"
    give_up_sec: float = 60.0
    target_buffer_sec: float = 30.0
    low_water_mark_sec: float = 15.0
    start_playback_sec: float = 10.0
    max_buffer_bytes: int | None = None
    policy: Policy = "deadline"


@dataclass(frozen=True, slots=True)
class Ask:
    """Tell the scheduler what is wanted now."""

    wanted: tuple[WantedChunk, ...]


@dataclass(frozen=True, slots=True)
class HandOver:
    """Give a chunk to the output; the chunk is no longer in the store."""

    chunk: HeldChunk


@dataclass(frozen=True, slots=True)
class SkipInOutput:
    """Leave a hole in the output."""

    sequence_num: int
    duration_sec: float


@dataclass(frozen=True, slots=True)
class Spill:
    """Put a held chunk on disk."""

    chunk: HeldChunk


@dataclass(frozen=True, slots=True)
class CloseOutput:
    """End the output; `complete` says that the film is whole."""

    complete: bool


@dataclass(frozen=True, slots=True)
class RefreshManifest:
    """Ask the metadata service for fresh replicas."""


@dataclass(frozen=True, slots=True)
class CountView:
    """Tell the metadata service that somebody watches."""


@dataclass(frozen=True, slots=True)
class Tell:
    """Say something to the viewer."""

    kind: EventKind
    text: str


Command = Ask | HandOver | SkipInOutput | Spill | CloseOutput | RefreshManifest | CountView | Tell
Outcome = Literal["", "played", "stopped", "failed", "holes"]
