"""The outer form of a recording: blocks with checksums around one compressed stream.

No I/O, no clock, no randomness: bytes in, bytes out. A block is twelve bytes (big-endian: length of its payload, CRC-32
of the payload, CRC-32 of these two) and the payload, a piece of one zlib stream that goes on from block to block.
Each piece ends on a byte, so whatever stands on the disk up to the end of a block can be read.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple, Protocol

from common.errors import RecordingError

FORMAT_VERSION = 1
MAGIC = b"VSTKREC"
PREAMBLE = MAGIC + bytes([FORMAT_VERSION])
_HEAD = struct.Struct(">III")
# What a block may hold; a writer makes blocks of half a second, or of about this size where more came.
MAX_RAW_BYTES = 8 * 1024 * 1024
# What zlib makes larger, it makes larger by less than this.
MAX_PACKED_BYTES = MAX_RAW_BYTES + 64 * 1024
_PIECE_BYTES = 64 * 1024


class Source(Protocol):
    """What a recording is read from; short answers mean that nothing follows."""

    def read(self, size: int, /) -> bytes: ...


class Packer:
    """Makes blocks, one after the other."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj()

    def block(self, raw: bytes) -> bytes:
        """Return the block that holds `raw`, at most MAX_RAW_BYTES of it."""
        if len(raw) > MAX_RAW_BYTES:
            raise ValueError(f"a block holds at most {MAX_RAW_BYTES} bytes, not {len(raw)}")
        payload = self._deflate.compress(raw) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        head = struct.pack(">II", len(payload), zlib.crc32(payload))
        return head + struct.pack(">I", zlib.crc32(head)) + payload


class Block(NamedTuple):
    """Where a block begins in the file, and what it holds."""

    offset: int
    raw: bytes


class BlockReader:
    """Iterates over the blocks of a recording; `torn` tells afterwards whether the last one was cut off.

    `name` is what errors call the recording. Raises RecordingError, at once where it is none of ours.
    """

    def __init__(self, source: Source, name: str) -> None:
        self.name = name
        self.torn = False
        self.offset = 0
        self._source = source
        self._inflate = zlib.decompressobj()
        preamble = source.read(len(PREAMBLE))
        if preamble[: len(MAGIC)] != MAGIC or len(preamble) < len(PREAMBLE):
            reason = "is empty" if not preamble else "does not begin as a recording does"
            raise self.damage(reason, 0)
        if preamble != PREAMBLE:
            raise self.damage(
                f"is of format version {preamble[-1]}, known is {FORMAT_VERSION}", len(MAGIC)
            )
        self.offset = len(PREAMBLE)

    def damage(self, reason: str, offset: int | None = None) -> RecordingError:
        """Return the error that names file, place and reason."""
        at = self.offset if offset is None else offset
        return RecordingError(f"{self.name}: at byte {at}: {reason}")

    def __iter__(self) -> Iterator[Block]:
        while True:
            head = self._source.read(_HEAD.size)
            if len(head) < _HEAD.size:
                self.torn = bool(head)
                return
            packed_bytes, payload_crc, head_crc = _HEAD.unpack(head)
            if zlib.crc32(head[:8]) != head_crc:
                if not any(head) and self._only_zeros_follow():
                    # A disk that lost its power may keep a file's length and not its last bytes.
                    self.torn = True
                    return
                raise self.damage("no block begins here: its checksum does not match")
            if packed_bytes > MAX_PACKED_BYTES:
                raise self.damage(f"a block of {packed_bytes} bytes, at most {MAX_PACKED_BYTES}")
            payload = self._source.read(packed_bytes)
            if len(payload) < packed_bytes:
                self.torn = True
                return
            if zlib.crc32(payload) != payload_crc:
                if not self._source.read(1):
                    self.torn = True
                    return
                raise self.damage("the block's checksum does not match")
            yield Block(self.offset, self._inflated(payload))
            self.offset += _HEAD.size + packed_bytes

    def _inflated(self, payload: bytes) -> bytes:
        try:
            raw = self._inflate.decompress(payload, MAX_RAW_BYTES + 1)
        except zlib.error as error:
            raise self.damage(f"the block cannot be decompressed: {error}") from error
        if len(raw) > MAX_RAW_BYTES:
            raise self.damage(f"the block holds more than {MAX_RAW_BYTES} bytes")
        if self._inflate.eof:
            raise self.damage("the compressed stream ends here and the file goes on")
        return raw

    def _only_zeros_follow(self) -> bool:
        while piece := self._source.read(_PIECE_BYTES):
            if any(piece):
                return False
        return True
