"""What the metrics say of nodes and workers. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from common.messages import BreakerState, NodeLoad, NodeScore, WorkerStatus
from dashboard.figures import Figure, Group, Split, one_of

_BYTES_PER_MEGABIT = 1e6 / 8
_SEC_PER_MS = 1e-3


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


SCORE: Group[NodeScore] = Group(
    ("node",),
    (
        Figure(
            "vstack_node_score",
            "(bandwidth × reliability) / (1 + latency × 0.1), of Mbit/s, 0-1 and ms.",
            lambda n: n.score,
        ),
        Figure(
            "vstack_node_healthy",
            "1 while the monitor takes the node for healthy, else 0.",
            lambda n: n.healthy,
        ),
        Figure(
            "vstack_node_latency_seconds",
            "The node's last ping; absent while none was answered.",
            lambda n: _scaled(n.latency_ms, _SEC_PER_MS),
        ),
        Figure(
            "vstack_node_latency_average_seconds",
            "Mean of the node's recent pings.",
            lambda n: _scaled(n.latency_average_ms, _SEC_PER_MS),
        ),
        Figure(
            "vstack_node_bandwidth_bytes_per_second",
            "What the node sent a second, as last measured; absent while nothing was.",
            lambda n: _scaled(n.bandwidth_mbps, _BYTES_PER_MEGABIT),
        ),
        Figure(
            "vstack_node_bandwidth_average_bytes_per_second",
            "Mean of the recent measurements.",
            lambda n: _scaled(n.bandwidth_average_mbps, _BYTES_PER_MEGABIT),
        ),
        Figure(
            "vstack_node_success_ratio",
            "Share of recent pings and ranges that went well, 0-1; absent while nothing was tried.",
            lambda n: n.success_rate_ratio if n.measurements_count else None,
        ),
    ),
)

LOAD: Group[NodeLoad] = Group(
    SCORE.labels,
    (
        Split(
            "vstack_node_breaker_state",
            "1 for the state of the node's breaker, 0 for the others; an open one keeps the node from being asked.",
            "state",
            lambda n: one_of(get_args(BreakerState), n.breaker),
        ),
        Figure(
            "vstack_node_suspended_seconds",
            "How much longer the node is not asked.",
            lambda n: n.suspended_for_sec,
        ),
        Figure(
            "vstack_node_rate_bytes_per_second",
            "The rate that the scheduler reckons with; absent while it is unknown.",
            lambda n: _scaled(n.rate_mbps, _BYTES_PER_MEGABIT),
        ),
        Figure(
            "vstack_node_ranges_in_flight",
            "Ranges being read from the node now.",
            lambda n: n.active_ranges,
        ),
        Figure(
            "vstack_node_ranges_completed_total",
            "Ranges that the node sent to their end.",
            lambda n: n.completed_ranges,
        ),
        Figure(
            "vstack_node_ranges_failed_total",
            "Ranges that failed; those that were cancelled do not count.",
            lambda n: n.failed_ranges,
        ),
        Figure(
            "vstack_node_received_bytes_total",
            "Bytes that came from the node, all sessions together; counted when a range ends.",
            lambda n: n.received_bytes,
        ),
    ),
)

OUTCOMES: Group[Mapping[str, int]] = Group(
    SCORE.labels,
    (
        Split(
            "vstack_node_range_outcomes_total",
            "Ended ranges by how they ended, as far as the dashboard has heard.",
            "outcome",
            lambda outcomes: outcomes,
        ),
    ),
)

WORKER: Group[WorkerStatus] = Group(
    ("worker",),
    (
        Figure(
            "vstack_worker_slots",
            "Chunks that the worker can assemble at a time.",
            lambda w: w.slots,
        ),
        Figure(
            "vstack_worker_busy_slots", "Chunks that the worker assembles now.", lambda w: w.busy
        ),
        Figure(
            "vstack_worker_received_bytes_total",
            "Bytes that the worker read from nodes.",
            lambda w: w.received_bytes,
        ),
        Figure(
            "vstack_worker_silent_seconds",
            "How long ago the scheduler last heard the worker.",
            lambda w: w.silent_sec,
        ),
    ),
)
