"""Whole bodies of nodes without `Range`: they begin at byte 0 whatever was asked. Pure functions.

No I/O, no clock, no randomness. Such a node gets a part from its beginning, others take from the part's tail. Where
nobody knows yet which of several such nodes is the fastest, they race for a moment: each reads the same part, and the
first comparable rates say who goes on.
"""

from __future__ import annotations

from scheduler.assignment import Choice
from scheduler.bytemap import Span, subtract
from scheduler.selection import Node, NodeBook
from scheduler.theft import MIN_STEAL_BYTES
from scheduler.timing import pace_mbps, position, remaining_sec
from scheduler.wanted import Job, Source, Wanted

# While nobody is measured this many read the same part; afterwards one more than needed.
MAX_RACERS = 3
# Beginning again costs the bytes sent so far: that must pay well.
RACE_GAIN_RATIO = 0.3


def race(
    node: Node,
    chunk: Wanted,
    sources: list[Source],
    nodes: NodeBook,
    now_sec: float,
    *,
    wait_sec: float,
) -> Choice | None:
    """Return a part that an idle node without `Range` should read from its beginning though others read it, too."""
    for source in sources:
        if source.node_url != node.node_url or chunk.parts[source.part].complete:
            continue
        rivals = [j for j in chunk.jobs.values() if j.part == source.part and not j.cancelled]
        if not rivals or any(j.node_url == node.node_url for j in rivals):
            continue
        size = chunk.parts[source.part].size
        paced = [j for j in rivals if j.paced]
        if not paced and not node.measured:
            if len(rivals) < MAX_RACERS and all(j.whole_body for j in rivals):
                return Choice(source, 0, size)
            continue
        if not node.measured or len(paced) < len(rivals) or len(rivals) > 1:
            continue
        rival = rivals[0]
        rival_sec = remaining_sec(rival, nodes.node(rival.node_url), now_sec)
        if wait_sec + node.expected_sec(size) < (1 - RACE_GAIN_RATIO) * rival_sec:
            return Choice(source, 0, size)
    return None


def settle(chunk: Wanted, nodes: NodeBook, now_sec: float) -> list[tuple[Job, int]]:
    """Return where ranges that bring the same bytes should end, as (range, new end), now that their rates compare.

    An end that was reached already means that the range is not needed any more.
    """
    running = [job for job in chunk.jobs.values() if not job.cancelled]
    ends: dict[str, tuple[Job, int]] = {}
    for body in running:
        if not body.whole_body or not body.paced or body.job_id in ends:
            continue
        for other in running:
            if other is body or other.part != body.part or not other.paced:
                continue
            end = ends.get(other.job_id, (other, other.end))[1]
            meeting = _overtakes_at(body, other, end, nodes, now_sec)
            if meeting is not None and end - meeting >= MIN_STEAL_BYTES:
                ends[other.job_id] = (other, meeting)
    for body in sorted(running, key=lambda job: position(job, now_sec)):
        if body.whole_body and body.paced and body.job_id not in ends:
            others = [j for j in running if j is not body and j.part == body.part and j.paced]
            claims: list[Span] = [
                (j.received_until, ends.get(j.job_id, (j, j.end))[1]) for j in others
            ]
            missing = chunk.parts[body.part].missing_within(body.received_until, body.end)
            if others and not subtract(missing, claims):
                ends[body.job_id] = (body, body.received_until)
    return list(ends.values())


def _overtakes_at(body: Job, other: Job, end: int, nodes: NodeBook, now_sec: float) -> int | None:
    """Return from which byte of `other` on `body` will be the first to bring it, None for never."""
    at, other_at = position(body, now_sec), position(other, now_sec)
    if body.received_until >= end or body.end <= other.received_until:
        return None
    per_sec = pace_mbps(body, nodes.node(body.node_url), now_sec)
    other_per_sec = pace_mbps(other, nodes.node(other.node_url), now_sec)
    if at >= other_at:
        # It is ahead; whether it stays so to the end is what counts.
        stays = (end - at) * other_per_sec <= (end - other_at) * per_sec
        return other.received_until if stays else None
    if per_sec <= other_per_sec:
        return None
    meeting = other_at + other_per_sec * (other_at - at) / (per_sec - other_per_sec)
    return max(other.received_until, round(meeting)) if meeting < end else None
