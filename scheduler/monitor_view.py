"""A network monitor as the planner needs it: its opinions as messages, results of downloads told back."""

from __future__ import annotations

import logging
import math
import time
from typing import Any, Protocol

from common.messages import NodeScore, NodeScores, Transfer
from scheduler.selection import ASSUMED_LATENCY_MS, NODE_FAULTS

logger = logging.getLogger(__name__)

# A node nobody has measured: far enough away that its first byte is waited for a whole second.
UNMEASURED_LATENCY_MS = 250.0
# What divides a score made at the assumed latency.
_ASSUMED_DIVISOR = 1 + 0.1 * ASSUMED_LATENCY_MS


class Monitor(Protocol):
    """What the scheduler needs of a network monitor.

    Used where they exist too: `get_node_stats(node_url)` with real figures, and `record_result(node_url, success)`.
    """

    def get_node_score(self, node_url: str) -> float: ...

    def is_node_healthy(self, node_url: str) -> bool: ...

    def update_bandwidth(self, node_url: str, bandwidth_mbps: float) -> None: ...


class MonitorView:
    """Asks and tells a monitor, or stands in for one that is not there.

    Node URLs of messages are mapped to the spelling the user gave, which the monitor knows. The monitor is the
    user's object: what it raises is logged and does not end a download.
    """

    def __init__(self, monitor: Monitor | None) -> None:
        self.monitor = monitor
        self.spelling: dict[str, str] = {}
        self.accepts_ranges: dict[str, bool] = {}
        self._measured: set[str] = set()

    def score(self, node_url: str) -> float:
        """Return the node's score, 0 when it has none."""
        return _number(self._call("get_node_score", node_url)) or 0.0

    def healthy(self, node_url: str) -> bool:
        """Tell whether nothing speaks against the node."""
        return self.monitor is None or bool(self._call("is_node_healthy", node_url))

    def scores(self) -> NodeScores:
        """Return what is known of every node ever used: those left out would be forgotten."""
        nodes = tuple(self._node_score(*named) for named in self.spelling.items())
        return NodeScores(published_unix_sec=time.time(), nodes=nodes)

    def tell(self, transfer: Transfer) -> None:
        """Pass the result of a range on."""
        node_url = self.spelling.get(transfer.node_url, transfer.node_url)
        if transfer.first_byte_sec is not None:
            self._measured.add(transfer.node_url)
        if transfer.goodput_mbps is not None:
            self._call("update_bandwidth", node_url, transfer.goodput_mbps)
        if transfer.outcome == "complete" or transfer.outcome in NODE_FAULTS:
            self._call("record_result", node_url, transfer.outcome == "complete")

    def _node_score(self, node_url: str, spelling: str) -> NodeScore:
        stats = self._call("get_node_stats", spelling)
        stats = stats if isinstance(stats, dict) and stats.get("measurements_count") else {}
        score = self.score(spelling)
        latency, bandwidth = stats.get("latency_ms") or {}, stats.get("bandwidth_mbps") or {}
        latency_ms = _number(latency.get("average"))
        bandwidth_mbps = _number(bandwidth.get("average"))
        if not stats and score > 0:
            # Only a score: some bandwidth at some latency that has this score.
            latency_ms, bandwidth_mbps = ASSUMED_LATENCY_MS, score * _ASSUMED_DIVISOR
        elif latency_ms is None and node_url not in self._measured:
            latency_ms = UNMEASURED_LATENCY_MS
        reliability = _number(stats.get("success_rate"))
        return NodeScore(
            node_url=node_url,
            score=score,
            healthy=self.healthy(spelling),
            latency_ms=latency_ms,
            latency_average_ms=latency_ms,
            latency_min_ms=None,
            latency_max_ms=None,
            bandwidth_mbps=bandwidth_mbps,
            bandwidth_average_mbps=bandwidth_mbps,
            success_rate_ratio=1.0 if reliability is None else reliability,
            # Nothing better will come: a chunk need not wait for the first scores.
            measurements_count=int(_number(stats.get("measurements_count")) or 1),
            last_update_unix_sec=None,
            accepts_ranges=self.accepts_ranges.get(node_url),
        )

    def _call(self, name: str, *arguments: Any) -> Any:
        method = getattr(self.monitor, name, None)
        if method is None:
            return None
        try:
            return method(*arguments)
        except Exception:
            logger.exception("network monitor failed method=%s node=%s", name, arguments[0])
            return None


def _number(figure: Any) -> float | None:
    """Return a finite, non-negative number; None for anything else."""
    try:
        number = float(figure)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) and number >= 0 else None
