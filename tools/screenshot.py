"""Make docs/images/dashboard.png: play the sample film from the demo's store, photograph the dashboard.

    python tools/screenshot.py [FILE]

Needs Chromium (`CHROMIUM` names another program) and the development requirements.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

PROJECT_DIR = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT_DIR))

from playwright.sync_api import sync_playwright  # noqa: E402

from cluster import EmbeddedCluster  # noqa: E402

TARGET = PROJECT_DIR / "docs" / "images" / "dashboard.png"
DATA_DIR = PROJECT_DIR / ".data" / "screenshot"
VIDEO_ID = "test-video-001"
WIDTH, HEIGHT = 1280, 900
MAX_BYTES = 600_000
# Enough for curves and a chunk map that show something, a failover among it: the best node stalls for a while.
WANTED_CHUNKS, WANTED_NODES = 7, 2
CHUNKS_BEFORE_FAULT = 5
FAULT_SEC = 15.0
PLAY_SEC = 110.0
ANSWER_SEC = 20.0
# The page draws itself anew every second.
SETTLE_MS = 3000
BROWSER_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
)


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
    """Watch the film in the page, and return its picture."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(BROWSER_FLAGS))
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.goto(address)
        page.click("#watch-button")
        page.wait_for_function("() => document.getElementById('film').currentTime > 0.5")
        page.wait_for_timeout(SETTLE_MS)
        picture: bytes = page.screenshot(full_page=True)
        browser.close()
    return picture


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
