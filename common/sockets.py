"""ZeroMQ sockets with the options this project needs; the one place that makes them.

Publishers are XPUB and replay the last value of each key to a new subscriber, so that joining late costs nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

import zmq

from common import codec

# Control messages wait this long for a peer at close; payloads as long as a drain may take.
CONTROL_LINGER_MS = 300
PAYLOAD_LINGER_MS = 2500
# State is small and superseded within a second; a subscriber that far behind has lost nothing of value.
PUBLISH_HIGH_WATER = 1000
# 16 chunks of 2 MiB per worker may wait for a busy buffer; credit keeps it below this.
PAYLOAD_HIGH_WATER = 16
# Of a stack that starts, some connect before others listen: each step of a longer back-off would be waited for by the
# viewer. A connection to a UNIX socket nobody listens on costs some microseconds.
RECONNECT_MS = 20
RECONNECT_MAX_MS = 40


def new_context() -> zmq.Context[zmq.Socket[bytes]]:
    """Return a context; one per process."""
    return zmq.Context()


def _common(socket: zmq.Socket[bytes], linger_ms: int) -> None:
    socket.setsockopt(zmq.LINGER, linger_ms)
    socket.setsockopt(zmq.RECONNECT_IVL, RECONNECT_MS)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, RECONNECT_MAX_MS)


def bind_pull(
    context: zmq.Context[zmq.Socket[bytes]],
    address: str,
    *,
    max_message_bytes: int = codec.MAX_BODY_BYTES,
    high_water: int = PUBLISH_HIGH_WATER,
) -> zmq.Socket[bytes]:
    """Return a bound PULL socket; larger messages than `max_message_bytes` close their connection."""
    socket = context.socket(zmq.PULL)
    _common(socket, 0)
    socket.setsockopt(zmq.RCVHWM, high_water)
    socket.setsockopt(zmq.MAXMSGSIZE, max_message_bytes)
    socket.bind(address)
    return socket


def bound_address(socket: zmq.Socket[bytes]) -> str:
    """Return the address a socket was really bound to."""
    last = socket.getsockopt(zmq.LAST_ENDPOINT)
    return last.rstrip(b"\0").decode() if isinstance(last, bytes) else str(last)


def unlink_ipc(address: str) -> None:
    """Remove the file of an ipc address that is out of use."""
    if address.startswith("ipc://"):
        with contextlib.suppress(OSError):
            Path(address.removeprefix("ipc://")).unlink()


def connect_push(
    context: zmq.Context[zmq.Socket[bytes]], address: str, *, payload: bool = False
) -> zmq.Socket[bytes]:
    """Return a connected PUSH socket; `payload` sockets linger longer and queue less."""
    socket = context.socket(zmq.PUSH)
    _common(socket, PAYLOAD_LINGER_MS if payload else CONTROL_LINGER_MS)
    socket.setsockopt(zmq.SNDHWM, PAYLOAD_HIGH_WATER if payload else PUBLISH_HIGH_WATER)
    socket.connect(address)
    return socket


def connect_subscriber(
    context: zmq.Context[zmq.Socket[bytes]], addresses: Iterable[str]
) -> zmq.Socket[bytes]:
    """Return a SUB socket that hears everything said at `addresses`."""
    socket = context.socket(zmq.SUB)
    _common(socket, 0)
    socket.setsockopt(zmq.RCVHWM, PUBLISH_HIGH_WATER)
    socket.setsockopt(zmq.MAXMSGSIZE, codec.MAX_BODY_BYTES)
    socket.setsockopt(zmq.SUBSCRIBE, b"")
    for address in addresses:
        socket.connect(address)
    return socket


class Publisher:
    """An XPUB socket with the last value of every key.

    `publish(msg, key)` keeps the message under `(tag, key)` and sends it; `key=None` sends without keeping (events).
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], address: str) -> None:
        self.socket: zmq.Socket[bytes] = context.socket(zmq.XPUB)
        _common(self.socket, CONTROL_LINGER_MS)
        self.socket.setsockopt(zmq.SNDHWM, PUBLISH_HIGH_WATER)
        self.socket.setsockopt(zmq.XPUB_VERBOSE, 1)
        self.socket.bind(address)
        self._last: dict[tuple[str, str], list[bytes]] = {}

    def publish(self, msg: object, key: str | None = "") -> None:
        frames = codec.encode(msg)
        if key is None:
            self.socket.send_multipart(frames)
        else:
            self.publish_encoded(type(msg), frames, key)

    def publish_encoded(self, msg_type: type, frames: list[bytes], key: str = "") -> None:
        """Publish and keep a message of `msg_type` that is encoded already."""
        self._last[(codec.tag_of(msg_type), key)] = frames
        self.socket.send_multipart(frames)

    def keep(self, msg: object, key: str = "") -> None:
        """Replay a message to new subscribers without sending it now."""
        self._last[(codec.tag_of(msg), key)] = codec.encode(msg)

    def forget(self, msg_type: type, key: str) -> None:
        """Stop replaying what was last published under `key`."""
        self._last.pop((codec.tag_of(msg_type), key), None)

    def on_subscription(self) -> None:
        """Answer a new subscriber with the last values; called when the socket is readable."""
        joined = False
        while True:
            try:
                frame = self.socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                break
            joined = joined or frame[:1] == b"\x01"
        if joined:
            for frames in self._last.values():
                self.socket.send_multipart(frames)
