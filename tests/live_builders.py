"""Builders of what the live view shows, and its rendering as plain text."""

from __future__ import annotations

from typing import Any

from rich.cells import cell_len
from rich.console import Console

from client.live_figures import LiveFigures, NodeFigures
from client.live_view import layout


def a_node(name: str = "node-a:8081", **changed: Any) -> NodeFigures:
    """Return a healthy node that delivered half of everything."""
    fields: dict[str, Any] = {
        "active": False,
        "state": "healthy",
        "suspended_for_sec": 0.0,
        "score": 6.5,
        "latency_ms": 20.0,
        "bandwidth_mbps": 19.5,
        "success_ratio": 1.0,
        "delivered_bytes": 3_000_000,
        "share_ratio": 0.5,
    }
    return NodeFigures(name=name, **(fields | changed))


def figures(**changed: Any) -> LiveFigures:
    """Return a session that plays well from two nodes."""
    fields: dict[str, Any] = {
        "title": "Test video",
        "state": "playing",
        "playhead_sec": 30.0,
        "duration_sec": 120.0,
        "duration_known": True,
        "buffer_level_sec": 20.0,
        "buffer_state": "healthy",
        "low_water_mark_sec": 15.0,
        "target_buffer_sec": 30.0,
        "rate_mbps": 18.2,
        "rates": ((1.0, 18.2), (2.0, 9.1)),
        "rebuffering_events": 0,
        "stalled_sec": 0.0,
        "failover_count": 2,
        "received_bytes": 8_100_000,
        "needed_bytes": 8_000_000,
        "startup_latency_sec": 0.8,
        "nodes": (a_node(), a_node("node-b:8082")),
        "events": ("12:00:00 playback started after 0.80 s",),
    }
    return LiveFigures(**(fields | changed))


def rendered(shown: LiveFigures, width: int = 80, height: int = 24) -> list[str]:
    """Return the lines of the view as text; every one fits, and so does their number."""
    console = Console(width=1000, color_system=None)
    with console.capture() as captured:
        console.print(layout(shown, width, height), soft_wrap=True)
    lines = captured.get().removesuffix("\n").split("\n")
    assert len(lines) <= height
    assert all(cell_len(line) <= width for line in lines)
    return lines
