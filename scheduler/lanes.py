"""How many ranges a node sends at a time, and when it will be through with those that share its link. Pure functions.

No I/O, no clock, no randomness.

A connection begins with a small window and doubles it each round trip. On a long round trip one connection leaves the
link idle for several of them, where a few together fill it sooner. They carry the most urgent bytes only: later bytes
on a second connection would take half of the link from those.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from common.units import transfer_sec
from scheduler.selection import Node
from scheduler.timing import REPORT_SEC, is_quiet, outlook, quiet_ratio
from scheduler.wanted import Job

# Each one more gains less, and costs the store as much; a browser opens six.
MAX_LANES = 4
# As many at once, and as many asked ahead.
MAX_RANGES = 2 * MAX_LANES
# Ten segments (RFC 6928).
FIRST_WINDOW_BYTES = 10 * 1448
# A link that holds fewer first windows is filled after two round trips: less than more requests cost.
MIN_WINDOWS = 4.0
# Over shorter trips a connection is in full flow before several requests pay.
MIN_TRIP_SEC = 0.04


def lanes(node: Node) -> int:
    """Return how many connections fill the link of a node from their first round trip on, one where that is short."""
    # Without `Range`, or where that is not known yet, each of them might bring the whole body.
    if not node.accepts_ranges or node.latency_sec < MIN_TRIP_SEC:
        return 1
    windows = node.rate_mbps * 1e6 / 8 * node.latency_sec / FIRST_WINDOW_BYTES
    return min(MAX_LANES, math.ceil(windows)) if windows >= MIN_WINDOWS else 1


def share_a_link(jobs: Sequence[Job]) -> bool:
    """Whether ranges of a node go on side by side, not one after the other."""
    # Asked at every decision: a loop is quicker than any().
    for job in jobs:  # noqa: SIM110
        if job.lanes > 1:
            return True
    return False


def may_send_more(node: Node, jobs: Sequence[Job]) -> bool:
    """Whether a node that sends these ranges, more than one, may be asked for another one, now or soon."""
    for job in jobs:
        if job.lanes == 1:
            # One that goes alone is the last; another one would go beside it.
            return False
    most = lanes(node)
    if waits_for_lanes(node):
        return node.active < most
    return len(jobs) < MAX_RANGES and sum(not job.flowing for job in jobs) < most


def waits_for_lanes(node: Node) -> bool:
    """Whether it must be a connection in use that brings the next range: another one would bring it later."""
    return node.ramp.begins_slowly and lanes(node) > 1


def busy_sec(jobs: Sequence[Job], node: Node, now_sec: float) -> float:
    """Return how long a node needs for all these ranges."""
    if len(jobs) == 1 and jobs[0].lanes == 1:
        # Most nodes most of the time.
        return outlook(jobs[0], node, now_sec)[2]
    if not share_a_link(jobs):
        longest_sec = left = 0.0
        for job in jobs:
            at, _, left_sec = outlook(job, node, now_sec)
            longest_sec, left = max(longest_sec, left_sec), left + job.end - at
        # The next one gets its share of the link while the running one ends.
        return max(longest_sec, transfer_sec(round(left), node.rate_mbps))
    # Each one's own pace rises when another one ends.
    pace = pace_mbps(jobs, node, now_sec)
    flowing = [job for job in jobs if job.flowing]
    coming = [job for job in jobs if not job.flowing]
    ends_sec = transfer_sec(round(left_bytes(flowing, node, now_sec)), pace)
    if not coming:
        return ends_sec
    begins_sec = max(ends_sec, min(wait_sec(job, node, now_sec) for job in coming))
    return begins_sec + transfer_sec(sum(job.end - job.received_until for job in coming), pace)


def wait_sec(job: Job, node: Node, now_sec: float) -> float:
    """Return how long the first byte of a range takes still."""
    at, rate_mbps, left_sec = outlook(job, node, now_sec)
    return 0.0 if job.flowing else left_sec - transfer_sec(round(job.end - at), rate_mbps)


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
    """Return the rate of ranges that share their node's link, all together."""
    rate = node.ramp.pace_mbps(now_sec, node.latency_sec) or node.rate_mbps
    heard_sec = [job.progress_sec for job in jobs if job.flowing]
    return rate * quiet_ratio(now_sec - max(heard_sec, default=now_sec))
