"""A session: from the first wish to the last chunk, and what may go wrong in between."""

from __future__ import annotations

import pytest

from buffer.commands import (
    Ask,
    CloseOutput,
    CountView,
    Spill,
)
from tests.builders import a_manifest, held
from tests.session_rig import TICK_SEC, Viewing, playing

# ---------------------------------------------------------------- start


def test_the_first_thing_is_to_ask() -> None:
    viewing = Viewing()
    assert viewing.asked() == [0, 1, 2]


def test_the_first_verified_chunk_starts_playback() -> None:
    viewing = Viewing()
    viewing.pass_time(0.5)
    viewing.arrive(0)
    playback = viewing.core.playback
    assert (viewing.handed, playback.state) == ([0], "playing")
    assert playback.startup_latency_sec == pytest.approx(1.0)
    assert viewing.core.first_chunk_sec == pytest.approx(1.0)
    assert viewing.count(CountView) == 1


def test_a_later_chunk_alone_does_not_start_playback() -> None:
    viewing = Viewing()
    viewing.arrive(1)
    assert (viewing.handed, viewing.core.playback.state) == ([], "startup")


def test_playback_waits_for_what_the_viewer_asked_for() -> None:
    viewing = Viewing(a_manifest(5), start_playback_sec=25)
    for number, handed in enumerate(([], [], [0])):
        viewing.arrive(number)
        assert viewing.handed == handed


def test_playback_waits_for_no_more_than_is_fetched_ahead() -> None:
    viewing = Viewing(a_manifest(5), start_playback_sec=25, target_buffer_sec=15)
    for number, handed in enumerate(([], [0])):
        viewing.arrive(number)
        assert viewing.handed == handed


def test_what_is_needed_to_start_is_told_as_nothing_where_a_first_chunk_is_enough() -> None:
    nominal_sec = a_manifest().chunk_duration_sec
    assert Viewing(start_playback_sec=nominal_sec).core.needed_to_start_sec == 0
    assert Viewing(start_playback_sec=nominal_sec + 1).core.needed_to_start_sec == nominal_sec + 1


def test_a_film_shorter_than_the_wanted_start_is_played_all_the_same() -> None:
    viewing = Viewing(a_manifest(2), start_playback_sec=25)
    viewing.arrive(0)
    viewing.arrive(1)
    assert viewing.handed == [0]


def test_the_output_decides_when_startup_is_over() -> None:
    viewing = Viewing()
    viewing.output_is_quick = False
    viewing.arrive(0)
    viewing.pass_time(1)
    assert viewing.core.playback.state == "startup"
    viewing.take()
    assert viewing.core.playback.startup_latency_sec == pytest.approx(1.5)


# ---------------------------------------------------------------- playing


def test_chunks_are_handed_over_just_in_time() -> None:
    viewing = playing()
    viewing.arrive(1)
    viewing.pass_time(9.7)
    assert viewing.handed == [0]
    viewing.pass_time(0.1)
    assert viewing.handed == [0, 1]


def test_without_pacing_chunks_are_handed_over_as_the_output_takes_them() -> None:
    viewing = Viewing(paced=False)
    viewing.output_is_quick = False
    for number in range(3):
        viewing.arrive(number)
    assert viewing.handed == [0]
    viewing.take()
    assert viewing.handed == [0, 1]


def test_the_film_is_played_to_the_end() -> None:
    viewing = playing()
    viewing.arrive(1)
    viewing.arrive(2, 8.0)
    viewing.pass_time(27.9)
    assert not viewing.core.closing
    viewing.pass_time(0.2)
    assert viewing.commands[-2:] == [CloseOutput(complete=True), Ask(())]
    viewing.closed()
    core = viewing.core
    assert (core.outcome, core.exit_code, core.playback.state) == ("played", 0, "ended")
    assert core.playback.played_sec == pytest.approx(28)
    assert (core.chunks_played, core.playback.rebuffering_events) == (3, 0)


def test_the_demand_slides_on_while_the_film_plays() -> None:
    viewing = playing(6)
    assert viewing.asked() == [1, 2]
    viewing.pass_time(0.1)
    assert viewing.asked() == [1, 2, 3]


def test_the_demand_is_repeated_for_a_scheduler_that_forgot() -> None:
    viewing = Viewing()
    before = viewing.count(Ask)
    viewing.note(viewing.core.repeat_demand(viewing.now_sec))
    assert viewing.count(Ask) == before + 1
    assert viewing.asked() == [0, 1, 2]


def test_an_output_slow_with_the_last_chunk_is_no_rebuffering() -> None:
    viewing = Viewing(a_manifest(2))
    viewing.arrive(0, 1.0)
    viewing.arrive(1, 1.0)
    viewing.output_is_quick = False
    viewing.pass_time(5)
    assert viewing.in_output == [1]
    assert viewing.core.playback.rebuffering_events == 0
    viewing.take()
    viewing.pass_time(TICK_SEC)
    assert viewing.core.closing


def test_an_empty_buffer_is_one_rebuffering_event() -> None:
    viewing = playing()
    viewing.pass_time(12)
    assert len(viewing.told("rebuffering")) == 1
    viewing.arrive(1)
    assert viewing.core.playback.state == "playing"
    assert viewing.core.playback.stalled_sec(viewing.now_sec) == pytest.approx(2)


def test_real_durations_make_the_buffer_level() -> None:
    viewing = playing()
    viewing.arrive(1, 12.5)
    viewing.arrive(2, 7.5, measured=False)
    assert viewing.core.buffer_level_sec == pytest.approx(10 + 12.5 + 10), "unmeasured: nominal"


def test_a_gap_ends_the_buffer_level() -> None:
    viewing = playing()
    viewing.arrive(2)
    assert viewing.core.buffer_level_sec == pytest.approx(10)


def test_duplicates_and_strangers_are_ignored() -> None:
    viewing = playing()
    viewing.arrive(0, 99)
    viewing.arrive(7)
    stranger = held(1)
    stranger.chunk_id = "other-chunk-001"
    viewing.note(viewing.core.chunk_arrived(stranger, measured=True, now_sec=viewing.now_sec))
    assert viewing.core.chunks_buffered == 1
    assert viewing.core.timeline.start_sec(1) == 10


def test_a_chunk_behind_the_playhead_does_not_move_the_film() -> None:
    viewing = playing(6)
    viewing.note(viewing.core.seek(40, viewing.now_sec))
    viewing.arrive(4)
    viewing.arrive(2, 15.0)  # was under way when the viewer moved on
    viewing.pass_time(5)
    assert viewing.core.playback.position_sec == pytest.approx(45)
    assert viewing.core.buffer_level_sec == pytest.approx(5)


def test_chunks_over_the_memory_cap_are_spilled_the_farthest_first() -> None:
    viewing = Viewing(max_buffer_bytes=1500)
    viewing.arrive(1)
    viewing.arrive(2)
    assert [c.chunk.sequence_num for c in viewing.commands if isinstance(c, Spill)] == [2]


# ---------------------------------------------------------------- the viewer's wishes


def test_pausing_holds_the_playhead_and_the_output() -> None:
    viewing = playing()
    viewing.arrive(1)
    viewing.pass_time(4)
    viewing.note(viewing.core.pause(True, viewing.now_sec))
    viewing.pass_time(20)
    assert viewing.handed == [0]
    assert viewing.core.playback.position_sec == pytest.approx(4)
    viewing.note(viewing.core.pause(False, viewing.now_sec))
    viewing.pass_time(1)
    assert viewing.core.playback.position_sec == pytest.approx(5)


def test_a_pause_keeps_what_was_played_since_the_last_tick() -> None:
    viewing = playing()
    viewing.pass_time(4)
    viewing.now_sec += 0.04
    viewing.note(viewing.core.pause(True, viewing.now_sec))
    assert viewing.core.playback.position_sec == pytest.approx(4.04)


def test_the_buffer_fills_on_during_a_pause() -> None:
    viewing = playing(6)
    viewing.note(viewing.core.pause(True, viewing.now_sec))
    viewing.arrive(1)
    assert viewing.asked() == [2]


def test_a_seek_forward_drops_what_lies_between_and_asks_for_the_new_place() -> None:
    viewing = playing(8)
    viewing.note(viewing.core.seek(55, viewing.now_sec))
    assert viewing.asked() == [5, 6, 7]
    viewing.pass_time(2)
    assert viewing.core.playback.state == "seeking"
    viewing.arrive(5)
    assert (viewing.handed[-1], viewing.core.playback.state) == (5, "playing")
    viewing.pass_time(2)
    assert viewing.core.playback.position_sec == pytest.approx(57)
    assert viewing.core.playback.rebuffering_events == 0


def test_a_seek_back_asks_again() -> None:
    viewing = playing()
    viewing.arrive(1)
    viewing.pass_time(12)
    viewing.note(viewing.core.seek(0, viewing.now_sec))
    assert viewing.asked()[0] == 0
    viewing.arrive(0)
    viewing.pass_time(1)
    assert viewing.core.playback.position_sec == pytest.approx(1)


def test_a_chunk_the_output_had_before_the_seek_does_not_end_the_seek() -> None:
    viewing = Viewing(a_manifest(8))
    viewing.output_is_quick = False
    viewing.arrive(0)
    viewing.take()
    viewing.arrive(1)
    viewing.pass_time(9.8)
    assert viewing.in_output == [1]
    viewing.note(viewing.core.seek(50, viewing.now_sec))
    viewing.take()
    viewing.pass_time(1)
    assert viewing.core.playback.state == "seeking"
    assert viewing.core.playback.rebuffering_events == 0


@pytest.mark.parametrize(("wish_sec", "lands_sec"), [(-5, 0), (9999, 30)])
def test_a_seek_is_clamped_to_the_film(wish_sec: float, lands_sec: float) -> None:
    viewing = playing()
    viewing.note(viewing.core.seek(wish_sec, viewing.now_sec))
    assert viewing.core.playback.position_sec == lands_sec


def test_stopping_ends_the_output_early_and_asks_for_nothing_more() -> None:
    viewing = playing()
    viewing.note(viewing.core.stop())
    assert viewing.commands[-2:] == [CloseOutput(complete=False), Ask(())]
    viewing.arrive(1)
    viewing.pass_time(1)
    viewing.closed()
    assert (viewing.core.outcome, viewing.core.exit_code) == ("stopped", 0)
    assert viewing.handed == [0]


def test_stopping_twice_closes_once() -> None:
    viewing = playing()
    viewing.note(viewing.core.stop())
    viewing.note(viewing.core.stop())
    assert viewing.count(CloseOutput) == 1
