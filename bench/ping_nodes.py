"""`python -m bench.ping_nodes`: a thousand storage nodes that only answer pings, in one light process.

Every node has its own loopback address, all have the same port. Each answer is held back for a while, as a network
would. Reads commands from stdin: `count` prints what was answered so far, the end of the input ends the process.
"""

from __future__ import annotations

import argparse
import contextlib
import heapq
import itertools
import json
import selectors
import socket
import statistics
import sys
import time
from collections import deque

FIRST_PORT, LAST_PORT = 18100, 18999
_ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Node-ID: bench\r\nCache-Control: no-cache\r\n\r\n"
)
# Of the answers given last, so many are kept to say how long they were really held back.
_KEPT_HOLDS = 20_000
_BACKLOG = 64


def address_of(index: int) -> str:
    """Return the loopback address of one node."""
    return f"127.{1 + index // 62_500}.{index // 250 % 250}.{1 + index % 250}"


class PingNodes:
    """Listening sockets and their connections in one selector."""

    def __init__(self, count: int, hold_sec: float) -> None:
        self._selector = selectors.DefaultSelector()
        self._hold_sec = hold_sec
        self._held: list[tuple[float, int, float, socket.socket]] = []
        self._tickets = itertools.count()
        self._holds_sec: deque[float] = deque(maxlen=_KEPT_HOLDS)
        self._answered = 0
        self._connections = 0
        self.port = _free_port()
        for index in range(count):
            listener = socket.create_server((address_of(index), self.port), backlog=_BACKLOG)
            listener.setblocking(False)
            self._selector.register(listener, selectors.EVENT_READ, "listener")
        self._selector.register(sys.stdin, selectors.EVENT_READ, "stdin")

    def serve(self) -> None:
        """Answer until stdin ends."""
        while True:
            for key, _ in self._selector.select(self._wait_sec()):
                if key.data == "stdin":
                    if not self._command():
                        return
                elif isinstance(key.fileobj, socket.socket):
                    if key.data == "listener":
                        self._accept(key.fileobj)
                    else:
                        self._read(key.fileobj)
            self._release()

    def _wait_sec(self) -> float | None:
        return max(0.0, self._held[0][0] - time.perf_counter()) if self._held else None

    def _command(self) -> bool:
        line = sys.stdin.readline()
        if not line:
            return False
        held_sec = statistics.median(self._holds_sec) if self._holds_sec else 0.0
        told = {
            "answered": self._answered,
            "connections": self._connections,
            "held_ms": held_sec * 1000,
        }
        print(json.dumps(told), flush=True)
        return True

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            connection, _ = listener.accept()
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connections += 1
            self._selector.register(connection, selectors.EVENT_READ, "connection")

    def _read(self, connection: socket.socket) -> None:
        try:
            request = connection.recv(4096)
        except OSError:
            request = b""
        if not request:
            self._selector.unregister(connection)
            connection.close()
            return
        # Pings fit into one packet; a request in pieces is nothing this program meets.
        now_sec = time.perf_counter()
        due = (now_sec + self._hold_sec, next(self._tickets), now_sec, connection)
        heapq.heappush(self._held, due)

    def _release(self) -> None:
        now_sec = time.perf_counter()
        while self._held and self._held[0][0] <= now_sec:
            _, _, came_sec, connection = heapq.heappop(self._held)
            with contextlib.suppress(OSError):
                connection.send(_ANSWER)
                now_sec = time.perf_counter()
                self._holds_sec.append(now_sec - came_sec)
                self._answered += 1


def _free_port() -> int:
    for port in range(FIRST_PORT, LAST_PORT):
        with socket.socket() as probe:
            try:
                probe.bind((address_of(0), port))
            except OSError:
                continue
            return port
    raise RuntimeError(f"no free port in {FIRST_PORT}-{LAST_PORT}")


def main() -> None:
    """Print the port as soon as all nodes listen, then serve."""
    parser = argparse.ArgumentParser(prog="python -m bench.ping_nodes", description=__doc__)
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--hold-ms", type=float, default=20.0, help="how long answers take")
    arguments = parser.parse_args()
    nodes = PingNodes(arguments.nodes, arguments.hold_ms / 1000)
    print(nodes.port, flush=True)
    nodes.serve()


if __name__ == "__main__":
    main()
