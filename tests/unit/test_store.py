"""The store: order, duplicates, the memory cap."""

from __future__ import annotations

from buffer.store import ChunkStore
from tests.builders import held


def a_store(*numbers: int, max_memory_bytes: int | None = None, keep_bytes: int = 0) -> ChunkStore:
    store = ChunkStore(max_memory_bytes=max_memory_bytes, keep_bytes=keep_bytes)
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


# ---------------------------------------------------------------- what was played


def within_reach(store: ChunkStore, count: int = 6) -> list[int]:
    return [number for number in range(count) if store.find(number) is not None]


def test_what_was_handed_out_is_gone_unless_it_is_to_be_kept() -> None:
    store = a_store(0, 1)
    store.take_next()
    assert within_reach(store) == [1]


def test_what_was_handed_out_last_is_kept_up_to_the_cap() -> None:
    store = a_store(0, 1, 2, 3, 4, keep_bytes=2000)
    for _ in range(4):
        store.take_next()
    assert within_reach(store) == [2, 3, 4]
    assert store.size_bytes == 1000, "what is kept is not what is buffered"


def test_a_step_back_within_what_is_kept_costs_nothing() -> None:
    store = a_store(0, 1, 2, 3, keep_bytes=5000)
    for _ in range(3):
        store.take_next()
    store.move_to(1)
    taken = [store.take_next() for _ in range(4)]
    assert [chunk.sequence_num if chunk else None for chunk in taken] == [1, 2, 3, None]


def test_what_a_jump_passes_over_is_kept() -> None:
    store = a_store(0, 1, 2, keep_bytes=5000)
    store.move_to(2)
    assert within_reach(store) == [0, 1, 2]
    assert [chunk.sequence_num for chunk in store.contiguous()] == [2]


def test_a_chunk_larger_than_the_cap_is_kept_alone_until_the_next() -> None:
    store = a_store(0, 1, keep_bytes=500)
    store.take_next()
    assert within_reach(store) == [0, 1]
    store.take_next()
    assert within_reach(store) == [1]


def test_a_chunk_on_disk_is_not_kept() -> None:
    store = a_store(0, keep_bytes=5000)
    store.chunks[0].data = None
    store.take_next()
    assert within_reach(store) == []


def test_when_all_is_over_nothing_is_held() -> None:
    store = a_store(0, 1, keep_bytes=5000)
    store.take_next()
    store.clear()
    assert within_reach(store) == []
    assert len(store) == 0
