"""Which node reads what is missing of a chunk; which running range is too late. Pure functions over the books.

No I/O, no clock, no randomness but the `rng` handed in.

The seed's score orders the nodes; the predicted finish guards it: a node that would miss the deadline is passed over
for the one that finishes first, even if that one is busy now.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass

from common.units import megabits_per_sec, transfer_sec
from scheduler.selection import Node, NodeBook
from scheduler.wanted import DATA_FRAGMENTS, Job, Source, Wanted

# At the very start nobody is known; the first ping answers name the nearest node within this time.
FIRST_SCORES_GRACE_SEC = 0.25
# What a node on probation may prove itself with.
PROBE_BYTES = 64 * 1024
# Nodes within this share of the best score are equals, and one of them is drawn (several clients must not herd).
EQUAL_SCORE_RATIO = 0.95
# A late range moves only for a real gain: half the time, and this much of it.
MOVE_GAIN_RATIO = 0.5
MOVE_GAIN_SEC = 0.25
# A rate needs this much to be more than the burst at the start of a transfer.
RATE_WINDOW_SEC = 0.25


@dataclass(frozen=True, slots=True)
class Choice:
    """Read bytes [start, end) of the source's part there."""

    source: Source
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Exhausted:
    """Every place that has the chunk has failed in this round."""


def choose(
    chunk: Wanted,
    nodes: NodeBook,
    jobs: Iterable[Job],
    now_sec: float,
    *,
    urgent: bool,
    rng: random.Random,
) -> Choice | Exhausted | None:
    """Return the next range of `chunk` to start now, None to wait for a busy node, or Exhausted."""
    parts = chunk.free_parts()
    if not parts:
        return None
    left = [
        s
        for s in chunk.sources()
        if s.part in parts and s.node_url not in chunk.excluded | chunk.banned
    ]
    if _too_few(chunk, left):
        return None if chunk.jobs else Exhausted()
    trusted = [s for s in left if not nodes.node(s.node_url).banned] or left
    usable = [s for s in trusted if nodes.node(s.node_url).breaker.state(now_sec) != "open"]
    if _too_few(chunk, usable):
        # With too few nodes left, refusing the suspended ones would refuse to play.
        usable = trusted
    if _worth_waiting_for_scores(chunk, usable, nodes, now_sec):
        return None
    if chunk.coded:
        usable = _data_first(chunk, usable, nodes, urgent=urgent)
    return _pick(chunk, usable, nodes, jobs, now_sec, urgent=urgent, rng=rng)


def _too_few(chunk: Wanted, sources: list[Source]) -> bool:
    if not chunk.coded:
        return not sources
    return len({s.part for s in sources} | chunk.claimed_parts()) < DATA_FRAGMENTS


def _worth_waiting_for_scores(
    chunk: Wanted, usable: list[Source], nodes: NodeBook, now_sec: float
) -> bool:
    if now_sec - chunk.seen_sec >= FIRST_SCORES_GRACE_SEC or len(usable) < 2:
        return False
    return not any(nodes.node(s.node_url).known for s in usable)


def _data_first(
    chunk: Wanted, usable: list[Source], nodes: NodeBook, *, urgent: bool
) -> list[Source]:
    """Leave parities out unless the data fragments' nodes cannot all be had, or are busy while it is urgent."""
    data = [s for s in usable if s.part < DATA_FRAGMENTS]
    idle = [s for s in data if nodes.node(s.node_url).active == 0]
    needed = DATA_FRAGMENTS - len(chunk.claimed_parts())
    offered = idle if urgent else data
    return data if len({s.part for s in offered}) >= needed else usable


def _pick(
    chunk: Wanted,
    usable: list[Source],
    nodes: NodeBook,
    jobs: Iterable[Job],
    now_sec: float,
    *,
    urgent: bool,
    rng: random.Random,
) -> Choice | None:
    busy_for_sec: dict[str, float] = {}
    for job in jobs:
        busy_for_sec[job.node_url] = busy_for_sec.get(job.node_url, 0.0) + remaining_sec(
            job, nodes.node(job.node_url), now_sec
        )
    best: tuple[float, float, Source] | None = None
    soonest: tuple[float, Source] | None = None

    def rank(source: Source) -> tuple[bool, float]:
        node = nodes.node(source.node_url)
        return node.breaker.state(now_sec) != "closed", -node.loaded_score()

    for source in sorted(usable, key=rank):
        node = nodes.node(source.node_url)
        start, end = chunk.free_spans(source.part)[0]
        finish_sec = busy_for_sec.get(node.node_url, 0.0) + node.expected_sec(
            bytes_needed(node, start, end)
        )
        if soonest is None or finish_sec < soonest[0]:
            soonest = (finish_sec, source)
        if node.active:
            continue
        if not urgent and _on_probation(node, now_sec):
            whole = node.accepts_ranges is False
            return Choice(source, start, end if whole else min(end, start + PROBE_BYTES))
        if now_sec + finish_sec > chunk.deadline_sec:
            continue
        score = node.loaded_score()
        if best is None:
            best = (score, score, source)
        elif score >= best[0] * EQUAL_SCORE_RATIO and rng.random() < 0.5:
            best = (best[0], score, source)
    chosen = best[2] if best is not None else soonest[1] if soonest is not None else None
    if chosen is None or nodes.node(chosen.node_url).active:
        return None
    start, end = chunk.free_spans(chosen.part)[0]
    return Choice(chosen, start, end)


def _on_probation(node: Node, now_sec: float) -> bool:
    return node.breaker.state(now_sec) != "closed" or node.stale(now_sec)


def bytes_needed(node: Node, start: int, end: int) -> int:
    """Return what the node must send for [start, end): without `Range` everything up to its end."""
    return end if node.accepts_ranges is False else end - start


def remaining_sec(job: Job, node: Node, now_sec: float) -> float:
    """Return how long a running range still needs, by its own pace once it has one."""
    if job.rate_mbps is not None:
        return transfer_sec(job.remaining, job.rate_mbps)
    waited_sec = now_sec - job.begun_sec
    return max(node.expected_sec(job.remaining) - waited_sec, 0.0)


def measure(job: Job, node: Node, now_sec: float) -> None:
    """Fold fresh bytes of a running range into its pace and into its node's rate."""
    if job.measured_sec is None:
        # The clock starts with the first bytes: what came before was the round trip.
        job.measured_sec, job.measured_until = now_sec, job.received_until
        return
    span_sec = now_sec - job.measured_sec
    if span_sec < RATE_WINDOW_SEC:
        return
    size = job.received_until - job.measured_until
    job.rate_mbps = megabits_per_sec(size, span_sec)
    job.measured_sec, job.measured_until = now_sec, job.received_until
    node.note_progress(size, span_sec, now_sec)


def late_jobs(jobs: Iterable[Job], nodes: NodeBook, now_sec: float) -> list[Job]:
    """Return ranges that will miss their deadline while an idle node would bring the rest much sooner."""
    late: list[Job] = []
    promised: set[str] = set()
    for job in sorted(jobs, key=lambda j: j.chunk.deadline_sec):
        if job.cancelled or job.rate_mbps is None:
            continue
        left_sec = remaining_sec(job, nodes.node(job.node_url), now_sec)
        if now_sec + left_sec <= job.chunk.deadline_sec:
            continue
        rescuer = _rescuer(job, nodes, now_sec, left_sec, promised)
        if rescuer is not None:
            promised.add(rescuer)
            late.append(job)
    return late


def _rescuer(
    job: Job, nodes: NodeBook, now_sec: float, left_sec: float, promised: set[str]
) -> str | None:
    for source in job.chunk.sources():
        node = nodes.node(source.node_url)
        if (
            source.part != job.part
            or node.active
            or node.banned
            or node.node_url in promised | job.chunk.excluded | job.chunk.banned
            or node.breaker.state(now_sec) != "closed"
        ):
            continue
        needed = bytes_needed(node, job.received_until, job.end)
        there_sec = node.expected_sec(needed)
        if there_sec < left_sec * MOVE_GAIN_RATIO and left_sec - there_sec > MOVE_GAIN_SEC:
            return node.node_url
    return None
