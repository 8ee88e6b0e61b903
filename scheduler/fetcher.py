"""One ranged, cancellable HTTP read: the network end of a worker.

Blocking; runs in a worker's thread. Bytes go straight to their place as they arrive, so that whatever came is kept.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import requests
import urllib3

from common.messages import RangeOutcome, Replica
from scheduler.body import Body
from scheduler.connections import KnownConnection, ask, set_waiter

# One read takes what the socket has, up to this.
READ_BYTES = 256 * 1024
MIN_CONNECT_SEC = 1.0
# The head of an answer comes in one piece. A timeout bounds each wait, so that one sent byte by byte would keep a read
# for ever: it is given up after this many silences.
HEAD_SILENCES = 2.0
# Whoever has so much ready as soon as the head has come is so fast that the end of the range is news enough.
BURST_BYTES = 128 * 1024
# Servers end connections that idle for seconds. One that idled so long and breaks off at a request was at its end, and
# tells nothing of the node: the request is made again.
LONG_IDLE_SEC = 2.0
# Seconds as RFC 9110 has them; a date is left to the breaker's own patience.
_SECONDS = re.compile(r"[0-9]{1,9}")
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")

# Told once, when the answer's head has come: whether the range was honoured.
Headed = Callable[[bool], None]


class Target(Protocol):
    """Where the bytes of a read go. Every method is called under its lock."""

    @property
    def lock(self) -> threading.Lock: ...

    def room(self, start: int, end: int) -> memoryview:
        """Return where the next bytes from `start` on go, no further than to `end`."""

    def scratch(self, size_bytes: int) -> memoryview:
        """Return room for bytes nobody needs, as much as there is."""

    def landed(self, start: int, end: int) -> None:
        """Note bytes that are in their `room` now."""


@dataclass(frozen=True, slots=True)
class RangeResult:
    """How a read ended; bytes [start, received_until) are where they belong."""

    outcome: RangeOutcome
    received_until: int
    received_bytes: int
    first_byte_sec: float | None
    duration_sec: float
    range_honoured: bool | None
    retry_after_sec: float | None = None
    detail: str = ""


class _Stop(Exception):
    """Ends a read early with an outcome."""

    def __init__(self, outcome: RangeOutcome, detail: str = "") -> None:
        super().__init__(detail)
        self.outcome: RangeOutcome = outcome
        self.detail = detail


class RangeRead:
    """A read of bytes [start, end) of a part of `part_size` bytes.

    `silence_sec` bounds the wait for the next byte, never the whole. A node that ignores `Range` sends from 0: the
    prefix is read through and thrown away.
    """

    def __init__(
        self,
        http: requests.Session,
        replica: Replica,
        *,
        start: int,
        end: int,
        part_size: int,
        silence_sec: float,
        accepts_ranges: bool | None,
        target: Target,
        headed: Headed | None = None,
    ) -> None:
        self._http = http
        self._replica = replica
        self._start, self._end, self._part_size = start, end, part_size
        self._silence_sec = silence_sec
        self._ask_range = accepts_ranges is not False
        self._target = target
        self._headed = headed
        self._cancelled = threading.Event()
        self._sock: socket.socket | None = None
        self._sock_lock = threading.Lock()
        # How long the connection had idled when the request was made on it; None for a new one.
        self._idled_sec: float | None = None
        self._begun_sec: float | None = None
        self._head_came = False
        self._overdue = False
        self._until = start
        self._received = 0
        self._honoured: bool | None = None
        self._first_byte_sec: float | None = None
        self._retry_after_sec: float | None = None

    @property
    def received_until(self) -> int:
        """Up to where the bytes are where they belong."""
        return self._until

    @property
    def complete(self) -> bool:
        """Whether it has brought all its bytes; one that nothing is left of before it began has not."""
        return self._received > 0 and self._until >= self._end

    @property
    def received_bytes(self) -> int:
        """What has crossed the network so far, skipped prefixes included."""
        return self._received

    def cancel(self) -> None:
        """Make `run` return soon with what it has; callable from any thread."""
        self._cancelled.set()
        self._shut()

    def cut_if_overdue(self, now_sec: float) -> None:
        """Give up an answer whose head does not come to its end; callable from any thread."""
        begun_sec = self._begun_sec
        if begun_sec is None or self._head_came or self._overdue:
            return
        limit_sec = max(MIN_CONNECT_SEC, self._silence_sec) + HEAD_SILENCES * self._silence_sec
        if now_sec - begun_sec > limit_sec:
            self._overdue = True
            self._shut()

    def enter(self, connection: KnownConnection) -> None:
        """Note the connection this read waits on, unless it shall not wait at all."""
        with self._sock_lock:
            self._sock = connection.sock
        since_sec = connection.idle_since_sec if connection.sock is not None else None
        self._idled_sec = None if since_sec is None else time.monotonic() - since_sec
        if self._cancelled.is_set() or self._overdue:
            raise OSError("given up")

    def _leave(self) -> None:
        """Forget the connection: it may be another read's from now on."""
        with self._sock_lock:
            self._sock = None

    def _shut(self) -> None:
        """Wake a reader blocked on the socket and make the connection unusable."""
        with self._sock_lock, contextlib.suppress(OSError):
            if self._sock is not None:
                self._sock.shutdown(socket.SHUT_RDWR)

    def resize(self, end: int) -> None:
        """Move the end; callable from any thread. Only a body that goes on anyway can end later than asked for.

        When this returns, no byte beyond a nearer end is written any more.
        """
        with self._target.lock:
            if end > self._end and self._ask_range and self._honoured is not False:
                return
            self._end = min(end, self._part_size)
            reached = self._until >= self._end
        if reached:
            self._shut()

    def run(self) -> RangeResult:
        """Read until done, cancelled or failed; never raises for what the network does."""
        begun_sec = self._begun_sec = time.monotonic()
        set_waiter(self)
        outcome: RangeOutcome = "complete"
        detail = ""
        try:
            self._read(begun_sec)
        except _Stop as stop:
            outcome, detail = stop.outcome, stop.detail
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            outcome, detail = _classify(error, got_bytes=self._received > 0)
        except ValueError as error:
            outcome, detail = "malformed", f"answer cannot be read: {error}"
        finally:
            # The thread lives on; what the read holds, the chunk's bytes among it, need not.
            set_waiter(None)
            self._leave()
        if self._until >= self._end:
            outcome, detail = "complete", ""
        elif outcome != "complete" and self._overdue:
            outcome, detail = "silent", "does not finish the head of its answer"
        elif outcome != "complete" and self._cancelled.is_set():
            outcome, detail = "cancelled", ""
        return RangeResult(
            outcome=outcome,
            received_until=self._until,
            received_bytes=self._received,
            first_byte_sec=self._first_byte_sec,
            duration_sec=time.monotonic() - begun_sec,
            range_honoured=self._honoured,
            retry_after_sec=self._retry_after_sec,
            detail=detail,
        )

    def _read(self, begun_sec: float) -> None:
        with self._answer() as response:
            self._head_came = True
            if self._cancelled.is_set() or self._overdue:
                # A head cut short passes for a complete one.
                raise _Stop("cancelled")
            self._first_byte_sec = time.monotonic() - begun_sec
            position = self._check_head(response)
            if self._honoured is False:
                self._tell_head(honoured=False)
            sock = self._sock
            if sock is None:
                raise _Stop("broken", "broke the connection")
            body = Body(response, sock, self._silence_sec)
            self._read_body(body, position)
            if body.over:
                self._leave()
                body.give_back()
            else:
                # What remains is not wanted; the connection cannot be used again.
                self._shut()

    def _tell_head(self, *, honoured: bool) -> None:
        headed, self._headed = self._headed, None
        if headed is not None:
            headed(honoured)

    def _answer(self) -> requests.Response:
        """Ask for the range and return when the head of the answer has come."""
        offset = self._replica.offset_bytes
        headers = {}
        if self._ask_range:
            headers["Range"] = f"bytes={offset + self._start}-{offset + self._end - 1}"

        timeout = (max(MIN_CONNECT_SEC, self._silence_sec), self._silence_sec)
        try:
            return ask(self._http, self._replica.url, headers, timeout)
        except requests.ConnectionError:
            if self._idled_sec is None or self._idled_sec < LONG_IDLE_SEC:
                raise
        return ask(self._http, self._replica.url, headers, timeout)

    def _check_head(self, response: requests.Response) -> int:
        """Return the part offset at which the body starts; raise _Stop for an answer that is none."""
        status = response.status_code
        if status in (404, 410):
            raise _Stop("missing", f"answered {status}")
        if status in (429, 503):
            said = response.headers.get("Retry-After", "").strip()
            if _SECONDS.fullmatch(said):
                self._retry_after_sec = float(said)
            raise _Stop("unavailable", f"answered {status}")
        if status not in (200, 206):
            raise _Stop("broken", f"answered {status}")
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise _Stop("malformed", "sent an encoding nobody asked for")
        offset = self._replica.offset_bytes
        if status == 206:
            found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
            if found is None or int(found.group(1)) != offset + self._start or not self._ask_range:
                raise _Stop("malformed", "sent another range than was asked for")
            if offset == 0 and found.group(3) not in ("*", str(self._part_size)):
                raise _Stop("malformed", f"has {found.group(3)} bytes instead of {self._part_size}")
            self._honoured = True
            return self._start
        if self._ask_range:
            # It sends the whole part, and all of it is of use.
            with self._target.lock:
                self._honoured = False
                self._until, self._end = 0, self._part_size
        length = response.headers.get("Content-Length", "")
        if offset == 0 and length.isdigit() and int(length) != self._part_size:
            raise _Stop("malformed", f"has {length} bytes instead of {self._part_size}")
        return -offset

    def _read_body(self, body: Body, position: int) -> None:
        """Take what arrives until the end, which may move; before the wanted bytes may be others."""
        first = True
        while True:
            with self._target.lock:
                if self._until >= self._end:
                    return
                if self._cancelled.is_set():
                    raise _Stop("cancelled")
                skipping = position < self._until
                if skipping:
                    place = self._target.scratch(self._until - position)
                else:
                    place = self._target.room(position, min(self._end, position + READ_BYTES))
                size = body.read_into(place)
                if size:
                    self._received += size
                    position += size
                    if not skipping:
                        self._target.landed(self._until, position)
                        self._until = position
            if first and (size is None or size < BURST_BYTES):
                self._tell_head(honoured=self._honoured is True)
            first = False
            if size == 0:
                if self._cancelled.is_set():
                    raise _Stop("cancelled")
                raise _Stop("short", f"ended {self._end - self._until} bytes early")
            if size is None and not body.wait():
                raise _Stop("silent", "is silent")


def _classify(error: Exception, *, got_bytes: bool) -> tuple[RangeOutcome, str]:
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError | TimeoutError):
        return "silent", "is silent"
    text = str(error)
    if "timed out" in text:
        return "silent", "is silent"
    if isinstance(error, urllib3.exceptions.IncompleteRead) or "IncompleteRead" in text:
        return "short", "ended early"
    if isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.InvalidSchema):
        return "malformed", "has no usable URL"
    if got_bytes:
        return "broken", "broke the connection"
    return "refused", "refuses connections" if "refused" in text else "cannot be reached"
