"""The live view of `main.py` at a real (pseudo-)terminal, and the plain lines without one."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from cluster import EmbeddedCluster
from tests.process.pseudo_terminal import AtTerminal
from tests.process.support import FILM_ID, MID_CHUNK_BYTES, Viewer, module_of, sent_bytes
from tests.waiting import wait_until


def assert_given_back(terminal: AtTerminal) -> None:
    """The cursor is there, the view is not, and the terminal's modes are the old ones."""
    assert terminal.emulator.cursor_was_hidden, "there was no view"
    assert terminal.shows_cursor()
    assert terminal.modes() == terminal.modes_before
    assert "Mbit/s" not in terminal.text()


def test_the_view_shows_buffer_nodes_and_events(viewer: Viewer, cluster: EmbeddedCluster) -> None:
    with AtTerminal(viewer, FILM_ID) as terminal:
        nodes = [url.removeprefix("http://") for url in cluster.node_urls]
        terminal.wait_for("▶ playing  ", "buffer ", "✓ healthy", *nodes)
        terminal.wait_for("L low 15 s", "playback started after", "delivered")
        terminal.press(b"\x03")
        assert terminal.finish() == 130
        assert_given_back(terminal)
        # What happened can still be read, each thing once, and then the totals.
        assert terminal.text().count("playback started after") == 1
        assert "test-film: stopped" in terminal.text()


def test_the_end_of_the_film_gives_the_terminal_back(viewer: Viewer) -> None:
    with AtTerminal(viewer, FILM_ID, "--no-pace") as terminal:
        assert terminal.finish() == 0
        assert_given_back(terminal)
        assert "played to the end" in terminal.text()
        assert "test-film: played, 40.0 s played" in terminal.text()


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGHUP, 130), (signal.SIGQUIT, -3)],
    ids=str,
)
def test_a_signal_gives_the_terminal_back(
    viewer: Viewer, number: signal.Signals, code: int
) -> None:
    with AtTerminal(viewer, FILM_ID) as terminal:
        terminal.wait_for("▶ playing  ")
        terminal.signal(number)
        assert terminal.finish() == code
        assert_given_back(terminal)


def test_a_failure_gives_the_terminal_back_and_is_told(viewer: Viewer) -> None:
    with AtTerminal(viewer, FILM_ID) as terminal:
        terminal.wait_for("▶ playing  ")
        for process in viewer.processes():
            if module_of(process) == "buffer":
                process.kill()
        assert terminal.finish() == 1
        assert_given_back(terminal)
        assert "main.py: the buffer process ended with signal 9" in terminal.text()


def test_the_terminal_is_free_while_the_viewer_is_suspended(viewer: Viewer) -> None:
    shell = ("bash", "--norc", "--noprofile", "--noediting", "-i")
    with AtTerminal(viewer, command=shell, PS1="$ ") as terminal:
        terminal.wait_for("$")
        terminal.press(f"{sys.executable} main.py {FILM_ID}\n".encode())
        terminal.wait_for("▶ playing  ")
        terminal.press(b"\x1a")
        terminal.wait_for("Stopped")
        assert terminal.shows_cursor()
        assert "Mbit/s" not in terminal.text()
        terminal.press(b"fg\n")
        terminal.wait_for("▶ playing  ")
        assert not terminal.shows_cursor()
        terminal.press(b"\x03")
        terminal.wait_for("test-film: stopped")
        terminal.press(b"exit\n")
        terminal.finish()
        assert_given_back(terminal)


def test_a_suspended_node_and_a_failover_are_seen(viewer: Viewer, cluster: EmbeddedCluster) -> None:
    before_bytes = sent_bytes(cluster, 1)
    with AtTerminal(viewer, FILM_ID, "--no-pace", columns=120) as terminal:

        def is_in_the_middle_of_a_chunk() -> bool:
            terminal.text()
            return sent_bytes(cluster, 1) - before_bytes > MID_CHUNK_BYTES

        wait_until(is_in_the_middle_of_a_chunk, 20)
        cluster.set_fault(1, "down")
        assert terminal.finish() == 0
        assert_given_back(terminal)
        assert "suspended for" in terminal.text()
        assert "continues at byte" in terminal.text()


def test_what_processes_write_to_standard_error_stays_above_the_view(viewer: Viewer) -> None:
    with AtTerminal(viewer, FILM_ID, "--no-pace", columns=200, VSTACK_LOG_LEVEL="INFO") as terminal:
        assert terminal.finish() == 0
        assert_given_back(terminal)
        assert "INFO buffer" in terminal.text()


@pytest.mark.parametrize("columns_rows", [(40, 24), (80, 10), (40, 10)], ids=str)
def test_small_terminals_show_what_fits(viewer: Viewer, columns_rows: tuple[int, int]) -> None:
    columns, rows = columns_rows
    with AtTerminal(viewer, FILM_ID, columns=columns, rows=rows) as terminal:
        terminal.wait_for("▶ playing  ", "buffer ", "Mbit/s", " failovers")
        terminal.press(b"\x03")
        assert terminal.finish() == 130
        assert_given_back(terminal)


@pytest.mark.parametrize(
    ("arguments", "term"), [(["--plain"], "xterm"), ([], "dumb"), ([], "")], ids=str
)
def test_a_terminal_gets_plain_lines_where_a_view_is_not_wished(
    viewer: Viewer, arguments: list[str], term: str
) -> None:
    with AtTerminal(viewer, FILM_ID, "--no-pace", *arguments, TERM=term) as terminal:
        assert terminal.finish() == 0
        assert not terminal.emulator.cursor_was_hidden
        assert not terminal.emulator.coloured
        assert terminal.text().splitlines()[0].endswith(": session starts")
        assert "test-film: played" in terminal.text()


def test_no_colour_where_none_is_wished(viewer: Viewer) -> None:
    with AtTerminal(viewer, FILM_ID, NO_COLOR="1") as terminal:
        terminal.wait_for("▶ playing  ", "✓ healthy")
        terminal.press(b"\x03")
        assert terminal.finish() == 130
        assert not terminal.emulator.coloured
        assert_given_back(terminal)


def test_json_and_quiet_show_no_view(viewer: Viewer) -> None:
    for flag in ("--json", "--quiet"):
        with AtTerminal(viewer, FILM_ID, "--no-pace", flag, columns=4000) as terminal:
            assert terminal.finish() == 0
            assert not terminal.emulator.cursor_was_hidden


def test_the_film_goes_through_a_pipe_and_the_view_to_the_terminal(viewer: Viewer) -> None:
    with AtTerminal(viewer, FILM_ID, "--output", "-", stdout=os.devnull) as terminal:
        terminal.wait_for("▶ playing  ", "buffer ")
        terminal.press(b"\x03")
        assert terminal.finish() == 130
        assert_given_back(terminal)


def test_a_pipe_gets_plain_lines(viewer: Viewer) -> None:
    done = viewer.run(FILM_ID, "--no-pace", TERM="xterm-256color")
    assert (done.code, done.err) == (0, "")
    assert "\x1b" not in done.out
    assert "playback started after" in done.out
    assert done.out.splitlines()[-3].startswith("test-film: played")


def test_escapes_in_a_title_do_not_reach_the_terminal(
    viewer: Viewer, cluster: EmbeddedCluster, film_path: Path
) -> None:
    title = "evil\x1b[2J\x1b]0;owned\x07title"
    cluster.run("add", str(film_path), "--id", "evil", "--title", title)
    # The emulator fails at a control it does not know.
    with AtTerminal(viewer, "evil") as terminal:
        terminal.wait_for("▶ playing  evil�[2J�]0;owned�title")
        terminal.press(b"\x03")
        terminal.finish()
        assert_given_back(terminal)
    for arguments in (["evil", "--no-pace"], ["--list"]):
        said = viewer.run(*arguments)
        assert "evil�[2J�]0;owned�title" in said.out
        assert "\x1b" not in said.out
