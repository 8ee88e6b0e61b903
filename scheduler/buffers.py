"""Memory for chunks, used again: a new block costs time to be filled with zeros that nobody reads."""

from __future__ import annotations

# A worker holds eight chunks at most; of larger ones fewer are kept.
KEPT_BLOCKS = 8
KEPT_BYTES = 32 * 1024 * 1024


class Buffers:
    """Hands out blocks, to one thread. Whoever has one keeps a view of it as long as it is in use."""

    def __init__(self) -> None:
        self._known: list[bytearray] = []

    def take(self, size_bytes: int) -> bytearray:
        """Return a block, with anything in it, that nobody else reads or writes."""
        for place, block in enumerate(self._known):
            if len(block) == size_bytes and _is_free(block):
                # The longest unused goes first the next time.
                self._known.append(self._known.pop(place))
                return block
        block = bytearray(size_bytes)
        self._known.append(block)
        while len(self._known) > KEPT_BLOCKS or self.kept_bytes > KEPT_BYTES:
            del self._known[0]
        return block

    @property
    def kept_bytes(self) -> int:
        """How much memory is remembered, whether in use or not."""
        return sum(map(len, self._known))


def _is_free(block: bytearray) -> bool:
    """Whether no view of a block is left: a block that somebody looks at cannot change its size."""
    if not block:
        return False
    try:
        last = block.pop()
    except BufferError:
        return False
    block.append(last)
    return True
