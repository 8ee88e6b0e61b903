"""Where the live view is shown, and that the terminal is given back; plain lines everywhere else."""

from __future__ import annotations

import io
import os
import pty
import select
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest

from client.terminal import Screen
from tests.live_builders import figures
from tests.terminal_emulator import TerminalEmulator

READ_BYTES = 65_536


class Terminal:
    """A pseudo-terminal: the stream a program writes to, and what stands on the screen then."""

    def __init__(self, encoding: str = "utf-8") -> None:
        self._ours, its = pty.openpty()
        self.stream: TextIO = os.fdopen(its, "w", encoding=encoding)
        self.emulator = TerminalEmulator()

    def read(self) -> TerminalEmulator:
        while select.select([self._ours], [], [], 0)[0]:
            self.emulator.feed(os.read(self._ours, READ_BYTES))
        return self.emulator

    def hang_up(self) -> None:
        os.close(self._ours)
        self._ours = -1

    def close(self) -> None:
        self.stream.close()
        if self._ours >= 0:
            os.close(self._ours)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    made = Terminal()
    yield made
    made.close()


def test_a_terminal_shows_the_view_and_is_given_back(terminal: Terminal) -> None:
    screen = Screen(terminal.stream, quiet=False)
    screen.say("before")
    screen.open()
    screen.show(figures())
    shown = terminal.read()
    assert shown.text.startswith("before\n▶ playing  Test video\n")
    assert not shown.cursor_shown
    assert shown.coloured
    screen.say("12:00:01 something happened")
    screen.show(figures())
    assert terminal.read().screen[-1] == ""
    assert "12:00:01 something happened" in terminal.read().text
    screen.close()
    screen.say("after")
    screen.close()
    shown = terminal.read()
    assert shown.text == "before\n12:00:01 something happened\nafter"
    assert shown.cursor_shown


def test_nothing_stands_on_the_screen_twice(terminal: Terminal) -> None:
    screen = Screen(terminal.stream, quiet=False)
    screen.open()
    said = [f"12:00:{n:02} event {n}" for n in range(20)]
    for text in said:
        screen.say(text)
        screen.show(figures())
        lines = terminal.read().text.splitlines()
        told = [line for line in lines if "event" in line]
        assert told == said[: len(told)]
        assert told[-1] == text
    screen.close()
    assert terminal.read().text.splitlines() == said


def test_the_view_leaves_the_terminal_to_others_and_comes_back(terminal: Terminal) -> None:
    screen = Screen(terminal.stream, quiet=False)
    screen.open()
    screen.show(figures())
    with screen.put_aside():
        assert terminal.read().text == ""
        assert terminal.read().cursor_shown
    assert terminal.read().text.startswith("▶ playing")
    assert not terminal.read().cursor_shown
    screen.close()


def test_no_colour_where_none_is_wished(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    screen = Screen(terminal.stream, quiet=False)
    screen.open()
    screen.show(figures())
    assert "✓ healthy" in terminal.read().text
    assert not terminal.read().coloured
    screen.close()


@pytest.mark.parametrize("term", ["dumb", "unknown", ""])
def test_a_terminal_that_only_writes_gets_plain_lines(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, term: str
) -> None:
    monkeypatch.setenv("TERM", term)
    assert_plain(Screen(terminal.stream, quiet=False), terminal)


def test_plain_lines_when_they_are_wished(terminal: Terminal) -> None:
    assert_plain(Screen(terminal.stream, quiet=False, plain=True), terminal)


def assert_plain(screen: Screen, terminal: Terminal) -> None:
    assert not screen.wants_view
    screen.open()
    screen.show(figures())
    screen.say("one\ntwo")
    screen.close()
    assert terminal.read().text == "one\ntwo"
    assert not terminal.read().cursor_was_hidden


def test_quiet_says_nothing(terminal: Terminal) -> None:
    screen = Screen(terminal.stream, quiet=True)
    assert not screen.wants_view
    screen.open()
    screen.show(figures())
    screen.say("word")
    screen.close()
    assert terminal.read().text == ""


def test_a_pipe_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    screen = Screen(stream, quiet=False)
    assert not screen.wants_view
    screen.say("Bück \x1b[2J\nsecond")
    stream.seek(0)
    assert stream.read() == "B?ck ?[2J\nsecond\n"


def test_a_terminal_without_the_signs_gets_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal("ascii")
    screen = Screen(terminal.stream, quiet=False)
    screen.open()
    screen.show(figures(title="Bück"))
    shown = terminal.read().text
    screen.close()
    terminal.close()
    assert "> playing  B?ck" in shown
    assert "v healthy" in shown
    assert shown.isascii()


def test_standard_error_does_not_write_into_the_view(terminal: Terminal) -> None:
    saved = os.dup(2)
    try:
        os.dup2(terminal.stream.fileno(), 2)
        screen = Screen(terminal.stream, quiet=False)
        screen.open()
        screen.show(figures())
        os.write(2, b"WARNING \x1b[2J of a child\n")
        os.write(2, b"half a line")
        screen.close()
        os.write(2, b"\r\nafterwards\r\n")
    finally:
        os.dup2(saved, 2)
        os.close(saved)
    lines = terminal.read().text.splitlines()
    assert lines == ["WARNING �[2J of a child", "half a line", "", "afterwards"]


def test_standard_error_in_a_file_stays_there(terminal: Terminal, tmp_path: Path) -> None:
    saved = os.dup(2)
    try:
        with (tmp_path / "err").open("w") as errors:
            os.dup2(errors.fileno(), 2)
        screen = Screen(terminal.stream, quiet=False)
        screen.open()
        screen.show(figures())
        os.write(2, b"said\n")
        assert (tmp_path / "err").read_text() == "said\n"
        screen.close()
    finally:
        os.dup2(saved, 2)
        os.close(saved)
    assert terminal.read().text == ""


def test_a_terminal_that_has_gone_ends_nothing(terminal: Terminal) -> None:
    screen = Screen(terminal.stream, quiet=False)
    screen.open()
    screen.show(figures())
    terminal.hang_up()
    screen.show(figures(title="other"))
    screen.close()
