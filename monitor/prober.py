"""Pings with `requests`, from a small pool of threads: for nodes behind TLS, whose handshake blocks.

Latency is the time from the request to the response headers on an open connection: connecting is left out, so that a
first ping counts no double round trip. Connections are kept between pings.
"""

from __future__ import annotations

import contextlib
import http.cookiejar
import logging
import queue
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError
from urllib3.util.timeout import Timeout

from monitor.probe import RANGE_HEADER, USER_AGENT, Probe, RangeCheck, range_honoured

logger = logging.getLogger(__name__)

# Each probe in flight costs a thread. A thousand nodes pinged every 3 s with 50 ms each need 17.
MAX_THREADS = 32
_THREAD_NAME = "prober"


# ---------------------------------------------------------------- one probe


class _Stopwatch:
    """When a probe's request left and its headers came, and the connection, to be cut off."""

    def __init__(self) -> None:
        self.connected = False
        self.reused = False
        self.sent_sec = 0.0
        self.headers_sec = 0.0
        self.aborted = False
        self.connection: HTTPConnection | None = None

    def start(self, connection: HTTPConnection) -> None:
        """Note that `connection` is ready and the request leaves now."""
        self.connection = connection
        if self.aborted:
            raise OSError("aborted")
        self.sent_sec = time.perf_counter()

    def abort(self) -> None:
        """Make the waiting thread's read fail now; callable from any thread."""
        self.aborted = True
        sock = self.connection.sock if self.connection is not None else None
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


_running = threading.local()


class _TimedConnection(HTTPConnection):
    """A connection that tells the stopwatch of its thread what happens on it."""

    def connect(self) -> None:
        super().connect()
        watch: _Stopwatch = _running.watch
        watch.connected, watch.reused = True, False
        watch.start(self)

    def request(self, *arguments: Any, **named: Any) -> None:
        watch: _Stopwatch = _running.watch
        watch.reused = not watch.connected and self.sock is not None
        watch.start(self)
        super().request(*arguments, **named)

    def getresponse(self) -> Any:
        response = super().getresponse()
        _running.watch.headers_sec = time.perf_counter()
        return response


class _TimedTlsConnection(_TimedConnection, HTTPSConnection):
    """The same over TLS; the handshake belongs to connecting."""


class _TimedPool(HTTPConnectionPool):
    ConnectionCls = _TimedConnection


class _TimedTlsPool(HTTPSConnectionPool):
    ConnectionCls = _TimedTlsConnection


class _TimedAdapter(HTTPAdapter):
    def init_poolmanager(self, *arguments: Any, **named: Any) -> None:
        super().init_poolmanager(*arguments, **named)
        self.poolmanager.pool_classes_by_scheme = {"http": _TimedPool, "https": _TimedTlsPool}


def new_session() -> requests.Session:
    """Return a session for one node: one kept connection, no proxies, no cookies, no redirects."""
    session = requests.Session()
    session.trust_env = False
    session.headers["User-Agent"] = USER_AGENT
    session.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
    adapter = _TimedAdapter(pool_connections=1, pool_maxsize=1)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


def ping(
    session: requests.Session,
    node_url: str,
    *,
    timeout_sec: float,
    watch: _Stopwatch | None = None,
) -> Probe:
    """Ping a node once; any answer below 500 means that it lives.

    When a kept connection turns out to be closed by the node, it is tried again on a new one.
    """
    watch = watch or _Stopwatch()
    _running.watch = watch
    timeout = Timeout(total=timeout_sec)
    while True:
        watch.connected, watch.reused = False, False
        try:
            # `total` bounds connecting and answering together; the stubs know only pairs.
            response = session.head(
                f"{node_url}/ping",
                timeout=timeout,  # type: ignore[arg-type]
                allow_redirects=False,
            )
        except (requests.RequestException, HTTPError, OSError, ValueError) as error:
            if isinstance(error, requests.ConnectionError) and watch.reused and not watch.aborted:
                continue
            return Probe(node_url, None, detail=f"{type(error).__name__}: {error}"[:200])
        break
    if watch.aborted:
        # http.client takes headers cut short for complete ones.
        return Probe(node_url, None, detail="cut off before its headers were complete")
    if response.status_code >= 500:
        return Probe(node_url, None, detail=f"status {response.status_code}")
    latency_ms = max(0.0, watch.headers_sec - watch.sent_sec) * 1000
    return Probe(node_url, latency_ms, _accepts_ranges(response.headers.get("Accept-Ranges")))


def _accepts_ranges(header: str | None) -> bool | None:
    told = (header or "").strip().lower()
    return {"bytes": True, "none": False}.get(told)


def check_ranges(
    session: requests.Session, node_url: str, chunk_url: str, *, timeout_sec: float
) -> RangeCheck:
    """Ask a node for the first byte of a chunk of its own; what follows the head is not read."""
    watch = _running.watch = _Stopwatch()
    try:
        response = session.get(
            chunk_url,
            timeout=timeout_sec,
            allow_redirects=False,
            stream=True,
            headers={"Range": RANGE_HEADER, "Connection": "close"},
        )
    except (requests.RequestException, HTTPError, OSError, ValueError) as error:
        return RangeCheck(node_url, None, f"{type(error).__name__}: {error}"[:200])
    # Closing alone would leave what has come in the pool's hands.
    watch.abort()
    response.close()
    return RangeCheck(
        node_url, range_honoured(response.status_code), f"status {response.status_code}"
    )


# ---------------------------------------------------------------- threads


@dataclass(frozen=True, slots=True)
class _Job:
    node_url: str
    session: requests.Session
    watch: _Stopwatch
    # Of the chunk whose first byte is asked for; empty for a ping.
    chunk_url: str = ""


def _internal_error(job: _Job) -> Probe | RangeCheck:
    detail = "internal error"
    if job.chunk_url:
        return RangeCheck(job.node_url, None, detail)
    return Probe(job.node_url, None, detail=detail)


class ProbePool:
    """Threads that ping; the caller sees to it that a node is submitted once at a time.

    `deliver` is called in the probing thread, and not after `request_stop`. All methods belong to
    one thread, the owner's. The threads are daemons: they own nothing that must be closed, and a
    name resolver that hangs must not keep the process from ending.
    """

    def __init__(
        self,
        deliver: Callable[[Probe], None],
        *,
        timeout_sec: float,
        max_threads: int = MAX_THREADS,
        deliver_check: Callable[[RangeCheck], None] = lambda _: None,
    ) -> None:
        self._deliver = deliver
        self._deliver_check = deliver_check
        self._timeout_sec = timeout_sec
        self._max_threads = max_threads
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._sessions: dict[str, requests.Session] = {}
        self._watches: dict[str, _Stopwatch] = {}
        self._stopping = False
        self._count_lock = threading.Lock()
        self._busy = 0

    def submit(self, node_url: str) -> None:
        """Ping a node as soon as a thread is free."""
        if self._stopping:
            return
        session = self._sessions.get(node_url)
        if session is None:
            session = self._sessions[node_url] = new_session()
        watch = self._watches[node_url] = _Stopwatch()
        self._put(_Job(node_url, session, watch))

    def check_ranges(self, node_url: str, chunk_url: str) -> None:
        """Ask a node for the first byte of one of its chunks, on a connection of its own."""
        if not self._stopping:
            self._put(_Job(node_url, new_session(), _Stopwatch(), chunk_url))

    def _put(self, job: _Job) -> None:
        with self._count_lock:
            self._busy += 1
            wanted = min(self._busy, self._max_threads)
        self._jobs.put(job)
        if len(self._threads) < wanted:
            thread = threading.Thread(target=self._work, name=_THREAD_NAME, daemon=True)
            self._threads.append(thread)
            thread.start()

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            if job is None:
                return
            try:
                if self._stopping:
                    continue
                outcome = self._run(job)
            except Exception:
                # A fault of ours must not end the pings of this node.
                logger.exception("probe failed node=%s", job.node_url)
                outcome = _internal_error(job)
            finally:
                with self._count_lock:
                    self._busy -= 1
            if self._stopping:
                continue
            if isinstance(outcome, RangeCheck):
                self._deliver_check(outcome)
            else:
                self._deliver(outcome)

    def _run(self, job: _Job) -> Probe | RangeCheck:
        if job.chunk_url:
            with job.session as session:
                return check_ranges(
                    session, job.node_url, job.chunk_url, timeout_sec=self._timeout_sec
                )
        return ping(job.session, job.node_url, timeout_sec=self._timeout_sec, watch=job.watch)

    def abort(self, node_url: str) -> None:
        """Cut off a probe that takes too long; it is delivered as failed."""
        watch = self._watches.get(node_url)
        if watch is not None:
            watch.abort()

    def forget(self, node_url: str) -> None:
        """Close the connection to a node that is not pinged any more."""
        self.abort(node_url)
        self._watches.pop(node_url, None)
        session = self._sessions.pop(node_url, None)
        if session is not None:
            session.close()

    def request_stop(self) -> None:
        """End all probes; nothing is submitted any more. Idempotent, returns at once."""
        if self._stopping:
            return
        self._stopping = True
        for watch in self._watches.values():
            watch.abort()
        for _ in self._threads:
            self._jobs.put(None)

    def join(self, timeout_sec: float) -> bool:
        """Wait for the threads after `request_stop`; False when some still hang in the network."""
        deadline_sec = time.monotonic() + timeout_sec
        for thread in self._threads:
            thread.join(max(0.0, deadline_sec - time.monotonic()))
        for session in self._sessions.values():
            session.close()
        return not any(thread.is_alive() for thread in self._threads)
