"""Stream into a pipe: MPEG-TS, or the chunks' bytes as they are."""

from __future__ import annotations

import errno
import logging
import os
import select
import stat
import threading
from typing import Literal

from buffer.outputs import OutputError
from buffer.outputs.raw import ByteStream, byte_stream

logger = logging.getLogger(__name__)

# A pipe that poll() calls writable takes this much without blocking (POSIX PIPE_BUF).
_ATOMIC_BYTES = select.PIPE_BUF
# How often a FIFO that nobody reads yet is tried again.
_OPEN_RETRY_MS = 50
_GONE_ERRNOS = frozenset({errno.EPIPE, errno.ECONNRESET, errno.EBADF})


class PipeOutput:
    """Write to a FIFO, or to a descriptor given as `fd:N`, which becomes this output's own.

    Every packet is passed on at once. A slow reader blocks `accept`, which is how it paces the
    player; `interrupt` ends such a wait. A FIFO is opened with the first chunk and waits for its
    reader there.
    """

    def __init__(self, path: str, container: Literal["mpegts", "raw"]) -> None:
        self.name = path
        self._writer = PipeWriter(path)
        self._stream: ByteStream = byte_stream(
            self._writer,
            container,
            {"flush_packets": "1"},
        )
        self._ended = False

    @property
    def begun(self) -> bool:
        """Whether the reader has taken the first bytes: a chunk may take it seconds."""
        return self._writer.begun

    def accept(self, data: bytes | memoryview, duration_sec: float) -> None:  # noqa: ARG002
        """Stream the chunk; its length is measured, not taken from `duration_sec`."""
        self._raise_failure()
        try:
            self._stream.add(data)
        except (OSError, OutputError):
            # The muxer reports a failed write again and again, and not as what it was.
            self._raise_failure()
            raise

    def skip(self, duration_sec: float) -> None:
        """Leave a gap in the timeline (nothing in a raw stream)."""
        self._stream.skip(duration_sec)

    def finish(self) -> None:
        """Write what is held back and close the pipe, so that the reader sees the end."""
        if self._ended:
            return
        self._ended = True
        try:
            self._stream.close()
        except Exception:
            self._raise_failure()
            raise
        finally:
            self._writer.close()

    def abort(self) -> None:
        """Close the pipe without waiting for the reader."""
        if self._ended:
            return
        self._ended = True
        self._writer.discarding = True
        try:
            self._stream.close()
        except Exception as error:  # libav reports the earlier write error once more
            logger.debug("muxer close failed name=%s error=%s", self.name, error)
        self._writer.close()

    def interrupt(self) -> None:
        """End a wait for the reader."""
        self._writer.interrupt()

    def _raise_failure(self) -> None:
        error = self._writer.failure
        if error is None:
            return
        if self._writer.interrupted:
            raise OutputError(f"{self.name}: interrupted", kind="closed") from error
        if error.errno in _GONE_ERRNOS:
            raise OutputError(f"{self.name}: the reader has closed the pipe", kind="closed")
        raise OutputError(
            f"{self.name}: cannot be written: {error.strerror}", kind="unwritable"
        ) from error


class PipeWriter:
    """Blocking writes to a pipe that another thread can interrupt, without changing its flags."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor = -1
        self.failure: OSError | None = None
        self.interrupted = False
        self.discarding = False
        self.begun = False
        if path.startswith("fd:"):
            self._descriptor = _given_descriptor(path)
        else:
            _require_fifo(path)
        self._wake_reader, self._wake_writer = os.pipe()
        self._closing = threading.Lock()

    def write(self, data: bytes | memoryview) -> int:
        """Write all of `data`, waiting for the reader. Raises OSError, then drops all more."""
        if self.discarding:
            return len(data)
        try:
            if self._descriptor < 0:
                self._descriptor = self._open_fifo()
            view = memoryview(data)
            while view:
                self._wait_writable()
                view = view[os.write(self._descriptor, view[:_ATOMIC_BYTES]) :]
                self.begun = True
        except OSError as error:
            self.failure = error
            self.discarding = True
            raise
        return len(data)

    def writable(self) -> bool:
        """Return True."""
        return True

    def interrupt(self) -> None:
        """Make the current and every later write fail."""
        with self._closing:
            if not self.interrupted and self._wake_writer >= 0:
                os.write(self._wake_writer, b"!")
            self.interrupted = True

    def close(self) -> None:
        """Close the pipe. Idempotent."""
        self.discarding = True
        with self._closing:
            descriptors = (self._descriptor, self._wake_reader, self._wake_writer)
            self._descriptor = self._wake_reader = self._wake_writer = -1
            for descriptor in descriptors:
                if descriptor >= 0:
                    os.close(descriptor)

    def _wait_writable(self) -> None:
        poller = select.poll()
        poller.register(self._descriptor, select.POLLOUT)
        poller.register(self._wake_reader, select.POLLIN)
        if any(descriptor == self._wake_reader for descriptor, _ in poller.poll()):
            raise InterruptedError(errno.EINTR, "interrupted")

    def _open_fifo(self) -> int:
        poller = select.poll()
        poller.register(self._wake_reader, select.POLLIN)
        while True:
            try:
                # Without a reader a plain open() would block where nothing could interrupt it.
                descriptor = os.open(self._path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
                if poller.poll(_OPEN_RETRY_MS):
                    raise InterruptedError(errno.EINTR, "interrupted") from error
                continue
            os.set_blocking(descriptor, True)
            return descriptor


def _given_descriptor(path: str) -> int:
    try:
        descriptor = int(path.removeprefix("fd:"))
        os.fstat(descriptor)
    except (ValueError, OverflowError, OSError) as error:
        raise OutputError(f"{path}: is no open file descriptor", kind="unwritable") from error
    return descriptor


def _require_fifo(path: str) -> None:
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116
    except OSError as error:
        raise OutputError(f"{path}: {error.strerror}", kind="unwritable") from error
    if not stat.S_ISFIFO(mode):
        raise OutputError(f"{path}: is not a FIFO", kind="unwritable")
    if not os.access(path, os.W_OK):
        raise OutputError(f"{path}: may not be written", kind="unwritable")
