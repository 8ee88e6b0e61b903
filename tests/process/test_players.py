"""Programs that know nothing of us get the whole film, and those that are started here end as they should."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from cluster.sample import make_sample_film
from tests.media_fixtures import Reading, read_film
from tests.needs import needs
from tests.process.support import (
    FILM_ID,
    FRAME_SEC,
    Command,
    Viewer,
    assert_same_film,
    free_port,
    module_of,
)
from tests.standing import Standing
from tests.waiting import wait_until

# ffplay knows no speed but the film's.
FILM_SEC = 12
LIMIT_SEC = 60
SILENT = {"SDL_VIDEODRIVER": "dummy", "SDL_AUDIODRIVER": "dummy"}


@pytest.fixture(scope="module")
def film_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film of two chunks, the second a short one."""
    path = tmp_path_factory.mktemp("short") / "film.mp4"
    make_sample_film(path, width=192, height=108, duration_sec=FILM_SEC, bitrate_bps=180_000)
    return path


@pytest.fixture(scope="module")
def film(film_path: Path) -> Reading:
    return read_film(film_path)


def program_url(stream_url: str) -> str:
    return stream_url.replace("film.m3u8", "film-ts.m3u8")


def ffplay_of(command: Command) -> psutil.Process:
    """Return the process of ffplay, once it is more than its leash and has asked for the film."""

    def found() -> list[psutil.Process]:
        return [c for some in command.children().values() for c in some if c.name() == "ffplay"]

    command.wait_for("playback started")
    wait_until(found, 20)
    return found()[0]


def shown_by_ffplay(viewer: Viewer, *arguments: str) -> Command:
    return viewer.play(FILM_ID, "--player", "ffplay", *arguments, **SILENT)


@needs("ffplay")
def test_ffplay_shows_the_film_to_its_end(viewer: Viewer) -> None:
    ended = shown_by_ffplay(viewer, "--json").finish()
    assert ended.code == 0, ended.err
    summary = ended.lines[-1]
    assert summary["outcome"] == "played"
    assert summary["played_sec"] == pytest.approx(FILM_SEC, abs=1)
    assert summary["rebuffering_events"] == 0
    assert not viewer.processes()


@needs("ffplay")
def test_ffplay_can_jump(viewer: Viewer) -> None:
    ended = shown_by_ffplay(viewer, "--json", "--player-args", "-ss 11").finish()
    assert ended.code == 0, ended.err
    summary = ended.lines[-1]
    assert summary["outcome"] == "played"
    # The first of its two chunks was jumped over.
    assert summary["played_sec"] < FILM_SEC / 2


@needs("ffplay")
def test_who_ends_ffplay_has_stopped_the_film(viewer: Viewer) -> None:
    playing = shown_by_ffplay(viewer)
    ffplay_of(playing).terminate()
    assert playing.finish().code == 0
    assert "stopped" in playing.out


@needs("ffplay")
def test_a_dead_ffplay_ends_the_run_with_its_own_code(viewer: Viewer) -> None:
    playing = shown_by_ffplay(viewer)
    ffplay_of(playing).kill()
    ended = playing.finish()
    assert ended.code == 8
    assert "ffplay ended with signal 9" in ended.err


@needs("ffplay")
def test_ffplay_does_not_outlive_a_client_that_was_killed(viewer: Viewer) -> None:
    playing = shown_by_ffplay(viewer)
    ffplay = ffplay_of(playing)
    playing.signal(signal.SIGKILL)
    wait_until(lambda: not ffplay.is_running() or ffplay.status() == psutil.STATUS_ZOMBIE)


@needs("ffplay")
def test_an_ffplay_that_shows_nothing_says_why(viewer: Viewer) -> None:
    ended = shown_by_ffplay(viewer, "--player-args=-no_such_option").finish()
    assert ended.code == 8
    assert "no_such_option" in ended.err


@needs("ffmpeg", "ffprobe")
@pytest.mark.parametrize("programs", [False, True], ids=["fragments", "transport"])
def test_ffmpeg_copies_the_whole_film(
    viewer: Viewer, film: Reading, tmp_path: Path, programs: bool
) -> None:
    standing = Standing(viewer)
    url = standing.stream_url(standing.play())
    url = program_url(url) if programs else url
    words = ["ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", url]
    told = subprocess.run(words, check=True, capture_output=True, timeout=LIMIT_SEC)
    assert float(told.stdout) == pytest.approx(film.duration_sec, abs=FRAME_SEC)
    path = tmp_path / "film.mkv"
    copying = ["ffmpeg", "-v", "error", "-i", url, "-c", "copy", str(path)]
    done = subprocess.run(
        copying, check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT_SEC
    )
    assert done.stderr == b""
    found = read_film(path)
    assert found.picture_digests == film.picture_digests
    shift_sec = found.picture_times_sec[0] - film.picture_times_sec[0]
    shifted = [second + shift_sec for second in film.picture_times_sec]
    assert found.picture_times_sec == pytest.approx(shifted, abs=0.002)


@needs("ffmpeg")
def test_ffmpeg_copies_the_whole_film_from_the_pipe(
    viewer: Viewer, film: Reading, tmp_path: Path
) -> None:
    path = tmp_path / "film.mp4"
    client = shlex.join([sys.executable, "main.py", FILM_ID, "--output", "-", "--no-pace"])
    copying = shlex.join(["ffmpeg", "-v", "error", "-i", "-", "-c", "copy", str(path)])
    ended = viewer.start_command(["sh", "-c", f"{client} | {copying}"]).finish()
    assert ended.code == 0, ended.err
    assert_same_film(path, film)


@needs("mpv")
def test_mpv_takes_the_pipe_too(viewer: Viewer) -> None:
    client = shlex.join([sys.executable, "main.py", FILM_ID, "--output", "-", "--no-pace"])
    mpv = "mpv --no-config --vo=null --ao=null --speed=8 --term-status-msg= -"
    ended = viewer.start_command(["sh", "-c", f"{client} | {mpv}"]).finish()
    assert ended.code == 0, ended.err
    assert "Exiting... (End of file)" in ended.out


def test_a_page_is_named_where_no_browser_can_open(viewer: Viewer) -> None:
    port = str(free_port())
    playing = viewer.play(FILM_ID, "--player", "browser", DASHBOARD_PORT=port)
    playing.wait_for(f"Watch: http://localhost:{port}/?session=")
    assert any(module_of(p) == "dashboard" for p in viewer.processes())
    playing.signal(signal.SIGINT)
    assert playing.finish().code == 130
    assert not viewer.processes()
