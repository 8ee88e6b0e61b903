"""Work stealing: what an idle node takes from a late range. Pure functions.

No I/O, no clock, no randomness. Nothing is fetched twice: the victim's range ends where the thief's begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scheduler import lanes
from scheduler.assignment import Choice, equal_finish_sec
from scheduler.bytemap import Span, subtract
from scheduler.selection import Node, NodeBook
from scheduler.timing import (
    AHEAD_SEC,
    COMMAND_SEC,
    Outlook,
    ahead_sec,
    awaited,
    first_byte_sec,
    is_overdue,
    outlook,
)
from scheduler.wanted import Job, Source, Wanted

# A later range is shortened only where the urgent bytes would wait this much longer.
WAY_GAIN_SEC = 0.05
# A theft must pay: this much sooner, and this many bytes.
STEAL_GAIN_SEC = 0.010
MIN_STEAL_BYTES = 4 * 1024
# Where nothing can be divided, the rest of so few bytes is taken for so much time.
REST_BYTES = 2 * MIN_STEAL_BYTES
REST_GAIN_SEC = 0.03


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
    busy_sec: dict[str, float],
    robbed: Sequence[Job] = (),
) -> Theft | None:
    """Return the cut of the chunk's slowest running range that pays most for an idle, proven node.

    The remainder is divided in proportion to the two rates, so that both end together. `busy_sec` is how long each
    node is busy still. Once ranges of a holder were `robbed`, others of the same follow. A node without `Range` cannot
    begin in the middle, and steals nothing.
    """
    if not thief.measured or thief.accepts_ranges is False:
        return None
    if thief.breaker.state(now_sec) != "closed":
        return None
    # What several ranges of a holder still owe is divided down to the last bytes, once it is divided.
    least_gain_sec = 0.0 if robbed else STEAL_GAIN_SEC
    own = {s.part: s for s in sources if s.node_url == thief.node_url}
    side_by_side = _side_by_side(chunk)
    wait_sec = busy_sec.get(thief.node_url, 0.0)
    # Ranges that end so soon leave nothing to gain; on fast links that is all of them, and to know it is cheap.
    soon_sec = max(wait_sec, first_byte_sec(thief, cold=False)) + least_gain_sec
    even_sec: float | None = None
    best: tuple[float, Theft] | None = None
    for victim in chunk.jobs.values():
        if victim.node_url == thief.node_url or victim.cancelled or victim in robbed:
            continue
        if robbed and victim.node_url != robbed[0].node_url:
            continue
        holder = nodes.node(victim.node_url)
        if victim.rate_mbps is None and not holder.measured and awaited(victim, now_sec):
            continue
        begun = victim.flowing or is_overdue(victim, holder, now_sec)
        # A body without `Range` only ends sooner: nothing has to be asked for again.
        if not begun and not (victim.whole_body and holder.measured):
            continue
        owed = _owed(victim, chunk)
        stand_in = None if owed is None else _stand_in(victim, chunk, own, owed)
        if stand_in is None:
            continue
        source, owed = stand_in
        beside = side_by_side.get(victim.node_url)
        seen = _outlook(victim, beside, holder, now_sec)
        if seen[2] < soon_sec:
            continue
        if even_sec is None:
            even_sec = _even_finish_sec(
                chunk, sources, nodes, busy_sec, now_sec, side_by_side=side_by_side
            )
        cut = _cut(thief, victim, seen, owed, wait_sec, even_sec)
        if cut is not None and cut[0] >= least_gain_sec and (best is None or cut[0] > best[0]):
            count = 1 if beside is None else min(len(beside), lanes.MAX_LANES)
            choice = Choice(source, cut[1], owed[1], max(count, lanes.lanes(thief)))
            best = (cut[0], Theft(victim, cut[1], choice))
    return best[1] if best is not None else None


def _side_by_side(chunk: Wanted) -> dict[str, list[Job]]:
    """Return the ranges of nodes that send several at once; mostly there are none, and to know it is cheap."""
    jobs = chunk.jobs.values()
    found: dict[str, list[Job]] = {
        job.node_url: [] for job in jobs if job.lanes > 1 and not job.cancelled
    }
    for job in jobs if found else ():
        if job.node_url in found and not job.cancelled:
            found[job.node_url].append(job)
    return found


def _outlook(job: Job, beside: list[Job] | None, holder: Node, now_sec: float) -> Outlook:
    """Return where a range is, how fast its bytes come once they do, and when its node is through with them."""
    if beside is None:
        return outlook(job, holder, now_sec)
    # What it loses the others of its node gain: it counts as the last one of them.
    at = lanes.place(job, beside, holder, now_sec)
    pace_mbps = lanes.pace_mbps(beside, holder, now_sec)
    return at, pace_mbps, lanes.busy_sec(beside, holder, now_sec)


def _stand_in(
    victim: Job, chunk: Wanted, own: dict[int, Source], owed: Span
) -> tuple[Source, Span] | None:
    """Return the thief's source for what the victim owes: the same part, or a fragment nobody reads there.

    For a victim that never answered, the last stretch that nobody reads will do: what lies behind it is free again.
    """
    same = own.get(victim.part)
    if not chunk.coded:
        return None if same is None else (same, owed)
    covers = chunk.covers()
    stretch: tuple[Source, Span] | None = None
    for part, source in own.items():
        unread = subtract([owed], covers[part]) if part != victim.part else []
        if unread == [owed]:
            return source, owed
        if unread and not victim.flowing:
            stretch = (source, unread[-1])
    return stretch if same is None else (same, owed)


def _even_finish_sec(
    chunk: Wanted,
    sources: list[Source],
    nodes: NodeBook,
    busy_sec: dict[str, float],
    now_sec: float,
    *,
    side_by_side: dict[str, list[Job]],
) -> float:
    """Return when the chunk would be complete if what is missing were spread evenly over all who can help."""
    running = [job for job in chunk.jobs.values() if not job.cancelled]
    left = float(chunk.free_bytes)
    helpers: list[tuple[float, float]] = []
    # What these read they bring, and then they do something else.
    bound: list[tuple[float, float, tuple[float, float]]] = []
    for url, beside in side_by_side.items():
        holder = nodes.node(url)
        own_left = lanes.left_bytes(beside, holder, now_sec)
        first_sec = min(lanes.wait_sec(job, holder, now_sec) for job in beside)
        helper = (first_sec, lanes.pace_mbps(beside, holder, now_sec))
        left += own_left
        helpers.append(helper)
        if holder.ramp.begins_slowly:
            # It does nothing else for a round trip.
            bound.append((lanes.busy_sec(beside, holder, now_sec), own_left, helper))
    for job in running:
        if job.node_url in side_by_side:
            continue
        holder = nodes.node(job.node_url)
        at, rate_mbps, end_sec = outlook(job, holder, now_sec)
        own_left = max(0.0, job.end - at)
        wait_sec = 0.0 if job.flowing else first_byte_sec(holder, cold=False)
        if is_overdue(job, holder, now_sec) and not job.flowing:
            # One that does not answer is not counted on.
            wait_sec = max(wait_sec, end_sec - own_left * 8e-6 / rate_mbps)
        helper = (wait_sec, rate_mbps)
        left += own_left
        helpers.append(helper)
        if holder.active > 1 or holder.accepts_ranges is False:
            bound.append((end_sec, own_left, helper))
    reading = {job.node_url for job in running}
    for url in {source.node_url for source in sources} - reading:
        node = nodes.node(url)
        if node.measured and node.accepts_ranges is not False:
            start_sec = max(busy_sec.get(url, 0.0), first_byte_sec(node, cold=False))
            helpers.append((start_sec, node.rate_mbps))
    even_sec = equal_finish_sec(left, helpers)
    for end_sec, own_left, helper in bound:
        if end_sec < even_sec:
            left -= own_left
            helpers.remove(helper)
    return equal_finish_sec(left, helpers)


def _owed(victim: Job, chunk: Wanted) -> Span | None:
    """Return the last bytes that the victim alone is to bring: a whole body runs over what others bring, too."""
    if not victim.whole_body and not chunk.tangled:
        return (victim.received_until, victim.end)
    missing = chunk.parts[victim.part].missing_within(victim.received_until, victim.end)
    if not victim.whole_body:
        # Of its bytes a body may have brought some.
        return missing[-1] if missing else None
    claims = [
        (job.received_until, job.end)
        for job in chunk.jobs.values()
        if job is not victim and job.part == victim.part
    ]
    return next(reversed(subtract(missing, claims)), None)


def _cut(
    thief: Node,
    victim: Job,
    seen: Outlook,
    owed: Span,
    wait_sec: float,
    even_sec: float,
) -> tuple[float, int] | None:
    """Return how much sooner the chunk is complete, and where the victim ends then; None for too few bytes."""
    begin, end = owed
    at, slow_mbps, left_sec = seen
    slow = slow_mbps * 1e6 / 8
    fast = thief.rate_mbps * 1e6 / 8
    # Its request travels while its running range ends.
    delay_sec = max(wait_sec, first_byte_sec(thief, cold=False))
    # How long until the victim's bytes come at all: nothing once they flow.
    begin_sec = max(0.0, left_sec - (victim.end - at) / slow)
    # begin + (cut - at) / slow = delay + (end - cut) / fast
    cut = (at / slow - begin_sec + delay_sec + end / fast) / (1 / slow + 1 / fast)
    # Others come to help, too: no more than leaves all of them an even share.
    cut = max(cut, begin, end - max(0.0, even_sec - delay_sec) * fast)
    # What comes until it is told would come twice.
    cut = max(cut, at + slow * COMMAND_SEC if victim.flowing else at)
    # Less than a byte is what rounding leaves.
    kept_sec = begin_sec + (cut - at) / slow if cut - at >= 1 else 0.0
    gain_sec = begin_sec + (end - at) / slow - max(kept_sec, delay_sec + (end - cut) / fast)
    cut_at = max(victim.received_until, round(cut))
    if end - cut_at >= MIN_STEAL_BYTES:
        return gain_sec, cut_at
    # So little is taken as a whole, from one that will hardly ever bring it.
    gain_sec = left_sec - delay_sec - (end - begin) / fast
    pays = gain_sec >= REST_GAIN_SEC and 0 < end - begin < REST_BYTES and victim.lanes == 1
    return (gain_sec, begin) if pays else None


def way_out(job: Job, node: Node, now_sec: float) -> int | None:
    """Return where a less urgent range should end so that its node's next request can leave now, None to let it be."""
    if not job.paced or job.cancelled or job.whole_body:
        return None
    at, rate_mbps, left_sec = outlook(job, node, now_sec)
    if left_sec < ahead_sec(node) + WAY_GAIN_SEC:
        return None
    # A little less than what lets the node be asked again.
    kept_sec = ahead_sec(node) - AHEAD_SEC / 2
    end = round(at + rate_mbps * 1e6 / 8 * kept_sec)
    return end if job.received_until < end < job.end else None
