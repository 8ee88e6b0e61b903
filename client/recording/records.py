"""The inner form of a recording: records with their time, in blocks. No I/O, no clock, no randomness.

A record is the msgpack list [milliseconds since the start, tag, body]. The first one is the header, the last one the
end; without it the recording was cut off. Times never fall.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgpack

from client.recording import values
from client.recording.blocks import (
    MAX_RAW_BYTES,
    PREAMBLE,
    Block,
    BlockReader,
    Packer,
    Source,
)
from client.recording.values import ChunkChanges, End, Header, Item
from common.errors import ProtocolError

# A snapshot of ten thousand nodes stays below this.
MAX_RECORD_BYTES = 4 * 1024 * 1024
MAX_TAG_CHARS = 64
# As many as a manifest may have; its module takes long to load, and whoever records is about to play.
MAX_CHUNKS = 200_000
# Some hundred days.
MAX_AT_MS = 10**10
# The year 3000 or so.
MAX_UNIX_SEC = 3.3e10


class Record(NamedTuple):
    """One record: seconds since the start, what it holds, and the offset of its block in the file."""

    at_sec: float
    item: Item
    offset: int


def pack_record(at_sec: float, tag: str, body: bytes) -> bytes:
    """Return a record as it stands in a block."""
    packed: bytes = msgpack.packb([round(at_sec * 1000), tag, body])
    return packed


class Writer:
    """Turns records into the bytes of a file: the preamble, then one block for each call."""

    def __init__(self) -> None:
        self._packer = Packer()
        self._begun = False

    def block(self, records: list[bytes]) -> bytes:
        """Return what to append to the file for these packed records."""
        made = b"" if self._begun else PREAMBLE
        self._begun = True
        batch: list[bytes] = []
        size_bytes = 0
        for record in records:
            if size_bytes + len(record) > MAX_RAW_BYTES:
                made += self._packer.block(b"".join(batch))
                batch, size_bytes = [], 0
            batch.append(record)
            size_bytes += len(record)
        return made + self._packer.block(b"".join(batch)) if batch else made


class Reader:
    """Reads a recording from the start to the end, in memory of a fixed size.

    `header` is there at once. When the iteration has ended, `end` is the last record, None where the recording was cut
    off; `torn` tells whether that was in the middle of a block; `passed_over` counts records of kinds that a later
    client added. Raises RecordingError that names file, place and reason.
    """

    def __init__(self, source: Source, name: str) -> None:
        self.end: End | None = None
        self.passed_over = 0
        self._blocks = BlockReader(source, name)
        self._at_ms = 0
        self._begun = False
        self._records = self._read()
        try:
            first = next(self._records)
        except StopIteration:
            raise self._blocks.damage("ends before its header") from None
        assert isinstance(first.item, Header)
        if not 0 <= first.item.started_unix_sec <= MAX_UNIX_SEC:
            text = f"header.started_unix_sec: {first.item.started_unix_sec:g} is no date"
            raise self._blocks.damage(text)
        self.header = first.item

    @property
    def name(self) -> str:
        return self._blocks.name

    @property
    def torn(self) -> bool:
        return self._blocks.torn

    def __iter__(self) -> Iterator[Record]:
        """Yield the records after the header; can be done once."""
        return self._records

    def _read(self) -> Iterator[Record]:
        for block in self._blocks:
            for record in self._in_block(block):
                self._check(record)
                if isinstance(record.item, End):
                    self.end = record.item
                yield record

    def _check(self, record: Record) -> None:
        if self._begun is isinstance(record.item, Header):
            text = "a second header" if self._begun else "does not begin with a header"
            raise self._blocks.damage(text)
        self._begun = True
        if self.end is not None:
            raise self._blocks.damage("something follows after the end")
        if isinstance(record.item, ChunkChanges):
            self._check_changes(record.item)

    def _check_changes(self, item: ChunkChanges) -> None:
        if not 0 <= item.total_chunks <= MAX_CHUNKS:
            text = f"chunks.total_chunks: {item.total_chunks} is not 0 to {MAX_CHUNKS}"
            raise self._blocks.damage(text)
        for chunk in item.changed:
            if not 0 <= chunk.sequence_num < item.total_chunks or chunk.size_bytes < 0:
                raise self._blocks.damage(f"chunks: no chunk has number {chunk.sequence_num}")

    def _in_block(self, block: Block) -> Iterator[Record]:
        unpacker = msgpack.Unpacker(
            max_buffer_size=MAX_RAW_BYTES,
            max_array_len=3,
            max_str_len=MAX_TAG_CHARS,
            max_bin_len=MAX_RECORD_BYTES,
            max_map_len=0,
            max_ext_len=0,
        )
        unpacker.feed(block.raw)
        while unpacker.tell() < len(block.raw):
            try:
                fields = unpacker.unpack()
            except msgpack.OutOfData:
                raise self._blocks.damage("a record is cut off") from None
            except (ValueError, msgpack.UnpackException, RecursionError) as error:
                raise self._blocks.damage(f"no record: {error}") from error
            match fields:
                case [int() as at_ms, str() as tag, bytes() as body]:
                    item = self._decoded(at_ms, tag, body)
                case _:
                    raise self._blocks.damage("no record: expected time, tag and body")
            if item is not None:
                yield Record(at_ms / 1000, item, block.offset)

    def _decoded(self, at_ms: int, tag: str, body: bytes) -> Item | None:
        # True is an int, too.
        if type(at_ms) is not int or not self._at_ms <= at_ms <= MAX_AT_MS:
            raise self._blocks.damage(f"time {at_ms} ms after {self._at_ms} ms")
        self._at_ms = at_ms
        try:
            item = values.decode(tag, body)
        except ProtocolError as error:
            raise self._blocks.damage(str(error)) from error
        if item is None:
            self.passed_over += 1
        return item
