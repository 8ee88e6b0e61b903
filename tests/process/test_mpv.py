"""mpv shows the film: what it shows is the session's playhead, and it obeys, ends and dies with it."""

from __future__ import annotations

import signal
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import psutil
import pytest

from cluster import EmbeddedCluster
from tests.media_fixtures import Reading
from tests.mpv_socket import MpvSocket
from tests.needs import needs
from tests.process.support import FILM_ID, Command, Viewer
from tests.standing import Standing
from tests.waiting import wait_until

pytestmark = needs("mpv")
# No window, no sound; pictures are decoded and shown to nobody at their time.
UNSEEN = "--no-config --vo=null --ao=null"


def start(viewer: Viewer, *arguments: str, mpv: str = "") -> Command:
    words = ("--player", "mpv", "--player-args", f"{UNSEEN} {mpv}")
    return viewer.play(FILM_ID, *words, *arguments)


def mpv_of(command: Command) -> psutil.Process:
    """Return the process of mpv, once it is more than its leash."""

    def found() -> list[psutil.Process]:
        return [c for some in command.children().values() for c in some if c.name() == "mpv"]

    wait_until(found, 20)
    return found()[0]


@contextmanager
def held(viewer: Viewer) -> Iterator[MpvSocket]:
    """Hold the mpv that shows something."""
    mpv = MpvSocket(viewer)
    try:
        wait_until(lambda: (mpv.get("time-pos") or 0) > 0, 20)
        yield mpv
    finally:
        mpv.close()


def test_the_film_is_shown_whole_and_mpv_is_its_clock(viewer: Viewer, film: Reading) -> None:
    ended = start(viewer, "--json", mpv="--speed=8").finish()
    assert ended.code == 0, ended.err
    playheads = [line["playhead_sec"] for line in ended.lines if line["event"] == "status"]
    assert all(a <= b for a, b in pairwise(playheads))
    assert any(0 < second < film.duration_sec for second in playheads)
    summary = ended.lines[-1]
    assert summary["outcome"] == "played"
    assert summary["played_sec"] == pytest.approx(film.duration_sec, abs=1)
    # Eight times as fast as anybody's clock but mpv's.
    assert summary["wall_sec"] < film.duration_sec / 2
    assert summary["rebuffering_events"] == 0
    assert viewer.private_dirs() == []


def test_what_is_asked_for_elsewhere_reaches_mpv(viewer: Viewer) -> None:
    standing = Standing(viewer)
    playing = start(viewer)
    with held(viewer) as mpv:
        assert stat.S_IMODE(mpv.path.parent.stat().st_mode) == 0o700
        session = standing.sessions()[-1]["session_id"]

        def ask(**action: object) -> None:
            assert standing.post("/api/control", {"session_id": session, **action})["ok"]

        ask(action="seek", position_sec=25)
        wait_until(lambda: 24 < (mpv.get("time-pos") or 0) < 30)
        wait_until(lambda: standing.status(session)["state"] == "playing")
        assert standing.status(session)["buffer"]["playhead_sec"] >= 24
        ask(action="pause")
        wait_until(lambda: mpv.get("pause") is True)
        wait_until(lambda: standing.status(session)["state"] == "paused")
        ask(action="seek", position_sec=5)
        wait_until(lambda: abs((mpv.get("time-pos") or 0) - 5) < 0.1)
        ask(action="resume")
        wait_until(lambda: (mpv.get("time-pos") or 0) > 5.2)
        wait_until(lambda: standing.status(session)["state"] == "playing")
        # What its user does there is heard here.
        mpv.ask("set_property", "pause", True)
        wait_until(lambda: standing.status(session)["state"] == "paused")
        mpv.ask("set_property", "speed", 2)
        mpv.ask("seek", 32, "absolute")
        wait_until(lambda: abs(standing.status(session)["buffer"]["playhead_sec"] - 32) < 0.2)
        ask(action="stop")
        assert playing.finish().code == 0


def test_mpv_reads_little_ahead(viewer: Viewer, film: Reading) -> None:
    playing = start(viewer, mpv="--pause")
    mpv = MpvSocket(viewer)
    wait_until(lambda: (mpv.get("demuxer-cache-time") or 0) >= 9, 20)
    wait_until(lambda: mpv.get("demuxer-cache-idle") is True)
    # Segments are ten seconds long.
    assert mpv.get("demuxer-cache-time") < 25 < film.duration_sec
    mpv.ask("quit")
    mpv.close()
    assert playing.finish().code == 0


def test_who_quits_mpv_has_stopped_the_film(viewer: Viewer) -> None:
    playing = start(viewer, "--json")
    with held(viewer) as mpv:
        mpv.ask("quit")
    ended = playing.finish()
    assert (ended.code, ended.lines[-1]["outcome"]) == (0, "stopped")
    assert not viewer.processes()


def test_a_dead_mpv_ends_the_run_with_its_own_code(viewer: Viewer) -> None:
    playing = start(viewer, "--json")
    with held(viewer):
        mpv_of(playing).kill()
        ended = playing.finish()
    assert (ended.code, ended.lines[-1]["exit_code"]) == (8, 8)
    assert "mpv ended with signal 9" in ended.err
    assert not viewer.processes()


def test_mpv_does_not_outlive_a_client_that_was_killed(viewer: Viewer) -> None:
    playing = start(viewer)
    with held(viewer):
        mpv = mpv_of(playing)
        playing.signal(signal.SIGKILL)
        wait_until(lambda: not mpv.is_running() or mpv.status() == psutil.STATUS_ZOMBIE)
    # The next one clears up behind it.
    again = start(viewer, "--stop-after", "1")
    assert again.finish().code == 0
    assert not list((viewer.folder / "vstack").glob("mpv-*"))


def test_ctrl_c_ends_mpv_too(viewer: Viewer) -> None:
    playing = start(viewer)
    with held(viewer):
        playing.signal(signal.SIGINT)
        assert playing.finish().code == 130
    assert not viewer.processes()


def test_an_mpv_that_does_not_start_says_why(viewer: Viewer) -> None:
    ended = start(viewer, mpv="--no-such-option").finish()
    assert ended.code == 8
    assert "mpv did not start" in ended.err
    assert "no-such-option" in ended.err


def test_a_player_that_is_not_there_is_named(viewer: Viewer) -> None:
    ended = viewer.run(FILM_ID, "--player", "mpv", PATH="/nowhere")
    assert ended.code == 8
    assert ended.err == "main.py: --player mpv: there is no program 'mpv' on PATH\n"


def test_what_mpv_waits_for_is_the_networks_stall(
    viewer: Viewer, sound_cluster: EmbeddedCluster
) -> None:
    viewer.settings |= {"TARGET_BUFFER_SEC": "10", "LOW_WATER_MARK_SEC": "5"}
    standing = Standing(viewer)
    playing = start(viewer, mpv="--speed=4")
    with held(viewer):
        for node in sound_cluster.state.nodes:
            sound_cluster.set_fault(node.id, "down")
        session = standing.sessions()[-1]["session_id"]
        wait_until(lambda: standing.status(session)["state"] == "rebuffering", 20)
        for node in sound_cluster.state.nodes:
            sound_cluster.set_fault(node.id, "none")
        assert playing.finish().code == 0
        stats = standing.status(session)["buffer_stats"]
    assert stats["rebuffering_events"] == 1
