"""The schedule of strikes, and what a run is judged by."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, strategies as st

from chaos.judging import Run, Tally, agreeing
from chaos.schedule import MAX_KILLS, NODE_FAULTS, PROCESSES, REST_SEC, strikes

NODES, WORKERS, UNTIL_SEC = 3, 2, 15.0
RIGHT = Run(
    seed=1,
    strikes=(),
    exit_code=0,
    message="",
    frames=100,
    found_frames=100,
    expected_frames=100,
    rebuffering_events=0,
    stalled_sec=0.0,
)


@given(st.integers(0, 100_000))
def test_a_schedule_leaves_a_way_through(seed: int) -> None:
    found = strikes(seed, until_sec=UNTIL_SEC, nodes=NODES, workers=WORKERS)
    assert found == strikes(seed, until_sec=UNTIL_SEC, nodes=NODES, workers=WORKERS)
    assert all(a.at_sec < b.at_sec < UNTIL_SEC for a, b in pairwise(found))
    faults = [s for s in found if s.blow == "fault"]
    assert {s.target for s in faults} <= {"1", "2"}, "the last node is left alone"
    assert {s.fault for s in faults} <= set(NODE_FAULTS)
    assert sum(s.blow == "kill" for s in found) <= MAX_KILLS
    for module in PROCESSES:
        mine = [s for s in found if s.target == module]
        assert all(a.at_sec + a.for_sec + REST_SEC <= b.at_sec for a, b in pairwise(mine))
        assert all(0 <= s.index < WORKERS for s in mine)


def test_every_kind_of_strike_occurs() -> None:
    found = [
        strike
        for seed in range(200)
        for strike in strikes(seed, until_sec=UNTIL_SEC, nodes=NODES, workers=WORKERS)
    ]
    for blow in ("kill", "stop"):
        assert {s.target for s in found if s.blow == blow} == set(PROCESSES)
    assert {s.fault for s in found if s.blow == "fault"} == set(NODE_FAULTS)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"exit_code": 5, "message": "gone"}, "exit code 5: gone"),
        ({"frames": 40}, "100 pictures, the first 40 are the source's"),
        ({"found_frames": 101}, "101 pictures"),
        ({"rebuffering_events": 2, "stalled_sec": 1.5}, "2 stalls, 1.50 s"),
        ({"left_processes": ("worker",)}, "left behind: worker"),
        ({"left_files": ("run-1",)}, "left behind: run-1"),
    ],
)
def test_what_is_wrong_is_said(change: dict[str, object], words: str) -> None:
    assert RIGHT.faults() == []
    run = replace(RIGHT, **change)  # type: ignore[arg-type]
    assert words in run.faults()[0]
    assert Tally([RIGHT, run]).right == 1


def test_a_tally_tells_how_long_each_kind_was_away() -> None:
    first = replace(RIGHT, back_sec=(("monitor", 0.1), ("scheduler", 0.5)))
    second = replace(RIGHT, back_sec=(("monitor", 0.3),))
    assert Tally([first, second]).lines() == [
        "2 of 2 runs right",
        "monitor: killed 2 times, back after 0.20 s (median)",
        "scheduler: killed 1 times, back after 0.50 s (median)",
    ]


def test_pictures_agree_up_to_the_first_that_differs() -> None:
    assert agreeing([1, 2, 3], [1, 2, 3]) == 3
    assert agreeing([1, 2, 9, 4], [1, 2, 3, 4]) == 2
    assert agreeing([], [1]) == 0
