"""How the dashboard starts, follows stacks, refuses to start, and ends."""

from __future__ import annotations

import contextlib
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.dashboard_harness import Dashboard, FakeStack, read_event
from tests.status_builders import a_session
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """Return a folder whose path is short enough for sockets."""
    path = Path(tempfile.mkdtemp(prefix="vsd-", dir="/tmp"))
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def dashboard(place: Path) -> Iterator[Dashboard]:
    made = Dashboard("-m", "dashboard", VSTACK_RUN_DIR=str(place / "main"))
    made.wait_listening()
    yield made
    code, errors = made.stop()
    assert code == 0, errors


def test_it_ends_within_three_seconds_though_viewers_watch(place: Path) -> None:
    made = Dashboard("-m", "dashboard", VSTACK_RUN_DIR=str(place / "stopping"))
    try:
        made.wait_listening()
        with made.stream() as answer:
            read_event(answer, "status")
            began_sec = time.monotonic()
            code, errors = made.stop()
            assert time.monotonic() - began_sec < 3
            assert (code, errors) == (0, "")
            answer.read()
    finally:
        made.finish()


def test_without_a_stack_it_says_how_to_start_one(place: Path) -> None:
    made = Dashboard("-m", "dashboard", VSTACK_RUN_DIR=str(place / "alone"))
    try:
        made.wait_listening()
        assert made.json("/api/status")["stack"]["running"] is False
        status, body = made.control({"action": "play", "video_id": "v"})
        assert status == 503
        assert "python main.py VIDEO_ID" in body["error"]
        assert made.control({"action": "stop"})[0] == 409
    finally:
        assert made.stop() == (0, "")


def test_a_viewer_that_left_frees_its_place_though_nothing_happens(place: Path) -> None:
    made = Dashboard("-m", "dashboard", VSTACK_RUN_DIR=str(place / "quiet"))
    try:
        made.wait_listening()
        with made.stream() as answer:
            read_event(answer, "status")
            assert made.json("/health")["viewers"] == 1
        wait_until(lambda: made.json("/health")["viewers"] == 0, timeout_sec=5)
    finally:
        assert made.stop() == (0, "")


def test_a_taken_port_is_named_and_so_is_the_dashboard_on_it(
    place: Path, dashboard: Dashboard
) -> None:
    second = Dashboard("-m", "dashboard", port=dashboard.port, VSTACK_RUN_DIR=str(place / "second"))
    code, errors = second.finish()
    assert code == 2
    assert "DASHBOARD_PORT" in errors
    assert "V-Stack dashboard" in errors


def test_a_port_taken_by_another_program_is_named(place: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = int(other.getsockname()[1])
        made = Dashboard("-m", "dashboard", port=port, VSTACK_RUN_DIR=str(place / "taken"))
        code, errors = made.finish()
    assert code == 2
    assert f"port {port} is in use;" in errors


def test_a_stack_has_one_dashboard(place: Path, dashboard: Dashboard) -> None:
    code, errors = Dashboard("-m", "dashboard", VSTACK_RUN_DIR=str(place / "main")).finish()
    assert code == 1
    assert "another dashboard" in errors


def test_a_wrong_setting_is_named(place: Path) -> None:
    made = Dashboard(
        "-m", "dashboard", VSTACK_RUN_DIR=str(place / "wrong"), VSTACK_TCP_BASE="tcp://8.8.8.8:9000"
    )
    code, errors = made.finish()
    assert code == 2
    assert "VSTACK_TCP_BASE" in errors


def test_it_ends_when_its_parent_dies(place: Path) -> None:
    code = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-m', 'dashboard', *sys.argv[1:]])\n"
        "print(child.pid, flush=True)\n"
        "child.wait()\n"
    )
    made = Dashboard("-c", code, VSTACK_RUN_DIR=str(place / "orphan"), VSTACK_WATCH_PARENT="1")
    assert made.process.stdout is not None
    child = psutil.Process(int(made.process.stdout.readline()))
    try:
        made.wait_listening()
        made.process.kill()
        wait_until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
        made.finish()


def test_the_standalone_server_follows_from_stack_to_stack(place: Path) -> None:
    runtime = place / "runtime"
    base = runtime / "vstack"
    base.mkdir(parents=True, mode=0o700)
    made = Dashboard("dashboard_server.py", XDG_RUNTIME_DIR=str(runtime))

    def shows(session_id: str | None, *, running: bool) -> bool:
        status = made.json("/api/status")
        return (status["session_id"], status["stack"]["running"]) == (session_id, running)

    try:
        made.wait_listening()
        assert shows(None, running=False)
        first = FakeStack(base / "run-first")
        try:
            first.say(a_session(session_id="first", started_unix_sec=2000.0))
            wait_until(lambda: shows("first", running=True))
        finally:
            first.close()
        wait_until(lambda: shows("first", running=False))
        second = FakeStack(base / "run-second")
        try:
            second.say(a_session(session_id="second", started_unix_sec=1000.0))
            wait_until(lambda: shows("second", running=True))
        finally:
            second.close()
    finally:
        assert made.stop() == (0, "")
