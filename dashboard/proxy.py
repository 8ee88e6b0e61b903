"""The film for the page, from the buffer's web server: one address for the viewer's browser is enough."""

from __future__ import annotations

import http.client
import select
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from flask import Response, abort, request

from dashboard.feed import Feed

# What the buffer serves beside a playlist.
_FORWARDED = ("Range", "If-None-Match", "If-Range")
_RETURNED = ("Content-Type", "Content-Length", "Content-Range", "Accept-Ranges", "ETag")
_CONNECT_SEC = 3.0
# A segment that is not there yet is waited for; the buffer gives up sooner.
_ANSWER_SEC = 90.0
_LOOK_MS = 100
_PIECE_BYTES = 64 * 1024


def film(feed: Feed, session_id: str, name: str) -> Response:
    """Answer a request for a file of a session's stream."""
    session = feed.session(session_id)
    if session is None or session.session_id != session_id or not session.stream_url:
        abort(404, "no such session can be watched")
    parts = urlsplit(session.stream_url)
    path = f"{parts.path.rpartition('/')[0]}/{name}"
    gone = request.environ.get("waitress.client_disconnected", lambda: False)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_CONNECT_SEC)
    try:
        headers = {n: request.headers[n] for n in _FORWARDED if n in request.headers}
        connection.request(request.method, path, headers=headers)
        _await_answer(connection, gone)
        answer = connection.getresponse()
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        abort(502, f"the buffer process does not answer: {error}")
    response = Response(_pieces(connection, answer), status=answer.status)
    response.headers.clear()
    for header in _RETURNED:
        value = answer.getheader(header)
        if value is not None:
            response.headers[header] = value
    return response


def _await_answer(connection: http.client.HTTPConnection, gone: Callable[[], bool]) -> None:
    """Wait for the first byte of the answer, as long as anybody waits for it here."""
    poller = select.poll()
    poller.register(connection.sock, select.POLLIN)
    for _ in range(int(_ANSWER_SEC * 1000 / _LOOK_MS)):
        if poller.poll(_LOOK_MS):
            return
        if gone():
            raise ConnectionAbortedError("the player has left")
    raise TimeoutError(f"nothing came for {_ANSWER_SEC:g} s")


def _pieces(
    connection: http.client.HTTPConnection, answer: http.client.HTTPResponse
) -> Iterator[bytes]:
    try:
        while piece := answer.read(_PIECE_BYTES):
            yield piece
    finally:
        connection.close()
