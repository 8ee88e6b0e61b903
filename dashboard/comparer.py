"""Runs the simulation that compares policies: a program of its own, one at a time, within limits.

The web server's threads call in; the answer is waited for in a thread of its own, so that no page waits for it.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from common.stack_state import Json

logger = logging.getLogger(__name__)

PROJECT_DIR = Path(__file__).resolve().parents[1]
COMMAND = (sys.executable, "-m", "simulation")
# The longest film takes some seconds; on a machine that plays meanwhile, some more.
TIME_LIMIT_SEC = 90.0
# What a program that ends by itself says last is enough.
MAX_SHOWN_CHARS = 200

State = Literal["idle", "running", "done", "failed"]


class Busy(RuntimeError):
    """A comparison is running already."""


class Comparer:
    """Holds the newest comparison; safe to use from any thread."""

    def __init__(
        self, *, command: tuple[str, ...] = COMMAND, limit_sec: float = TIME_LIMIT_SEC
    ) -> None:
        self._command, self._limit_sec = command, limit_sec
        self._lock = threading.Lock()
        self._state: State = "idle"
        self._session_id = self._error = ""
        self._result: Json | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None
        self._stopped = False

    def state(self) -> Json:
        """Return where it stands, for readers."""
        with self._lock:
            return {
                "state": self._state,
                "session_id": self._session_id,
                "error": self._error,
                "result": self._result,
            }

    def start(self, session_id: str, conditions: Callable[[], tuple[Json, Json]]) -> None:
        """Begin to compare; raise Busy, or whatever `conditions` raises."""
        with self._lock:
            if self._state == "running" or self._stopped:
                raise Busy("a comparison is running already")
            asked, measured = conditions()
            self._process = subprocess.Popen(
                self._command,
                cwd=PROJECT_DIR,
                env=os.environ | {"VSTACK_WATCH_PARENT": str(os.getpid())},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            self._state, self._session_id, self._error = "running", session_id, ""
            self._result = None
            body = json.dumps(asked, allow_nan=False).encode() + b"\n"
            self._thread = threading.Thread(
                target=self._wait, args=(self._process, body, measured), name="comparison"
            )
            self._thread.start()

    def stop(self) -> None:
        """End what runs; idempotent."""
        with self._lock:
            self._stopped = True
            process, thread = self._process, self._thread
        if process is not None and process.poll() is None:
            process.kill()
        if thread is not None:
            thread.join()

    def _wait(self, process: subprocess.Popen[bytes], body: bytes, measured: Json) -> None:
        error, result = "", None
        try:
            said, told = process.communicate(body, timeout=self._limit_sec)
            if process.returncode == 0:
                result = {**json.loads(said), "measured": measured}
            else:
                words = told.decode(errors="replace").strip().splitlines()
                error = words[-1][:MAX_SHOWN_CHARS] if words else _ending(process.returncode)
        except subprocess.TimeoutExpired:
            error = f"the simulation took more than {self._limit_sec:g} s"
        except (OSError, ValueError) as problem:
            error = f"the simulation gave no result: {problem}"
        finally:
            process.kill()
            process.communicate()
        if error:
            logger.warning("comparison failed: %s", error)
        with self._lock:
            self._state = "failed" if error else "done"
            self._error, self._result = error, result
            self._process = None


def _ending(code: int) -> str:
    """Say how a program ended that said nothing."""
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    return f"the simulation ended with {how}: it has limits of processor time and memory"
