"""Real stacks for measurements: a store with a film, a standing stack, a metadata service that notes times."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from common.endpoints import is_running

PROJECT_DIR = Path(__file__).resolve().parents[1]
KINDS = ("buffer", "scheduler", "scheduler.worker", "scheduler.worker", "monitor", "dashboard")
WORKER = "scheduler.worker"
READY_SEC = 15.0


class NotingMetadata:
    """Serves one manifest and notes when it was asked for (unix seconds)."""

    def __init__(self, manifest: bytes) -> None:
        noted = self.asked_unix_sec = list[float]()
        # Set with the first request for the manifest.
        asked = self.asked = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Head and body leave in two pieces; the second would wait for the first one's receipt.
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                if self.path.startswith("/manifest/"):
                    noted.append(time.time())
                    asked.set()
                self._answer(manifest if self.path.startswith("/manifest/") else b"{}")

            def do_POST(self) -> None:
                self._answer(b"{}")

            def _answer(self, body: bytes) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_arguments: object) -> None:
                """Say nothing: the measurement is the output."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def fetch(url: str) -> bytes:
    """Return the body behind a URL."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        body: bytes = answer.read()
        return body


def client_environment(run_dir: str) -> dict[str, str]:
    """Return an environment in which stacks meet below `run_dir` and nothing of the user's is touched."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("VSTACK_")}
    return {**kept, "PYTHONPATH": str(PROJECT_DIR), "XDG_RUNTIME_DIR": run_dir}


@contextlib.contextmanager
def short_dir() -> Iterator[Path]:
    """A temporary directory whose path leaves room for socket names."""
    with tempfile.TemporaryDirectory(prefix="vb-", dir="/tmp") as path:
        yield Path(path)


@contextlib.contextmanager
def standing_stack(
    environment: dict[str, str], run_dir: Path, kinds: Sequence[str] = KINDS
) -> Iterator[list[int]]:
    """Run the five kinds of process in `run_dir`; yields their process ids in the order of `kinds`."""
    environment = {**environment, "VSTACK_RUN_DIR": str(run_dir)}
    # A port that the dashboard of whoever works here does not use.
    environment.setdefault("DASHBOARD_PORT", "18889")
    with contextlib.ExitStack() as waits, contextlib.ExitStack() as ends:
        # Each by itself: a signal that ends the measurement may come in the middle of these.
        pids = []
        for kind in kinds:
            child = subprocess.Popen(
                [sys.executable, "-m", kind],
                cwd=PROJECT_DIR,
                env=environment,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
            waits.callback(child.wait)
            ends.callback(child.terminate)
            pids.append(child.pid)
        deadline_sec = time.monotonic() + READY_SEC
        while not all(is_running(run_dir, r) for r in ("buffer", "scheduler", "monitor")):
            if time.monotonic() > deadline_sec:
                raise RuntimeError("the stack did not start")
            time.sleep(0.05)
        # Workers have no lock; their inboxes are in the run directory.
        while len(list(run_dir.glob("worker.*.jobs"))) < kinds.count(WORKER):
            if time.monotonic() > deadline_sec:
                raise RuntimeError("the workers did not start")
            time.sleep(0.05)
        yield pids
