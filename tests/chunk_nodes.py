"""Chunks on real nodes, monitors with fixed opinions and servers of odd kinds, for tests of ChunkScheduler."""

from __future__ import annotations

import asyncio
import hashlib
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cluster import EmbeddedCluster
from cluster.client import call

CHUNKS = {f"film-chunk-{n:03}": random.Random(n).randbytes(200_000 + n) for n in range(12)}
FIRST = "film-chunk-000"
NODES = 4


@contextmanager
def stocked_cluster(folder: Path) -> Iterator[EmbeddedCluster]:
    """Run four nodes with all chunks; the third answers late, the last knows no ranges."""
    links = [None, None, "rtt=40", "no_range=true"]
    with EmbeddedCluster(nodes=NODES, data=folder, links=links) as cluster:
        for url in cluster.node_urls:
            for chunk_id, data in CHUNKS.items():
                assert call("PUT", f"{url}/chunk/{chunk_id}", data=data).status == 201
        yield cluster


def heal(cluster: EmbeddedCluster) -> None:
    """End all faults."""
    for node in range(1, NODES + 1):
        cluster.set_fault(node, "none")


class Opinions:
    """A monitor that knows no more than the least a monitor must."""

    def __init__(self, **scores: float) -> None:
        self.scores = scores
        self.bandwidths: list[tuple[str, float]] = []
        self.names: dict[str, str] = {}

    def of(self, **urls: str) -> Opinions:
        self.names = {url: name for name, url in urls.items()}
        return self

    def get_node_score(self, node_url: str) -> float:
        return self.scores.get(self.names.get(node_url, ""), 0.0)

    def is_node_healthy(self, node_url: str) -> bool:
        return self.names.get(node_url) in self.scores

    def update_bandwidth(self, node_url: str, bandwidth_mbps: float) -> None:
        self.bandwidths.append((node_url, bandwidth_mbps))


async def until(predicate: Callable[[], object], timeout_sec: float = 10) -> None:
    async with asyncio.timeout(timeout_sec):
        while not predicate():  # noqa: ASYNC110  # the scheduler tells nobody
            await asyncio.sleep(0.005)


def known(chunk_id: str, replicas: list[str]) -> dict[str, object]:
    """Return a chunk to download of which nothing has to be asked."""
    data = CHUNKS.get(chunk_id, b"?")
    return {
        "chunk_id": chunk_id,
        "replicas": replicas,
        "size_bytes": len(data),
        "checksum": hashlib.sha256(data).hexdigest(),
    }


def range_threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith(("range", "stop"))]


class OddNode:
    """An HTTP server that holds one chunk of its own under every name."""

    def __init__(
        self, data: bytes, *, head_size: int | None = None, only_get: bool = False
    ) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._start(404 if head_size else 200, len(data))
                if not head_size:
                    self.wfile.write(data)

            def _start(self, status: int, size: int) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(0 if status == 404 else size))
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        if not only_get:
            Handler.do_HEAD = lambda self: self._start(200, head_size or len(data))  # type: ignore[attr-defined]
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> str:
        self._thread.start()
        return self.url

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
