"""One accepted connection of a storage node, which can be woken or reset while it waits."""

import contextlib
import os
import select
import socket
import struct
import threading
import time

from cluster.http1 import MAX_HEAD_BYTES, BadRequestError
from cluster.slow_start import CongestionWindow

_POLLRDHUP: int = getattr(select, "POLLRDHUP", 0)
_RECEIVE_BYTES = 64 * 1024
# So small a send buffer keeps the kernel from hiding the pace of a shaped link.
_SHAPED_SEND_BUFFER_BYTES = 16 * 1024


class PeerGoneError(Exception):
    """The client closed or reset the connection."""


class HaltedError(Exception):
    """The node resets its connections; the argument is the reason."""


class DeadlineError(Exception):
    """The time given for a wait is over."""


class Connection:
    """A non-blocking socket used by one thread; `wake` and `halt` may be called from others."""

    def __init__(self, sock: socket.socket, *, shaped: bool) -> None:
        self.accepted_sec = time.monotonic()
        # How much may be on the way at a time; None: no limit.
        self.window: CongestionWindow | None = None
        self._sock = sock
        self._sock.setblocking(False)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if shaped:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SHAPED_SEND_BUFFER_BYTES)
        self._buffer = bytearray()
        self._halt_reason: str | None = None
        self._lock = threading.Lock()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._closed = False

    def wake(self) -> None:
        """Make a wait under way return, so that its thread looks again at the node's state."""
        with self._lock:
            if not self._closed:
                with contextlib.suppress(BlockingIOError):
                    os.write(self._wake_write, b"w")

    def halt(self, reason: str) -> None:
        """Make the thread leave with HaltedError at its next wait."""
        self._halt_reason = reason
        self.wake()

    def wait(self, until_sec: float | None, events: int = 0) -> bool:
        """Wait for `events`, a wake or the time `until_sec`; True when an event is there.

        Raises PeerGoneError when the client left (unless it left bytes to read) and HaltedError.
        """
        if self._halt_reason is not None:
            raise HaltedError(self._halt_reason)
        poller = select.poll()
        poller.register(self._sock, events | _POLLRDHUP)
        poller.register(self._wake_read, select.POLLIN)
        wait_ms = None if until_sec is None else max(0.0, (until_sec - time.monotonic()) * 1000)
        ready = dict(poller.poll(wait_ms))
        if self._wake_read in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(self._wake_read, 4096)
        if self._halt_reason is not None:
            raise HaltedError(self._halt_reason)
        flags = ready.get(self._sock.fileno(), 0)
        if flags & select.POLLIN & events:
            return True
        if flags & (_POLLRDHUP | select.POLLHUP | select.POLLERR | select.POLLNVAL):
            raise PeerGoneError
        return bool(flags & events)

    def check_peer(self) -> None:
        """Raise PeerGoneError when the client has left."""
        self.wait(time.monotonic())

    def read_head(self, idle_sec: float) -> tuple[bytes, float] | None:
        """Return the next request's head and its arrival time; None when the client is done."""
        until_sec = time.monotonic() + idle_sec
        arrived_sec = time.monotonic() if self._buffer else None
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > MAX_HEAD_BYTES:
                raise BadRequestError("request head too large")
            try:
                self._receive(until_sec)
            except (PeerGoneError, DeadlineError):
                return None
            arrived_sec = arrived_sec or time.monotonic()
        head = bytes(self._buffer[:end])
        del self._buffer[: end + 4]
        return head, arrived_sec or time.monotonic()

    def read_body(self, length_bytes: int, idle_sec: float) -> bytearray:
        """Return exactly `length_bytes` of request body."""
        while len(self._buffer) < length_bytes:
            self._receive(time.monotonic() + idle_sec)
        body = self._buffer[:length_bytes]
        del self._buffer[:length_bytes]
        return body

    def discard_body(self, length_bytes: int, idle_sec: float) -> None:
        """Read `length_bytes` of request body and forget them."""
        while length_bytes > 0:
            taken = min(length_bytes, len(self._buffer))
            del self._buffer[:taken]
            length_bytes -= taken
            if length_bytes:
                self._receive(time.monotonic() + idle_sec)

    def send_some(self, data: bytes | memoryview, until_sec: float | None) -> int:
        """Send what the kernel takes of `data`, waiting for room; 0 after a wake."""
        try:
            return self._sock.send(data)
        except BlockingIOError:
            if not self.wait(until_sec, select.POLLOUT) and _is_past(until_sec):
                raise DeadlineError from None
            return 0
        except OSError as error:
            raise PeerGoneError from error

    def send_all(self, data: bytes, until_sec: float | None = None) -> None:
        """Send all of `data`."""
        rest = memoryview(data)
        while rest:
            rest = rest[self.send_some(rest, until_sec) :]

    def close(self, *, reset: bool) -> None:
        """Close in order, or with a reset that discards what is still queued."""
        with self._lock:
            self._closed = True
            if reset:
                with contextlib.suppress(OSError):
                    linger_off = struct.pack("ii", 1, 0)
                    self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_off)
            self._sock.close()
            os.close(self._wake_read)
            os.close(self._wake_write)

    def _receive(self, until_sec: float) -> None:
        if not self.wait(until_sec, select.POLLIN):
            if _is_past(until_sec):
                raise DeadlineError
            return
        try:
            data = self._sock.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            raise PeerGoneError from error
        if not data:
            raise PeerGoneError
        self._buffer += data


def _is_past(until_sec: float | None) -> bool:
    return until_sec is not None and time.monotonic() >= until_sec
