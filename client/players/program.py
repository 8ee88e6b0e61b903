"""A player's process: started on a leash, its words kept, and ended without a trace."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from common.errors import PlayerError

_LEASH = Path(__file__).with_name("leash.py")
# What it wrote last, for the text of an error; the terminal is not its own.
_KEPT_LINES = 20
_LINE_LIMIT_BYTES = 64 * 1024
# A player that was told to end, and does not, is killed.
_TERM_SEC = 2.0


class Program:
    """One player's process; `start` belongs to the main thread, for the leash is tied to the thread that starts."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self._process = process
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, name: str, command: Sequence[str]) -> Program:
        """Start a command; raises PlayerError."""
        leashed = [sys.executable, "-I", "-S", str(_LEASH), str(os.getpid()), *command]
        try:
            process = await asyncio.create_subprocess_exec(
                *leashed,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                limit=_LINE_LIMIT_BYTES,
                # Ctrl-C is for us: we end the session first, then the player; and with it what it started.
                start_new_session=True,
            )
        except OSError as error:
            raise PlayerError(f"{name} did not start: {error.strerror}") from error
        return cls(name, process)

    @property
    def running(self) -> bool:
        return self._process.returncode is None

    @property
    def last_words(self) -> str:
        """What it wrote last, empty for nothing."""
        return next((line for line in reversed(self._lines) if line), "")

    async def ended(self) -> int:
        """Wait for its end and its last words; return its exit code, below 0 for a signal."""
        code = await self._process.wait()
        # Something that it started may hold the pipe open.
        await asyncio.wait({self._reading}, timeout=_TERM_SEC)
        return code

    def error(self, what: str) -> PlayerError:
        """Return an error that tells what became of it."""
        words = f": {self.last_words}" if self.last_words else ""
        return PlayerError(f"{self.name} {what}{words}")

    def terminate(self) -> None:
        """Tell it to end, together with what it started."""
        self._signal(signal.SIGTERM)

    async def end(self) -> None:
        """End it, whatever it takes; idempotent."""
        if self.running:
            self.terminate()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), _TERM_SEC)
        # Its group may have members left though it is gone itself.
        self._signal(signal.SIGKILL)
        await self._process.wait()
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while True:
            try:
                line = await self._process.stdout.readline()
            except ValueError:
                # Longer than any line that people read.
                continue
            if not line:
                return
            self._lines.append(line.decode("utf-8", "replace").strip())
