"""A session beside what it could have been at best, in numbers where they are known and in words where not.

No I/O, no clock, no randomness.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from client.report.figures import ChunkFigures, Comparison
from client.report.floors import Pace, play_floor_sec, startup_floor_sec
from common.stack_state import Json
from common.units import bytes_text

# Ranges that were cut off late are counted in the total alone; where more is unseen the arrivals say too little.
MAX_UNSEEN_RATIO = 0.05
STARTUP = "Startup"
PLAY = "Startup and stalls"


def compare(
    *,
    summary: Json,
    chunks: Sequence[ChunkFigures],
    paces: Sequence[Pace],
    arrived: Sequence[tuple[float, float]],
    moved: bool,
    lost_records: int,
) -> tuple[Comparison, ...]:
    """Return the comparisons; `moved` says that the film was not played straight on at its pace."""
    startup = _startup(summary, chunks, paces)
    if not summary["stalled_sec"]:
        return (startup,)
    return (startup, _play(summary, chunks, arrived, moved=moved, lost_records=lost_records))


def _unknown(name: str, measured_sec: float | None, why: str) -> Comparison:
    return Comparison(
        name=name, measured_sec=measured_sec, floor_sec=None, text=f"Not known: {why}."
    )


def _startup(summary: Json, chunks: Sequence[ChunkFigures], paces: Sequence[Pace]) -> Comparison:
    measured_sec: float | None = summary["startup_latency_sec"]
    if measured_sec is None:
        return _unknown(STARTUP, None, "playback never started")
    if not chunks or chunks[0].sequence_num != 0:
        return _unknown(STARTUP, measured_sec, "the recording does not tell the first chunk's size")
    size_bytes, manifest_sec = chunks[0].size_bytes, summary["manifest_sec"]
    floor_sec = startup_floor_sec(size_bytes, manifest_sec, paces)
    if floor_sec is None or not math.isfinite(floor_sec):
        return _unknown(STARTUP, measured_sec, "no node was seen to send long enough for a pace")
    if floor_sec >= measured_sec:
        text = "As short as the best pace allows that its nodes were seen to keep."
    else:
        text = (
            f"The manifest came after {manifest_sec:.2f} s. From then on the {bytes_text(size_bytes)} of the first "
            f"chunk would have taken {floor_sec - manifest_sec:.2f} s, had each of the {len(paces)} nodes that sent "
            "anything begun at once and kept the best pace it was seen to keep in this session. Whether they could "
            "have been faster still, a recording cannot tell."
        )
    return Comparison(
        name=STARTUP,
        measured_sec=measured_sec,
        floor_sec=min(floor_sec, measured_sec),
        text=text,
    )


def _play(
    summary: Json,
    chunks: Sequence[ChunkFigures],
    arrived: Sequence[tuple[float, float]],
    *,
    moved: bool,
    lost_records: int,
) -> Comparison:
    startup_sec, stalled_sec = summary["startup_latency_sec"], summary["stalled_sec"]
    if startup_sec is None:
        return _unknown(PLAY, None, "playback never started")
    measured_sec = startup_sec + stalled_sec
    if moved:
        why = "the film was not played straight on at its own pace"
        return _unknown(PLAY, measured_sec, why)
    if summary["missing_chunks"]:
        return _unknown(PLAY, measured_sec, "chunks were left out")
    unseen_bytes = summary["received_bytes"] - (arrived[-1][1] if arrived else 0.0)
    if lost_records or unseen_bytes > MAX_UNSEEN_RATIO * summary["received_bytes"]:
        return _unknown(PLAY, measured_sec, "the recording lacks some of the ranges that were read")
    played = [c for c in chunks if c.state == "played"]
    if [c.sequence_num for c in played] != list(range(len(played))):
        return _unknown(PLAY, measured_sec, "the recording does not tell the size of every chunk")
    floor_sec = play_floor_sec(
        [(c.size_bytes, c.duration_sec) for c in played],
        arrived,
        unseen_bytes=max(0.0, unseen_bytes),
    )
    if floor_sec is None or not math.isfinite(floor_sec):
        return _unknown(PLAY, measured_sec, "fewer bytes were seen to come than were played")
    text = (
        "The least with which the same bytes, arriving when they arrived, could have played the film, had they come in "
        "the best order and none twice. What nodes could have sent that were not asked, a recording cannot tell."
    )
    return Comparison(
        name=PLAY, measured_sec=measured_sec, floor_sec=min(floor_sec, measured_sec), text=text
    )
