"""Chunk maps as changes and back: a film's whole map at every change would be most of a recording.

No I/O, no clock, no randomness.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from client.recording.values import ChunkChanges
from common.messages import ChunkMap, ChunkRecord

# Some hundred kilobytes: a whole long film fits into a few records.
CHUNKS_PER_PIECE = 2000


class ChunkFolder:
    """The chunk map that a row of changes makes."""

    def __init__(self) -> None:
        self.session_id = ""
        self.total_chunks = 0
        self.chunks: dict[int, ChunkRecord] = {}

    def apply(self, changes: ChunkChanges) -> None:
        """Fold changes; those of another session begin anew."""
        if changes.session_id != self.session_id:
            self.session_id = changes.session_id
            self.chunks.clear()
        self.total_chunks = changes.total_chunks
        for number in changes.gone:
            self.chunks.pop(number, None)
        for chunk in changes.changed:
            self.chunks[chunk.sequence_num] = chunk

    def map(self) -> ChunkMap:
        """Return the whole map, as the buffer publishes it."""
        return ChunkMap(
            session_id=self.session_id,
            total_chunks=self.total_chunks,
            chunks=tuple(self.chunks[number] for number in sorted(self.chunks)),
        )

    def changes_to(self, new: ChunkMap) -> ChunkChanges | None:
        """Return what would make the map `new`, None when nothing does."""
        numbers = {chunk.sequence_num for chunk in new.chunks}
        known = self.chunks if new.session_id == self.session_id else {}
        changed = tuple(c for c in new.chunks if known.get(c.sequence_num) != c)
        gone = tuple(sorted(known.keys() - numbers))
        same = new.session_id == self.session_id and new.total_chunks == self.total_chunks
        if same and not changed and not gone:
            return None
        return ChunkChanges(
            session_id=new.session_id,
            total_chunks=new.total_chunks,
            changed=changed,
            gone=gone,
        )


def pieces(changes: ChunkChanges) -> Iterator[ChunkChanges]:
    """Yield changes that come to the same one after the other, none of them large."""
    changed = changes.changed
    yield replace(changes, changed=changed[:CHUNKS_PER_PIECE])
    for start in range(CHUNKS_PER_PIECE, len(changed), CHUNKS_PER_PIECE):
        yield replace(changes, changed=changed[start : start + CHUNKS_PER_PIECE], gone=())
