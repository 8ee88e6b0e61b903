"""Work stealing: what an idle node takes from a late range. Pure functions.

No I/O, no clock, no randomness. Nothing is fetched twice: the victim's range ends where the thief's begins.
"""

from __future__ import annotations

from dataclasses import dataclass

from scheduler.assignment import Choice
from scheduler.bytemap import Span
from scheduler.selection import Node, NodeBook
from scheduler.timing import (
    AHEAD_SEC,
    ahead_sec,
    first_byte_sec,
    is_overdue,
    pace_mbps,
    position,
    remaining_sec,
)
from scheduler.wanted import Job, Source, Wanted

# A later range is shortened only where the urgent bytes would wait this much longer.
WAY_GAIN_SEC = 0.05
# A theft must pay: this much sooner, and this many bytes.
STEAL_GAIN_SEC = 0.03
MIN_STEAL_BYTES = 4 * 1024


@dataclass(frozen=True, slots=True)
class Theft:
    """Let `victim` end at `cut`, and read the rest as `choice`."""

    victim: Job
    cut: int
    choice: Choice


def best_theft(
    thief: Node,
    chunk: Wanted,
    sources: list[Source],
    nodes: NodeBook,
    now_sec: float,
    *,
    wait_sec: float,
) -> Theft | None:
    """Return the cut of the chunk's slowest running range that pays most for an idle, proven node.

    The remainder is divided in proportion to the two rates, so that both end together. `wait_sec` is how long the
    thief is busy still. A node without `Range` cannot begin in the middle, and steals nothing.
    """
    if not thief.measured or thief.accepts_ranges is False:
        return None
    if thief.breaker.state(now_sec) != "closed":
        return None
    own = {s.part: s for s in sources if s.node_url == thief.node_url}
    best: tuple[float, Theft] | None = None
    for victim in chunk.jobs.values():
        if victim.node_url == thief.node_url or victim.cancelled:
            continue
        holder = nodes.node(victim.node_url)
        if not victim.flowing and not is_overdue(victim, holder, now_sec):
            continue
        source = _stand_in(victim, chunk, own)
        if source is None:
            continue
        found = _cut(thief, holder, victim, source, now_sec, wait_sec)
        if found is not None and (best is None or found[0] > best[0]):
            best = found
    return best[1] if best is not None else None


def _stand_in(victim: Job, chunk: Wanted, own: dict[int, Source]) -> Source | None:
    """Return the thief's source for the victim's bytes: the same part, or a fragment nobody reads there."""
    if not chunk.coded:
        return own.get(victim.part)
    covers = chunk.covers()
    span: Span = (victim.received_until, victim.end)
    for part, source in own.items():
        if part != victim.part and all(b <= span[0] or a >= span[1] for a, b in covers[part]):
            return source
    return own.get(victim.part)


def _cut(
    thief: Node, holder: Node, victim: Job, source: Source, now_sec: float, wait_sec: float
) -> tuple[float, Theft] | None:
    at = position(victim, now_sec)
    slow = pace_mbps(victim, holder, now_sec) * 1e6 / 8
    fast = thief.rate_mbps * 1e6 / 8
    # Its request travels while its running range ends.
    delay_sec = max(wait_sec, first_byte_sec(thief, cold=False))
    # (cut - at) / slow = delay + (end - cut) / fast
    cut = (at / slow + delay_sec + victim.end / fast) / (1 / slow + 1 / fast)
    cut = max(cut, at)
    both_sec = max((cut - at) / slow, delay_sec + (victim.end - cut) / fast)
    gain_sec = remaining_sec(victim, holder, now_sec) - both_sec
    cut_at = max(victim.received_until, round(cut))
    if gain_sec < STEAL_GAIN_SEC or victim.end - cut_at < MIN_STEAL_BYTES:
        return None
    return gain_sec, Theft(victim, cut_at, Choice(source, cut_at, victim.end))


def way_out(job: Job, node: Node, now_sec: float) -> int | None:
    """Return where a less urgent range should end so that its node's next request can leave now, None to let it be."""
    if not job.paced or job.cancelled or job.whole_body:
        return None
    if remaining_sec(job, node, now_sec) < ahead_sec(node) + WAY_GAIN_SEC:
        return None
    # A little less than what lets the node be asked again.
    kept_sec = ahead_sec(node) - AHEAD_SEC / 2
    end = round(position(job, now_sec) + pace_mbps(job, node, now_sec) * 1e6 / 8 * kept_sec)
    return end if job.received_until < end < job.end else None
