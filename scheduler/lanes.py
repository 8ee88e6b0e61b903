"""How many ranges a node should send at a time. Pure functions.

No I/O, no clock, no randomness.

A connection begins with a small window and doubles it each round trip. On a long round trip one connection leaves the
link idle for several of them, where a few together fill it sooner. They carry bytes of the most urgent chunk only:
later bytes on a second connection would take half of the link from it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

from common.units import transfer_sec
from scheduler.selection import Node
from scheduler.timing import REPORT_SEC, is_quiet, is_young, quiet_ratio, remaining_sec, wait_sec
from scheduler.wanted import Job

# A browser opens six connections to a host; each one more gains less and costs the store as much.
MAX_LANES = int(os.environ.get("LANES", "4"))
# Ten segments (RFC 6928).
FIRST_WINDOW_BYTES = 10 * 1448
# Below this many first windows on the way the ramp of one connection is over before another one is worth its request.
WIDE = float(os.environ.get("WIDE", "4"))
PER = float(os.environ.get("PER", "1"))


def lanes(node: Node) -> int:
    """Return how many connections fill the link of a node from their first round trip on, one where that is short."""
    windows = node.rate_mbps * 1e6 / 8 * node.latency_sec / FIRST_WINDOW_BYTES
    if windows < WIDE:
        return 1
    return max(1, min(MAX_LANES, math.ceil(windows / PER)))


def share_a_link(jobs: Sequence[Job]) -> bool:
    """Whether ranges of a node go on side by side, not one after the other."""
    return any(job.lanes > 1 for job in jobs)


def busy_sec(jobs: Sequence[Job], node: Node, now_sec: float) -> float:
    """Return how long a node needs for all its ranges."""
    if not share_a_link(jobs):
        return max([remaining_sec(job, node, now_sec) for job in jobs], default=0.0)
    # Each one's own pace rises when another one ends.
    pace = pace_mbps(jobs, node, now_sec)
    flowing = [job for job in jobs if job.flowing]
    ends_sec = transfer_sec(round(left_bytes(flowing, node, now_sec)), pace)
    coming = [job for job in jobs if not job.flowing]
    if not coming:
        return ends_sec
    begins_sec = max(ends_sec, min(wait_sec(job, node, now_sec) for job in coming))
    return begins_sec + transfer_sec(sum(job.end - job.received_until for job in coming), pace)


def left_bytes(jobs: Sequence[Job], node: Node, now_sec: float) -> float:
    """Return how much ranges that share a link have still to bring."""
    return sum(max(0.0, job.end - place(job, jobs, node, now_sec)) for job in jobs)


def place(job: Job, jobs: Sequence[Job], node: Node, now_sec: float) -> float:
    """Return where one of the ranges that share a link probably is."""
    if not job.flowing or not node.measured or is_quiet(job, now_sec):
        return job.received_until
    ages_sec = sorted(_age_sec(other, now_sec) for other in jobs if other.flowing)
    # Of each stretch of time since its last report it had the share that those flowing then left it.
    shared_sec = before_sec = 0.0
    for index, age_sec in enumerate(ages_sec):
        until_sec = min(age_sec, _age_sec(job, now_sec))
        shared_sec += (until_sec - before_sec) / (len(ages_sec) - index)
        before_sec = until_sec
    per_sec = pace_mbps(jobs, node, now_sec) * 1e6 / 8
    return min(job.end, job.received_until + per_sec * shared_sec)


def _age_sec(job: Job, now_sec: float) -> float:
    return min(now_sec - job.progress_sec, REPORT_SEC)


def pace_mbps(jobs: Sequence[Job], node: Node, now_sec: float) -> float:
    """Return the rate of ranges that share their node's link.

    While connections begin, bytes come in bursts a round trip apart: one of two samples may hold none.
    """
    samples = node.paces_mbps or (node.rate_mbps,)
    rate = max(samples) if is_young(node, now_sec) else sum(samples) / len(samples)
    return rate * max(quiet_ratio(job, now_sec) for job in jobs)
