"""Storage nodes that send chunks, each in its own way; real sockets on loopback."""

from __future__ import annotations

import re
import socket

from tests.ping_nodes import Answer, PingNode

_RANGE = re.compile(rb"^range: bytes=(\d+)-(\d+)", re.IGNORECASE | re.MULTILINE)


def asked_range(node: PingNode) -> tuple[int, int] | None:
    """Return the half-open range of the latest request."""
    found = _RANGE.search(node.requests[-1])
    return (int(found[1]), int(found[2]) + 1) if found else None


def head(status: str, length: int, *headers: str) -> bytes:
    """Return the first lines of an answer."""
    lines = (f"HTTP/1.1 {status}", f"Content-Length: {length}", *headers)
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode()


def with_range(data: bytes) -> Answer:
    """Answer ranges with 206 and everything else with 200."""

    def answer(node: PingNode, connection: socket.socket) -> bool:
        asked = asked_range(node)
        if asked is None:
            connection.sendall(head("200 OK", len(data)) + data)
            return True
        start, end = asked
        part = data[start:end]
        told = f"Content-Range: bytes {start}-{start + len(part) - 1}/{len(data)}"
        connection.sendall(head("206 Partial Content", len(part), told) + part)
        return True

    return answer


def without_range(data: bytes) -> Answer:
    """Answer everything with the whole body, as the original's nodes do."""

    def answer(_: PingNode, connection: socket.socket) -> bool:
        connection.sendall(head("200 OK", len(data)) + data)
        return True

    return answer


def raw(*pieces: bytes, keep: bool = True) -> Answer:
    """Send exactly this."""

    def answer(_: PingNode, connection: socket.socket) -> bool:
        for piece in pieces:
            connection.sendall(piece)
        return keep

    return answer


def stall_after(*pieces: bytes) -> Answer:
    """Send this, then nothing until the node is closed."""

    def answer(node: PingNode, connection: socket.socket) -> bool:
        for piece in pieces:
            connection.sendall(piece)
        node.closing.wait(60)
        return False

    return answer
