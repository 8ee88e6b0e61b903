"""The simulation as a program of its own: its answer, its limits, its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from dashboard.comparer import COMMAND, PROJECT_DIR, Busy, Comparer
from tests.unit.test_estimate import a_node, a_request
from tests.waiting import wait_until

IDLE = (sys.executable, "-c", "import signal; signal.pause()")
MEASURED = {"startup_sec": 1.0}


def given(asked: dict[str, Any]) -> Callable[[], tuple[dict[str, Any], dict[str, Any]]]:
    return lambda: (asked, MEASURED)


class Comparers(list[Comparer]):
    """All that were made in a test, and the processes they run."""

    def __init__(self) -> None:
        super().__init__()
        # Fixtures of the whole session have children, too.
        self._others = set(psutil.Process().children())

    def simulations(self) -> list[psutil.Process]:
        return [child for child in psutil.Process().children() if child not in self._others]


@pytest.fixture
def comparers() -> Iterator[Comparers]:
    made = Comparers()
    yield made
    for comparer in made:
        comparer.stop()


def a_comparer(made: list[Comparer], **options: Any) -> Comparer:
    made.append(Comparer(**options))
    return made[-1]


def test_three_policies_are_played_beside_what_was_measured(comparers: Comparers) -> None:
    comparer = a_comparer(comparers)
    assert comparer.state()["state"] == "idle"
    comparer.start("s1", given(a_request().model_dump()))
    wait_until(lambda: comparer.state()["state"] != "running", 30)
    state = comparer.state()
    assert (state["state"], state["session_id"], state["error"]) == ("done", "s1", "")
    result = state["result"]
    assert [p["policy"] for p in result["policies"]] == ["deadline", "score", "round_robin"]
    assert result["measured"] == MEASURED
    assert comparers.simulations() == []


def test_what_cannot_be_played_is_told_by_its_field(comparers: Comparers) -> None:
    comparer = a_comparer(comparers)
    comparer.start("s1", given(a_request().model_dump() | {"span_sec": -1}))
    wait_until(lambda: comparer.state()["state"] == "failed", 30)
    assert "span_sec" in comparer.state()["error"]


def test_one_at_a_time_and_none_after_the_end(comparers: Comparers) -> None:
    comparer = a_comparer(comparers, command=IDLE)
    comparer.start("s1", given({}))
    with pytest.raises(Busy):
        comparer.start("s1", given({}))
    comparer.stop()
    assert comparers.simulations() == []
    with pytest.raises(Busy):
        comparer.start("s1", given({}))


def test_a_simulation_that_takes_too_long_is_ended(comparers: Comparers) -> None:
    comparer = a_comparer(comparers, command=IDLE, limit_sec=0.2)
    comparer.start("s1", given({}))
    wait_until(lambda: comparer.state()["state"] == "failed")
    assert "0.2 s" in comparer.state()["error"]
    assert comparers.simulations() == []


def test_a_simulation_that_dies_is_told_and_another_may_follow(comparers: Comparers) -> None:
    comparer = a_comparer(comparers, command=IDLE)
    comparer.start("s1", given({}))
    comparers.simulations()[0].kill()
    wait_until(lambda: comparer.state()["state"] == "failed")
    assert "signal 9" in comparer.state()["error"]
    comparer.start("s1", given({}))
    assert comparer.state()["state"] == "running"


def test_the_simulation_ends_when_whoever_asked_was_killed() -> None:
    # The process id it is told is not its parent's: as if that had died.
    process = subprocess.Popen(
        COMMAND,
        cwd=PROJECT_DIR,
        env=os.environ | {"VSTACK_WATCH_PARENT": "999999999"},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: process.poll() is not None)
        assert process.returncode == -signal.SIGKILL
    finally:
        process.kill()
        process.communicate()


def test_as_much_as_a_request_may_hold_stays_within_the_limits(comparers: Comparers) -> None:
    chunks = [
        {"number": n, "size_bytes": 500_000, "duration_sec": 1.5, "holders": [0, 1], "parts": []}
        for n in range(400)
    ]
    seconds = [(float(n), 400_000.0, 1.0) for n in range(600)]
    nodes = [a_node(f"http://n{n}:1", seconds=seconds) for n in range(2)]
    request = a_request(*nodes, chunks=chunks, span_sec=600.0)
    comparer = a_comparer(comparers)
    comparer.start("s1", given(request.model_dump()))
    wait_until(lambda: comparer.state()["state"] != "running", 50)
    state = comparer.state()
    assert state["error"] == ""
    assert all(len(p["level_sec"]) <= 300 for p in state["result"]["policies"])
