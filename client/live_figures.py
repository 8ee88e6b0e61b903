"""What the live view shows: figures of one session, picked from the status of the client.

No I/O, no clock, no randomness: time is an argument.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from client.rates import RateMeter
from common.units import short_node

NodeState = Literal["healthy", "probing", "suspended", "down", "not rated"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFigures:
    """One node; None is a figure nobody has measured.

    `active` says that it is being read from for this session. `delivered_bytes` are those of this session's delivered
    chunks, `share_ratio` is their share of them all.
    """

    name: str
    active: bool
    state: NodeState
    suspended_for_sec: float
    score: float | None
    latency_ms: float | None
    bandwidth_mbps: float | None
    success_ratio: float | None
    delivered_bytes: int
    share_ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveFigures:
    """One moment of a session; `nodes` are in the order in which they are shown, `events` oldest first."""

    title: str
    state: str
    playhead_sec: float
    duration_sec: float
    duration_known: bool
    buffer_level_sec: float
    buffer_state: str
    low_water_mark_sec: float
    target_buffer_sec: float
    rate_mbps: float | None
    rates: tuple[tuple[float, float], ...]
    rebuffering_events: int
    stalled_sec: float
    failover_count: int
    received_bytes: int
    needed_bytes: int
    startup_latency_sec: float | None
    nodes: tuple[NodeFigures, ...]
    events: tuple[str, ...]


def figures_of(
    status: dict[str, Any], rates: RateMeter, events: tuple[str, ...], now_unix_sec: float
) -> LiveFigures:
    """Return the figures in `SmartClient.get_status()`, with the rates and events of the same session."""
    buffer, stats, traffic = status["buffer"], status["buffer_stats"], status["scheduler_stats"]
    return LiveFigures(
        title=status["title"] or status["video_id"] or "",
        state=status["outcome"] or (status["state"] if status["session_id"] else "starting"),
        playhead_sec=buffer["playhead_sec"],
        duration_sec=buffer["duration_sec"],
        duration_known=buffer["duration_known"],
        buffer_level_sec=buffer["buffer_level_sec"],
        buffer_state=buffer["state"],
        low_water_mark_sec=buffer["low_water_mark_sec"],
        target_buffer_sec=buffer["target_buffer_sec"],
        rate_mbps=rates.current_mbps(now_unix_sec),
        rates=rates.history(now_unix_sec),
        rebuffering_events=stats["rebuffering_events"],
        stalled_sec=stats["stalled_sec"],
        failover_count=traffic["failover_count"],
        received_bytes=traffic["received_bytes"],
        needed_bytes=traffic["needed_bytes"],
        startup_latency_sec=status["startup_latency"],
        nodes=_nodes(status, rates.node_urls),
        events=events,
    )


def _nodes(status: dict[str, Any], active: tuple[str, ...]) -> tuple[NodeFigures, ...]:
    """Return the nodes of the film, those that delivered most first; before a film is known, all of them."""
    delivered: dict[str, int] = status["scheduler_stats"]["bytes_per_node"]
    known: dict[str, dict[str, Any]] = status["network_stats"]
    urls = dict.fromkeys((*status["node_urls"], *delivered)) or known
    total_bytes = sum(delivered.values())
    found = [
        _node(url, known.get(url, {}), url in active, delivered.get(url, 0), total_bytes)
        for url in urls
    ]
    return tuple(sorted(found, key=lambda n: (-n.delivered_bytes, -(n.score or 0.0), n.name)))


def _node(
    url: str, node: dict[str, Any], active: bool, delivered_bytes: int, total_bytes: int
) -> NodeFigures:
    rated = node.get("measurements_count", 0) > 0
    bandwidth_mbps = node["bandwidth_mbps"]["current"] if node else None
    return NodeFigures(
        name=short_node(url),
        active=active,
        state=_state(node, rated),
        suspended_for_sec=node.get("suspended_for_sec", 0.0),
        score=node["score"] if rated else None,
        latency_ms=node["latency_ms"]["current"] if node else None,
        bandwidth_mbps=node.get("rate_mbps") if bandwidth_mbps is None else bandwidth_mbps,
        success_ratio=node["success_rate"] if rated else None,
        delivered_bytes=delivered_bytes,
        share_ratio=delivered_bytes / max(1, total_bytes),
    )


def _state(node: dict[str, Any], rated: bool) -> NodeState:
    """Return what is known of a node in a word.

    Down is what the monitor gets no good answers from, whatever the scheduler's breaker says; suspended and probing
    are words of the breaker.
    """
    if rated and not node["healthy"]:
        return "down"
    breaker = node.get("breaker", "closed")
    if breaker != "closed":
        return "suspended" if breaker == "open" else "probing"
    return "healthy" if rated else "not rated"
