"""One request of the monitor, its connection, and how that is opened."""

from __future__ import annotations

import errno
import os
import socket
from dataclasses import dataclass, field
from typing import Any

from monitor.answer import HeadReader
from monitor.probe import Target
from monitor.resolver import Address

# A node that ignores the range sends a whole chunk after its head: it may not send much before it is cut off.
CHECK_WINDOW_BYTES = 4096
Key = tuple[str, bool]


@dataclass(slots=True, eq=False)
class Exchange:
    """A request and the wait for its answer; `is_check` is the request for a byte of a chunk, else a ping."""

    node_url: str
    target: Target
    is_check: bool
    deadline_sec: float
    connection: Connection | None = None
    addresses: list[Address] = field(default_factory=list)
    reader: HeadReader = field(default_factory=HeadReader)
    on_kept: bool = False
    heard: bool = False
    sent_sec: float = 0.0

    @property
    def key(self) -> Key:
        return (self.node_url, self.is_check)


@dataclass(slots=True, eq=False)
class Connection:
    """A socket and what is waited for on it; None: nothing, it is kept."""

    sock: socket.socket
    node_url: str
    exchange: Exchange | None
    connected: bool = False


def begin_connecting(
    family: socket.AddressFamily, address: Any, *, is_check: bool
) -> socket.socket:
    """Return a socket that will be writable when it is connected, or when that failed; raise OSError."""
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        if is_check:
            # Before connecting: the size of the window is agreed on then.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, CHECK_WINDOW_BYTES)
        else:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        code = sock.connect_ex(address)
        if code not in (0, errno.EINPROGRESS):
            raise OSError(code, os.strerror(code))
    except OSError:
        sock.close()
        raise
    return sock
