"""What an idle node should read next: the most urgent free range, and how much of it. Pure functions.

No I/O, no clock, no randomness.

One rule does most of the work: an idle capable node always takes the most urgent free range. The rest bounds how
much it takes, so that all nodes of an urgent chunk end together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from common.units import transfer_sec
from scheduler.bytemap import Span, subtract
from scheduler.lanes import lanes
from scheduler.selection import Node, NodeBook
from scheduler.timing import first_byte_sec
from scheduler.wanted import DATA_FRAGMENTS, Source, Wanted

# A range lasts about this long at its node, or two round trips where those are longer.
RANGE_SEC = 0.2
RANGE_ROUND_TRIPS = 2.0
MIN_RANGE_BYTES = 64 * 1024
MAX_RANGE_BYTES = 1024 * 1024
# On links this fast a request costs more than dividing gains: a share is not less than this, a range may be longer.
FAST_RATE_MBPS = 200.0
FAST_SHARE_SEC = 0.01
FAST_RANGE_SEC = 0.05
# At least as much of a later chunk may be asked for while an earlier one is due.
LATER_BYTES = 32 * 1024
# The last shares of an urgent chunk may be small: what counts is that all nodes end together.
MIN_SHARE_BYTES = 8 * 1024
# What a node on probation may prove itself with.
PROBE_BYTES = 64 * 1024
# What others get of a chunk that a node without `Range` begins: enough to measure them; then they take from its tail.
FIRST_TAIL_BYTES = 128 * 1024


@dataclass(frozen=True, slots=True)
class Choice:
    """Read bytes [start, end) of the source's part there."""

    source: Source
    start: int
    end: int
    # How many ranges the node sends at a time, this one among them.
    lanes: int = 1


# ---------------------------------------------------------------- who may serve


def usable_sources(chunk: Wanted, nodes: NodeBook, now_sec: float, *, urgent: bool) -> list[Source]:
    """Return the places a chunk may be read from now; empty when this round is exhausted."""
    usable = _trusted(chunk, nodes, now_sec, urgent=urgent)
    return _of_one(chunk, usable, nodes) if chunk.apart and usable else usable


def _of_one(chunk: Wanted, sources: list[Source], nodes: NodeBook) -> list[Source]:
    """Return what one node has: the one that sends already, or the best of those that lied least."""
    running = {job.node_url for job in chunk.jobs.values()}
    begun = running or chunk.bytes_by_node().keys()

    def rank(node_url: str) -> tuple[bool, int, float, str]:
        node = nodes.node(node_url)
        return (node_url not in begun, node.offences, -node.score, node_url)

    best = min(_nodes_of(sources), key=rank)
    return [source for source in sources if source.node_url == best]


def _trusted(chunk: Wanted, nodes: NodeBook, now_sec: float, *, urgent: bool) -> list[Source]:
    usable = chunk.sources()
    if chunk.excluded or chunk.banned:
        gone = chunk.excluded | chunk.banned
        usable = [s for s in usable if s.node_url not in gone]
    if _too_few(chunk, usable):
        return []
    for source in usable:
        if not nodes.node(source.node_url).blameless:
            break
    else:
        return usable
    # Each of these is left out only where enough others remain: refusing them all would refuse to play.
    doubts: tuple[Callable[[Node], bool], ...] = (
        lambda node: node.banned,
        lambda node: node.unanswering or node.owes_first_word(now_sec),
        # Wrong bytes cost a second read of the chunk.
        lambda node: urgent and node.offences > 0,
        lambda node: node.cuts(chunk.part_bytes, now_sec),
        lambda node: node.breaker.state(now_sec) == "open",
    )
    trusted = usable = list(usable)
    for unfit in doubts:
        fit = [s for s in usable if not unfit(nodes.node(s.node_url))]
        trusted, usable = usable, usable if _too_few(chunk, fit) else fit
    # With most nodes suspended the fault is likely to be ours, or over by now.
    return trusted if 2 * len(_nodes_of(usable)) < len(_nodes_of(trusted)) else usable


def _nodes_of(sources: list[Source]) -> set[str]:
    return {source.node_url for source in sources}


def _too_few(chunk: Wanted, sources: list[Source]) -> bool:
    if not chunk.coded:
        return not sources
    whole = {index for index, part in chunk.parts.items() if part.complete}
    running = {job.part for job in chunk.jobs.values()}
    return len({s.part for s in sources} | whole | running) < DATA_FRAGMENTS


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
    leading: bool,
    starting: bool,
) -> Choice | None:
    """Return the free range of `chunk` that `node` should read, None when there is none for it.

    `busy_sec` says how long each node is busy still; `leading` that no chunk is more urgent; `starting` that an earlier
    chunk is due already.
    """
    ranged = node.accepts_ranges is not False
    for source in sources:
        if source.node_url != node.node_url:
            continue
        spans = chunk.next_spans(source.part)
        if not spans:
            continue
        if not urgent and _taken_by_others(chunk, source, node, sources):
            continue
        from_tail = ranged and _begun_by_a_body(source, sources, nodes)
        start, end = spans[-1 if from_tail else 0]
        if not ranged and _sooner_elsewhere(node, chunk, (start, end), sources, nodes, busy_sec):
            continue
        if ranged and (node.doubtful(now_sec) if urgent else node.on_probation(now_sec)):
            return Choice(source, start, min(end, start + PROBE_BYTES))
        count = lanes(node) if urgent and ranged and not from_tail else 1
        size = _size(
            node,
            chunk,
            sources,
            nodes,
            busy_sec,
            urgent=urgent,
            leading=leading,
            starting=starting,
        )
        if not ranged:
            size = _body_size((start, end), node, sources, nodes, urgent=urgent)
        if size <= 0:
            continue
        if count > 1:
            running = sum(job.node_url == node.node_url for job in chunk.jobs.values())
            # What is left of its share goes to the lanes that are left.
            size = max(MIN_SHARE_BYTES, math.ceil(size / max(1, count - running)))
        if end - start - size < _least_share(node):
            size = end - start
        if from_tail:
            return Choice(source, end - size, end, count)
        return Choice(source, start, start + size, count)
    return None


def _body_size(
    span: Span, node: Node, sources: list[Source], nodes: NodeBook, *, urgent: bool
) -> int:
    """Return how much a node without `Range` claims: its body goes on anyway, and others take from its tail."""
    start, end = span
    if not urgent or start:
        return end - start
    others = [nodes.node(s.node_url) for s in sources if s.node_url != node.node_url]
    helpers = [other for other in others if other.accepts_ranges is not False]
    # Those whose rate is known take from its tail at once.
    tails = sum(not helper.measured for helper in helpers)
    return max(1, (end - start) // 2, end - start - FIRST_TAIL_BYTES * tails)


def _begun_by_a_body(source: Source, sources: list[Source], nodes: NodeBook) -> bool:
    """Whether a node without `Range` may bring the part: its beginning is left to it, others take from the tail."""
    return any(
        s.part == source.part and nodes.node(s.node_url).accepts_ranges is False for s in sources
    )


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


def _taken_by_others(chunk: Wanted, source: Source, node: Node, sources: list[Source]) -> bool:
    """In relaxed mode one node reads a part; three data fragments count as three parts."""
    if any(
        job.node_url != node.node_url and job.part == source.part for job in chunk.jobs.values()
    ):
        return True
    if not chunk.coded:
        return False
    return source.part >= DATA_FRAGMENTS and _data_available(chunk, sources)


def _data_available(chunk: Wanted, sources: list[Source]) -> bool:
    """Whether all data fragments are here or can be had from nodes that are asked."""
    asked = {source.part for source in sources}
    return all(
        part in asked or (part in chunk.parts and chunk.parts[part].complete)
        for part in range(DATA_FRAGMENTS)
    )


def _size(
    node: Node,
    chunk: Wanted,
    sources: list[Source],
    nodes: NodeBook,
    busy_sec: dict[str, float],
    *,
    urgent: bool,
    leading: bool,
    starting: bool,
) -> int:
    if not urgent:
        return _longest_range(node)
    share = fair_share(node, chunk, sources, nodes, busy_sec)
    if leading and not share and not _in_time(node, busy_sec):
        # Even the smallest range would end after all the others.
        return 0
    if not node.measured:
        return min(MAX_RANGE_BYTES, max(share, MIN_SHARE_BYTES))
    per_sec = node.rate_mbps * 1e6 / 8
    length_sec = max(RANGE_SEC, RANGE_ROUND_TRIPS * node.latency_sec)
    share = max(share, _least_share(node))
    size = min(_longest_range(node), max(MIN_RANGE_BYTES, round(per_sec * length_sec)))
    if starting:
        # Later chunks get no more than keeps the link busy until the urgent one may need it.
        return min(size, max(LATER_BYTES, round(per_sec * node.latency_sec)))
    return min(size, share)


def _in_time(node: Node, busy_sec: dict[str, float]) -> bool:
    """Whether the smallest range ends before others do: whoever ends sooner can then help those."""
    end_sec = first_byte_sec(node, cold=False) + transfer_sec(MIN_SHARE_BYTES, node.rate_mbps)
    return end_sec < max(busy_sec.values(), default=0.0)


def _least_share(node: Node) -> int:
    if node.rate_mbps < FAST_RATE_MBPS:
        return MIN_SHARE_BYTES
    return round(node.rate_mbps * 1e6 / 8 * FAST_SHARE_SEC)


def _longest_range(node: Node) -> int:
    if node.rate_mbps < FAST_RATE_MBPS:
        return MAX_RANGE_BYTES
    return max(MAX_RANGE_BYTES, round(node.rate_mbps * 1e6 / 8 * FAST_RANGE_SEC))


def fair_share(
    node: Node,
    chunk: Wanted,
    sources: list[Source],
    nodes: NodeBook,
    busy_sec: dict[str, float],
) -> int:
    """Return the node's part of the chunk's free bytes such that all its nodes end together (water filling)."""
    starts: dict[str, float] = {}
    for source in sources:
        # Of a coded chunk a node can only bring positions that it does not bring already.
        if source.node_url != node.node_url and chunk.coded and not chunk.free_spans(source.part):
            continue
        other = nodes.node(source.node_url)
        start_sec = max(busy_sec.get(source.node_url, 0.0), first_byte_sec(other, cold=False))
        if other.accepts_ranges is False:
            # Its body begins at 0 whatever is free.
            spans = chunk.free_spans(source.part)
            start_sec += transfer_sec(spans[0][0], other.rate_mbps) if spans else 0.0
        starts[source.node_url] = start_sec
    helpers = [(at_sec, nodes.node(url).rate_mbps) for url, at_sec in starts.items()]
    end_sec = equal_finish_sec(chunk.free_bytes, helpers)
    return max(0, math.ceil(node.rate_mbps * 1e6 / 8 * (end_sec - starts[node.node_url])))


def equal_finish_sec(size_bytes: float, helpers: Iterable[tuple[float, float]]) -> float:
    """Return after how long helpers have brought `size_bytes` together: pairs of when they start and Mbit/s."""
    left, per_sec, level_sec = size_bytes, 0.0, 0.0
    for at_sec, rate_mbps in sorted(helpers):
        fits = per_sec * (at_sec - level_sec)
        if fits >= left:
            # It could begin only when all is done.
            break
        left, level_sec = left - fits, at_sec
        per_sec += rate_mbps * 1e6 / 8
    return level_sec + left / max(per_sec, 1.0)
