"""Idle connections to the nodes that may be asked next, kept open ahead of need by a few threads of their own."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import requests

from scheduler.connections import NodePool, pool_of

logger = logging.getLogger(__name__)

MAX_NODES = 64
MAX_CONNECTIONS = 128
# Opened at a time; nodes that do not answer must not keep the others waiting for long.
THREADS = 4
# A stopping worker waits for it.
CONNECT_SEC = 1.0
RETRY_BASE_SEC = 1.0
RETRY_MAX_SEC = 30.0


@dataclass(slots=True)
class _Warm:
    """A node to keep connections to."""

    node_url: str
    pool: NodePool
    failures: int = 0
    retry_at_sec: float = 0.0
    opening: bool = False
    # Asked for while it was opening: a connection may have gone since that counted them.
    again: bool = False


class Prewarmer:
    """Keeps connections open to the nodes last named; every method returns at once but `stop`."""

    def __init__(self, session: requests.Session) -> None:
        self._session = session
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="warm")
        self._lock = threading.Lock()
        self._nodes: dict[str, _Warm] = {}
        self._per_node = 0
        self._stopped = False

    def want(self, node_urls: tuple[str, ...], connections_per_node: int) -> None:
        """Keep so many connections to these nodes, and no idle one to those named before."""
        named = node_urls[:MAX_NODES]
        with self._lock:
            if self._stopped:
                return
            before, self._nodes = self._nodes, {}
            self._per_node = min(connections_per_node, MAX_CONNECTIONS // max(1, len(named)))
            for url in named:
                node = before.get(url) or self._new(url)
                if node is not None:
                    self._nodes[url] = node
            gone = [node for url, node in before.items() if url not in self._nodes]
        for node in gone:
            node.pool.close_idle()
        self.keep()

    def _new(self, node_url: str) -> _Warm | None:
        pool = pool_of(self._session, node_url)
        return _Warm(node_url, pool) if pool is not None else None

    def keep(self) -> None:
        """Open again what the nodes have closed; asked at every heartbeat."""
        with self._lock:
            nodes = list(self._nodes.values())
        for node in nodes:
            self._open(node)

    def refill(self, node_url: str) -> None:
        """Replace a connection that a read may have used up."""
        with self._lock:
            node = self._nodes.get(node_url)
        if node is not None:
            self._open(node)

    def stop(self) -> None:
        """Wait for the threads; idempotent."""
        with self._lock:
            self._stopped = True
            self._nodes.clear()
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _open(self, node: _Warm) -> None:
        missing = node.pool.missing(self._per_node) > 0
        with self._lock:
            due = time.monotonic() >= node.retry_at_sec
            if not missing or not due or self._stopped:
                return
            if node.opening:
                node.again = True
                return
            node.opening = True
            self._threads.submit(self._connect, node)

    def _connect(self, node: _Warm) -> None:
        reached = False
        try:
            reached = node.pool.warm(self._per_node, CONNECT_SEC)
        except Exception:
            logger.exception("cannot keep connections node=%s", node.node_url)
        with self._lock:
            node.opening = False
            again, node.again = node.again, False
            node.failures = 0 if reached else node.failures + 1
            wait_sec = RETRY_BASE_SEC * 2.0 ** (node.failures - 1) if node.failures else 0.0
            node.retry_at_sec = time.monotonic() + min(RETRY_MAX_SEC, wait_sec)
            wanted = self._nodes.get(node.node_url) is node
        if not wanted:
            # It was left out meanwhile.
            node.pool.close_idle()
        elif again:
            self._open(node)
