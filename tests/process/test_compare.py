"""A session with a node that stalls, compared with other policies by the dashboard that watched it."""

from __future__ import annotations

import signal
import urllib.error
from typing import Any

import psutil
import pytest

from cluster import EmbeddedCluster
from tests.process.support import FILM_ID, Viewer, module_of
from tests.standing import Standing
from tests.waiting import wait_until

BEST = 1


def simulations(standing: Standing) -> list[psutil.Process]:
    children = psutil.Process(standing.dashboard.process.pid).children()
    return [child for child in children if module_of(child) == "simulation"]


def compared(standing: Standing) -> Any:
    """Ask for a comparison and return its result."""
    standing.post("/api/compare", {})
    wait_until(lambda: standing.get("/api/compare")["state"] != "running", 40)
    state = standing.get("/api/compare")
    assert (state["state"], state["error"]) == ("done", "")
    return state["result"]


def refused(standing: Standing, body: dict[str, Any]) -> int:
    with pytest.raises(urllib.error.HTTPError) as caught:
        standing.post("/api/compare", body)
    with caught.value as error:
        return error.code


def test_a_session_whose_best_node_stalled_is_compared(
    sound_cluster: EmbeddedCluster, viewer: Viewer
) -> None:
    standing = Standing(viewer)
    assert standing.get("/api/compare")["state"] == "idle"
    assert refused(standing, {}) == 409, "nothing was played yet"
    sound_cluster.set_fault(BEST, "stall")
    made = viewer.play(FILM_ID, "--no-pace").finish()
    assert made.code == 0, made.err
    wait_until(lambda: standing.get("/api/status")["outcome"] == "played")
    summary = standing.get("/api/performance")["summary"]
    result = compared(standing)
    assert simulations(standing) == []
    assert [p["policy"] for p in result["policies"]] == ["deadline", "score", "round_robin"]
    ours, _, naive = result["policies"]
    assert result["chunks"] == 4
    assert result["nodes"] == 3
    assert 0 < result["observed_ratio"] <= 1
    assert result["measured"]["policy"] == "deadline"
    assert result["measured"]["startup_sec"] == pytest.approx(
        summary["startup_latency_sec"], abs=0.01
    )
    assert ours["outcome"] == naive["outcome"] == "played"
    # Chunk 0 whole from one node: whoever waits for that begins later.
    assert naive["startup_sec"] > ours["startup_sec"]
    assert refused(standing, {"session_id": 3}) == 400
    assert refused(standing, {"session_id": "nobody"}) == 409


def test_no_simulation_outlives_a_dashboard_that_is_killed(
    sound_cluster: EmbeddedCluster, viewer: Viewer
) -> None:
    standing = Standing(viewer)
    assert viewer.play(FILM_ID, "--no-pace").finish().code == 0
    wait_until(lambda: standing.get("/api/status")["outcome"] == "played")
    standing.post("/api/compare", {})
    left = simulations(standing)
    standing.dashboard.signal(signal.SIGKILL)
    standing.dashboard.process.wait(10)
    wait_until(lambda: not any(process.is_running() for process in left))
