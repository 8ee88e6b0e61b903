"""A command at a terminal of its own: what it shows is read as it comes, and keys can be pressed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from tests.process.support import GONE_LIMIT_SEC, ROOT, RUN_LIMIT_SEC, Viewer
from tests.terminal_emulator import TerminalEmulator
from tests.waiting import wait_until

_READ_BYTES = 65_536
# The kernel tells a command of keys such as Ctrl-C only when the terminal is its controlling one.
_LAUNCHER = """
import os, sys
os.login_tty(int(sys.argv[1]))
if sys.argv[2]:
    os.dup2(os.open(sys.argv[2], os.O_WRONLY), 1)
os.execvp(sys.argv[3], sys.argv[3:])
"""


class AtTerminal:
    """`python main.py ARGUMENTS`, or another command, at a pseudo-terminal; ended with the block."""

    def __init__(
        self,
        viewer: Viewer,
        *arguments: str,
        columns: int = 80,
        rows: int = 24,
        command: Sequence[str] = (sys.executable, "main.py"),
        stdout: str = "",
        **environment: str,
    ) -> None:
        """`stdout` names a file that standard output goes to instead."""
        self.emulator = TerminalEmulator(columns, rows)
        # Only we hold both ends: what was written last can be read after the command's end.
        self._ours, self._its = pty.openpty()
        size = struct.pack("HHHH", rows, columns, 0, 0)
        fcntl.ioctl(self._its, termios.TIOCSWINSZ, size)
        self.modes_before = self.modes()
        own = {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "NO_COLOR": ""}
        launcher = [sys.executable, "-c", _LAUNCHER, str(self._its), stdout]
        self.process = subprocess.Popen(
            [*launcher, *command, *arguments],
            cwd=ROOT,
            env=viewer.environment(**(own | environment)),
            pass_fds=(self._its,),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(AssertionError):
                self.finish(GONE_LIMIT_SEC)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._ours)
        os.close(self._its)

    def press(self, keys: bytes) -> None:
        """Press keys: Ctrl-C is \x03."""
        os.write(self._ours, keys)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait_for(self, *words: str, limit_sec: float = 20) -> None:
        """Wait until all the words stand on the screen at once."""

        def shown() -> bool:
            over = self.process.poll() is not None
            self._read()
            screen = "\n".join(self.emulator.screen)
            if all(word in screen for word in words):
                return True
            assert not over, f"ended without showing {words}:\n{self.emulator.text}"
            return False

        try:
            wait_until(shown, limit_sec)
        except AssertionError as error:
            raise AssertionError(f"{error}: {words} in\n{self.emulator.text}") from None

    def text(self) -> str:
        """Return all that can be read on the terminal now, by scrolling too."""
        self._read()
        return self.emulator.text

    def shows_cursor(self) -> bool:
        """Tell whether the cursor is there now."""
        self._read()
        return self.emulator.cursor_shown

    def finish(self, limit_sec: float = RUN_LIMIT_SEC) -> int:
        """Wait for the end, reading; return the exit code."""

        def over() -> bool:
            self._read()
            return self.process.poll() is not None

        wait_until(over, limit_sec)
        self._read()
        return int(self.process.returncode)

    def modes(self) -> list[Any]:
        """Return how the terminal is set: echo, line mode, keys."""
        return list(termios.tcgetattr(self._its))

    def _read(self) -> None:
        while select.select([self._ours], [], [], 0)[0]:
            self.emulator.feed(os.read(self._ours, _READ_BYTES))
