"""The monitor as a process, and the rest of a stack around it."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from common.endpoints import Endpoints
from common.messages import NodeScore, NodeScores
from common.service import Service
from common.sockets import Publisher
from tests.status_builders import a_session, a_transfer

ROOT = Path(__file__).resolve().parents[1]
NO_CONFIG = {"VSTACK_CONFIG", "PING_INTERVAL", "HISTORY_SIZE", "VSTACK_TCP_BASE"}
# Whatever may listen on this machine, no test is to learn nodes from it.
NO_METADATA = "http://127.0.0.1:1"

Start = Callable[..., "subprocess.Popen[str]"]


@contextmanager
def monitors(run_dir: Path) -> Iterator[Start]:
    """Give a function that starts a monitor with some environment; all are ended at the end."""
    started: list[subprocess.Popen[str]] = []

    def run(**environment: str) -> subprocess.Popen[str]:
        inherited = {k: v for k, v in os.environ.items() if k not in NO_CONFIG}
        places = {"VSTACK_RUN_DIR": str(run_dir), "XDG_CONFIG_HOME": str(run_dir)}
        process = subprocess.Popen(
            [sys.executable, "-m", "monitor"],
            cwd=ROOT,
            env={**inherited, **places, "METADATA_SERVICE_URL": NO_METADATA, **environment},
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    try:
        yield run
    finally:
        for process in started:
            if process.poll() is None:
                process.kill()
            process.communicate(timeout=10)


class Stack:
    """The rest of a stack: publishes as buffer and scheduler, hears the monitor."""

    def __init__(self, run_dir: Path) -> None:
        self.snapshots: list[tuple[float, NodeScores]] = []
        self._service = Service(Endpoints(run_dir), watch_parent=False)
        self._buffer = self._service.publisher("buffer.events")
        self._scheduler = self._service.publisher("scheduler.events")
        self._service.subscribe(("monitor.events",), {NodeScores: self._on_scores})
        self._thread = threading.Thread(target=self._service.run)
        self._thread.start()

    def _on_scores(self, scores: NodeScores) -> None:
        self.snapshots.append((time.monotonic(), scores))

    def _publish(self, publisher: Publisher, msg: object, key: str | None) -> None:
        done: queue.SimpleQueue[None] = queue.SimpleQueue()

        def publish() -> None:
            publisher.publish(msg, key)
            done.put(None)

        self._service.call_soon(publish)
        done.get(timeout=10)

    def session(self, *node_urls: str, session_id: str = "s1", outcome: str = "") -> None:
        self._publish(
            self._buffer,
            a_session(session_id=session_id, node_urls=node_urls, outcome=outcome),
            session_id,
        )

    def transfer(self, node_url: str, **changed: object) -> None:
        self._publish(self._scheduler, a_transfer(node_url, **changed), None)

    def node(self, node_url: str) -> NodeScore | None:
        """Return the newest word of the monitor on a node."""
        if not self.snapshots:
            return None
        newest = self.snapshots[-1][1]
        return next((node for node in newest.nodes if node.node_url == node_url), None)

    def says(self, node_url: str, claim: Callable[[NodeScore], object]) -> Callable[[], bool]:
        def holds() -> bool:
            node = self.node(node_url)
            return node is not None and bool(claim(node))

        return holds

    def close(self) -> None:
        self._service.stop()
        self._thread.join(10)
