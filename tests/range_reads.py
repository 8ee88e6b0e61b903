"""Single ranged reads for tests: where the bytes go, and how a read is made."""

from __future__ import annotations

import threading
from typing import Any

import requests

from common.messages import Replica
from scheduler.fetcher import RangeRead, RangeResult
from tests.ping_nodes import Answer, PingNode, ping_nodes

DATA = bytes(range(256)) * 1200
SIZE = len(DATA)
# Long enough that only a cancel can end a read within a test's patience.
PATIENT_SEC = 50.0


class Sink:
    """Collects what a read brings."""

    def __init__(self, start: int = 0) -> None:
        self.start = start
        self.data = b""
        self.lock = threading.Lock()
        self._room = memoryview(bytearray(SIZE))

    def room(self, start: int, end: int) -> memoryview:
        assert self.lock.locked()
        return self._room[start:end]

    def room_after(self, start: int) -> memoryview:
        return self._room[start:]

    def scratch(self, size_bytes: int) -> memoryview:
        assert self.lock.locked()
        return memoryview(bytearray(min(size_bytes, 10_000)))

    def landed(self, start: int, end: int) -> None:
        assert self.lock.locked()
        assert start == self.start + len(self.data), "bytes come in order and once"
        self.data += self._room[start:end]


def a_read(
    http: requests.Session, url: str, sink: Sink, *, end: int = SIZE, **changed: Any
) -> RangeRead:
    fields: dict[str, Any] = {
        "part_size": SIZE,
        "silence_sec": 5.0,
        "accepts_ranges": None,
        "start": sink.start,
        "end": end,
    } | changed
    offset = fields.pop("offset_bytes", 0)
    place = Replica(url=f"{url}/chunk/c", offset_bytes=offset)
    return RangeRead(http, place, target=sink, **fields)


def read(
    http: requests.Session, answer: Answer, start: int = 0, **changed: Any
) -> tuple[RangeResult, bytes, PingNode]:
    sink = Sink(start)
    with ping_nodes(answer) as (node,):
        result = a_read(http, node.url, sink, **changed).run()
    assert result.received_until == start + len(sink.data)
    return result, sink.data, node
