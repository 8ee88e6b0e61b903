"""The demand window: what is asked for, and how urgent it is."""

from __future__ import annotations

import pytest

from buffer.demand import UNPACED_CHUNKS, UNPACED_SPACING_SEC, wanted_chunks
from buffer.store import ChunkStore
from buffer.timeline import Timeline
from common.messages import WantedChunk
from tests.builders import a_chunk, held

CHUNKS = tuple(a_chunk(number) for number in range(10))


def ask(
    store: ChunkStore | None = None,
    timeline: Timeline | None = None,
    *,
    playhead_sec: float = 0.0,
    paced: bool = True,
    given_up: frozenset[int] = frozenset(),
) -> tuple[WantedChunk, ...]:
    return wanted_chunks(
        CHUNKS,
        ChunkStore() if store is None else store,
        timeline or Timeline(10, 10, 100),
        playhead_sec=playhead_sec,
        target_sec=30,
        paced=paced,
        given_up=set(given_up),
    )


def numbers(wanted: tuple[WantedChunk, ...]) -> list[int]:
    return [item.chunk.sequence_num for item in wanted]


def test_the_window_ends_at_the_target() -> None:
    wanted = ask()
    assert numbers(wanted) == [0, 1, 2]
    assert [item.deadline_in_sec for item in wanted] == [0, 10, 20]


def test_the_window_slides_with_the_playhead() -> None:
    store = ChunkStore()
    store.move_to(1)
    wanted = ask(store, playhead_sec=4)
    assert numbers(wanted) == [1, 2, 3]
    assert [item.deadline_in_sec for item in wanted] == [6, 16, 26]


def test_what_is_held_or_given_up_is_not_asked_for() -> None:
    store = ChunkStore()
    store.add(held(1))
    assert numbers(ask(store, given_up=frozenset({2}))) == [0]


def test_measured_durations_set_the_deadlines() -> None:
    timeline = Timeline(10, 10, 100)
    timeline.set_duration(0, 12.5)
    timeline.set_duration(1, 8)
    assert [i.deadline_in_sec for i in ask(timeline=timeline)] == pytest.approx([0, 12.5, 20.5])


def test_an_overdue_chunk_is_due_now() -> None:
    assert ask(playhead_sec=5)[0].deadline_in_sec == 0


def test_without_pacing_chunks_are_due_soon_one_after_another() -> None:
    wanted = ask(paced=False)
    assert [i.deadline_in_sec for i in wanted[:3]] == [n * UNPACED_SPACING_SEC for n in (1, 2, 3)]


def test_without_pacing_enough_chunks_are_wanted_to_keep_all_nodes_busy() -> None:
    assert numbers(ask(paced=False)) == list(range(UNPACED_CHUNKS))
    store = ChunkStore()
    store.move_to(1)
    store.add(held(2))
    assert numbers(ask(store, paced=False)) == [1, *range(3, UNPACED_CHUNKS + 1)]


def test_nothing_is_wanted_behind_the_last_chunk() -> None:
    store = ChunkStore()
    store.move_to(10)
    assert ask(store, playhead_sec=95) == ()
