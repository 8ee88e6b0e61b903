"""A standing stack with its dashboard, and what a page asks of it."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

from common.endpoints import is_running
from tests.process.support import FILM_ID, Command, Viewer, free_port
from tests.waiting import wait_until


class Standing:
    """A standing stack with a dashboard, and what a page asks of it."""

    def __init__(self, viewer: Viewer) -> None:
        port = free_port()
        viewer.settings |= {
            "VSTACK_RUN_DIR": str(viewer.stack_dir),
            "DASHBOARD_PORT": str(port),
        }
        self.viewer = viewer
        self.url = f"http://127.0.0.1:{port}"
        for module in ("monitor", "scheduler", "scheduler.worker", "buffer"):
            viewer.start("-m", module)
        self.dashboard = self.start_dashboard()
        wait_until(lambda: is_running(viewer.stack_dir, "buffer"), 20)

    def start_dashboard(self) -> Command:
        """Start the dashboard, at the same address each time."""
        started = self.viewer.start("dashboard_server.py")
        started.wait_for("Dashboard: ")
        return started

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=20) as answer:
            return json.loads(answer.read())

    def post(self, path: str, body: dict[str, Any]) -> Any:
        request = urllib.request.Request(
            self.url + path,
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.loads(answer.read())

    def play(self, video_id: str = FILM_ID) -> str:
        """Start the film for players; return its session."""
        body = {"action": "play", "video_id": video_id, "output": "stream"}
        session_id: str = self.post("/api/control", body)["session_id"]
        wait_until(lambda: any(s["session_id"] == session_id for s in self.sessions()))
        wait_until(lambda: self.stream_url(session_id), 20)
        return session_id

    def sessions(self) -> Any:
        return self.get("/api/status")["sessions"]

    def status(self, session_id: str) -> Any:
        return self.get(f"/api/status?session_id={session_id}")

    def stream_url(self, session_id: str) -> str:
        url: str = self.status(session_id)["player"]["stream_url"]
        return url

    def say(self, session_id: str, state: str, position_sec: float) -> None:
        """Tell what a player shows."""
        fields = {"viewer_id": "v", "rate_ratio": 1, "error": ""}
        counts = {"dropped_frames": 0}
        shown = {"session_id": session_id, "state": state, "position_sec": position_sec}
        self.post("/api/viewer", fields | counts | shown)
