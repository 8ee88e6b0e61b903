"""The body of an HTTP answer, read without waiting and without a copy in between.

`read_into` takes what is there and never blocks, so that it may be called under the lock of the bytes it writes;
`wait` blocks without one.
"""

from __future__ import annotations

import contextlib
import io
import select
import socket
import ssl
from http.client import HTTPResponse

import requests

# What a body in pieces of its own making is read by.
PIECE_BYTES = 64 * 1024


class Body:
    """The body of one answer; used by one thread."""

    def __init__(
        self, response: requests.Response, sock: socket.socket, silence_sec: float
    ) -> None:
        """`silence_sec` bounds each wait."""
        self._raw = response.raw
        self._sock = sock
        self._silence_sec = silence_sec
        self._poller = select.poll()
        self._ended = False
        # A plain socket that gave less than was asked for has no more; TLS keeps some to itself.
        self._empty = False
        self._piece = memoryview(b"")
        http = getattr(self._raw, "_original_response", None)
        self._http: HTTPResponse | None = None
        if isinstance(http, HTTPResponse) and isinstance(http.fp, io.BufferedReader):
            self._http = None if http.chunked else http
        self._left: int | None = None
        if self._http is not None:
            # None: the body ends with its connection.
            self._left = self._http.length
            sock.settimeout(0)
            self._take_read_ahead(self._http)
            self._poller.register(sock, select.POLLIN)

    def _take_read_ahead(self, http: HTTPResponse) -> None:
        """Take what came along with the head; from then on the socket is read directly."""
        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
            self._piece = memoryview(http.fp.peek()[: self._left])

    @property
    def over(self) -> bool:
        """Whether all of it was read, so that its connection can be used again."""
        if self._http is None:
            return bool(self._raw.length_remaining == 0)
        return self._left == 0

    def read_into(self, place: memoryview) -> int | None:
        """Put what is there into `place`; None when nothing is, 0 at the end. Raises OSError."""
        ahead = min(len(place), len(self._piece))
        if ahead:
            place[:ahead] = self._piece[:ahead]
            self._piece = self._piece[ahead:]
        if self._http is None:
            return ahead if ahead or self._ended else None
        size = self._receive(place[ahead:], ahead) if not self._piece else 0
        if self._left is not None:
            self._left -= ahead + (size or 0)
        return None if size is None and not ahead else ahead + (size or 0)

    def _receive(self, place: memoryview, ahead: int) -> int | None:
        if self._left is not None:
            place = place[: self._left - ahead]
        if not place:
            return 0
        if self._empty:
            return None
        try:
            size = self._sock.recv_into(place)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return None
        self._empty = 0 < size < len(place) and not isinstance(self._sock, ssl.SSLSocket)
        return size

    def wait(self) -> bool:
        """Return when there may be something to read; False after the silence that is borne."""
        if self._http is not None:
            self._empty = False
            return bool(self._poller.poll(self._silence_sec * 1000))
        # Raises when nothing comes for too long.
        self._piece = memoryview(self._raw.read1(PIECE_BYTES, decode_content=False))
        self._ended = not self._piece
        return True

    def give_back(self) -> None:
        """Return the connection of a body that is over to its pool."""
        if self._http is not None:
            self._http.close()
        self._raw.release_conn()
