"""A standing stack under honcho, supervisord or by hand: joined, scaled, killed and restarted."""

from __future__ import annotations

import signal
import time
from functools import partial
from pathlib import Path

import psutil
import pytest

from cluster import EmbeddedCluster
from common.endpoints import CHANNELS, Role, is_running
from tests.media_fixtures import Reading
from tests.process.support import (
    FILM_ID,
    ROOT,
    Command,
    Viewer,
    assert_same_film,
    delivering,
    free_port,
    module_of,
)
from tests.waiting import wait_until

SINGLETONS: tuple[Role, ...] = ("monitor", "scheduler", "buffer", "dashboard")
MODULES = ("monitor", "scheduler", "scheduler.worker", "buffer", "dashboard")
# honcho and supervisord give their processes 5 s; ours take at most 3.
STOP_LIMIT_SEC = 8.0


@pytest.fixture
def standing(viewer: Viewer) -> Viewer:
    """A viewer whose standing stack has a run directory of its own."""
    viewer.settings["VSTACK_RUN_DIR"] = str(viewer.stack_dir)
    viewer.settings["DASHBOARD_PORT"] = str(free_port())
    return viewer


def workers(viewer: Viewer) -> list[psutil.Process]:
    return running(viewer, "scheduler.worker")


def running(viewer: Viewer, module: str) -> list[psutil.Process]:
    """Return the processes that run a module, oldest first."""
    found = [p for p in viewer.processes() if module_of(p) == module]
    return sorted(found, key=lambda p: p.create_time())


def inboxes(viewer: Viewer) -> list[Path]:
    return list(viewer.stack_dir.glob("worker.*.jobs"))


def serves(viewer: Viewer, module: str) -> bool:
    """Tell whether a process of this kind is ready."""
    if module == "scheduler.worker":
        return inboxes(viewer) != []
    return any(role == module and is_running(viewer.stack_dir, role) for role in SINGLETONS)


def wait_until_up(viewer: Viewer, worker_count: int) -> None:
    """Wait until every process of the stack serves."""
    wait_until(lambda: all(is_running(viewer.stack_dir, role) for role in SINGLETONS), 30)
    wait_until(lambda: len(inboxes(viewer)) == worker_count, 30)


def start_honcho(viewer: Viewer, worker_count: int = 4) -> Command:
    started = viewer.start_command(
        ["honcho", "start", "-f", str(ROOT / "Procfile"), "-c", f"worker={worker_count}"]
    )
    wait_until_up(viewer, worker_count)
    return started


def supervisord_conf(viewer: Viewer) -> Path:
    """Return the repository's file with its socket and pid file in the viewer's folder."""
    text = (ROOT / "supervisord.conf").read_text("utf-8")
    text = text.replace("%(here)s/.superv", f"{viewer.folder}/.superv")
    path = viewer.folder / "supervisord.conf"
    path.write_text(text.replace("%(here)s", str(ROOT)), "utf-8")
    return path


def start_supervisord(viewer: Viewer) -> Command:
    conf = str(supervisord_conf(viewer))
    started = viewer.start_command(["supervisord", "-n", "-c", conf])
    wait_until_up(viewer, 2)
    return started


def assert_stops(viewer: Viewer, stack: Command, number: signal.Signals) -> None:
    """Stop the stack: no process left, no worker's inbox, no lock held."""
    asked_sec = time.monotonic()
    stack.signal(number)
    stack.finish()
    assert time.monotonic() - asked_sec < STOP_LIMIT_SEC
    wait_until(lambda: not viewer.processes())
    assert "Traceback" not in stack.out + stack.err
    assert inboxes(viewer) == []
    assert not any(is_running(viewer.stack_dir, role) for role in SINGLETONS)
    # Sockets and locks of the singletons are taken over by the next stack.
    reused = {*CHANNELS, *(f"{role}.lock" for role in SINGLETONS), "spill"}
    assert {p.name for p in viewer.stack_dir.iterdir()} <= reused
    assert list(viewer.stack_dir.glob("spill/*")) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda n: n.name)
def test_film_is_right_through_honcho_with_four_workers(
    standing: Viewer, film: Reading, tmp_path: Path, number: signal.Signals
) -> None:
    stack = start_honcho(standing)
    before = {p.pid for p in standing.processes()}
    playing = standing.play(FILM_ID, "--output", str(tmp_path / "out.mp4"), "--no-pace")
    playing.wait_for("playback started")
    assert {p.pid for p in standing.processes()} - before == {playing.process.pid}
    done = playing.finish()
    assert (done.code, done.err) == (0, "")
    assert_same_film(tmp_path / "out.mp4", film)
    assert {p.pid for p in standing.processes()} == before
    assert standing.private_dirs() == []
    assert_stops(standing, stack, number)


@pytest.mark.parametrize("module", ["scheduler.worker", "scheduler", "monitor"])
def test_film_is_right_though_a_process_is_killed_under_honcho(
    standing: Viewer, cluster: EmbeddedCluster, film: Reading, tmp_path: Path, module: str
) -> None:
    stack = start_honcho(standing)
    victim = running(standing, module)[0]
    playing = standing.play(FILM_ID, "--output", str(tmp_path / "out.mp4"), "--no-pace")
    with delivering(cluster, 1, playing):
        victim.kill()
    done = playing.finish()
    assert (done.code, done.err) == (0, "")
    assert_same_film(tmp_path / "out.mp4", film)
    wait_until_up(standing, len(inboxes(standing)))
    assert stack.process.poll() is None
    stack.signal(signal.SIGTERM)
    stack.finish()
    wait_until(lambda: not standing.processes())


def test_film_is_right_through_supervisord_while_each_process_is_restarted(
    standing: Viewer, cluster: EmbeddedCluster, film: Reading, tmp_path: Path
) -> None:
    stack = start_supervisord(standing)
    conf = str(supervisord_conf(standing))
    for index, module in enumerate(["scheduler", "monitor", "scheduler.worker", "dashboard"]):
        path = tmp_path / f"{index}.mp4"
        others = {p.pid for m in MODULES if m != module for p in running(standing, m)}
        playing = standing.play(FILM_ID, "--output", str(path), "--no-pace")
        name = "worker:*" if module == "scheduler.worker" else module
        with delivering(cluster, 1, playing):
            if module == "scheduler.worker":
                workers(standing)[0].kill()
            else:
                restart = ["supervisorctl", "-c", conf, "restart", f"vstack:{name}"]
                assert standing.start_command(restart).finish().code == 0
        done = playing.finish()
        assert done.code == 0, (module, done)
        assert_same_film(path, film)
        wait_until_up(standing, 2 if module != "scheduler.worker" else len(inboxes(standing)))
        assert {p.pid for m in MODULES if m != module for p in running(standing, m)} == others
    assert_stops(standing, stack, signal.SIGTERM)


def test_the_buffer_restarted_while_it_plays_is_told_to_the_viewer(
    standing: Viewer, film: Reading, tmp_path: Path
) -> None:
    stack = start_supervisord(standing)
    playing = standing.play(FILM_ID, "--output", str(tmp_path / "out.mp4"))
    playing.wait_for("playback started")
    running(standing, "buffer")[0].kill()
    done = playing.finish()
    assert done.code == 1
    assert "buffer process" in done.err
    again = standing.run(FILM_ID, "--output", str(tmp_path / "again.mp4"), "--no-pace")
    assert again.code == 0
    assert_same_film(tmp_path / "again.mp4", film)
    assert_stops(standing, stack, signal.SIGTERM)


@pytest.mark.parametrize(
    "order",
    [
        ("dashboard", "buffer", "scheduler.worker", "scheduler", "monitor"),
        ("scheduler.worker", "monitor", "buffer", "dashboard", "scheduler"),
    ],
    ids=lambda order: order[0],
)
def test_the_five_processes_start_in_any_order(
    standing: Viewer, film: Reading, tmp_path: Path, order: tuple[str, ...]
) -> None:
    stack = []
    for module in order:
        stack.append(standing.start("-m", module))
        wait_until(partial(serves, standing, module))
    done = standing.run(FILM_ID, "--output", str(tmp_path / "out.mkv"), "--no-pace")
    assert done.code == 0, done
    assert_same_film(tmp_path / "out.mkv", film)
    for process in stack:
        process.signal(signal.SIGTERM)
    assert [process.finish().code for process in stack] == [0] * len(stack)
