"""What cannot be played: a message that names the reason on stderr, and the documented exit code."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster import EmbeddedCluster
from common.endpoints import is_running
from tests.process.support import FILM_ID, Finished, Viewer
from tests.waiting import wait_until


def assert_refused(done: Finished, code: int, *words: str) -> None:
    """One line of reason, no stack of calls."""
    assert done.code == code, done
    assert done.err.startswith("main.py: "), done
    assert len(done.err.splitlines()) == 1, done
    for word in words:
        assert word in done.err


@pytest.fixture
def lonely() -> Iterator[Viewer]:
    """A viewer without a store: nothing listens where the settings point."""
    with Viewer() as made:
        yield made


def test_no_such_video(viewer: Viewer) -> None:
    assert_refused(viewer.run("no-such-video"), 4, "no-such-video", viewer.metadata_url)
    assert viewer.private_dirs() == []


def test_an_id_that_cannot_be_one(viewer: Viewer) -> None:
    assert_refused(viewer.run("../etc/passwd"), 4, "../etc/passwd")


def test_metadata_service_down(lonely: Viewer) -> None:
    assert_refused(lonely.run(FILM_ID), 3, "http://127.0.0.1:9", "refused")
    assert_refused(lonely.run("--list"), 3, "http://127.0.0.1:9", "refused")
    assert lonely.private_dirs() == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([FILM_ID, "--player", "betamax"], ["--player", "betamax", "none"]),
        ([FILM_ID, "--on-missing", "hope"], ["--on-missing", "hope", "skip"]),
        ([FILM_ID, "--output", "film.avi"], ["--output", "film.avi", ".mp4"]),
        ([FILM_ID, "--output", "film"], ["--output", "film", ".mp4"]),
        ([FILM_ID, "--output", "-", "--json"], ["--json"]),
        ([FILM_ID, "--raw"], ["--raw"]),
        ([FILM_ID, "--stop-after", "-1"], ["--stop-after", "-1"]),
        ([FILM_ID, "--stop-after", "nan"], ["--stop-after", "nan"]),
        ([FILM_ID, "--give-up-after", "0"], ["--give-up", "1 to 86400"]),
        ([FILM_ID, "--workers", "0"], ["--workers", "1 to 64"]),
        ([FILM_ID, "--metadata-url", "ftp://store"], ["METADATA_SERVICE_URL", "ftp://store"]),
        ([FILM_ID, "--config", "no-such.toml"], ["no-such.toml"]),
        ([], ["VIDEO_ID"]),
    ],
    ids=lambda value: " ".join(value)[-30:],
)
def test_wrong_arguments(lonely: Viewer, arguments: list[str], words: list[str]) -> None:
    assert_refused(lonely.run(*arguments), 2, *words)


@pytest.mark.parametrize("arguments", [["--no-such-flag"], ["--workers", "many"]], ids=str)
def test_arguments_nobody_knows(lonely: Viewer, arguments: list[str]) -> None:
    done = lonely.run(FILM_ID, *arguments)
    assert done.code == 2
    assert arguments[0] in done.err


@pytest.mark.parametrize(
    ("name", "value", "accepted"),
    [
        ("PING_INTERVAL", "abc", "0.1 to 3600"),
        ("TARGET_BUFFER_SEC", "-1", "1 to 3600"),
        ("TARGET_BUFFER_SEC", "nan", "1 to 3600"),
        ("HISTORY_SIZE", "2.5", "1 to 10000"),
        ("LOW_WATER_MARK_SEC", "40", "TARGET_BUFFER_SEC"),
        ("MAX_CONCURRENT_DOWNLOADS", "0", "1 to 64"),
        ("METADATA_SERVICE_URL", "foo", "http://HOST[:PORT]"),
        ("METADATA_SERVICE_URL", "http://host:99999", "http://HOST[:PORT]"),
        ("DASHBOARD_PORT", "http", "1 to 65535"),
    ],
)
def test_wrong_environment(lonely: Viewer, name: str, value: str, accepted: str) -> None:
    done = lonely.run(FILM_ID, **{name: value})
    assert_refused(done, 2, name, value, accepted)


@pytest.mark.parametrize(
    ("module", "code"), [("monitor", 78), ("scheduler", 78), ("buffer", 78), ("dashboard", 2)]
)
def test_wrong_environment_of_a_process(lonely: Viewer, module: str, code: int) -> None:
    done = lonely.start("-m", module, PING_INTERVAL="abc").finish()
    assert done.code == code
    assert "PING_INTERVAL" in done.err
    assert "Traceback" not in done.err


def test_a_run_directory_too_long_for_sockets(lonely: Viewer) -> None:
    folder = lonely.folder / ("x" * 100)
    folder.mkdir()
    done = lonely.start("-m", "monitor", VSTACK_RUN_DIR=str(folder)).finish()
    assert done.code == 78
    assert "VSTACK_RUN_DIR" in done.err


def test_output_in_a_directory_that_is_missing(viewer: Viewer, tmp_path: Path) -> None:
    path = tmp_path / "missing" / "out.mp4"
    assert_refused(viewer.run(FILM_ID, "--output", str(path)), 7, str(path), "directory")
    assert viewer.private_dirs() == []


def test_output_that_is_a_directory(viewer: Viewer, tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    path.mkdir()
    assert_refused(viewer.run(FILM_ID, "--output", str(path)), 7, str(path), "directory")


def test_output_where_nothing_can_be_written(viewer: Viewer) -> None:
    assert_refused(viewer.run(FILM_ID, "--output", "/proc/out.mp4"), 7, "/proc/out.mp4")


def test_output_of_bytes_that_are_no_media(
    viewer: Viewer, cluster: EmbeddedCluster, tmp_path: Path
) -> None:
    cluster.add_raw(b"no film at all" * 1000, "words")
    done = viewer.run("words", "--output", str(tmp_path / "out.mp4"), "--no-pace")
    assert_refused(done, 7, "media")
    assert list(tmp_path.iterdir()) == []


def test_output_on_a_full_disk(viewer: Viewer) -> None:
    done = viewer.start_command(
        ["bash", "-c", f"exec python main.py {FILM_ID} --no-pace --quiet --output - > /dev/full"]
    ).finish()
    assert_refused(done, 7)


def test_two_processes_of_one_role(lonely: Viewer) -> None:
    first = lonely.start("-m", "monitor")
    wait_until(lambda: is_running(lonely.stack_dir, "monitor"))
    second = lonely.start("-m", "monitor").finish()
    assert second.code == 1
    assert "another monitor runs" in second.err
    assert first.running
