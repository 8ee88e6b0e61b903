"""A chunk being put together in a worker: its parts, who brings which bytes, and whether they are right."""

from __future__ import annotations

import hashlib
import itertools
import threading
from dataclasses import dataclass, field

from common.messages import ChunkDelivery, OpenChunk, RangeSource, SourceShare
from scheduler.buffers import Buffers
from scheduler.bytemap import ByteMap, Span
from scheduler.coverage import missing_bytes
from scheduler.wanted import DATA_FRAGMENTS, WHOLE

# Bytes are hashed while they are still in the processor's cache, but not in crumbs.
HASH_STEP_BYTES = 64 * 1024
# What a second sender of held bytes is read into at a time.
SCRATCH_BYTES = 64 * 1024


class Part:
    """The bytes of a chunk or of one fragment. `lock` guards everything; it is the chunk's."""

    def __init__(
        self, size_bytes: int, checksum_sha256: str, lock: threading.Lock, block: bytearray
    ) -> None:
        self.lock = lock
        # As long as there is a view of it, nobody else gets the block.
        self.data = memoryview(block)
        self.verified = False
        # Judged wrong; nothing more is said of it until the scheduler discards bytes.
        self.rejected = False
        self._checksum_sha256 = checksum_sha256
        # Of the bytes before `_hashed_until`, all of which are held.
        self._digest = hashlib.sha256()
        self._hashed_until = 0
        self._held = ByteMap(size_bytes)
        self._landings: list[Landing] = []

    @property
    def size_bytes(self) -> int:
        return self._held.size

    @property
    def held(self) -> ByteMap:
        """What has come, with what reads still under way have brought."""
        for landing in self._landings:
            landing.settle()
        return self._held

    def land(self, node_url: str) -> Landing:
        """Return where the bytes of one read from a node go, until it is closed."""
        landing = Landing(self, self._held, node_url)
        self._landings.append(landing)
        return landing

    def close(self, landing: Landing) -> None:
        """Note all that a read has brought; it brings no more."""
        landing.settle()
        self._landings.remove(landing)

    def held_end(self, start: int, end: int) -> tuple[int, bool]:
        """Return how far the bytes from `start` on, at most to `end`, are all held or all missing, and which."""
        spans = [(c.start, c.end) for c in self._held.contributions]
        spans += [(landing.begun, landing.until) for landing in self._landings]
        for held_start, held_end in spans:
            if held_start <= start < held_end:
                return min(end, held_end), True
            if start < held_start < held_end:
                end = min(end, held_start)
        return end, False

    def discard(self, start: int, end: int) -> None:
        """Forget bytes that cannot be trusted."""
        self.held.remove(start, end)
        self.verified = self.rejected = False
        if start < self._hashed_until:
            self._digest, self._hashed_until = hashlib.sha256(), 0

    def hash_on(self, start: int, end: int) -> None:
        """Hash what has come in [start, end) if it continues what is hashed."""
        if start <= self._hashed_until <= end - HASH_STEP_BYTES and self._checksum_sha256:
            self._digest.update(self.data[self._hashed_until : end])
            self._hashed_until = end

    def matches(self) -> bool:
        """Compare with the checksum, once all bytes are held; a chunk without one is taken as it is."""
        if not self.verified and self._checksum_sha256:
            self._digest.update(self.data[self._hashed_until :])
            self._hashed_until = self.size_bytes
        self.verified = (
            not self._checksum_sha256 or self._digest.hexdigest() == self._checksum_sha256
        )
        return self.verified


class Landing:
    """Where the bytes of one read go in a part. Every method is called under the part's lock.

    Bytes that are held, and may be verified already, are not touched by who sends them again.
    """

    def __init__(self, part: Part, held: ByteMap, node_url: str) -> None:
        self.lock = part.lock
        # What it has brought and `held` does not say yet: entering each read of it there would cost more than the read.
        self.begun = self.until = 0
        self._part = part
        self._held = held
        self._node_url = node_url
        self._scratch: memoryview | None = None
        self._thrown_away = False

    def room(self, start: int, end: int) -> memoryview:
        """Return where the next bytes from `start` on go, no further than to `end`."""
        until, self._thrown_away = self._part.held_end(start, end)
        return self.scratch(until - start) if self._thrown_away else self._part.data[start:until]

    def scratch(self, size_bytes: int) -> memoryview:
        """Return room for bytes nobody needs."""
        if self._scratch is None:
            self._scratch = memoryview(bytearray(SCRATCH_BYTES))
        return self._scratch[:size_bytes]

    def landed(self, start: int, end: int) -> None:
        """Note bytes that are in their `room` now."""
        if self._thrown_away:
            return
        if start != self.until:
            self.settle()
            self.begun = start
        self.until = end
        self._part.hash_on(self.begun, end)

    def settle(self) -> None:
        """Enter what has come."""
        if self.begun < self.until:
            self._held.add(self.begun, self.until, self._node_url)
        self.begun = self.until


@dataclass(slots=True)
class Assembly:
    """A chunk being put together."""

    opened: OpenChunk
    parts: dict[int, Part]
    lock: threading.Lock
    closed: bool = field(default=False)

    @classmethod
    def of(cls, opened: OpenChunk, buffers: Buffers) -> Assembly:
        """Begin a chunk."""
        chunk, lock = opened.chunk, threading.Lock()
        parts = {
            f.fragment_index: Part(
                f.size_bytes, f.checksum_sha256, lock, buffers.take(f.size_bytes)
            )
            for f in chunk.fragments
        }
        if not parts:
            block = buffers.take(chunk.size_bytes)
            parts = {WHOLE: Part(chunk.size_bytes, chunk.checksum_sha256, lock, block)}
        return cls(opened, parts, lock)

    def covered(self) -> bool:
        """Whether enough parts hold every position."""
        size = next(iter(self.parts.values())).size_bytes
        needed = DATA_FRAGMENTS if self.opened.chunk.fragments else 1
        return missing_bytes(self._usable_spans(), size, needed) == 0

    def _usable_spans(self) -> dict[int, list[Span]]:
        """Return what is held of each part that was not found wrong."""
        return {
            index: [(c.start, c.end) for c in part.held.contributions]
            for index, part in self.parts.items()
            if not part.rejected
        }

    def decode(self) -> memoryview:
        """Return the chunk from any three fragments at every position: each stretch has its own survivors."""
        # numpy takes longer to import than most chunks to fetch, and replicated videos never need it.
        from scheduler.erasure import decode_fragments

        size_bytes = self.opened.chunk.size_bytes
        length = next(iter(self.parts.values())).size_bytes
        spans = self._usable_spans()
        edges = sorted(
            {0, length, *(edge for held in spans.values() for span in held for edge in span)}
        )
        plain = memoryview(b"")
        whole = memoryview(bytearray(DATA_FRAGMENTS * length)) if len(edges) > 2 else plain
        for start, end in itertools.pairwise(edges):
            survivors = [
                index
                for index in sorted(spans)
                if any(a <= start and end <= b for a, b in spans[index])
            ][:DATA_FRAGMENTS]
            stretch = {i: self.parts[i].data[start:end] for i in survivors}
            step = end - start
            plain = memoryview(decode_fragments(stretch, DATA_FRAGMENTS * step))
            for row in range(DATA_FRAGMENTS if whole else 0):
                whole[row * length + start : row * length + end] = plain[
                    row * step : (row + 1) * step
                ]
        return (whole or plain)[:size_bytes]

    def ranges(self) -> tuple[RangeSource, ...]:
        """Return who brought the bytes that are held."""
        return tuple(
            RangeSource(part=index, start_bytes=c.start, end_bytes=c.end, node_url=c.node_url)
            for index, part in self.parts.items()
            for c in part.held.contributions
        )

    def describe(self, worker_id: str) -> ChunkDelivery:
        """Return what is to be said of the chunk when it is delivered."""
        chunk, ranges = self.opened.chunk, self.ranges()
        shares: dict[str, int] = {}
        for source in ranges:
            size = source.end_bytes - source.start_bytes
            shares[source.node_url] = shares.get(source.node_url, 0) + size
        return ChunkDelivery(
            session_id=self.opened.session_id,
            chunk_id=chunk.chunk_id,
            sequence_num=chunk.sequence_num,
            size_bytes=chunk.size_bytes,
            worker_id=worker_id,
            sources=tuple(
                SourceShare(node_url=node, size_bytes=size)
                for node, size in sorted(shares.items(), key=lambda item: -item[1])
            ),
            ranges=ranges,
        )


def matches(data: bytes | bytearray | memoryview, checksum_sha256: str) -> bool:
    """Compare with the checksum; a chunk without one is taken as it is."""
    return not checksum_sha256 or hashlib.sha256(data).hexdigest() == checksum_sha256
