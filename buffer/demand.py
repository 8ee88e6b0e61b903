"""What the buffer wants next, and how soon. No I/O, no clock, no randomness."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from buffer.store import ChunkStore
from buffer.timeline import Timeline
from common.messages import ChunkSpec, WantedChunk

# Without pacing nothing is due at a time; this spacing keeps the order and tells the planner to be quick. Not even the
# first is due at once: later ones would be held back for its sake, and nobody waits for it.
UNPACED_SPACING_SEC = 0.5
# Nor is there a playhead to keep ahead of: so many chunks are enough to keep every node busy while chunks are checked,
# handed on and asked for.
UNPACED_CHUNKS = 8


def wanted_chunks(
    chunks: tuple[ChunkSpec, ...],
    store: ChunkStore,
    timeline: Timeline,
    *,
    playhead_sec: float,
    target_sec: float,
    paced: bool,
    given_up: AbstractSet[int],
    also: AbstractSet[int] = frozenset(),
) -> tuple[WantedChunk, ...]:
    """Return the missing chunks that begin before playhead + target, most urgent first.

    The window slides with the playhead, so the buffer is refilled continuously. `also` names chunks that a player waits
    for elsewhere.
    """
    wanted = [WantedChunk(chunk=chunks[number], deadline_in_sec=0.0) for number in sorted(also)]
    horizon_sec = playhead_sec + target_sec
    for number in range(store.position, len(chunks)):
        start_sec = timeline.start_sec(number)
        near = not paced and number < store.position + UNPACED_CHUNKS
        if start_sec >= horizon_sec and not near:
            break
        if number in store or number in given_up or number in also:
            continue
        due_sec = start_sec - playhead_sec if paced else (len(wanted) + 1) * UNPACED_SPACING_SEC
        wanted.append(WantedChunk(chunk=chunks[number], deadline_in_sec=max(0.0, due_sec)))
    return tuple(wanted)
