"""A session whose chunks or output fail."""

from __future__ import annotations

from typing import Any

import pytest

from buffer.commands import (
    Ask,
    RefreshManifest,
    SkipInOutput,
)
from buffer.patience import ROUNDS_BEFORE_GIVING_UP, ROUNDS_OF_WRONG_BYTES
from common.errors import ExitCode
from tests.builders import A, B, C, a_manifest, manifest_fields
from tests.session_rig import Viewing, playing

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
