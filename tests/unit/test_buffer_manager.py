"""BufferManager: levels, order, underruns, figures and waiting."""

from __future__ import annotations

import asyncio
import math

import pytest

import buffer_manager as documented_module
from buffer import BufferManager
from common.clock import ManualClock
from common.errors import ConfigError


def filled(*sequence_nums: int, **arguments: float) -> BufferManager:
    buffer = BufferManager(**arguments)  # type: ignore[arg-type]  # the marks only
    for number in sequence_nums:
        assert buffer.add_chunk(f"c-{number}", number, b"data")
    return buffer


def test_class_has_its_documented_name_and_defaults() -> None:
    assert documented_module.BufferManager.__module__ == BufferManager.__module__
    buffer = BufferManager()
    assert (buffer.target_buffer_sec, buffer.low_water_mark_sec) == (30, 15)
    assert (buffer.chunk_duration_sec, buffer.start_playback_sec) == (10, 10)
    assert (buffer.current_position, buffer.playback_started) == (0, False)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("target_buffer_sec", 0, "above 0 and up to 3600"),
        ("target_buffer_sec", math.nan, "above 0 and up to 3600"),
        ("low_water_mark_sec", -1, "0 to 3600"),
        ("low_water_mark_sec", 31, "is above target_buffer_sec"),
        ("start_playback_sec", 40, "is above target_buffer_sec"),
        ("chunk_duration_sec", 0, "above 0 and up to 3600"),
        ("total_chunks", -1, "is below 0"),
    ],
)
def test_wrong_argument_names_itself_and_the_range(name: str, value: float, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{name}: .*{message}"):
        BufferManager(**{name: value})  # type: ignore[arg-type]  # that is the point


@pytest.mark.parametrize("number", [-1, 0.5])
def test_chunk_without_a_place_is_refused(number: int) -> None:
    with pytest.raises(ConfigError, match="sequence_num"):
        BufferManager().add_chunk("c", number, b"")


def test_level_counts_only_chunks_without_a_hole_before_them() -> None:
    buffer = filled(0, 1, 3)
    assert (buffer.get_buffer_level_seconds(), buffer.get_buffer_level_chunks()) == (20, 2)
    assert buffer.add_chunk("c-2", 2, b"data")
    assert (buffer.get_buffer_level_seconds(), buffer.get_buffer_level_chunks()) == (40, 4)


def test_chunk_with_its_own_duration_counts_as_long_as_it_is() -> None:
    buffer = filled(0)
    buffer.add_chunk("c-1", 1, b"data", duration_sec=4.25)
    assert buffer.get_buffer_level_seconds() == 14.25


def test_chunks_are_handed_out_in_order_whatever_order_they_came_in() -> None:
    buffer = filled(2, 0, 1)
    handed = [buffer.get_next_chunk_for_playback() for _ in range(3)]
    assert [c and (c.chunk_id, c.sequence_num, c.data) for c in handed] == [
        ("c-0", 0, b"data"),
        ("c-1", 1, b"data"),
        ("c-2", 2, b"data"),
    ]
    assert buffer.current_position == 3


def test_duplicate_and_played_chunks_are_not_taken() -> None:
    buffer = filled(0, 1)
    assert not buffer.add_chunk("again", 1, b"other")
    buffer.get_next_chunk_for_playback()
    assert not buffer.add_chunk("c-0", 0, b"data")
    assert buffer.get_statistics()["total_chunks_buffered"] == 2


def test_next_sequences_name_the_holes_first() -> None:
    buffer = filled(0, 2, 5)
    assert buffer.get_next_chunk_sequences(5) == [1, 3, 4, 6, 7]


def test_next_sequences_end_with_the_film() -> None:
    buffer = BufferManager(total_chunks=3)
    buffer.add_chunk("c-1", 1, b"data")
    assert buffer.get_next_chunk_sequences(10) == [0, 2]


@pytest.mark.parametrize(("held", "needs"), [(0, True), (1, True), (2, False), (3, False)])
def test_more_is_needed_below_the_low_water_mark(held: int, needs: bool) -> None:
    assert filled(*range(held)).needs_more_chunks() is needs


def test_nothing_more_is_needed_when_the_rest_of_the_film_is_held() -> None:
    buffer = filled(0)
    buffer.total_chunks = 1
    assert not buffer.needs_more_chunks()
    assert buffer.get_buffer_status()["state"] == "full"


def test_playback_can_start_with_enough_media_or_with_all_there_is() -> None:
    buffer = BufferManager(total_chunks=1)
    assert not buffer.can_start_playback()
    buffer.add_chunk("c-0", 0, b"data", duration_sec=3)
    assert buffer.can_start_playback()
    assert not filled(0, chunk_duration_sec=9.5).can_start_playback()


def test_nothing_handed_out_before_the_start_is_no_rebuffering() -> None:
    buffer = BufferManager()
    assert buffer.get_next_chunk_for_playback() is None
    assert buffer.rebuffering_events == 0


def test_underrun_is_one_event_however_often_it_is_asked() -> None:
    buffer = filled(0)
    buffer.get_next_chunk_for_playback()
    for _ in range(5):
        assert buffer.get_next_chunk_for_playback() is None
    assert buffer.rebuffering_events == 1


def test_second_underrun_after_a_chunk_is_a_second_event() -> None:
    buffer = filled(0)
    for number in (1, 2):
        buffer.get_next_chunk_for_playback()
        buffer.get_next_chunk_for_playback()
        buffer.add_chunk(f"c-{number}", number, b"data")
    assert buffer.rebuffering_events == 2


def test_missing_chunk_before_held_ones_is_an_underrun() -> None:
    buffer = filled(0, 2)
    buffer.get_next_chunk_for_playback()
    assert buffer.get_next_chunk_for_playback() is None
    assert buffer.rebuffering_events == 1


def test_end_of_the_film_is_no_underrun() -> None:
    buffer = filled(0)
    buffer.total_chunks = 1
    buffer.get_next_chunk_for_playback()
    assert buffer.get_next_chunk_for_playback() is None
    assert buffer.rebuffering_events == 0


def test_setting_the_position_drops_what_lies_before() -> None:
    buffer = filled(0, 1, 2)
    buffer.current_position = 2
    assert [chunk.sequence_num for chunk in buffer.buffer] == [2]
    with pytest.raises(ConfigError, match="current_position"):
        buffer.current_position = -1


def test_clearing_the_list_empties_the_buffer() -> None:
    buffer = filled(0, 1)
    buffer.buffer.clear()
    assert buffer.get_buffer_level_seconds() == 0
    assert buffer.add_chunk("c-0", 0, b"data")


@pytest.mark.parametrize(
    ("held", "started", "state"),
    [
        (0, False, "empty"),
        (4, False, "initializing"),
        (12, False, "low"),
        (4, True, "low"),
        (15, True, "healthy"),
        (30, True, "full"),
    ],
)
def test_state_follows_the_level(held: int, started: bool, state: str) -> None:
    buffer = filled(*range(held), chunk_duration_sec=1)
    buffer.playback_started = started
    status = buffer.get_buffer_status()
    assert status["state"] == state
    assert status["is_healthy"] is (state in ("healthy", "full"))
    assert status["buffer_health_percent"] == pytest.approx(100 * held / 30)


def test_status_has_the_documented_keys() -> None:
    assert set(filled(0).get_buffer_status()) >= {
        *("buffer_level_sec", "buffer_level_chunks", "buffer_health_percent", "state"),
        *("target_buffer_sec", "low_water_mark_sec", "current_position", "playback_started"),
        *("needs_more_chunks", "can_start_playback", "is_healthy", "memory_usage_bytes"),
    }


def test_average_level_is_weighted_by_time_since_the_start() -> None:
    clock = ManualClock(100)
    buffer = BufferManager(clock=clock)
    for number in range(3):
        buffer.add_chunk(f"c-{number}", number, b"data")
    clock.advance(50)
    assert buffer.get_next_chunk_for_playback()
    clock.advance(3)
    assert buffer.get_next_chunk_for_playback()
    clock.advance(1)
    figures = buffer.get_statistics()
    assert figures["playback_duration_sec"] == 4
    assert figures["average_buffer_level"] == pytest.approx((20 * 3 + 10 * 1) / 4)
    assert (figures["total_chunks_buffered"], figures["total_chunks_played"]) == (3, 2)
    assert (figures["current_buffer_level_sec"], figures["playback_started"]) == (10, True)


def test_reset_goes_back_to_the_beginning() -> None:
    buffer = filled(0)
    buffer.get_next_chunk_for_playback()
    buffer.get_next_chunk_for_playback()
    buffer.reset()
    assert (buffer.current_position, buffer.rebuffering_events, buffer.playback_started) == (
        0,
        0,
        False,
    )
    assert buffer.add_chunk("c-0", 0, b"data")


async def test_waiting_for_a_change_ends_with_the_next_chunk() -> None:
    buffer = BufferManager()
    waiting = asyncio.create_task(buffer.wait_for_buffer(timeout=30))
    await asyncio.sleep(0)
    assert not waiting.done()
    buffer.add_chunk("c-0", 0, b"data")
    assert await waiting


async def test_change_before_the_wait_is_not_missed() -> None:
    buffer = filled(0)
    assert await buffer.wait_for_buffer(timeout=30)
    assert not await buffer.wait_for_buffer(timeout=0)


async def test_waiting_for_the_start_ends_when_enough_is_held() -> None:
    buffer = BufferManager(start_playback_sec=20)
    waiting = asyncio.create_task(buffer.wait_for_playback_ready())
    for number in (1, 0):
        await asyncio.sleep(0)
        assert not waiting.done()
        buffer.add_chunk(f"c-{number}", number, b"data")
    assert await waiting
    assert not await BufferManager().wait_for_playback_ready(timeout=0)
