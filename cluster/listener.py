"""The public socket of a storage node: accepts, refuses on demand, and knows its connections."""

import contextlib
import logging
import os
import select
import socket
import threading
from collections.abc import Callable

from cluster.connection import Connection

logger = logging.getLogger(__name__)

_BACKLOG = 128
# Each connection has a thread; more of them than this are reset at once.
_MAX_CONNECTIONS = 512
# How long a change of state may take until all connections have noticed.
_HALT_LIMIT_SEC = 2.0


class Listener:
    """Run `serve` in a thread for each connection accepted on `sock`, which must be bound."""

    def __init__(
        self, sock: socket.socket, serve: Callable[[Connection], None], *, shaped: bool
    ) -> None:
        self._sock = sock
        self._sock.setblocking(False)
        self._serve = serve
        self._shaped = shaped
        self._changed = threading.Condition()
        self._connections: set[Connection] = set()
        self._refuse_reason: str | None = "starting"
        self._listening = False
        self._ended = False
        self._wake_read, self._wake_write = os.pipe()
        self._thread = threading.Thread(target=self._accept_loop, name="accept")

    def start(self) -> None:
        """Begin to accept; returns when connections are taken."""
        self._thread.start()
        self.accept()

    def accept(self) -> None:
        """Take connections (again)."""
        self._change(None)

    def refuse(self, reason: str) -> None:
        """Refuse new connections and reset the open ones; returns when that is done."""
        self._change(reason)

    def wake_all(self) -> None:
        """Make all connections look again at the node's state."""
        with self._changed:
            connections = list(self._connections)
        for connection in connections:
            connection.wake()

    @property
    def connection_count(self) -> int:
        """Return the number of open connections."""
        return len(self._connections)

    def close(self) -> None:
        """Refuse, reset and end the accepting thread."""
        self.refuse("stopped")
        with self._changed:
            self._ended = True
        os.write(self._wake_write, b"w")
        self._thread.join()
        self._sock.close()

    def _change(self, reason: str | None) -> None:
        with self._changed:
            self._refuse_reason = reason
            os.write(self._wake_write, b"w")
            for connection in self._connections if reason is not None else ():
                connection.halt(reason or "")
            done = self._changed.wait_for(
                lambda: (
                    self._listening == (reason is None)
                    and (reason is None or not self._connections)
                ),
                timeout=_HALT_LIMIT_SEC,
            )
        if not done:
            logger.warning("connections did not end in time reason=%s", reason)

    def _accept_loop(self) -> None:
        while True:
            with self._changed:
                if self._ended:
                    return
                self._follow_state()
            poller = select.poll()
            poller.register(self._wake_read, select.POLLIN)
            if self._listening:
                poller.register(self._sock, select.POLLIN)
            ready = dict(poller.poll())
            if self._wake_read in ready:
                os.read(self._wake_read, 4096)
            if self._sock.fileno() in ready:
                self._take_one()

    def _follow_state(self) -> None:
        wanted = self._refuse_reason is None
        if wanted == self._listening:
            return
        if wanted:
            self._sock.listen(_BACKLOG)
        else:
            # On Linux this ends the listening state but keeps the port bound: clients are
            # refused, no other process can take the port, and listen() works again.
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)
        self._listening = wanted
        self._changed.notify_all()

    def _take_one(self) -> None:
        try:
            sock, _ = self._sock.accept()
        except OSError:
            return
        connection = Connection(sock, shaped=self._shaped)
        with self._changed:
            if self._refuse_reason is not None or len(self._connections) >= _MAX_CONNECTIONS:
                connection.close(reset=True)
                return
            self._connections.add(connection)
        threading.Thread(target=self._run, args=(connection,), name="connection").start()

    def _run(self, connection: Connection) -> None:
        try:
            self._serve(connection)
        except Exception:
            logger.exception("connection failed")
        finally:
            connection.close(reset=self._refuse_reason is not None)
            with self._changed:
                self._connections.discard(connection)
                self._changed.notify_all()
