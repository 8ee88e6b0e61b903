"""A recording as the messages it was made of, second by second. No I/O, no clock, no randomness."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from client.recording.chunk_maps import ChunkFolder
from client.recording.records import Record
from client.recording.values import ChunkChanges
from common.messages import (
    ChunkVerdict,
    LogEvent,
    NodeScores,
    SchedulerStatus,
    SessionStatus,
    Transfer,
)
from common.stack_state import Folded

TICK_SEC = 1


class Step(NamedTuple):
    """What happens at a time after the start: a message, or None for the tick of a second."""

    at_sec: float
    msg: Folded | None


def steps(records: Iterable[Record]) -> Iterator[Step]:
    """Yield what whoever watched the session live was told, with the seconds in between."""
    folder = ChunkFolder()
    tick_sec = TICK_SEC
    for at_sec, item, _ in records:
        while tick_sec <= at_sec:
            yield Step(tick_sec, None)
            tick_sec += TICK_SEC
        match item:
            case ChunkChanges():
                folder.apply(item)
                yield Step(at_sec, folder.map())
            case SessionStatus() | SchedulerStatus() | NodeScores():
                yield Step(at_sec, item)
            case Transfer() | ChunkVerdict() | LogEvent():
                yield Step(at_sec, item)
            case _:
                pass
