"""Standard error while the live view stands on the terminal: its lines are kept, to be said above the view.

The processes of a private stack write to the viewer's standard error whenever they like.
"""

from __future__ import annotations

import os
import select
import sys
import threading
from collections import deque

STDERR_FD = 2
_WAIT_MS = 100
_PIECE_BYTES = 65_536
# A line without an end is kept in pieces of about this.
_MAX_LINE_BYTES = 65_536


class StderrLines:
    """Holds the file descriptor of standard error, until it is closed."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque()
        self._stopping = threading.Event()
        sys.stderr.flush()
        self._before_fd = os.dup(STDERR_FD)
        self._source_fd, target_fd = os.pipe()
        os.dup2(target_fd, STDERR_FD)
        os.close(target_fd)
        # A thread, for the event loop may wait for us to take what it writes itself.
        self._thread = threading.Thread(target=self._copy, name="stderr")
        self._thread.start()

    def take(self) -> list[str]:
        """Return the lines that were written since the last call."""
        return [self._lines.popleft() for _ in range(len(self._lines))]

    def close(self) -> list[str]:
        """Give standard error back; return what was written and not taken."""
        sys.stderr.flush()
        os.dup2(self._before_fd, STDERR_FD)
        self._stopping.set()
        self._thread.join()
        os.close(self._source_fd)
        os.close(self._before_fd)
        return self.take()

    def _copy(self) -> None:
        poller = select.poll()
        poller.register(self._source_fd, select.POLLIN)
        held = b""
        while True:
            # The end of the pipe is not waited for: a process that outlives us may hold it open.
            stopping = self._stopping.is_set()
            if poller.poll(0 if stopping else _WAIT_MS):
                piece = os.read(self._source_fd, _PIECE_BYTES)
                *lines, held = (held + piece).split(b"\n")
                if len(held) > _MAX_LINE_BYTES:
                    lines, held = [*lines, held], b""
                self._lines.extend(line.decode("utf-8", "replace") for line in lines)
                stopping = not piece
            if stopping:
                break
        if held:
            self._lines.append(held.decode("utf-8", "replace"))


def same_terminal(fd: int, other_fd: int) -> bool:
    """Tell whether both lead to one terminal."""
    try:
        return os.isatty(other_fd) and os.fstat(fd).st_rdev == os.fstat(other_fd).st_rdev
    except OSError:
        return False
