"""Recordings for tests: made of items, written whole, read back."""

from __future__ import annotations

import dataclasses
import io
from typing import Any

from client.recording import values
from client.recording.records import Reader, Record, Writer, pack_record
from client.recording.thinning import Thinner
from client.recording.values import End, Header, Item

STARTED_UNIX_SEC = 1_000_000.0


def a_header(**changed: Any) -> Header:
    """Return the header of a film that is played at its pace to nowhere."""
    fields: dict[str, Any] = {
        "started_unix_sec": STARTED_UNIX_SEC,
        "video_id": "test-video-001",
        "output": "none",
        "paced": True,
        "policy": "deadline",
        "on_missing": "wait",
    }
    return Header(**(fields | changed))


def an_end(**changed: Any) -> End:
    """Return the end of a session that was played to its end."""
    fields: dict[str, Any] = {
        "session_id": "s1",
        "outcome": "played",
        "exit_code": 0,
        "error": "",
    }
    return End(**(fields | changed))


def packed(at_sec: float, item: Item) -> bytes:
    """Return one record as it stands in a block."""
    return pack_record(at_sec, *values.encode(item))


def a_recording(*items: tuple[float, Item], per_block: int = 3) -> bytes:
    """Return a file with a header and these items, so many of them in each block."""
    records = [packed(0.0, a_header()), *(packed(at_sec, item) for at_sec, item in items)]
    writer = Writer()
    return b"".join(
        writer.block(records[start : start + per_block])
        for start in range(0, len(records), per_block)
    )


def reader_of(data: bytes) -> Reader:
    """Return a reader of a file that is called `session.vsrec`."""
    return Reader(io.BytesIO(data), "session.vsrec")


def read(data: bytes) -> list[tuple[float, Item]]:
    """Return what a recording holds after its header."""
    return [(record.at_sec, record.item) for record in reader_of(data)]


def recorded(*messages: tuple[float, object], session_id: str = "s1") -> list[Record]:
    """Return the records that are kept of messages, with those that are written at the end."""
    thinner = Thinner(lambda: session_id, started_unix_sec=0.0)
    found = []
    last_sec = 0.0
    for at_sec, msg in messages:
        last_sec = at_sec
        found += [Record(at_sec, kept.item, 0) for kept in thinner.take(msg, at_sec)]
    found += [Record(last_sec, kept.item, 0) for kept in thinner.rest()]
    return found


def field_names(kind: type) -> list[str]:
    """Return the fields of a value."""
    return [f.name for f in dataclasses.fields(kind)]
