"""Verified chunks in playing order, with a cap on memory, and those just played. No I/O, no clock, no randomness."""

from __future__ import annotations

import bisect
from dataclasses import dataclass

from common.messages import SourceShare


@dataclass(slots=True)
class HeldChunk:
    """A verified chunk; `data` is None while it lies on disk."""

    chunk_id: str
    sequence_num: int
    data: bytes | memoryview | None
    size_bytes: int
    duration_sec: float
    sources: tuple[SourceShare, ...] = ()


class ChunkStore:
    """Chunks from `position` (the next sequence number to hand out) on; each at most once."""

    def __init__(self, *, max_memory_bytes: int | None = None, keep_bytes: int = 0) -> None:
        """Chunks handed out stay within reach, those farthest behind `position` going first, up to `keep_bytes`."""
        self.position = 0
        self.chunks: list[HeldChunk] = []
        self._max_memory_bytes = max_memory_bytes
        self._keep_bytes = keep_bytes
        self._behind: dict[int, HeldChunk] = {}

    def __len__(self) -> int:
        return len(self.chunks)

    def __contains__(self, sequence_num: int) -> bool:
        return self.get(sequence_num) is not None

    def get(self, sequence_num: int) -> HeldChunk | None:
        """Return a held chunk by its number."""
        index = bisect.bisect_left(self.chunks, sequence_num, key=lambda c: c.sequence_num)
        if index < len(self.chunks) and self.chunks[index].sequence_num == sequence_num:
            return self.chunks[index]
        return None

    def find(self, sequence_num: int) -> HeldChunk | None:
        """Return a chunk that is held, or was handed out and is kept."""
        return self.get(sequence_num) or self._behind.get(sequence_num)

    def add(self, chunk: HeldChunk) -> bool:
        """Take a chunk; False for one that is held already or was played."""
        if chunk.sequence_num < self.position or chunk.sequence_num in self:
            return False
        bisect.insort(self.chunks, chunk, key=lambda c: c.sequence_num)
        return True

    def contiguous(self) -> list[HeldChunk]:
        """Return the chunks that can be played one after the other from `position` on."""
        run: list[HeldChunk] = []
        for chunk in self.chunks:
            if chunk.sequence_num != self.position + len(run):
                break
            run.append(chunk)
        return run

    def take_next(self) -> HeldChunk | None:
        """Remove and return the chunk at `position`, None when it is not there."""
        if not self.chunks or self.chunks[0].sequence_num != self.position:
            return None
        self.position += 1
        chunk = self.chunks.pop(0)
        self.keep(chunk)
        return chunk

    def keep(self, chunk: HeldChunk) -> None:
        """Keep a chunk from before `position` within reach, at the cost of others if need be."""
        if self._keep_bytes and chunk.data is not None:
            self._behind[chunk.sequence_num] = chunk
            spare = sum(kept.size_bytes for kept in self._behind.values()) - self._keep_bytes
            for number in sorted(self._behind):
                if spare <= 0:
                    break
                if number != chunk.sequence_num:
                    spare -= self._behind.pop(number).size_bytes

    def move_to(self, position: int) -> None:
        """Go on at another sequence number; kept chunks from there on are held again, those before it are kept."""
        self.position = position
        passed = [c for c in self.chunks if c.sequence_num < position]
        self.chunks = [c for c in self.chunks if c.sequence_num >= position]
        for number in [number for number in self._behind if number >= position]:
            self.add(self._behind.pop(number))
        for chunk in passed:
            self.keep(chunk)

    def clear(self) -> None:
        """Drop all chunks."""
        self.chunks.clear()
        self._behind.clear()

    @property
    def size_bytes(self) -> int:
        """Bytes held, in memory and on disk."""
        return sum(chunk.size_bytes for chunk in self.chunks)

    @property
    def spilled_bytes(self) -> int:
        """Bytes on disk."""
        return sum(chunk.size_bytes for chunk in self.chunks if chunk.data is None)

    def to_spill(self) -> list[HeldChunk]:
        """Return the chunks to put on disk so that memory keeps its cap: the last to be played go first."""
        if self._max_memory_bytes is None:
            return []
        over = self.size_bytes - self.spilled_bytes - self._max_memory_bytes
        chosen: list[HeldChunk] = []
        for chunk in reversed(self.chunks):
            if over <= 0:
                break
            if chunk.data is not None:
                chosen.append(chunk)
                over -= chunk.size_bytes
        return chosen
