"""A session: from the first wish to the last chunk, and what may go wrong in between."""

from __future__ import annotations

from typing import Any

import pytest

from buffer.commands import (
    Ask,
    CloseOutput,
    Command,
    CountView,
    HandOver,
    RefreshManifest,
    SessionOptions,
    SkipInOutput,
    Spill,
    Tell,
)
from buffer.playback import Playback
from buffer.session import ROUNDS_BEFORE_GIVING_UP, ROUNDS_OF_WRONG_BYTES, Session
from common.errors import ExitCode
from common.manifest import Manifest
from tests.builders import A, B, C, a_manifest, held, manifest_fields, trouble

TICK_SEC = 0.05


class Viewing:
    """A session with its clock; chunks handed over are taken by the output at once unless told otherwise."""

    def __init__(self, manifest: Manifest | None = None, **options: Any) -> None:
        self.now_sec = 100.0
        self.core = Session(
            manifest=manifest or a_manifest(),
            options=SessionOptions(**options),
            playback=Playback(command_sec=99.5, paced=options.get("paced", True)),
        )
        self.output_is_quick = True
        self.in_output: list[int] = []
        self.handed: list[int] = []
        self.commands: list[Command] = []
        self.note(self.core.begin(self.now_sec))

    def note(self, commands: list[Command]) -> None:
        self.commands += commands
        for command in commands:
            if isinstance(command, HandOver):
                self.in_output.append(command.chunk.sequence_num)
                self.handed.append(command.chunk.sequence_num)
            elif isinstance(command, SkipInOutput):
                self.in_output.append(command.sequence_num)
        while self.output_is_quick and self.in_output:
            self.take()

    def take(self) -> None:
        """Let the output take what it was given first."""
        self.note(self.core.output_took(self.in_output.pop(0), self.now_sec))

    def arrive(self, number: int, duration_sec: float = 10.0, *, measured: bool = True) -> None:
        chunk = held(number, duration_sec)
        self.note(self.core.chunk_arrived(chunk, measured=measured, now_sec=self.now_sec))

    def pass_time(self, duration_sec: float) -> None:
        for _ in range(round(duration_sec / TICK_SEC)):
            self.now_sec += TICK_SEC
            self.note(self.core.tick(self.now_sec))

    def trouble(self, number: int, **changed: Any) -> None:
        self.note(self.core.trouble(trouble(number, **changed), self.now_sec))

    def closed(self, text: str = "") -> None:
        self.note(self.core.output_closed(text, self.now_sec))

    def count(self, kind: type[Command]) -> int:
        return sum(isinstance(command, kind) for command in self.commands)

    def told(self, kind: str) -> list[str]:
        return [c.text for c in self.commands if isinstance(c, Tell) and c.kind == kind]

    def asked(self) -> list[int]:
        """Return the chunks named in the latest demand."""
        last = [c for c in self.commands if isinstance(c, Ask)][-1]
        return [item.chunk.sequence_num for item in last.wanted]


def playing(count: int = 3, **options: Any) -> Viewing:
    """Return a viewing whose first chunk plays."""
    viewing = Viewing(a_manifest(count), **options)
    viewing.arrive(0)
    return viewing


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
    assert (viewing.handed, viewing.core.playback.position_sec) == ([0], pytest.approx(4))
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


# ---------------------------------------------------------------- chunks that cannot be had


def test_trouble_is_told_once_and_fresh_replicas_are_asked_for_every_other_round() -> None:
    viewing = Viewing()
    refreshes = []
    for rounds in range(1, 6):
        viewing.trouble(0, rounds=rounds)
        refreshes.append(viewing.count(RefreshManifest))
    assert refreshes == [1, 1, 2, 2, 3]
    assert len(viewing.told("trouble")) == 1


def test_fresh_replicas_are_passed_on() -> None:
    viewing = Viewing()
    fresh = a_manifest(3, [A, B, C])
    viewing.note(viewing.core.replicas_refreshed(fresh, viewing.now_sec))
    last = [c for c in viewing.commands if isinstance(c, Ask)][-1]
    assert len(last.wanted[0].chunk.replicas) == 3


def test_a_manifest_of_another_film_is_not_taken_for_fresh_replicas() -> None:
    viewing = Viewing()
    fields = manifest_fields(3)
    fields["chunks"][1]["checksum"] = "f" * 64
    other = a_manifest(3, chunks=fields["chunks"])
    viewing.note(viewing.core.replicas_refreshed(other, viewing.now_sec))
    assert viewing.core.manifest is not other


def test_wait_waits() -> None:
    viewing = playing(on_missing="wait")
    viewing.pass_time(11)
    viewing.trouble(1, rounds=20)
    viewing.pass_time(30)
    assert (viewing.core.playback.state, viewing.core.closing) == ("rebuffering", False)


def test_skip_leaves_a_hole_when_the_playhead_gets_there() -> None:
    viewing = playing(on_missing="skip")
    viewing.arrive(2)
    viewing.trouble(1, rounds=ROUNDS_BEFORE_GIVING_UP)
    viewing.pass_time(9)
    assert viewing.count(SkipInOutput) == 0, "there is still time"
    viewing.pass_time(1.2)
    assert [c for c in viewing.commands if isinstance(c, SkipInOutput)] == [SkipInOutput(1, 10.0)]
    assert len(viewing.told("hole")) == 1
    viewing.pass_time(10.5)
    viewing.closed()
    core = viewing.core
    assert (core.outcome, core.exit_code) == ("holes", ExitCode.HOLES)
    assert viewing.handed == [0, 2]
    assert core.playback.played_sec == pytest.approx(20)
    assert core.chunks_played == 2


def test_skip_tries_a_few_rounds_first() -> None:
    viewing = playing(on_missing="skip")
    viewing.pass_time(11)
    viewing.trouble(1, rounds=ROUNDS_BEFORE_GIVING_UP - 1)
    assert viewing.count(SkipInOutput) == 0


def test_a_chunk_that_comes_after_all_is_not_skipped() -> None:
    viewing = playing(on_missing="skip")
    viewing.trouble(1, rounds=ROUNDS_BEFORE_GIVING_UP)
    viewing.arrive(1)
    viewing.pass_time(11)
    assert (viewing.count(SkipInOutput), viewing.handed) == (0, [0, 1])


def test_a_chunk_that_comes_after_it_was_skipped_is_ignored() -> None:
    viewing = playing(on_missing="skip")
    viewing.pass_time(11)
    viewing.trouble(1, rounds=ROUNDS_BEFORE_GIVING_UP)
    viewing.arrive(1)
    assert viewing.core.chunks_buffered == 1


def test_a_hole_at_the_start_is_no_picture() -> None:
    viewing = Viewing(on_missing="skip")
    viewing.trouble(0, rounds=ROUNDS_BEFORE_GIVING_UP)
    assert viewing.core.playback.startup_latency_sec is None
    assert viewing.core.playback.state == "startup"
    viewing.pass_time(1)
    viewing.arrive(1)
    assert viewing.core.playback.startup_latency_sec == pytest.approx(1.5)
    viewing.pass_time(2)
    assert viewing.core.playback.position_sec == pytest.approx(12)
    assert viewing.core.playback.rebuffering_events == 0


def test_a_film_of_holes_ends() -> None:
    viewing = Viewing(on_missing="skip")
    for number in range(3):
        viewing.trouble(number, rounds=ROUNDS_BEFORE_GIVING_UP)
    viewing.pass_time(40)
    viewing.closed()
    assert (viewing.core.outcome, len(viewing.core.missing)) == ("holes", 3)


def test_a_hole_at_the_end_ends_the_film() -> None:
    viewing = playing(2, on_missing="skip")
    viewing.pass_time(11)
    assert viewing.core.playback.state == "rebuffering"
    viewing.trouble(1, rounds=ROUNDS_BEFORE_GIVING_UP)
    viewing.pass_time(0.1)
    viewing.closed()
    assert viewing.core.outcome == "holes"


def test_fail_fails_when_the_playhead_gets_there() -> None:
    viewing = playing(on_missing="fail")
    viewing.trouble(1, rounds=ROUNDS_BEFORE_GIVING_UP)
    assert not viewing.core.closing
    viewing.pass_time(10.2)
    viewing.closed()
    core = viewing.core
    assert (core.outcome, core.exit_code) == ("failed", ExitCode.CHUNK_UNRECOVERABLE)
    assert "chunk 1" in core.message
    assert "is silent" in core.message


@pytest.mark.parametrize("policy", ["wait", "fail"])
def test_wrong_bytes_everywhere_are_not_waited_for(policy: Any) -> None:
    viewing = playing(on_missing=policy)
    viewing.trouble(1, rounds=ROUNDS_OF_WRONG_BYTES, fault="integrity")
    viewing.pass_time(10.2)
    assert viewing.core.exit_code == ExitCode.INTEGRITY


def test_silence_for_too_long_gives_up() -> None:
    viewing = Viewing(give_up_sec=5)
    viewing.pass_time(4.9)
    assert not viewing.core.closing
    viewing.pass_time(0.2)
    assert viewing.core.exit_code == ExitCode.CHUNK_UNRECOVERABLE
    assert "5 s" in viewing.core.message


def test_bytes_that_trickle_in_are_hope() -> None:
    viewing = Viewing(give_up_sec=5)
    for second in range(1, 10):
        viewing.pass_time(1)
        viewing.core.traffic(second * 100, viewing.now_sec)
    assert not viewing.core.closing


def test_a_scheduler_that_counts_from_zero_again_is_hope_too() -> None:
    viewing = Viewing(give_up_sec=5)
    viewing.core.traffic(10_000_000, viewing.now_sec)
    for second in range(1, 10):
        viewing.pass_time(1)
        viewing.core.traffic(second * 100, viewing.now_sec)
    assert not viewing.core.closing


def test_a_full_buffer_never_gives_up() -> None:
    viewing = playing(give_up_sec=5)
    viewing.arrive(1)
    viewing.arrive(2)
    viewing.pass_time(28)
    assert not viewing.core.closing


# ---------------------------------------------------------------- outputs that fail


def test_an_output_that_fails_ends_the_session() -> None:
    viewing = Viewing()
    viewing.output_is_quick = False
    viewing.arrive(0)
    viewing.note(viewing.core.output_failed("no space left on device"))
    viewing.closed("no space left on device")
    core = viewing.core
    assert (core.outcome, core.exit_code) == ("failed", ExitCode.OUTPUT)
    assert core.message == "no space left on device"


def test_a_film_whose_file_cannot_be_finished_was_not_played() -> None:
    viewing = Viewing(a_manifest(1), paced=False)
    viewing.arrive(0)
    viewing.pass_time(0.1)
    viewing.closed("no space left on device")
    assert (viewing.core.outcome, viewing.core.exit_code) == ("failed", ExitCode.OUTPUT)
