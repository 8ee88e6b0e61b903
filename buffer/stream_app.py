"""The film over HTTP, for players: HLS with fragmented MP4 or MPEG-TS, and one MPEG-TS body."""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Callable, Iterator
from typing import TypeVar
from urllib.parse import urlsplit

from flask import Flask, Response, abort, request
from werkzeug.exceptions import HTTPException

from buffer.media import MediaError, TimelineRemuxer
from buffer.playlist import (
    INIT_NAME,
    PLAYLIST_NAME,
    SEGMENT_SUFFIX,
    TRANSPORT_NAME,
    TRANSPORT_PLAYLIST_NAME,
    TRANSPORT_SUFFIX,
)
from buffer.watch import Gone, SegmentAbsent, SegmentLate, SegmentSkipped, Watch
from common import http_guard

logger = logging.getLogger(__name__)

# Longer than the time after which a session gives up a chunk that nobody has, unless told otherwise.
SEGMENT_WAIT_SEC = 75.0
PLAYLIST_TYPE = "application/vnd.apple.mpegurl"
MEDIA_TYPE = "video/mp4"
TRANSPORT_TYPE = "video/mp2t"
# What a page of another port may read of an answer.
_EXPOSED = "Content-Length, Content-Range, ETag"

_Found = TypeVar("_Found", bytes, str)
FindWatch = Callable[[str], Watch | None]


def create_stream_app(find: FindWatch, *, bound_host: str) -> Flask:
    """Return the application; `find` returns a live session by its id, and is called from many threads."""
    app = Flask(__name__, static_folder=None)
    _add_guards(app, bound_host)

    def watched(session_id: str) -> Watch:
        found = find(session_id)
        if found is None:
            abort(404, "no such session plays")
        return found

    @app.get(f"/stream/<session_id>/{PLAYLIST_NAME}")
    def playlist(session_id: str) -> Response:
        return _answer(watched(session_id).playlist().encode(), PLAYLIST_TYPE)

    @app.get(f"/stream/<session_id>/{INIT_NAME}")
    def init(session_id: str) -> Response:
        return _answer(_having(watched(session_id).init), MEDIA_TYPE)

    @app.get(f"/stream/<session_id>/<int:number>{SEGMENT_SUFFIX}")
    def segment(session_id: str, number: int) -> Response:
        watch = watched(session_id)
        return _answer(
            _having(lambda wait_sec, gone: watch.segment(number, wait_sec, gone).media), MEDIA_TYPE
        )

    @app.get(f"/stream/<session_id>/{TRANSPORT_PLAYLIST_NAME}")
    def transport_playlist(session_id: str) -> Response:
        watch = watched(session_id)
        return _answer(_having(watch.transport_playlist).encode(), PLAYLIST_TYPE)

    @app.get(f"/stream/<session_id>/<int:number>{TRANSPORT_SUFFIX}")
    def transport_segment(session_id: str, number: int) -> Response:
        watch = watched(session_id)
        return _answer(
            _having(lambda wait_sec, gone: watch.transport(number, wait_sec, gone)), TRANSPORT_TYPE
        )

    @app.get(f"/stream/<session_id>/{TRANSPORT_NAME}")
    def transport(session_id: str) -> Response:
        watch = watched(session_id)
        body = _transport_stream(watch, _gone()) if request.method == "GET" else b""
        return Response(body, mimetype=TRANSPORT_TYPE)

    return app


def _add_guards(app: Flask, bound_host: str) -> None:
    @app.before_request
    def check() -> Response | None:
        host = request.headers.get("Host", "")
        if not http_guard.host_allowed(host, bound_host):
            return Response(f"Host: {host[:100]!r} is not a name of this player's server\n", 403)
        return None

    @app.after_request
    def add_headers(response: Response) -> Response:
        response.headers["X-Content-Type-Options"] = "nosniff"
        # A segment's place follows what is known of the film: a player asks again, the ETag saves the bytes.
        response.headers["Cache-Control"] = "no-cache"
        origin = request.headers.get("Origin", "")
        response.headers["Vary"] = "Origin"
        if _is_local(origin):
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = _EXPOSED
        return response

    @app.errorhandler(HTTPException)
    def on_http_error(error: HTTPException) -> Response:
        return Response(f"{error.description or error.name}\n", error.code or 500)

    @app.errorhandler(Exception)
    def on_bug(error: Exception) -> Response:
        logger.error("stream request failed path=%s", request.path, exc_info=error)
        return Response("internal error; see the buffer's log\n", 500)


def _is_local(origin: str) -> bool:
    """Whether a page of this machine asks: any of its pages may show the film, no other site's may."""
    try:
        return (urlsplit(origin).hostname or "") in http_guard.LOOPBACK_NAMES
    except ValueError:
        return False


def _answer(body: bytes, mimetype: str) -> Response:
    """Return a body that can be asked for in ranges, and again."""
    response = Response(body, mimetype=mimetype)
    response.set_etag(hashlib.sha256(body).hexdigest()[:32])
    response.make_conditional(request, accept_ranges=True, complete_length=len(body))
    return response


def _gone() -> Gone:
    """Return a way to learn, from any thread, that the client of this request has left."""
    found: Gone = request.environ.get("waitress.client_disconnected", lambda: False)
    return found


def _having(get: Callable[[float, Gone], _Found]) -> _Found:
    """Return what `get` waits for, or end the request with what went wrong."""
    try:
        return get(SEGMENT_WAIT_SEC, _gone())
    except SegmentSkipped as error:
        abort(410, str(error))
    except SegmentAbsent as error:
        abort(404, str(error))
    except SegmentLate as error:
        abort(504, str(error))
    except MediaError as error:
        abort(502, str(error))


def _transport_stream(watch: Watch, gone: Gone) -> Iterator[bytes]:
    """Yield the film from its beginning, as fast as it is taken and can be had."""
    sink = io.BytesIO()
    remuxer = TimelineRemuxer(sink, "mpegts")
    try:
        facts = watch.facts()
        for number, duration_sec in enumerate(facts.durations_sec):
            try:
                segment = watch.segment(number, SEGMENT_WAIT_SEC, gone)
            except SegmentAbsent:
                remuxer.add_gap(duration_sec)
                continue
            except SegmentLate as error:
                logger.warning("transport stream ends error=%s", error)
                return
            remuxer.add_chunk(segment.init + segment.media)
            yield sink.getvalue()
            sink.seek(0)
            sink.truncate()
    finally:
        remuxer.close()
    yield sink.getvalue()
