"""The control address of a storage node: faults, status and counters, reachable at all times."""

import json
import logging
import math
import socket
import threading
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer
from typing import Protocol

from cluster.faults import FaultKind, parse_fault_kind

logger = logging.getLogger(__name__)

_MAX_BODY_BYTES = 4096
_POLL_SEC = 0.05
_READ_LIMIT_SEC = 2.0


class Controlled(Protocol):
    """What can be asked of a node over its control address."""

    def set_fault(self, kind: FaultKind, for_sec: float | None, chunk_id: str | None) -> None:
        """Put a fault in force."""

    def restart_link(self) -> None:
        """Play the link's trace from its beginning."""

    def settle(self) -> None:
        """Wait for pending records."""

    def status(self) -> dict[str, object]:
        """Return the node's state."""


class ControlServer:
    """Answer one control request at a time in a thread of its own."""

    def __init__(self, sock: socket.socket, node: Controlled) -> None:
        server = TCPServer(sock.getsockname(), _ControlHandler, bind_and_activate=False)
        server.socket.close()
        server.socket = sock
        server.server_activate()
        server.node = node  # type: ignore[attr-defined]
        self._server = server
        self._thread = threading.Thread(
            target=server.serve_forever, args=(_POLL_SEC,), name="control"
        )

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Stop answering and close the socket."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _ControlHandler(BaseHTTPRequestHandler):
    """GET /status, PUT /fault with {"kind", "for_sec", "chunk_id"}, POST /settle, /restart-link."""

    # pylint: disable=invalid-name  # the base class finds do_GET and the like by name

    timeout = _READ_LIMIT_SEC

    @property
    def _node(self) -> Controlled:
        node: Controlled = self.server.node  # type: ignore[attr-defined]
        return node

    def do_GET(self) -> None:
        if self.path == "/status":
            self._answer(200, self._node.status())
        else:
            self._answer(404, {"detail": "Not found"})

    def do_POST(self) -> None:
        if self.path == "/settle":
            self._node.settle()
            self._answer(200, {"settled": True})
        elif self.path == "/restart-link":
            self._node.restart_link()
            self._answer(200, self._node.status())
        else:
            self._answer(404, {"detail": "Not found"})

    def do_PUT(self) -> None:
        if self.path != "/fault":
            self._answer(404, {"detail": "Not found"})
            return
        try:
            length = min(int(self.headers.get("Content-Length", "0")), _MAX_BODY_BYTES)
            body = json.loads(self.rfile.read(length))
            kind = parse_fault_kind(str(body["kind"]))
            for_sec = None if body.get("for_sec") is None else float(body["for_sec"])
            if for_sec is not None and not (math.isfinite(for_sec) and for_sec > 0):
                raise ValueError("for_sec must be above 0")
            chunk_id = None if body.get("chunk_id") is None else str(body["chunk_id"])
            if chunk_id is not None and kind != "missing":
                raise ValueError("only the fault missing can be limited to one chunk")
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            self._answer(400, {"detail": str(error)})
            return
        self._node.set_fault(kind, for_sec, chunk_id)
        self._answer(200, self._node.status())

    def log_message(self, format: str, *args: object) -> None:
        logger.debug(format, *args)

    def _answer(self, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
