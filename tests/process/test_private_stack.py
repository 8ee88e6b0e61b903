"""A stack of one's own: how it ends, and what it survives."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from cluster import EmbeddedCluster
from tests.media_fixtures import Reading
from tests.process.support import (
    FILM_ID,
    GONE_LIMIT_SEC,
    Viewer,
    assert_beginning_of,
    assert_same_film,
    delivering,
    free_port,
)
from tests.waiting import wait_until


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (signal.SIGINT, "out.mp4"),
        (signal.SIGINT, "out.mkv"),
        (signal.SIGINT, "out.ts"),
        (signal.SIGTERM, "out.mp4"),
        (signal.SIGHUP, "out.mp4"),
    ],
)
def test_interrupted_playback_leaves_a_playable_file_and_nothing_else(
    viewer: Viewer, film: Reading, tmp_path: Path, number: signal.Signals, name: str
) -> None:
    playing = viewer.play(FILM_ID, "--output", str(tmp_path / name))
    playing.wait_for("playback started")
    playing.signal(number)
    done = playing.finish()
    assert done.code == 130
    assert f"{FILM_ID}: stopped" in done.out
    assert "Traceback" not in done.err
    assert viewer.processes() == []
    assert viewer.private_dirs() == []
    assert [p.name for p in tmp_path.iterdir()] == [name]
    assert_beginning_of(tmp_path / name, film)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
def test_interrupted_before_it_plays_it_leaves_nothing(
    viewer: Viewer, cluster: EmbeddedCluster, tmp_path: Path, number: signal.Signals
) -> None:
    for node in (1, 2, 3):
        cluster.set_fault(node, "silent")
    playing = viewer.play(FILM_ID, "--output", str(tmp_path / "out.mp4"))
    playing.wait_for("session starts")
    playing.signal(number)
    done = playing.finish()
    assert done.code == 130
    assert "Traceback" not in done.err
    assert viewer.processes() == []
    assert viewer.private_dirs() == []
    assert list(tmp_path.iterdir()) == []


def test_interrupted_while_its_processes_start_it_leaves_nothing(viewer: Viewer) -> None:
    playing = viewer.play(FILM_ID)
    wait_until(playing.children)
    playing.signal(signal.SIGINT)
    done = playing.finish()
    assert done.code == 130
    assert "Traceback" not in done.err
    assert viewer.processes() == []
    assert viewer.private_dirs() == []


def test_a_killed_viewer_takes_its_processes_along(viewer: Viewer) -> None:
    playing = viewer.play(FILM_ID)
    playing.wait_for("playback started")
    assert len(viewer.processes()) > 4
    playing.signal(signal.SIGKILL)
    playing.finish()
    wait_until(lambda: not viewer.processes(), GONE_LIMIT_SEC)


@pytest.mark.parametrize("module", ["scheduler.worker", "scheduler", "monitor"])
def test_film_is_right_after_a_process_was_killed(
    viewer: Viewer, cluster: EmbeddedCluster, film: Reading, tmp_path: Path, module: str
) -> None:
    playing = viewer.play(FILM_ID, "--output", str(tmp_path / "out.mp4"), "--no-pace")
    with delivering(cluster, 1, playing):
        playing.child(module).kill()
    done = playing.finish()
    assert done.code == 0, done
    assert_same_film(tmp_path / "out.mp4", film)


def test_every_worker_killed_once_the_film_is_still_right(
    viewer: Viewer, cluster: EmbeddedCluster, film: Reading, tmp_path: Path
) -> None:
    playing = viewer.play(FILM_ID, "--output", str(tmp_path / "out.mp4"), "--no-pace")
    with delivering(cluster, 1, playing):
        for worker in playing.children()["scheduler.worker"]:
            worker.kill()
    done = playing.finish()
    assert done.code == 0, done
    assert_same_film(tmp_path / "out.mp4", film)


def test_without_its_buffer_process_playback_ends_with_a_message(viewer: Viewer) -> None:
    playing = viewer.play(FILM_ID)
    playing.wait_for("playback started")
    playing.child("buffer").kill()
    done = playing.finish()
    assert done.code == 1
    assert done.err == "main.py: the buffer process ended with signal 9\n"
    assert viewer.private_dirs() == []


def test_stop_after_ends_with_a_summary(viewer: Viewer, film: Reading, tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    done = viewer.run(FILM_ID, "--stop-after", "3", "--output", str(output))
    assert (done.code, done.err) == (0, "")
    assert f"{FILM_ID}: stopped" in done.out
    assert "startup latency" in done.out
    assert_beginning_of(output, film)


def test_the_dashboard_of_a_private_stack_goes_with_it(viewer: Viewer) -> None:
    viewer.settings["DASHBOARD_PORT"] = str(free_port())
    playing = viewer.play(FILM_ID, "--dashboard", "--stop-after", "4")
    playing.child("dashboard")
    assert playing.finish().code == 0
    assert viewer.processes() == []


def test_a_reader_that_leaves_ends_playback_quietly(viewer: Viewer) -> None:
    script = (
        f"python main.py {FILM_ID} --no-pace --quiet --output - | head -c 100000 | wc -c; "
        "exit ${PIPESTATUS[0]}"
    )
    done = viewer.start_command(["bash", "-c", script]).finish()
    assert done.out.split() == ["100000"]
    assert done.code == 7
    assert len(done.err.splitlines()) == 1, done.err
    assert done.err.startswith("main.py: ")
    assert viewer.private_dirs() == []


def test_a_reader_of_the_status_lines_may_leave(
    viewer: Viewer, film: Reading, tmp_path: Path
) -> None:
    output = tmp_path / "out.mp4"
    script = (
        f"python main.py {FILM_ID} --no-pace --output {output} | head -n 1; exit ${{PIPESTATUS[0]}}"
    )
    done = viewer.start_command(["bash", "-c", script]).finish()
    assert (done.code, done.err) == (0, "")
    assert_same_film(output, film)
    assert viewer.private_dirs() == []


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-"])
def test_closed_standard_streams_do_not_keep_the_film(
    viewer: Viewer, film: Reading, tmp_path: Path, closed: str
) -> None:
    output = tmp_path / "out.mp4"
    script = f"exec python main.py {FILM_ID} --no-pace --output {output} {closed}"
    done = viewer.start_command(["bash", "-c", script]).finish()
    assert done.code == 0, done
    assert_same_film(output, film)
    assert viewer.private_dirs() == []


def test_two_viewers_do_not_disturb_each_other(
    viewer: Viewer, film: Reading, tmp_path: Path
) -> None:
    outputs = [tmp_path / "one.mp4", tmp_path / "two.mkv"]
    both = [viewer.play(FILM_ID, "--no-pace", "--output", str(path)) for path in outputs]
    for playing, path in zip(both, outputs, strict=True):
        assert playing.finish().code == 0
        assert_same_film(path, film)
