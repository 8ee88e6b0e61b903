"""The five performance targets of the product, measured. No I/O, no clock, no randomness."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean, median
from typing import Any

from common.messages import SessionStatus

STARTUP_TARGET_SEC = 2.0
REBUFFERING_TARGET = 1
AVERAGE_BUFFER_TARGET_SEC = 20.0
CONCURRENCY_TARGET = 4
SCORING_TARGET_SEC = 3.0
# Pings are spread by 10 % and travel in snapshots; an interval this much longer is on time.
SCORING_TOLERANCE_SEC = 0.5


def measure_targets(
    session: SessionStatus,
    *,
    max_concurrent_chunks: int,
    updates_unix_sec: Sequence[tuple[float, ...]],
) -> list[dict[str, Any]]:
    """Return each target with its measured value and `met`; both None while nothing is known.

    `updates_unix_sec` holds, for each node, when its score was last updated, oldest first.
    """
    startup_sec = session.startup_latency_sec
    started = startup_sec is not None
    average_sec = session.average_buffer_sec if started else None
    stalls = session.rebuffering_events if started else None
    chunks = max_concurrent_chunks or None
    scoring_sec = _scoring_interval_sec(updates_unix_sec)
    return [
        _target(
            "startup_latency",
            "Startup latency",
            f"< {STARTUP_TARGET_SEC:g} s",
            "s",
            startup_sec,
            None if startup_sec is None else startup_sec < STARTUP_TARGET_SEC,
        ),
        _target(
            "rebuffering_events",
            "Rebuffering events",
            f"0-{REBUFFERING_TARGET}",
            "",
            stalls,
            None if stalls is None else stalls <= REBUFFERING_TARGET,
        ),
        _target(
            "average_buffer",
            "Average buffer",
            f"> {AVERAGE_BUFFER_TARGET_SEC:g} s",
            "s",
            average_sec,
            None if average_sec is None else average_sec > AVERAGE_BUFFER_TARGET_SEC,
        ),
        _target(
            "concurrent_downloads",
            "Chunks fetched at once",
            f"up to {CONCURRENCY_TARGET}",
            "",
            chunks,
            None if chunks is None else chunks <= CONCURRENCY_TARGET,
        ),
        _target(
            "scoring_interval",
            "Node scores updated every",
            f"{SCORING_TARGET_SEC:g} s",
            "s",
            scoring_sec,
            None
            if scoring_sec is None
            else scoring_sec <= SCORING_TARGET_SEC + SCORING_TOLERANCE_SEC,
        ),
    ]


def _target(
    name: str, label: str, target: str, unit: str, value: float | None, met: bool | None
) -> dict[str, Any]:
    return {
        "name": name,
        "label": label,
        "target": target,
        "unit": unit,
        "value": value,
        "met": met,
    }


def _scoring_interval_sec(updates_unix_sec: Sequence[tuple[float, ...]]) -> float | None:
    """Return the typical node's mean time between updates."""
    means = [
        fmean(later - earlier for earlier, later in pairwise(updates))
        for updates in updates_unix_sec
        if len(updates) > 1
    ]
    return median(means) if means else None
