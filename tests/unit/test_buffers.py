"""Memory for chunks: used again when nobody looks at it any more, and never before."""

from __future__ import annotations

from scheduler.buffers import KEPT_BLOCKS, KEPT_BYTES, Buffers

SIZE = 1000


def test_a_block_is_as_large_as_asked_for() -> None:
    assert len(Buffers().take(SIZE)) == SIZE


def test_a_block_nobody_looks_at_is_used_again() -> None:
    buffers = Buffers()
    first = buffers.take(SIZE)
    view = memoryview(first)
    view[:4] = b"abcd"
    view.release()
    again = buffers.take(SIZE)
    assert again is first
    assert len(again) == SIZE
    assert again[:4] == b"abcd", "what it held is not cleared"


def test_a_block_somebody_looks_at_is_left_alone() -> None:
    buffers = Buffers()
    whole = memoryview(buffers.take(SIZE))
    part = whole[10:20]
    whole.release()
    other = buffers.take(SIZE)
    assert other is not part.obj
    part.release()
    kept = memoryview(other)
    assert memoryview(buffers.take(SIZE)).obj is not kept.obj


def test_blocks_of_another_size_are_not_cut() -> None:
    buffers = Buffers()
    buffers.take(SIZE)
    assert len(buffers.take(SIZE - 1)) == SIZE - 1


def test_what_lies_idle_is_bounded() -> None:
    buffers = Buffers()
    views = [memoryview(buffers.take(SIZE)) for _ in range(3 * KEPT_BLOCKS)]
    assert len({id(view.obj) for view in views}) == len(views)
    assert buffers.kept_bytes == KEPT_BLOCKS * SIZE
    buffers.take(KEPT_BYTES + 1)
    assert buffers.kept_bytes == 0


def test_a_block_of_nothing_is_no_trouble() -> None:
    buffers = Buffers()
    assert buffers.take(0) == buffers.take(0) == bytearray()
