"""Measure what the dashboard's page costs: bytes, first contentful paint, and the dashboard's share of a core.

    python tools/page_cost.py [SECONDS]

The sample film plays from the demo's store, and one viewer has the page open. Needs Chromium and the development
requirements. The times depend on the machine, and on what else it does.
"""

from __future__ import annotations

import contextlib
import statistics
import sys
from pathlib import Path

PROJECT_DIR = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT_DIR))

import psutil  # noqa: E402
from playwright.sync_api import Browser  # noqa: E402

from tools.stage import Transferred, chromium, playing  # noqa: E402

LOADS = 5
LOAD_MS = 2500
WATCH_SEC = 30.0
PAINT = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null"


def main(arguments: list[str]) -> int:
    """Measure and print; return the exit code."""
    watch_sec = float(arguments[0]) if arguments else WATCH_SEC
    with playing() as stage, chromium() as browser:
        stage.wait_for_chunks(3)
        loads = [_load(browser, stage.address) for _ in range(LOADS)]
        dashboard = _process_on(int(stage.address.rpartition(":")[2]))
        page = browser.new_page()
        page.goto(stage.address)
        page.wait_for_timeout(LOAD_MS)
        before = dashboard.cpu_times()
        page.wait_for_timeout(watch_sec * 1000)
        after = dashboard.cpu_times()
    used_sec = after.user + after.system - before.user - before.system
    paints = [paint for paint, _ in loads if paint is not None]
    print(
        f"first contentful paint: median of {len(paints)} {statistics.median(paints):.0f} ms, most {max(paints):.0f} ms"
    )
    print(
        f"transferred in the first {LOAD_MS / 1000:g} s, the event stream included: {max(size for _, size in loads):,} bytes"
    )
    print(
        f"dashboard with one viewer: {100 * used_sec / watch_sec:.1f} % of a core over {watch_sec:g} s"
    )
    return 0


def _load(browser: Browser, address: str) -> tuple[float | None, int]:
    """Open the page with an empty cache; return its first paint and what was transferred."""
    context = browser.new_context()
    page = context.new_page()
    transferred = Transferred(page)
    page.goto(address)
    page.wait_for_timeout(LOAD_MS)
    paint: float | None = page.evaluate(PAINT)
    context.close()
    return paint, transferred.size_bytes


def _process_on(port: int) -> psutil.Process:
    """Return the process that listens on a port."""
    for found in psutil.Process().children(recursive=True):
        connections = []
        with contextlib.suppress(psutil.Error):
            connections = found.net_connections(kind="tcp")
        for connection in connections:
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port:
                return found
    raise RuntimeError("the dashboard was not found")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
