"""The demo behind `make demo`: three unequal nodes, the sample film, the whole stack, the dashboard.

SECONDS=N ends it after N seconds, BROWSER=no opens no browser. Exit code: that of main.py, 0 after Ctrl-C.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import webbrowser
from pathlib import Path
from types import FrameType

PROJECT_DIR = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT_DIR))

from cluster import EmbeddedCluster  # noqa: E402
from cluster.ports import free_port  # noqa: E402
from cluster.state import ClusterError  # noqa: E402

DATA_DIR = PROJECT_DIR / ".data" / "demo"
VIDEO_ID = "test-video-001"
# The ports a V-Stack store has by default; the first is the metadata service's.
STORE_PORTS = (8080, 8081, 8082, 8083)
DASHBOARD_PORT = 8888
NODES = "20 Mbit/s 20 ms, 10 Mbit/s 40 ms, 5 Mbit/s 80 ms"


def main() -> int:
    """Run the demo; return its exit code."""
    signal.signal(signal.SIGTERM, _as_interrupt)
    try:
        seconds = _seconds()
    except ValueError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2
    try:
        return _run(seconds)
    except ClusterError as error:
        print(f"demo: the store does not start: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0


def _as_interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _seconds() -> float | None:
    text = os.environ.get("SECONDS", "")
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 1 <= seconds <= 86_400:
        raise ValueError(f"SECONDS: {text!r} is not a number of 1 to 86400")
    return seconds


def _run(seconds: float | None) -> int:
    print(f"Starting a store of three unequal nodes ({NODES}) ...", flush=True)
    free = all(_is_free(port) for port in STORE_PORTS)
    ports = [str(port) if free else "0" for port in STORE_PORTS[:2]]
    with EmbeddedCluster(
        3,
        DATA_DIR,
        profile="demo",
        arguments=("--metadata-port", ports[0], "--node-port", ports[1]),
    ) as store:
        print(f"Metadata service: {store.metadata_url}")
        if (code := _add_sample()) != 0:
            return code
        return _play(store.metadata_url, seconds)


def _add_sample() -> int:
    command = [sys.executable, "-m", "cluster", "sample", "--data", str(DATA_DIR)]
    return subprocess.run(command, cwd=PROJECT_DIR, check=False).returncode


def _play(metadata_url: str, seconds: float | None) -> int:
    port = int(os.environ.get("DASHBOARD_PORT") or DASHBOARD_PORT)
    if not _is_free(port):
        port = free_port()
    address = f"http://localhost:{port}"
    print(f"Playing {VIDEO_ID}. Dashboard: {address} (Ctrl-C stops everything)", flush=True)
    command = [sys.executable, "main.py", VIDEO_ID, "--metadata-url", metadata_url]
    command += ["--player", "none", "--private", "--dashboard"]
    if seconds is not None:
        command += ["--stop-after", f"{seconds:g}"]
    player = subprocess.Popen(
        command, cwd=PROJECT_DIR, env={**os.environ, "DASHBOARD_PORT": str(port)}
    )
    try:
        if _wants_browser():
            webbrowser.open(address)
        return player.wait()
    except KeyboardInterrupt:
        player.send_signal(signal.SIGINT)
        player.wait()
        return 0
    finally:
        if player.poll() is None:
            player.terminate()
            player.wait()


def _wants_browser() -> bool:
    """A browser opens where there is a person and a screen, unless BROWSER=no."""
    if os.environ.get("BROWSER", "").lower() in ("no", "0", "none", "false"):
        return False
    screen = sys.platform == "darwin" or "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ
    return screen and sys.stdout.isatty()


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return True
    return False


if __name__ == "__main__":
    sys.exit(main())
