"""The resources of a storage node: ping, chunks, health."""

import logging
import time
from dataclasses import dataclass

from cluster.chunk_store import CHUNK_ID, ChunkConflictError, ChunkStore, StoreFullError
from cluster.connection import Connection, DeadlineError, HaltedError, PeerGoneError
from cluster.exchange import Exchange, NodeParts, TruncatedError
from cluster.http1 import (
    UNSATISFIABLE,
    BadRequestError,
    ByteRange,
    parse_head,
    parse_range,
    response_head as _response_head,
)

logger = logging.getLogger(__name__)

# A keep-alive connection without a request is closed after this.
_IDLE_SEC = 75.0
# A request body may pause for this long.
_BODY_IDLE_SEC = 15.0
# Of a body that is refused, this much is read so that the client sees the answer.
_MAX_DISCARD_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeIdentity:
    """What a node says about itself and what it accepts."""

    node_id: str
    max_chunk_bytes: int
    no_range: bool
    started_sec: float


class NodeService:
    """Serve connections until they end; used by one thread per connection."""

    def __init__(self, identity: NodeIdentity, store: ChunkStore, parts: NodeParts) -> None:
        self._identity = identity
        self._store = store
        self._parts = parts

    def serve(self, connection: Connection) -> None:
        """Answer the requests of one connection one after the other."""
        connection.window = self._parts.link.new_window()
        try:
            while (received := connection.read_head(_IDLE_SEC)) is not None:
                raw, arrived_sec = received
                exchange = Exchange(connection, self._parts, parse_head(raw), arrived_sec)
                if not self._run(exchange, connection):
                    return
        except BadRequestError as error:
            body = f'{{"detail": "{error}"}}'.encode()
            head = _response_head(400, {"Content-Length": len(body)}, keep_alive=False)
            try:
                connection.send_all(head + body, time.monotonic() + _BODY_IDLE_SEC)
            except (PeerGoneError, HaltedError, DeadlineError):
                logger.debug("client left before it was told of its bad request")
        except HaltedError:
            logger.debug("connection reset")

    def _run(self, exchange: Exchange, connection: Connection) -> bool:
        """Answer one request and record it; False when the connection is to be closed."""
        try:
            self._route(exchange, connection)
        except (PeerGoneError, DeadlineError, TruncatedError, HaltedError) as error:
            exchange.note_failure(error)
        except Exception as error:
            logger.exception("request failed path=%s", exchange.head.path)
            exchange.note_failure(error)
        finally:
            exchange.finish()
        return exchange.keep_alive

    def _route(self, exchange: Exchange, connection: Connection) -> None:
        method, path = exchange.head.method, exchange.head.path
        if path.startswith("/chunk/"):
            self._chunk(exchange, connection, path.removeprefix("/chunk/"))
            return
        self._read_unwanted_body(exchange, connection)
        exchange.await_answer_time()
        if exchange.fault == "503":
            exchange.answer_error(503, "Service unavailable", outcome="503")
        elif path == "/ping" and method in ("GET", "HEAD"):
            self._ping(exchange)
        elif path == "/health" and method in ("GET", "HEAD"):
            self._health(exchange)
        elif path in ("/ping", "/health"):
            exchange.answer_error(405, "Method not allowed")
        else:
            exchange.answer_error(404, "Not found")

    def _ping(self, exchange: Exchange) -> None:
        begun_sec = time.perf_counter()
        headers: dict[str, str | int] = {
            "X-Node-ID": self._identity.node_id,
            "X-Disk-Usage-Percent": f"{self._store.disk_usage_percent():.1f}",
            "X-Chunk-Count": len(self._store),
            "Cache-Control": "no-cache",
        }
        headers["X-Response-Time"] = f"{(time.perf_counter() - begun_sec) * 1000:.3f}ms"
        exchange.answer(200, headers)

    def _health(self, exchange: Exchange) -> None:
        has_room = self._store.has_room()
        body = {
            "status": "healthy" if has_room else "critical",
            "disk_usage": round(self._store.disk_usage_percent(), 2),
            "chunk_count": len(self._store),
            "uptime": round(time.monotonic() - self._identity.started_sec, 3),
            "node_id": self._identity.node_id,
        }
        exchange.answer_json(200 if has_room else 503, body)

    def _chunk(self, exchange: Exchange, connection: Connection, chunk_id: str) -> None:
        method = exchange.head.method
        body: bytearray | None = None
        if method == "PUT":
            body = self._read_chunk_body(exchange, connection)
            if body is None:
                return
        else:
            self._read_unwanted_body(exchange, connection)
        exchange.await_answer_time()
        if exchange.fault == "503":
            exchange.answer_error(503, "Service unavailable", outcome="503")
        elif not CHUNK_ID.fullmatch(chunk_id):
            exchange.answer_error(400, "chunk_id must match [A-Za-z0-9_-]{1,64}")
        elif method in ("GET", "HEAD"):
            self._get(exchange, chunk_id)
        elif body is not None:
            self._put(exchange, connection, chunk_id, body)
        elif method != "DELETE":
            exchange.answer_error(405, "Method not allowed")
        elif self._store.delete(chunk_id):
            exchange.answer(204)
        else:
            exchange.answer_error(404, "Chunk not found")

    def _get(self, exchange: Exchange, chunk_id: str) -> None:
        if exchange.lacks(chunk_id):
            exchange.answer_error(404, "Chunk not found", outcome="missing")
            return
        chunk = self._store.find(chunk_id)
        if chunk is None:
            exchange.answer_error(404, "Chunk not found")
            return
        try:
            size_bytes = chunk.path.stat().st_size
        except OSError:
            exchange.answer_error(404, "Chunk not found")
            return
        if size_bytes != chunk.size_bytes:
            exchange.answer_error(500, "Chunk is corrupt", outcome="error")
            return
        no_range = self._identity.no_range
        headers: dict[str, str | int] = {
            "Content-Type": "application/octet-stream",
            "ETag": chunk.sha256 if no_range else f'"{chunk.sha256}"',
            "X-Chunk-Size": size_bytes,
            "X-Superblock-ID": 0,
        }
        if not no_range:
            headers["Accept-Ranges"] = "bytes"
        # As nginx does, a HEAD is answered like the GET it stands for, 206 included.
        text = None if no_range else exchange.head.headers.get("range")
        wanted = parse_range(text, size_bytes)
        if wanted is UNSATISFIABLE:
            exchange.answer(416, {**headers, "Content-Range": f"bytes */{size_bytes}"})
            return
        status = 200
        part = ByteRange(offset_bytes=0, length_bytes=size_bytes)
        if isinstance(wanted, ByteRange):
            status, part = 206, wanted
            last = part.offset_bytes + part.length_bytes - 1
            headers["Content-Range"] = f"bytes {part.offset_bytes}-{last}/{size_bytes}"
        if exchange.head.method == "HEAD":
            exchange.answer(status, {**headers, "Content-Length": part.length_bytes})
        else:
            exchange.answer_part(status, headers, chunk, part)

    def _put(
        self, exchange: Exchange, connection: Connection, chunk_id: str, body: bytearray
    ) -> None:
        wanted = exchange.head.headers.get("x-chunk-checksum", "").lower().removeprefix("sha256:")
        try:
            chunk, is_new = self._store.put(
                chunk_id,
                body,
                expected_sha256=wanted or None,
                check_wanted=connection.check_peer,
            )
        except StoreFullError as error:
            exchange.answer_error(507, f"Insufficient storage: {error}")
        except ChunkConflictError:
            exchange.answer_error(409, f"chunk_id {chunk_id} holds other bytes")
        except ValueError as error:
            exchange.answer_error(400, str(error))
        else:
            answer = {"chunk_id": chunk_id, "size_bytes": len(body), "checksum": chunk.sha256}
            etag = f'"{chunk.sha256}"'
            exchange.answer_json(201 if is_new else 200, answer, {"ETag": etag})

    def _read_chunk_body(self, exchange: Exchange, connection: Connection) -> bytearray | None:
        """Return the body to store; None when the request was refused for it."""
        length_bytes = exchange.head.body_length_bytes()
        limit_bytes = self._identity.max_chunk_bytes
        if length_bytes is None:
            exchange.keep_alive = False
            exchange.answer_error(411, "Content-Length is required")
        elif length_bytes > limit_bytes:
            self._read_unwanted_body(exchange, connection)
            exchange.answer_error(413, f"Chunk larger than {limit_bytes} bytes")
        elif length_bytes == 0:
            exchange.answer_error(400, "Chunk is empty")
        else:
            if exchange.head.headers.get("expect", "").lower() == "100-continue":
                connection.send_all(b"HTTP/1.1 100 Continue\r\n\r\n")
            return connection.read_body(length_bytes, _BODY_IDLE_SEC)
        return None

    def _read_unwanted_body(self, exchange: Exchange, connection: Connection) -> None:
        headers = exchange.head.headers
        if "content-length" not in headers and "transfer-encoding" not in headers:
            return
        length_bytes = exchange.head.body_length_bytes()
        if length_bytes is None or "expect" in headers or length_bytes > _MAX_DISCARD_BYTES:
            exchange.keep_alive = False
        else:
            connection.discard_body(length_bytes, _BODY_IDLE_SEC)
