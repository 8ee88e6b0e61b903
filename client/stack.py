"""The processes of a private stack: started, watched, restarted within limits, and stopped without a trace."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

from common.config import Settings
from common.endpoints import Endpoints, is_running, make_private_run_dir

logger = logging.getLogger(__name__)

PROJECT_DIR = Path(__file__).resolve().parents[1]
# The processes drain within 3 s by themselves; what still lives then is killed.
STOP_SEC = 3.5
# A process that dies this often within the window has a reason that another start will not mend.
MAX_RESTARTS = 5
RESTART_WINDOW_SEC = 60.0


class PrivateStack:
    """One viewer's own processes in their own run directory."""

    def __init__(self, settings: Settings, *, dashboard: bool) -> None:
        self.run_dir = make_private_run_dir()
        self.endpoints = Endpoints(self.run_dir)
        self._settings = settings
        self._children: dict[str, tuple[list[str], subprocess.Popen[bytes]]] = {}
        self._restarts: deque[float] = deque(maxlen=MAX_RESTARTS)
        self._dashboard_said = False
        self.failed: str | None = None
        # What the first chunk waits for goes first.
        self._start("buffer", ["-m", "buffer"])
        self._start("worker_1", ["-m", "scheduler.worker"])
        self._start("scheduler", ["-m", "scheduler"])
        self._start("monitor", ["-m", "monitor"])
        self._later = [
            *((f"worker_{n}", ["-m", "scheduler.worker"]) for n in range(2, settings.workers + 1)),
            *([("dashboard", ["-m", "dashboard"])] if dashboard else []),
        ]

    def start_the_rest(self) -> None:
        """Start what the first chunk does not need: more workers, the dashboard."""
        while self._later:
            name, arguments = self._later.pop(0)
            self._start(name, arguments)

    def watch(self) -> list[str]:
        """Start again what died, within limits; return words about it and about the dashboard.

        `failed` is set when something cannot be brought back: the buffer, which holds the session, or a process that
        keeps dying.
        """
        said: list[str] = []
        if not self._dashboard_said and is_running(self.run_dir, "dashboard"):
            self._dashboard_said = True
            said.append(f"Dashboard: http://localhost:{self._settings.dashboard_port}")
        for name, (arguments, child) in list(self._children.items()):
            code = child.poll()
            if code is None or self.failed:
                continue
            now_sec = time.monotonic()
            often = (
                len(self._restarts) == MAX_RESTARTS
                and now_sec - self._restarts[0] < RESTART_WINDOW_SEC
            )
            if name == "dashboard" and code == 2:
                # It has said why (its port is taken); the film does not need it.
                del self._children[name]
            elif name == "buffer" or often:
                self.failed = f"the {name} process ended with {_code_text(code)}"
            else:
                self._restarts.append(now_sec)
                said.append(f"{name} ended with {_code_text(code)}, started again")
                self._start(name, arguments)
        return said

    def stop(self) -> None:
        """End all processes and remove the run directory; idempotent."""
        children = [child for _, child in self._children.values()]
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(signal.SIGTERM)
        deadline_sec = time.monotonic() + STOP_SEC
        for child in children:
            try:
                child.wait(max(0.01, deadline_sec - time.monotonic()))
            except subprocess.TimeoutExpired:
                logger.warning("process does not stop pid=%d", child.pid)
                child.kill()
                child.wait()
        self._children.clear()
        shutil.rmtree(self.run_dir, ignore_errors=True)

    def _start(self, name: str, arguments: list[str]) -> None:
        environment = {
            **os.environ,
            "VSTACK_RUN_DIR": str(self.run_dir),
            "VSTACK_WATCH_PARENT": str(os.getpid()),
            "HONCHO_PROCESS_NAME": name,
            "PYTHONPATH": str(PROJECT_DIR),
            "PYTHONSAFEPATH": "1",
            **self._settings.to_environment(),
        }
        environment.pop("VSTACK_TCP_BASE", None)
        child = subprocess.Popen(
            [sys.executable, *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            # Standard output may be the film; what children have to say to people comes on stderr.
            stdout=subprocess.DEVNULL,
            # Ctrl-C is for us: we end the session first, then the processes.
            start_new_session=True,
        )
        self._children[name] = (arguments, child)


def _code_text(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"code {code}"
