"""The sample film playing from the demo's store, with a dashboard, for tools that look at the page."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from cluster import EmbeddedCluster
from cluster.ports import free_port

PROJECT_DIR = Path(__file__).resolve().parents[1]
DATA_DIR = PROJECT_DIR / ".data" / "screenshot"
VIDEO_ID = "test-video-001"
PLAY_SEC = 118.0
BROWSER_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What is going on: the store's nodes, the player's process, and where its dashboard is."""

    store: EmbeddedCluster
    player: subprocess.Popen[bytes]
    address: str

    def json(self, path: str) -> Any:
        """Return what the dashboard answers."""
        with urllib.request.urlopen(self.address + path, timeout=5) as answer:
            return json.load(answer)

    def wait_for_chunks(self, count: int) -> None:
        """Wait until so many chunks have come."""
        deadline_sec = time.monotonic() + PLAY_SEC
        while time.monotonic() < deadline_sec and self.player.poll() is None:
            with contextlib.suppress(OSError):
                shares = self.json("/api/status")["scheduler_stats"]["downloads_per_node"]
                if sum(shares.values()) >= count:
                    return
            time.sleep(0.25)
        raise RuntimeError("the film did not play far enough")


class Transferred:
    """Counts what a page gets over the network, heads included, from now on."""

    def __init__(self, page: Page) -> None:
        session = page.context.new_cdp_session(page)
        session.send("Network.enable")
        self._whole: dict[str, int] = {}
        # An event stream does not finish: of it, head and pieces are known.
        self._so_far: dict[str, int] = {}
        session.on("Network.responseReceived", self._on_head)
        session.on("Network.dataReceived", self._on_data)
        session.on("Network.loadingFinished", self._on_end)

    @property
    def size_bytes(self) -> int:
        """All that has come."""
        return int(sum((self._so_far | self._whole).values()))

    @property
    def open_bytes(self) -> int:
        """What has come of answers that have not ended: the event stream."""
        return int(sum(n for name, n in self._so_far.items() if name not in self._whole))

    def _on_head(self, event: dict[str, Any]) -> None:
        self._add(event["requestId"], event["response"]["encodedDataLength"])

    def _on_data(self, event: dict[str, Any]) -> None:
        self._add(event["requestId"], event["encodedDataLength"])

    def _add(self, request_id: str, size_bytes: int) -> None:
        self._so_far[request_id] = self._so_far.get(request_id, 0) + size_bytes

    def _on_end(self, event: dict[str, Any]) -> None:
        self._whole[event["requestId"]] = event["encodedDataLength"]


@contextlib.contextmanager
def playing() -> Iterator[Stage]:
    """Play the film from three unequal nodes until the block ends."""
    port = free_port()
    with EmbeddedCluster(3, DATA_DIR, profile="demo") as store:
        store.run("sample")
        command = [sys.executable, "main.py", VIDEO_ID, "--metadata-url", store.metadata_url]
        command += [
            "--player",
            "none",
            "--private",
            "--dashboard",
            "--quiet",
            "--stop-after",
            f"{PLAY_SEC:g}",
        ]
        environment = {**os.environ, "DASHBOARD_PORT": str(port)}
        player = subprocess.Popen(command, cwd=PROJECT_DIR, env=environment)
        try:
            stage = Stage(store=store, player=player, address=f"http://127.0.0.1:{port}")
            stage.wait_for_chunks(1)
            yield stage
        finally:
            player.send_signal(signal.SIGINT)
            player.wait()


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Open the Chromium of this machine; `CHROMIUM` names another program."""
    names = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
    program = next(filter(None, map(shutil.which, filter(None, names))), None)
    if program is None:
        raise SystemExit("no Chromium found; name it with CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(BROWSER_FLAGS))
        try:
            yield browser
        finally:
            browser.close()
