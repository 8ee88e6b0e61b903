"""Standard output as an output: the buffer process writes a FIFO, this copies it to our stdout."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import tempfile
import threading
from pathlib import Path

from common.endpoints import base_dir, prepare_run_dir

_PIECE_BYTES = 256 * 1024
_WAIT_MS = 200


class StdoutPipe:
    """A FIFO and the thread that empties it into a file descriptor."""

    def __init__(self, target_fd: int) -> None:
        prepare_run_dir(base_dir() / "shared")
        self._dir = Path(tempfile.mkdtemp(prefix="out-", dir=base_dir()))
        self.path = self._dir / "stream"
        os.mkfifo(self.path, 0o600)
        self._target_fd = target_fd
        self._source_fd = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        self._stopping = threading.Event()
        self.broken = False
        self._thread = threading.Thread(target=self._copy, name="stdout")
        self._thread.start()

    def close(self) -> None:
        """Copy what is left, then end; idempotent."""
        self._stopping.set()
        self._thread.join()
        shutil.rmtree(self._dir, ignore_errors=True)

    def _copy(self) -> None:
        poller = select.poll()
        poller.register(self._source_fd, select.POLLIN)
        begun = False
        try:
            while True:
                ready = poller.poll(_WAIT_MS)
                data = b""
                if ready and ready[0][1] & select.POLLIN:
                    data = os.read(self._source_fd, _PIECE_BYTES)
                if data:
                    begun = True
                    self._write(data)
                elif self._stopping.is_set() or (begun and ready):
                    return
                elif ready:
                    # No writer yet: POLLHUP is reported at once and for ever.
                    self._stopping.wait(_WAIT_MS / 1000)
        except OSError:
            self.broken = True
        finally:
            with contextlib.suppress(OSError):
                os.close(self._source_fd)

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._target_fd, view) :]
