"""Keeps one session while it plays: messages in from any thread, records out to a file and to a listener.

A thread of its own writes: neither a slow disk nor a full one holds up whoever plays.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from client.recording import values
from client.recording.files import RecordingFile
from client.recording.records import Writer, pack_record
from client.recording.thinning import Kept, Thinner
from client.recording.values import End, Header, Item

logger = logging.getLogger(__name__)

# A crash loses at most what came since the last block.
FLUSH_SEC = 0.5
# Written at once, whatever the time.
FLUSH_BYTES = 512 * 1024
# What may wait for a disk that does not answer; more is left out and counted.
MAX_WAITING_BYTES = 8 * 1024 * 1024


class _Waiting(NamedTuple):
    at_sec: float
    kept: Kept


class Recorder:
    """From its making, with the header, to `close`, with the end.

    `zero_sec` is the instant (of `time.monotonic`) that times count from. Without a `file` records go to `listen`
    alone, which is called in the recorder's thread. `warn` is told once when the file cannot be written any more.
    """

    def __init__(
        self,
        header: Header,
        *,
        zero_sec: float,
        session_id: Callable[[], str | None],
        file: RecordingFile | None = None,
        listen: Callable[[float, Item], None] | None = None,
        warn: Callable[[str], None],
    ) -> None:
        self._file = file
        self._listen = listen
        self._warn = warn
        self._zero_sec = zero_sec
        self._writer = Writer()
        self._thinner = Thinner(session_id, started_unix_sec=header.started_unix_sec)
        self._lock = threading.Lock()
        self._at_sec = 0.0
        self._waiting: list[_Waiting] = [_Waiting(0.0, _kept(header))]
        self._waiting_bytes = 0
        self._closing = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recorder")
        self._thread.start()

    @property
    def listening(self) -> bool:
        """Whether the listener was told everything so far."""
        return self._listen is not None

    def hear(self, msg: object) -> None:
        """Take a message that has just arrived; callable from any thread."""
        with self._lock:
            if self._closing:
                return
            room = self._waiting_bytes < MAX_WAITING_BYTES
            self._put(self._thinner.take(msg, self._now_sec(), room=room))
            full = self._waiting_bytes >= FLUSH_BYTES
        if full:
            self._wake.set()

    def close(self, end: End) -> None:
        """Write what is left and the end, and close the file; idempotent."""
        with self._lock:
            if not self._closing:
                self._now_sec()
                self._put([*self._thinner.rest(), _kept(end)])
            self._closing = True
        self._wake.set()
        self._thread.join()

    def _now_sec(self) -> float:
        # Whole milliseconds, as in the file: a listener is told what a reader will be.
        at_ms = int((time.monotonic() - self._zero_sec) * 1000)
        self._at_sec = max(self._at_sec, at_ms / 1000)
        return self._at_sec

    def _put(self, kept: list[Kept]) -> None:
        self._waiting += [_Waiting(self._at_sec, k) for k in kept]
        self._waiting_bytes += sum(k.size_bytes for k in kept)

    # ------------------------------------------------------------ the thread

    def _run(self) -> None:
        closing = False
        while not closing:
            self._wake.wait(FLUSH_SEC)
            self._wake.clear()
            with self._lock:
                # Bytes that are being written still wait.
                batch, self._waiting = self._waiting, []
                size_bytes, closing = self._waiting_bytes, self._closing
            self._write(batch)
            self._tell(batch)
            with self._lock:
                self._waiting_bytes -= size_bytes
        if self._file is not None:
            self._close_file(self._file)

    def _write(self, batch: list[_Waiting]) -> None:
        if self._file is None or not batch:
            return
        records = [pack_record(at_sec, k.tag, k.body) for at_sec, k in batch]
        try:
            self._file.append(self._writer.block(records))
        except OSError as error:
            self._fail(self._file, error)

    def _close_file(self, file: RecordingFile) -> None:
        try:
            file.close()
        except OSError as error:
            self._fail(file, error)

    def _fail(self, file: RecordingFile, error: OSError) -> None:
        self._file = None
        with contextlib.suppress(OSError):
            file.close()
        reason = error.strerror or str(error)
        logger.warning("recording stopped path=%s error=%s", file.path, reason)
        self._warn(f"recording stopped: {file.path}: {reason}; what was written so far is kept")

    def _tell(self, batch: list[_Waiting]) -> None:
        if self._listen is None:
            return
        try:
            for at_sec, kept in batch:
                self._listen(at_sec, kept.item)
        except Exception:
            self._listen = None
            logger.exception("the listener of the recording failed")


def _kept(item: Item) -> Kept:
    return Kept(item, *values.encode(item))
