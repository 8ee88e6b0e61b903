"""Make docs/images/dashboard.png: play the sample film from the demo's store, photograph the dashboard.

    python tools/screenshot.py [FILE]

Needs Chromium (`CHROMIUM` names another program). It is driven over its debugging pipe, because the page's event
stream never ends and the usual `--screenshot` would wait for that.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

PROJECT_DIR = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT_DIR))

from cluster import EmbeddedCluster  # noqa: E402

TARGET = PROJECT_DIR / "docs" / "images" / "dashboard.png"
DATA_DIR = PROJECT_DIR / ".data" / "screenshot"
VIDEO_ID = "test-video-001"
WIDTH, MAX_HEIGHT = 1280, 2200
MAX_BYTES = 300_000
# Enough for curves and a chunk map that show something, a failover among it: the best node stalls for a while.
WANTED_CHUNKS, WANTED_NODES = 7, 2
CHUNKS_BEFORE_FAULT = 5
FAULT_SEC = 15.0
PLAY_SEC = 110.0
ANSWER_SEC = 20.0
# The page draws itself anew every second.
SETTLE_SEC = 3.0
BROWSER_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)


class Browser:
    """Chromium behind its debugging pipe: JSON objects, each ended by a zero byte."""

    def __init__(self, program: str, profile_dir: Path) -> None:
        # The browser reads descriptor 3 and writes 4; ours are kept out of their way.
        ends = [end for _ in range(2) for end in os.pipe()]
        their_read, self._write, self._read, their_write = (
            fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends
        )
        for end in ends:
            os.close(end)
        silent = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2)]
        self._pid = os.posix_spawn(
            program,
            [program, *BROWSER_FLAGS, f"--user-data-dir={profile_dir}", "about:blank"],
            {**os.environ, "HOME": str(profile_dir)},
            file_actions=[
                *silent,
                (os.POSIX_SPAWN_DUP2, their_read, 3),
                (os.POSIX_SPAWN_DUP2, their_write, 4),
            ],
        )
        os.close(their_read)
        os.close(their_write)
        self._buffer = b""
        self._calls = 0

    def call(self, method: str, *, session_id: str | None = None, **params: Any) -> dict[str, Any]:
        """Send a command of the DevTools protocol and return its result."""
        self._calls += 1
        request: dict[str, Any] = {"id": self._calls, "method": method, "params": params}
        if session_id:
            request["sessionId"] = session_id
        os.write(self._write, json.dumps(request).encode() + b"\0")
        deadline_sec = time.monotonic() + ANSWER_SEC
        while True:
            message = self._next(deadline_sec, method)
            if message.get("id") == self._calls:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                result: dict[str, Any] = message["result"]
                return result

    def _next(self, deadline_sec: float, method: str) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], deadline_sec - time.monotonic())
            piece = os.read(self._read, 1 << 20) if ready else b""
            if not piece:
                raise RuntimeError(f"{method}: the browser does not answer")
            self._buffer += piece
        text, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        return message

    def close(self) -> None:
        """End the browser."""
        with contextlib.suppress(RuntimeError, OSError):
            self.call("Browser.close")
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGTERM)
        os.waitpid(self._pid, 0)
        os.close(self._write)
        os.close(self._read)


def main(arguments: list[str]) -> int:
    """Make the picture; return the exit code."""
    target = Path(arguments[0]).absolute() if arguments else TARGET
    names = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
    program = next(filter(None, map(shutil.which, filter(None, names))), None)
    if program is None:
        print("screenshot: no Chromium found; name it with CHROMIUM", file=sys.stderr)
        return 1
    port = _free_port()
    with EmbeddedCluster(3, DATA_DIR, profile="demo") as store:
        store.run("sample")
        command = [sys.executable, "main.py", VIDEO_ID, "--metadata-url", store.metadata_url]
        command += ["--private", "--dashboard", "--quiet", "--stop-after", f"{PLAY_SEC:g}"]
        environment = {**os.environ, "DASHBOARD_PORT": str(port)}
        player = subprocess.Popen(command, cwd=PROJECT_DIR, env=environment)
        try:
            address = f"http://127.0.0.1:{port}"
            _wait_for_chunks(address, player, CHUNKS_BEFORE_FAULT)
            store.set_fault(1, "stall", for_sec=FAULT_SEC)
            _wait_for_chunks(address, player, WANTED_CHUNKS)
            picture = _photograph(program, address)
        finally:
            player.send_signal(signal.SIGINT)
            player.wait()
    if len(picture) > MAX_BYTES:
        print(f"screenshot: {len(picture)} bytes, more than {MAX_BYTES}", file=sys.stderr)
        return 1
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(picture)
    print(f"{target}: {len(picture)} bytes")
    return 0


def _wait_for_chunks(address: str, player: subprocess.Popen[bytes], count: int) -> None:
    """Wait until so many chunks have come, from more than one node."""
    deadline_sec = time.monotonic() + PLAY_SEC - ANSWER_SEC
    while time.monotonic() < deadline_sec and player.poll() is None:
        with contextlib.suppress(OSError):
            with urllib.request.urlopen(f"{address}/api/status", timeout=5) as answer:
                shares = json.load(answer)["scheduler_stats"]["downloads_per_node"]
            if sum(shares.values()) >= count and len(shares) >= WANTED_NODES:
                return
        time.sleep(0.5)
    raise RuntimeError("the film did not play far enough")


def _photograph(program: str, address: str) -> bytes:
    with tempfile.TemporaryDirectory(prefix="vstack-screenshot-") as folder:
        browser = Browser(program, Path(folder))
        try:
            page = browser.call("Target.createTarget", url=address)["targetId"]
            session_id = browser.call("Target.attachToTarget", targetId=page, flatten=True)[
                "sessionId"
            ]
            _set_height(browser, session_id, 900)
            time.sleep(SETTLE_SEC)
            size = browser.call("Page.getLayoutMetrics", session_id=session_id)["cssContentSize"]
            _set_height(browser, session_id, min(MAX_HEIGHT, int(size["height"])))
            time.sleep(SETTLE_SEC)
            shot = browser.call("Page.captureScreenshot", session_id=session_id, format="png")
        finally:
            browser.close()
    return base64.b64decode(shot["data"])


def _set_height(browser: Browser, session_id: str, height: int) -> None:
    browser.call(
        "Emulation.setDeviceMetricsOverride",
        session_id=session_id,
        width=WIDTH,
        height=height,
        deviceScaleFactor=1,
        mobile=False,
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
