"""Storage nodes that only answer pings, each in its own way; real sockets on loopback."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from monitor.pinger import Outcome, Pinger

Answer = Callable[["PingNode", socket.socket], bool]


def say(status: str = "200 OK", *headers: str, keep: bool = True) -> Answer:
    """Answer at once; `keep=False` closes the connection without announcing it."""
    text = "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status}", "Content-Length: 0", *headers))

    def answer(_node: PingNode, connection: socket.socket) -> bool:
        connection.sendall(f"{text}\r\n".encode())
        return keep

    return answer


def hang(node: PingNode, _connection: socket.socket) -> bool:
    """Say nothing until the node is closed."""
    node.closing.wait(60)
    return False


def drip(node: PingNode, connection: socket.socket) -> bool:
    """Send one byte of an endless header every 20 ms."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while not node.closing.wait(0.02):
        connection.sendall(b"x")
    return False


class PingNode:
    """A listening socket whose answer may be changed while it runs."""

    def __init__(self, answer: Answer, port: int = 0, *, tls: ssl.SSLContext | None = None) -> None:
        self.answer = answer
        self._tls = tls
        self.closing = threading.Event()
        self.requests: list[bytes] = []
        self.connections = 0
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", port), backlog=64)
        scheme = "http" if tls is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}"
        self._start(self._accept)

    def _start(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            if self._tls is not None:
                connection = self._tls.wrap_socket(
                    connection, server_side=True, do_handshake_on_connect=False
                )
            with self._lock:
                self.connections += 1
                self._open.add(connection)
            self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            pending = b""
            while not self.closing.is_set():
                while b"\r\n\r\n" not in pending:
                    received = connection.recv(4096)
                    if not received:
                        return
                    pending += received
                request, _, pending = pending.partition(b"\r\n\r\n")
                self.requests.append(request)
                if not self.answer(self, connection):
                    return

    def drop_connections(self) -> None:
        """Close every connection; new ones are accepted."""
        with self._lock:
            dropped, self._open = self._open, set()
        for connection in dropped:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close all connections and wait for the threads."""
        self.closing.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join(10)
        self.drop_connections()
        for thread in self._threads:
            thread.join(10)


@contextmanager
def ping_nodes(*answers: Answer, tls: ssl.SSLContext | None = None) -> Iterator[list[PingNode]]:
    """Run one node for each answer."""
    nodes = [PingNode(answer, tls=tls) for answer in answers]
    try:
        yield nodes
    finally:
        for node in nodes:
            node.close()


def outcomes(pinger: Pinger, count: int) -> list[Outcome]:
    """Run a pinger as a loop would until so much has ended."""
    ended: list[Outcome] = []
    give_up_sec = time.monotonic() + 20
    while len(ended) < count:
        assert time.monotonic() < give_up_sec
        select.select([pinger.fileno()], [], [], 0.02)
        ended += pinger.turn()
    return ended
