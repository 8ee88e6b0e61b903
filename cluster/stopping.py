"""How the cluster's child processes learn that they are to stop."""

import contextlib
import os
import select
import signal
import threading
import time
from types import FrameType


class StopWatch:
    """Wait for SIGTERM, the end of stdin (the parent's death) or a wake from another thread.

    SIGINT is left to the parent: a terminal sends it to every process of the group.
    """

    def __init__(self, *, watch_stdin: bool) -> None:
        self._watch_stdin = watch_stdin
        self._stopped = False
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._on_signal)

    def wake(self) -> None:
        """Make `wait` return."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_write, b"w")

    def wait(self, until_sec: float | None) -> bool:
        """Wait for a wake or the monotonic time `until_sec`; True when it is time to stop."""
        if self._stopped:
            return True
        sources = [self._wake_read, 0] if self._watch_stdin else [self._wake_read]
        rest_sec = None if until_sec is None else max(0.0, until_sec - time.monotonic())
        ready, _, _ = select.select(sources, [], [], rest_sec)
        if self._wake_read in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(self._wake_read, 4096)
        if 0 in ready and not os.read(0, 4096):
            self._stopped = True
        return self._stopped

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._stopped = True
        self.wake()


def terminate_at_end_of_stdin() -> None:
    """Send this process SIGTERM when stdin ends, for a main thread that cannot watch it itself."""

    def watch() -> None:
        while os.read(0, 4096):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    # A daemon thread: it owns nothing and sits in one system call for as long as the parent lives.
    threading.Thread(target=watch, name="stdin", daemon=True).start()
