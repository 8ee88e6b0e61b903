"""Connections to storage nodes: kept between requests, opened ahead of need, known to the read that waits on them."""

from __future__ import annotations

import contextlib
import ssl
import threading
import time
from typing import Any, Protocol

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError
from urllib3.util.wait import wait_for_read

# Pools kept, one a node: those kept warm and as many again that are only read from.
POOL_CONNECTIONS = 128
# Connections kept per node; a worker rarely has more than two ranges on one.
POOL_SIZE = 8


class Waiter(Protocol):
    """A read, as its connection sees it."""

    def enter(self, connection: KnownConnection) -> None:
        """Note the connection this read waits on from now; may raise OSError to end the read."""


_running = threading.local()


def set_waiter(waiter: Waiter | None) -> None:
    """Say which read the requests of this thread belong to."""
    _running.waiter = waiter


class KnownConnection(HTTPConnection):
    """A connection that tells the read of its thread which socket to shut, and knows since when it idles."""

    # None while a request is the first of its connection.
    idle_since_sec: float | None = None

    def connect(self) -> None:
        self.idle_since_sec = None
        super().connect()
        self._tell()

    def request(self, *arguments: Any, **named: Any) -> None:
        self._tell()
        super().request(*arguments, **named)

    def _tell(self) -> None:
        waiter = getattr(_running, "waiter", None)
        if waiter is not None:
            waiter.enter(self)


class _KnownTlsConnection(KnownConnection, HTTPSConnection):
    """The same over TLS."""

    @property
    def is_connected(self) -> bool:
        """Tell session tickets, which a server sends unasked, from the end of the connection."""
        sock = self.sock
        if sock is None:
            return False
        if not wait_for_read(sock, timeout=0.0):
            return True
        sock.settimeout(0)
        try:
            # Whatever can be read is the end or an answer to nothing.
            sock.recv(1)
        except ssl.SSLWantReadError:
            return True
        except OSError:
            pass
        return False


class NodePool(HTTPConnectionPool):
    """A pool that can be filled ahead of need. A LIFO: connections in use leave room, those never used are None."""

    def warm(self, wanted: int, timeout_sec: float) -> bool:
        """Open connections until `wanted` are idle or in use; False when the node could not be reached."""
        while self.missing(wanted) > 0:
            made: Any = self._new_conn()
            made.timeout = timeout_sec
            try:
                made.connect()
            except (HTTPError, OSError, ValueError):
                made.close()
                return False
            made.idle_since_sec = time.monotonic()
            if not self._take_in(made):
                made.close()
                break
        return True

    def missing(self, wanted: int) -> int:
        """Return how many more connections make `wanted`; closes those that the node has ended."""
        queue = self.pool
        if queue is None:
            return 0
        with queue.mutex:
            # Whoever gets one that was closed here connects it again.
            idle = [c for c in queue.queue if c is not None and _still_open(c)]
            in_use = self._size() - len(queue.queue)
        return wanted - len(idle) - in_use

    def close_idle(self) -> None:
        """Close what is not in use; the pool goes on."""
        queue = self.pool
        if queue is None:
            return
        with queue.mutex:
            for connection in filter(None, queue.queue):
                connection.close()

    def _take_in(self, made: Any) -> bool:
        queue = self.pool
        if queue is None:
            return False
        with queue.mutex:
            places = [i for i, c in enumerate(queue.queue) if not _is_live(c)]
            if not places:
                return False
            # The most recently used is asked first, and the fresh ones after all of them.
            del queue.queue[places[0]]
            queue.queue.sort(key=_is_live)
            queue.queue.insert(len(places) - 1, made)
        return True

    def _size(self) -> int:
        return self.pool.maxsize if self.pool is not None else 0

    def _put_conn(self, conn: Any) -> None:
        if conn is not None:
            conn.idle_since_sec = time.monotonic()
        super()._put_conn(conn)
        queue = self.pool
        if queue is not None and not _is_live(conn):
            with queue.mutex:
                # Whoever comes next gets one that is open.
                queue.queue.sort(key=_is_live)


def _is_live(connection: Any) -> bool:
    return connection is not None and connection.sock is not None


def _still_open(connection: Any) -> bool:
    if connection.sock is not None and not connection.is_connected:
        connection.close()
    return connection.sock is not None


class _KnownPool(NodePool):
    ConnectionCls = KnownConnection


class _KnownTlsPool(NodePool, HTTPSConnectionPool):
    ConnectionCls = _KnownTlsConnection


class _KnownAdapter(HTTPAdapter):
    def init_poolmanager(self, *arguments: Any, **named: Any) -> None:
        super().init_poolmanager(*arguments, **named)
        self.poolmanager.pool_classes_by_scheme = {"http": _KnownPool, "https": _KnownTlsPool}

    def pool_of(self, node_url: str, verify: Any) -> NodePool | None:
        """Return the pool that requests to a node use, None for a URL nobody can use."""
        request = requests.Request("GET", node_url)
        try:
            pool = self.get_connection_with_tls_context(request.prepare(), verify)
            self.cert_verify(pool, node_url, verify, None)  # type: ignore[no-untyped-call]
        except (requests.RequestException, HTTPError, ValueError, OSError):
            return None
        return pool if isinstance(pool, NodePool) else None

    def close(self) -> None:
        """Close idle connections now: urllib3 would leave that to the pools' garbage collection."""
        pools = self.poolmanager.pools
        for key in pools.keys():  # noqa: SIM118  # it is no dict and cannot be iterated
            pool = pools.get(key)
            if pool is not None:
                pool.close()
        super().close()


def new_http_session() -> requests.Session:
    """Return a session for nodes: kept connections, no retries, no redirects, nothing from the environment."""
    session = requests.Session()
    session.trust_env = False
    adapter = _KnownAdapter(POOL_CONNECTIONS, POOL_SIZE, max_retries=0)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    session.headers.clear()
    session.headers.update({"Accept-Encoding": "identity", "User-Agent": "vstack-smart-client"})
    return session


def ask(
    session: requests.Session, url: str, headers: dict[str, str], timeout: tuple[float, float]
) -> requests.Response:
    """Send a GET and return when the head of the answer has come; its body is still to be read.

    What a session adds to its adapter's work, cookies and redirects, is of no use here and costs a quarter of it.
    """
    request = requests.Request("GET", url, headers={**session.headers, **headers}).prepare()
    adapter = session.get_adapter(url)
    return adapter.send(request, stream=True, timeout=timeout, verify=session.verify or False)


def pool_of(session: requests.Session, node_url: str) -> NodePool | None:
    """Return the pool of a node in a session of `new_http_session`."""
    with contextlib.suppress(requests.RequestException):
        adapter = session.get_adapter(node_url)
        if isinstance(adapter, _KnownAdapter):
            return adapter.pool_of(node_url, session.verify)
    return None
