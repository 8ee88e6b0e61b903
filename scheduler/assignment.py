"""What an idle node should read next: the most urgent free range, or a part of somebody's late one. Pure functions.

No I/O, no clock, no randomness but the `rng` handed in.

One rule does most of the work: an idle capable node always takes the most urgent free range. The rest bounds how
much it takes, so that all nodes of an urgent chunk end together, and takes work back from nodes that turn out slow.
"""

from __future__ import annotations

from dataclasses import dataclass

from common.units import megabits_per_sec, transfer_sec
from scheduler.bytemap import Span, subtract
from scheduler.selection import MIN_RATE_SAMPLE_BYTES, Node, NodeBook
from scheduler.wanted import DATA_FRAGMENTS, Job, Source, Wanted

# A range lasts about this long at its node, or two round trips where those are longer.
RANGE_SEC = 0.2
RANGE_ROUND_TRIPS = 2.0
MIN_RANGE_BYTES = 64 * 1024
MAX_RANGE_BYTES = 1024 * 1024
# The last shares of an urgent chunk may be small: what counts is that all nodes end together.
MIN_SHARE_BYTES = 8 * 1024
# A message to the worker and its request take this long before the node sees it.
COMMAND_SEC = 0.005
# The next request leaves when less than a round trip and this is left of the running one.
AHEAD_SEC = 0.02
# Running ranges are reported every 100 ms; half as much again is no silence.
REPORT_SEC = 0.15
# The longer nothing comes, the less likely it is a pause: after 0.5 s the pace counts as a fortieth.
QUIET_POWER = 3
QUIET_SEC = 0.2
# A theft must pay: this much sooner, and this many bytes.
STEAL_GAIN_SEC = 0.03
MIN_STEAL_BYTES = 4 * 1024
WHOLE_BODY_GAIN_RATIO = 0.5
# A range without its first byte is left alone until it is this much later than expected.
OVERDUE_RATIO = 1.5
# What a node on probation may prove itself with.
PROBE_BYTES = 64 * 1024
# A rate needs this much to be more than the burst at the start of a transfer.
RATE_WINDOW_SEC = 0.09
# On a slow link even that is a handful of packets; then longer is waited for.
LONG_RATE_WINDOW_SEC = 0.4
# A range's own pace is guessed from less: a wrong guess is corrected by the next report.
MIN_PACE_SEC = 0.02


@dataclass(frozen=True, slots=True)
class Choice:
    """Read bytes [start, end) of the source's part there."""

    source: Source
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Theft:
    """Let `victim` end at `cut`, and read the rest as `choice`."""

    victim: Job
    cut: int
    choice: Choice


# ---------------------------------------------------------------- who may serve


def usable_sources(chunk: Wanted, nodes: NodeBook, now_sec: float) -> list[Source]:
    """Return the places a chunk may be read from now; empty when this round is exhausted."""
    left = [s for s in chunk.sources() if s.node_url not in chunk.excluded | chunk.banned]
    if _too_few(chunk, left):
        return []
    trusted = [s for s in left if not nodes.node(s.node_url).banned]
    trusted = left if _too_few(chunk, trusted) else trusted
    usable = [s for s in trusted if nodes.node(s.node_url).breaker.state(now_sec) != "open"]
    # With too few nodes left, refusing the suspended ones would refuse to play.
    return trusted if _too_few(chunk, usable) else usable


def _too_few(chunk: Wanted, sources: list[Source]) -> bool:
    if not chunk.coded:
        return not sources
    whole = {index for index, part in chunk.parts.items() if part.complete}
    running = {job.part for job in chunk.jobs.values()}
    return len({s.part for s in sources} | whole | running) < DATA_FRAGMENTS


# ---------------------------------------------------------------- how long things take


def position(job: Job, now_sec: float) -> float:
    """Return where a running range probably is: reports are up to 100 ms old."""
    if job.rate_mbps is None:
        return job.received_until
    age_sec = min(now_sec - job.progress_sec, REPORT_SEC)
    return min(job.end, job.received_until + job.rate_mbps * 1e6 / 8 * age_sec)


def pace_mbps(job: Job, node: Node, now_sec: float) -> float:
    """Return the rate of a running range: its own once it has one, else its node's.

    Without news for longer than reports take, it falls with the time that has passed.
    """
    rate = job.rate_mbps if job.rate_mbps is not None else node.rate_mbps
    quiet_sec = now_sec - job.progress_sec
    if job.flowing and quiet_sec > REPORT_SEC:
        rate *= (REPORT_SEC / quiet_sec) ** QUIET_POWER
    return rate


def is_quiet(job: Job, now_sec: float) -> bool:
    """Whether a range that was flowing brings nothing: its node gets no more work until it does."""
    return job.flowing and now_sec - job.progress_sec > QUIET_SEC


def remaining_sec(job: Job, node: Node, now_sec: float) -> float:
    """Return how long a running range still needs."""
    left = job.end - position(job, now_sec)
    if job.whole_body:
        # What comes before the first byte of use.
        left += max(0, job.start - job.received_bytes)
    left_sec = transfer_sec(max(0, round(left)), pace_mbps(job, node, now_sec))
    if job.flowing:
        return left_sec
    first_sec = max(0.0, job.begun_sec + first_byte_sec(node, cold=job.cold) - now_sec)
    return first_sec + left_sec


def first_byte_sec(node: Node, *, cold: bool) -> float:
    """Return how long after the decision the first byte comes."""
    return node.latency_sec * (2 if cold else 1) + COMMAND_SEC


def measure(job: Job, node: Node, now_sec: float) -> None:
    """Fold fresh bytes of a running range into its pace and, once they say enough, into its node's rate."""
    if job.measured_sec is None:
        # What came before the first bytes was the round trip.
        expected_sec = job.begun_sec + first_byte_sec(node, cold=job.cold)
        job.measured_sec = min(job.headed_sec or expected_sec, now_sec)
        job.measured_until = job.start
    span_sec = now_sec - job.measured_sec
    size = job.received_until - job.measured_until
    if span_sec < MIN_PACE_SEC:
        return
    sample = megabits_per_sec(size, span_sec)
    enough = span_sec >= RATE_WINDOW_SEC and (
        size >= MIN_RATE_SAMPLE_BYTES or span_sec >= LONG_RATE_WINDOW_SEC
    )
    if job.rate_mbps is None or enough:
        job.rate_mbps = sample
    if enough:
        node.note_progress(sample, now_sec)
        job.measured_sec, job.measured_until = now_sec, job.received_until


# ---------------------------------------------------------------- taking free ranges


def next_range(
    node: Node,
    chunk: Wanted,
    sources: list[Source],
    nodes: NodeBook,
    busy_sec: dict[str, float],
    now_sec: float,
    *,
    urgent: bool,
    starting: bool,
) -> Choice | None:
    """Return the free range of `chunk` that `node` should read, None when there is none for it.

    `busy_sec` says how long each node is busy still; `starting` that an earlier chunk is due already.
    """
    mine = [s for s in sources if s.node_url == node.node_url]
    for source in mine:
        spans = chunk.free_spans(source.part)
        if not spans:
            continue
        if not urgent and _taken_by_others(chunk, source, node):
            continue
        start, end = spans[0]
        if node.accepts_ranges is False and _sooner_elsewhere(
            node, chunk, (start, end), sources, nodes, busy_sec
        ):
            continue
        if not urgent and node.on_probation(now_sec) and node.accepts_ranges is not False:
            return Choice(source, start, min(end, start + PROBE_BYTES))
        size = _size(node, chunk, sources, nodes, busy_sec, urgent=urgent, starting=starting)
        if node.accepts_ranges is False:
            # Its body comes from the beginning whatever is asked: the rest is taken from it by others.
            size = end - start
        if size <= 0:
            continue
        if end - start - size < MIN_SHARE_BYTES:
            size = end - start
        return Choice(source, start, start + size)
    return None


def _sooner_elsewhere(
    node: Node,
    chunk: Wanted,
    span: Span,
    sources: list[Source],
    nodes: NodeBook,
    busy_sec: dict[str, float],
) -> bool:
    """Whether a node with `Range` brings the rest of a part before `node` has sent everything up to its end."""
    start, end = span
    mine_sec = node.expected_sec(end)
    for source in sources if start else ():
        other = nodes.node(source.node_url)
        # It must be able to bring these bytes: another fragment may be through there.
        if other.accepts_ranges is not False and not subtract(
            [span], chunk.free_spans(source.part)
        ):
            wait_sec = busy_sec.get(other.node_url, 0.0)
            if wait_sec + other.expected_sec(end - start) < mine_sec:
                return True
    return False


def _taken_by_others(chunk: Wanted, source: Source, node: Node) -> bool:
    """In relaxed mode one node reads a part; three data fragments count as three parts."""
    if any(
        job.node_url != node.node_url and job.part == source.part for job in chunk.jobs.values()
    ):
        return True
    if not chunk.coded:
        return False
    return source.part >= DATA_FRAGMENTS and _data_available(chunk)


def _data_available(chunk: Wanted) -> bool:
    data = {f.fragment_index: f for f in chunk.spec.fragments if f.fragment_index < DATA_FRAGMENTS}
    gone = chunk.excluded | chunk.banned
    return len(data) == DATA_FRAGMENTS and all(
        any(s.node_url not in gone for s in chunk.sources() if s.part == index) for index in data
    )


def _size(
    node: Node,
    chunk: Wanted,
    sources: list[Source],
    nodes: NodeBook,
    busy_sec: dict[str, float],
    *,
    urgent: bool,
    starting: bool,
) -> int:
    if not urgent:
        return MAX_RANGE_BYTES
    share = fair_share(node, chunk, sources, nodes, busy_sec)
    if not node.measured:
        return min(MAX_RANGE_BYTES, max(share, MIN_SHARE_BYTES))
    per_sec = node.rate_mbps * 1e6 / 8
    length_sec = max(RANGE_SEC, RANGE_ROUND_TRIPS * node.latency_sec)
    size = min(MAX_RANGE_BYTES, max(MIN_RANGE_BYTES, round(per_sec * length_sec)))
    if starting:
        # Later chunks get no more than keeps the link busy until the urgent one may need it.
        return min(size, max(MIN_RANGE_BYTES, round(per_sec * node.latency_sec)))
    return max(MIN_SHARE_BYTES, min(size, share))


def fair_share(
    node: Node,
    chunk: Wanted,
    sources: list[Source],
    nodes: NodeBook,
    busy_sec: dict[str, float],
) -> int:
    """Return the node's part of the chunk's free bytes such that all its nodes end together (water filling)."""
    helpers = {s.node_url for s in sources}
    starts = sorted(
        (busy_sec.get(url, 0.0) + first_byte_sec(nodes.node(url), cold=False), url)
        for url in helpers
    )
    left = float(chunk.free_bytes)
    per_sec, level_sec, mine_sec = 0.0, 0.0, 0.0
    for index, (at_sec, url) in enumerate(starts):
        if url == node.node_url:
            mine_sec = at_sec
        if per_sec:
            fits = per_sec * (at_sec - level_sec)
            if fits >= left:
                break
            left -= fits
        level_sec = at_sec
        per_sec += nodes.node(url).rate_mbps * 1e6 / 8
        if index == len(starts) - 1:
            break
    end_sec = level_sec + left / max(per_sec, 1.0)
    mine_sec = busy_sec.get(node.node_url, 0.0) + first_byte_sec(node, cold=False)
    return max(0, round(node.rate_mbps * 1e6 / 8 * (end_sec - mine_sec)))


# ---------------------------------------------------------------- stealing


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
    thief is busy still.
    """
    if not thief.measured or thief.breaker.state(now_sec) != "closed":
        return None
    own = {s.part: s for s in sources if s.node_url == thief.node_url}
    best: tuple[float, Theft] | None = None
    for victim in chunk.jobs.values():
        if victim.node_url == thief.node_url or victim.cancelled:
            continue
        holder = nodes.node(victim.node_url)
        if not victim.flowing and not _overdue(victim, holder, now_sec):
            continue
        source = _stand_in(victim, chunk, own)
        if source is None:
            continue
        found = _cut(thief, holder, victim, source, now_sec, wait_sec)
        if found is not None and (best is None or found[0] > best[0]):
            best = found
    return best[1] if best is not None else None


def _overdue(job: Job, node: Node, now_sec: float) -> bool:
    return now_sec - job.begun_sec > OVERDUE_RATIO * first_byte_sec(node, cold=job.cold) + AHEAD_SEC


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
    delay_sec = wait_sec + first_byte_sec(thief, cold=False)
    victim_sec = remaining_sec(victim, holder, now_sec)
    if thief.accepts_ranges is False:
        cut, both_sec = at, delay_sec + victim.end / fast
    else:
        # (cut - at) / slow = delay + (end - cut) / fast
        cut = (at / slow + delay_sec + victim.end / fast) / (1 / slow + 1 / fast)
        cut = max(cut, at)
        both_sec = max((cut - at) / slow, delay_sec + (victim.end - cut) / fast)
    gain_sec = victim_sec - both_sec
    if thief.accepts_ranges is False and gain_sec < WHOLE_BODY_GAIN_RATIO * victim_sec:
        # It sends again what is held already: that must pay well.
        return None
    cut_at = max(victim.received_until, round(cut))
    if gain_sec < STEAL_GAIN_SEC or victim.end - cut_at < MIN_STEAL_BYTES:
        return None
    return gain_sec, Theft(victim, cut_at, Choice(source, cut_at, victim.end))
