"""The store: order, duplicates, the memory cap."""

from __future__ import annotations

from buffer.store import ChunkStore
from tests.builders import held


def a_store(*numbers: int, max_memory_bytes: int | None = None) -> ChunkStore:
    store = ChunkStore(max_memory_bytes=max_memory_bytes)
    for number in numbers:
        assert store.add(held(number))
    return store


def test_chunks_come_out_in_playing_order_however_they_went_in() -> None:
    store = a_store(2, 0, 1)
    taken = [store.take_next() for _ in range(4)]
    assert [chunk.sequence_num if chunk else None for chunk in taken] == [0, 1, 2, None]


def test_a_gap_is_waited_for() -> None:
    store = a_store(1, 2)
    assert store.take_next() is None
    assert store.contiguous() == []
    store.add(held(0))
    assert [chunk.sequence_num for chunk in store.contiguous()] == [0, 1, 2]


def test_a_duplicate_is_refused() -> None:
    store = a_store(0)
    assert not store.add(held(0))
    assert len(store) == 1


def test_a_chunk_already_played_is_refused() -> None:
    store = a_store(0)
    store.take_next()
    assert not store.add(held(0))
    assert 0 not in store


def test_moving_on_drops_what_lies_before() -> None:
    store = a_store(0, 1, 5)
    store.move_to(4)
    assert [chunk.sequence_num for chunk in store.chunks] == [5]
    assert store.take_next() is None


def test_without_a_cap_nothing_is_spilled() -> None:
    assert a_store(0, 1, 2).to_spill() == []


def test_the_last_to_be_played_is_spilled_first() -> None:
    store = a_store(0, 1, 2, max_memory_bytes=2000)
    assert [chunk.sequence_num for chunk in store.to_spill()] == [2]


def test_spilled_bytes_no_longer_count_against_the_cap() -> None:
    store = a_store(0, 1, 2, max_memory_bytes=2000)
    for chunk in store.to_spill():
        chunk.data = None
    assert store.to_spill() == []
    assert (store.size_bytes, store.spilled_bytes) == (3000, 1000)


def test_a_cap_smaller_than_a_chunk_spills_everything() -> None:
    store = a_store(0, 1, max_memory_bytes=10)
    assert [chunk.sequence_num for chunk in store.to_spill()] == [1, 0]
