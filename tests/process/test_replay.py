"""`--replay`: a recorded session in the dashboard, without any stack."""

from __future__ import annotations

import http.client
import json
import signal
from pathlib import Path
from typing import Any

import pytest

from cluster import EmbeddedCluster
from common.endpoints import Role, is_running
from tests.process.kept import Kept, keep
from tests.process.support import FILM_ID, Command, Viewer, free_port
from tests.waiting import wait_until

ROLES: tuple[Role, ...] = ("monitor", "scheduler", "buffer", "dashboard")


@pytest.fixture(scope="module")
def kept(cluster: EmbeddedCluster, tmp_path_factory: pytest.TempPathFactory) -> Kept:
    return keep(cluster, tmp_path_factory.mktemp("kept"))


def request(port: int, method: str, path: str, body: object = None) -> tuple[int, str]:
    """Ask a dashboard; return status and text of its answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        raw = None if body is None else json.dumps(body)
        connection.request(method, path, raw, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def get(port: int, path: str) -> Any:
    """Return what a dashboard answers in JSON."""
    status, text = request(port, "GET", path)
    assert status == 200, text
    return json.loads(text)


class Replay:
    """A recording that is shown in a dashboard."""

    def __init__(self, viewer: Viewer, recording: Path, *arguments: str) -> None:
        self.port = free_port()
        viewer.settings["DASHBOARD_PORT"] = str(self.port)
        self.command: Command = viewer.play("--replay", str(recording), *arguments)
        self.command.wait_for(f"Dashboard: http://localhost:{self.port}")

    def request(self, method: str, path: str, body: object = None) -> tuple[int, str]:
        return request(self.port, method, path, body)

    def json(self, path: str) -> Any:
        return get(self.port, path)

    def wait_for_the_end(self) -> None:
        wait_until(lambda: "its end" in self.json("/api/status")["recording"])


def test_the_dashboard_shows_the_recorded_session(kept: Kept, viewer: Viewer) -> None:
    shown = Replay(viewer, kept.recording, "--replay-speed", "1000")
    shown.wait_for_the_end()
    status = shown.json("/api/status")
    assert (status["video_id"], status["outcome"]) == (FILM_ID, "played")
    assert status["session_id"] == kept.summary["session_id"]
    assert status["stack"]["running"] is False
    assert status["recording"].startswith("Recording of ")
    told = shown.json("/api/performance")["summary"]
    for name in ("bytes_by_node", "failover_count", "received_bytes", "chunks_played"):
        assert told[name] == kept.summary[name]
    assert told["startup_latency_sec"] == pytest.approx(
        kept.summary["startup_latency_sec"], abs=1e-4
    )
    assert len(shown.json("/api/chunks")["chunks"]) == 4
    # Only the dashboard runs, in the command's own process.
    assert [p.pid for p in viewer.processes()] == [shown.command.process.pid]
    shown.command.signal(signal.SIGINT)
    done = shown.command.finish()
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("Recording of ")


def start_stack(viewer: Viewer) -> int:
    """Start a standing stack with a dashboard, and return the dashboard's port."""
    port = free_port()
    viewer.settings["VSTACK_RUN_DIR"] = str(viewer.stack_dir)
    viewer.settings["DASHBOARD_PORT"] = str(port)
    for module in ("monitor", "scheduler", "scheduler.worker", "buffer", "dashboard"):
        viewer.start("-m", module)
    wait_until(lambda: all(is_running(viewer.stack_dir, role) for role in ROLES), 30)
    return port


def test_of_a_stack_with_two_viewers_each_records_its_own(viewer: Viewer, tmp_path: Path) -> None:
    port = start_stack(viewer)
    paths = [tmp_path / f"{number}.vsrec" for number in range(2)]
    both = [viewer.play(FILM_ID, "--no-pace", "--json", "--record", str(path)) for path in paths]
    summaries = [playing.finish().lines[-1] for playing in both]
    live = [get(port, f"/api/chunks?session_id={s['session_id']}") for s in summaries]
    assert summaries[0]["session_id"] != summaries[1]["session_id"]
    for path, summary, chunks in zip(paths, summaries, live, strict=True):
        shown = Replay(viewer, path, "--replay-speed", "1000")
        shown.wait_for_the_end()
        status = shown.json("/api/status")
        assert [s["session_id"] for s in status["sessions"]] == [summary["session_id"]]
        assert shown.json("/api/chunks") == chunks
        told = shown.json("/api/performance")["summary"]
        assert told["received_bytes"] == summary["received_bytes"]
        shown.command.signal(signal.SIGINT)
        assert shown.command.finish().code == 0


def test_a_recording_takes_no_commands(kept: Kept, viewer: Viewer) -> None:
    shown = Replay(viewer, kept.recording, "--replay-speed", "0.1", "--dashboard", "--quiet")
    wait_until(lambda: shown.json("/api/status")["session_id"])
    status, text = shown.request("POST", "/api/control", {"action": "pause"})
    assert status == 503
    assert "a recording can be watched, not controlled" in json.loads(text)["error"]
    shown.command.signal(signal.SIGTERM)
    done = shown.command.finish()
    assert (done.code, done.out) == (0, f"Dashboard: http://localhost:{shown.port}\n")


def test_a_recording_may_be_made_into_a_report_and_shown(
    kept: Kept, viewer: Viewer, tmp_path: Path
) -> None:
    report = tmp_path / "report.html"
    arguments = ("--report", str(report), "--dashboard", "--replay-speed", "1000")
    shown = Replay(viewer, kept.recording, *arguments)
    assert report.read_text("utf-8") == kept.page
    shown.wait_for_the_end()
    shown.command.signal(signal.SIGINT)
    assert shown.command.finish().code == 0


def test_a_damaged_recording_is_shown_as_far_as_it_goes(
    kept: Kept, viewer: Viewer, tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged.vsrec"
    damaged.write_bytes(kept.recording.read_bytes() + b"something else that is no block")
    shown = Replay(viewer, damaged, "--replay-speed", "1000")
    wait_until(lambda: "damaged" in shown.json("/api/status")["recording"])
    assert shown.json("/api/status")["video_id"] == FILM_ID
    shown.command.signal(signal.SIGINT)
    done = shown.command.finish()
    assert done.code == 2
    assert f"{damaged}: at byte {kept.recording.stat().st_size}: " in done.err
    assert viewer.run("--replay", str(damaged), "--report", str(tmp_path / "x.html")).code == 2
    assert not (tmp_path / "x.html").exists()


def test_a_taken_port_is_named(kept: Kept, viewer: Viewer) -> None:
    first = Replay(viewer, kept.recording)
    done = viewer.run("--replay", str(kept.recording))
    assert done.code == 2
    assert f"port {first.port} is in use by a V-Stack dashboard" in done.err
    assert done.err.endswith("choose another with DASHBOARD_PORT\n")
    first.command.signal(signal.SIGINT)
    assert first.command.finish().code == 0
