"""Pings and range checks over non-blocking sockets, in the owner's thread.

A thousand nodes cost one file descriptor each and no thread. The owner's loop watches `fileno()` and calls `turn()`
when it is readable, and a few times a second for those that are late. Nodes behind TLS are left to a `ProbePool`.
"""

from __future__ import annotations

import contextlib
import os
import queue
import selectors
import socket
import time
from typing import TYPE_CHECKING

from monitor.answer import AnswerHead, MalformedAnswerError
from monitor.exchange import Connection, Exchange, Key, begin_connecting
from monitor.probe import (
    Probe,
    RangeCheck,
    Target,
    ping_target,
    range_honoured,
    range_target,
)
from monitor.resolver import Resolver

if TYPE_CHECKING:
    from monitor.prober import ProbePool

Outcome = Probe | RangeCheck

_READ_BYTES = 4096


class Pinger:
    """Pings nodes, at most one ping and one check of a node at a time; all methods belong to one thread.

    Latency is the time from the request to the end of the answer's head on an open connection: connecting is left
    out. Connections are kept between pings, no more than `max_kept`.
    """

    def __init__(self, *, timeout_sec: float, max_kept: int = 10_000) -> None:
        self._timeout_sec = timeout_sec
        self._max_kept = max_kept
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = socket.socketpair()
        for end in (self._wake_read, self._wake_write):
            end.setblocking(False)
        self._selector.register(self._wake_read, selectors.EVENT_READ, None)
        self._resolver = Resolver(self._wake)
        self._targets: dict[str, Target] = {}
        self._kept: dict[str, Connection] = {}
        # In the order they began, and so of their deadlines.
        self._running: dict[Key, Exchange] = {}
        self._unresolved: dict[tuple[str, int], list[Exchange]] = {}
        self._ended: list[Outcome] = []
        self._turning = False
        self._pool: ProbePool | None = None
        self._pool_ended: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self._closed = False

    def fileno(self) -> int:
        """Return the descriptor that is readable when `turn` has something to do."""
        return self._selector.fileno()

    # ------------------------------------------------------------ requests

    def submit(self, node_url: str) -> None:
        """Ping a node."""
        if self._closed:
            return
        if node_url.startswith("https:"):
            self._tls_pool().submit(node_url)
            return
        try:
            target = self._targets.get(node_url) or ping_target(node_url)
        except ValueError as error:
            self._end(Probe(node_url, None, detail=str(error)))
            return
        self._targets[node_url] = target
        self._begin(Exchange(node_url, target, False, time.monotonic() + self._timeout_sec))

    def check_ranges(self, node_url: str, chunk_url: str) -> None:
        """Ask a node for the first byte of a chunk of its own, on a connection of its own."""
        if self._closed:
            return
        if chunk_url.startswith("https:"):
            self._tls_pool().check_ranges(node_url, chunk_url)
            return
        try:
            target = range_target(chunk_url)
        except ValueError as error:
            self._end(RangeCheck(node_url, None, detail=str(error)))
            return
        self._begin(Exchange(node_url, target, True, time.monotonic() + self._timeout_sec))

    def forget(self, node_url: str) -> None:
        """End what runs at a node that is not pinged any more, as failed, and close its connection."""
        for is_check in (False, True):
            exchange = self._running.get((node_url, is_check))
            if exchange is not None:
                self._fail(exchange, "not pinged any more")
        kept = self._kept.pop(node_url, None)
        if kept is not None:
            self._shut(kept)
        self._targets.pop(node_url, None)
        if self._pool is not None:
            self._pool.forget(node_url)

    def abort(self, node_url: str) -> None:
        """Cut off a ping behind TLS that takes too long; others end by themselves."""
        if self._pool is not None:
            self._pool.abort(node_url)

    def _begin(self, exchange: Exchange) -> None:
        self._running[exchange.key] = exchange
        kept = None if exchange.is_check else self._take_kept(exchange.node_url)
        if kept is None:
            self._connect(exchange)
            return
        exchange.connection, exchange.on_kept = kept, True
        kept.exchange = exchange
        self._send(exchange, kept)

    def _take_kept(self, node_url: str) -> Connection | None:
        """Return the node's kept connection if nothing has come on it: that would pass for the next answer."""
        kept = self._kept.pop(node_url, None)
        if kept is None:
            return None
        try:
            kept.sock.recv(1)
        except BlockingIOError:
            return kept
        except OSError:
            pass
        self._shut(kept)
        return None

    def _connect(self, exchange: Exchange) -> None:
        target = exchange.target
        addresses = self._resolver.addresses(target.host, target.port)
        if addresses is None:
            self._unresolved.setdefault((target.host, target.port), []).append(exchange)
            return
        exchange.addresses = list(addresses)
        self._connect_next(exchange, "host not found")

    def _connect_next(self, exchange: Exchange, why: str) -> None:
        """Try the next address of the node; with none left the exchange has failed with `why`."""
        while exchange.addresses:
            family, address = exchange.addresses.pop(0)
            try:
                sock = begin_connecting(family, address, is_check=exchange.is_check)
            except OSError as error:
                why = error.strerror or str(error)
                continue
            exchange.connection = Connection(sock, exchange.node_url, exchange)
            self._selector.register(sock, selectors.EVENT_WRITE, exchange.connection)
            return
        self._resolver.forget(exchange.target.host, exchange.target.port)
        self._fail(exchange, why)

    def _send(self, exchange: Exchange, connection: Connection) -> None:
        exchange.sent_sec = time.perf_counter()
        try:
            # A request fits into the empty buffer of a connection on which nothing is under way.
            sent = connection.sock.send(exchange.target.request)
        except OSError as error:
            self._broken(exchange, str(error))
            return
        if sent < len(exchange.target.request):
            self._broken(exchange, "the request could not be sent")

    # ------------------------------------------------------------ answers

    def turn(self) -> list[Outcome]:
        """Do what can be done without waiting; return what has ended."""
        if self._closed:
            return []
        self._turning = True
        for key, _ in self._selector.select(0):
            connection: Connection | None = key.data
            if connection is None:
                self._on_wake()
            elif connection.exchange is None:
                # The node closed it, or speaks without having been asked.
                self._kept.pop(connection.node_url, None)
                self._shut(connection)
            elif connection.connected:
                self._on_readable(connection, connection.exchange)
            else:
                self._on_connected(connection, connection.exchange)
        self._end_late()
        self._turning = False
        ended, self._ended = self._ended, []
        return ended

    def _on_wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._wake_read.recv(_READ_BYTES):
                pass
        for name, addresses in self._resolver.found():
            for exchange in self._unresolved.pop(name, ()):
                if self._running.get(exchange.key) is exchange:
                    exchange.addresses = list(addresses)
                    self._connect_next(exchange, "host not found")
        with contextlib.suppress(queue.Empty):
            while True:
                self._ended.append(self._pool_ended.get_nowait())

    def _on_connected(self, connection: Connection, exchange: Exchange) -> None:
        code = connection.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._shut(connection)
            exchange.connection = None
            self._connect_next(exchange, os.strerror(code))
            return
        connection.connected = True
        self._selector.modify(connection.sock, selectors.EVENT_READ, connection)
        self._send(exchange, connection)

    def _on_readable(self, connection: Connection, exchange: Exchange) -> None:
        try:
            received = connection.sock.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._broken(exchange, str(error))
            return
        now_sec = time.perf_counter()
        if not received:
            self._broken(exchange, "closed before its headers were complete")
            return
        exchange.heard = True
        try:
            head = exchange.reader.feed(received)
        except MalformedAnswerError as error:
            self._fail(exchange, str(error))
            return
        if head is not None:
            self._answered(exchange, connection, head, (now_sec - exchange.sent_sec) * 1000)

    def _answered(
        self, exchange: Exchange, connection: Connection, head: AnswerHead, latency_ms: float
    ) -> None:
        node_url = exchange.node_url
        del self._running[exchange.key]
        connection.exchange = None
        if exchange.is_check:
            self._shut(connection)
            self._end(RangeCheck(node_url, range_honoured(head.status), f"status {head.status}"))
            return
        if head.reusable and len(self._kept) < self._max_kept:
            self._kept[node_url] = connection
        else:
            self._shut(connection)
        if head.status >= 500:
            self._end(Probe(node_url, None, detail=f"status {head.status}"))
        else:
            self._end(Probe(node_url, max(0.0, latency_ms), head.accepts_ranges))

    # ------------------------------------------------------------ ends

    def _broken(self, exchange: Exchange, why: str) -> None:
        """Go on, on a new connection, when a kept one turns out to have been closed meanwhile; else fail."""
        if not exchange.on_kept or exchange.heard:
            self._fail(exchange, why)
            return
        exchange.on_kept = False
        if exchange.connection is not None:
            self._shut(exchange.connection)
            exchange.connection = None
        self._connect(exchange)

    def _end_late(self) -> None:
        now_sec = time.monotonic()
        while self._running:
            exchange = next(iter(self._running.values()))
            if exchange.deadline_sec > now_sec:
                break
            self._fail(exchange, f"timed out after {self._timeout_sec:g} s")

    def _fail(self, exchange: Exchange, why: str) -> None:
        self._running.pop(exchange.key, None)
        self._release(exchange)
        if exchange.is_check:
            self._end(RangeCheck(exchange.node_url, None, why[:200]))
        else:
            self._end(Probe(exchange.node_url, None, detail=why[:200]))

    def _end(self, outcome: Outcome) -> None:
        self._ended.append(outcome)
        if not self._turning:
            self._wake()

    def _release(self, exchange: Exchange) -> None:
        if exchange.connection is not None:
            self._shut(exchange.connection)
            exchange.connection = None

    def _shut(self, connection: Connection) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(connection.sock)
        connection.sock.close()

    def _wake(self) -> None:
        # A full buffer wakes as well; a closed one has nobody to wake.
        with contextlib.suppress(OSError):
            self._wake_write.send(b"\0")

    def _tls_pool(self) -> ProbePool:
        if self._pool is None:
            # Imported on first use: most stores speak plain HTTP, and requests is slow to import.
            from monitor.prober import ProbePool

            def deliver(outcome: Outcome) -> None:
                self._pool_ended.put(outcome)
                self._wake()

            self._pool = ProbePool(deliver, timeout_sec=self._timeout_sec, deliver_check=deliver)
        return self._pool

    def request_stop(self) -> None:
        """End everything without outcomes and close all connections. Idempotent, returns at once."""
        if self._closed:
            return
        self._closed = True
        for exchange in self._running.values():
            self._release(exchange)
        for connection in self._kept.values():
            self._shut(connection)
        self._running.clear()
        self._kept.clear()
        self._resolver.close()
        if self._pool is not None:
            self._pool.request_stop()
        self._selector.close()
        self._wake_read.close()
        self._wake_write.close()

    def join(self, timeout_sec: float) -> bool:
        """Wait for threads after `request_stop`; False when some still hang in the network."""
        return self._pool is None or self._pool.join(timeout_sec)
