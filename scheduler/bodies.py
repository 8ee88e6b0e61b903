"""Whole bodies of nodes without `Range`: they begin at byte 0 whatever was asked. Pure functions.

No I/O, no clock, no randomness. Such a node gets a part from its beginning, others take from the part's tail. Where
nobody knows yet which of several such nodes is the fastest, they race for a moment: each reads the same part, and the
first comparable rates say who goes on.
"""

from __future__ import annotations

from scheduler.assignment import Choice, equal_finish_sec
from scheduler.bytemap import subtract
from scheduler.coverage import gaps
from scheduler.selection import Node, NodeBook
from scheduler.theft import MIN_STEAL_BYTES
from scheduler.timing import first_byte_sec, pace_mbps, position, remaining_sec
from scheduler.wanted import Job, Source, Wanted

# While nobody is measured this many read the same part; afterwards one more than needed.
MAX_RACERS = 3
# Beginning again costs the bytes sent so far: that must pay well.
RACE_GAIN_RATIO = 0.3
# The original V-Stack node, which knows no `Range`, cuts an answer after 15 s.
USUAL_CUT_SEC = 14.5
# A body that comes so long before it is due is not raced.
RACE_MARGIN_SEC = 1.0


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
        in_time = now_sec + rival_sec < chunk.deadline_sec - RACE_MARGIN_SEC
        if not in_time and wait_sec + node.expected_sec(size) < (1 - RACE_GAIN_RATIO) * rival_sec:
            return Choice(source, 0, size)
    return None


def hopeless(
    node: Node,
    chunk: Wanted,
    sources: list[Source],
    nodes: NodeBook,
    busy_sec: dict[str, float],
    now_sec: float,
) -> bool:
    """Whether a node without `Range` should leave a body to others: it is likely to be cut off, or late."""
    if not node.measured:
        return False
    free = [chunk.free_spans(s.part) for s in sources if s.node_url == node.node_url]
    # It goes on to the end of what is free first; to that of the part where all of it is claimed.
    size_bytes = min((spans[0][1] for spans in free if spans), default=chunk.part_bytes)
    mine_sec = node.expected_sec(size_bytes)
    others = [
        nodes.node(s.node_url)
        for s in sources
        if s.node_url != node.node_url and (not chunk.coded or chunk.free_spans(s.part))
    ]
    if mine_sec > USUAL_CUT_SEC:
        return any(o.measured and o.expected_sec(size_bytes) < USUAL_CUT_SEC for o in others)
    due_sec = chunk.deadline_sec - now_sec
    if mine_sec <= due_sec:
        return False
    return any(
        other.measured
        and busy_sec.get(other.node_url, 0.0) + other.expected_sec(size_bytes)
        < min(mine_sec, max(due_sec, 0.0))
        for other in others
    )


def settle(
    chunk: Wanted, sources: list[Source], nodes: NodeBook, now_sec: float
) -> list[tuple[Job, int]]:
    """Return where ranges that bring the same bytes should end, as (range, new end), now that their rates compare.

    An end that was reached already means that the range is not needed any more. What a body passes on its way it
    brings anyway: help counts only behind the place where it will end when all help evenly.
    """
    ends: list[tuple[Job, int]] = []
    for part in chunk.parts:
        running = [j for j in chunk.jobs.values() if j.part == part and not j.cancelled]
        bodies = [job for job in running if job.whole_body and job.paced]
        if not bodies:
            continue
        body = min(bodies, key=lambda job: _end_of_part_sec(job, chunk, nodes, now_sec))
        holder = nodes.node(body.node_url)
        at = position(body, holder, now_sec)
        per_sec = pace_mbps(body, holder, now_sec) * 1e6 / 8
        missing = chunk.parts[part].missing_within(round(at), chunk.parts[part].size)
        helpers = [(0.0, pace_mbps(body, holder, now_sec))]
        for url in {s.node_url for s in sources if s.part == part and s.node_url != body.node_url}:
            node = nodes.node(url)
            if node.accepts_ranges is not False:
                helpers.append((first_byte_sec(node, cold=False), node.rate_mbps))
        even_sec = equal_finish_sec(sum(b - a for a, b in missing), helpers)
        reach = min(chunk.parts[part].size, at + per_sec * even_sec)
        end = chunk.parts[part].size
        for other in running:
            if other is body or other.end <= at:
                continue
            other_at = position(other, nodes.node(other.node_url), now_sec)
            passed = other.whole_body or other_at < reach - MIN_STEAL_BYTES
            if passed and other.paced:
                ends.append((other, other.received_until))
            elif other.start > at:
                end = min(end, other.start)
        if end > body.end:
            # Where nobody else brings what comes next, it need not be asked for again: the body goes on.
            wanted = chunk.parts[part].missing_within(body.end, end)
            if chunk.coded:
                # Other fragments may bring the same positions.
                wanted = subtract(wanted, gaps(chunk.free_spans(part), end))
            end = wanted[-1][1] if wanted else body.end
        if end != body.end:
            ends.append((body, end))
    return ends


def _end_of_part_sec(body: Job, chunk: Wanted, nodes: NodeBook, now_sec: float) -> float:
    """Return when a body would have brought the whole part."""
    holder = nodes.node(body.node_url)
    left = chunk.parts[body.part].size - position(body, holder, now_sec)
    return left / max(1.0, pace_mbps(body, holder, now_sec) * 1e6 / 8)
