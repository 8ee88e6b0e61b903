"""What must hold after every event in a simulated world, whatever befalls it."""

from __future__ import annotations

from collections import Counter

from common.messages import FetchRange
from common.units import transfer_sec
from scheduler.assignment import MIN_SHARE_BYTES, usable_sources
from scheduler.bytemap import subtract
from scheduler.commands import Command, SendJob
from scheduler.lanes import MAX_LANES
from scheduler.planner import Event
from scheduler.wanted import WHOLE, Job, Wanted
from simulation.homes import SLOTS
from simulation.world import World

# One that is sent and one asked ahead; over long round trips some, and as many asked ahead.
MAX_RANGES_PER_NODE = 2
MAX_RANGES_OVER_LONG_TRIPS = 2 * MAX_LANES
# What a message to a worker takes beside the round trip.
TRAVEL_SEC = 0.01


def check(world: World, event: Event | None, commands: list[Command]) -> None:
    """Compare the planner's books with each other, with the limits and with what the workers hold."""
    _books_agree(world)
    _limits_are_kept(world)
    _free_bytes_add_up(world)
    for command in commands:
        if isinstance(command, SendJob) and isinstance(command.msg, FetchRange):
            _asks_for_what_nobody_brings(world, command.msg)
    if event is None:
        # Only a tick looks at everything; between two of them a wait may have run out unseen.
        _no_capable_node_idles(world)
        _held_bytes_are_held(world)


def _books_agree(world: World) -> None:
    planner = world.planner
    jobs = list(planner.jobs)
    busy = Counter(job.node_url for job in jobs)
    assert {n.node_url: n.active for n in planner.nodes if n.active} == busy
    assert {job.job_id for job in jobs} == {j for c in planner.chunks for j in c.jobs}
    for chunk in planner.chunks:
        assert (chunk.lease_id == "") == (chunk.worker_id == "")
    leases = {c.lease_id for c in planner.chunks if c.lease_id}
    assert {lease for w in planner.workers.workers for lease in w.leases} == leases


def _free_bytes_add_up(world: World) -> None:
    for chunk in world.planner.chunks:
        if not chunk.coded and chunk.verifying_sec is None:
            spans = chunk.free_spans(WHOLE)
            assert chunk.free_bytes == sum(end - start for start, end in spans)


def _limits_are_kept(world: World) -> None:
    planner = world.planner
    at_node: dict[str, list[Job]] = {}
    for job in planner.jobs:
        at_node.setdefault(job.node_url, []).append(job)
    for jobs in at_node.values():
        _ranges_of_a_node_are_few(jobs)
    by_session: dict[str, set[str]] = {}
    for job in planner.jobs:
        by_session.setdefault(job.chunk.session_id, set()).add(job.chunk.spec.chunk_id)
    assert all(len(chunks) <= planner.max_active_chunks for chunks in by_session.values())
    assert all(SLOTS - len(worker.leases) >= 0 for worker in planner.workers.workers), "credit"


def _ranges_of_a_node_are_few(jobs: list[Job]) -> None:
    """One and the next; over a long round trip some side by side, then as many, none of them a whole body."""
    assert all(1 <= job.lanes <= MAX_LANES for job in jobs)
    if all(job.lanes == 1 for job in jobs):
        assert len(jobs) <= MAX_RANGES_PER_NODE
        return
    assert len(jobs) <= MAX_RANGES_OVER_LONG_TRIPS
    assert sum(not job.flowing for job in jobs) <= MAX_LANES
    assert sum(job.whole_body for job in jobs) <= 1


def _asks_for_what_nobody_brings(world: World, fetch: FetchRange) -> None:
    found = [job for job in world.planner.jobs if job.job_id == fetch.job_id]
    if not found:
        return
    (job,) = found
    chunk = job.chunk
    assert job.lanes == 1 or chunk.is_urgent(world.now_sec), "later bytes go side by side"
    if any(other.whole_body and other.part == job.part for other in chunk.jobs.values()):
        # A body begins at 0 whatever is held; several may race until their rates compare.
        return
    assert chunk.parts[job.part].missing_within(job.start, job.end) == [(job.start, job.end)]
    others = [o for o in chunk.jobs.values() if o is not job and o.part == job.part]
    for other in others:
        if not other.cancelled:
            assert not _overlap(job, other), "two ranges bring the same bytes"


def _overlap(job: Job, other: Job) -> bool:
    return max(job.start, other.received_until) < min(job.end, other.end)


def _no_capable_node_idles(world: World) -> None:
    """An idle node that answers ranges never waits while it could bring free bytes of the most urgent chunk in time."""
    planner, now_sec = world.planner, world.now_sec
    if planner.workers.freest() is None:
        return
    chunk = _most_urgent(world)
    if chunk is None or (not chunk.jobs and len(_in_work(world)) >= planner.max_active_chunks):
        return
    sources = usable_sources(chunk, planner.nodes, now_sec, urgent=True)
    nodes = {s.node_url: planner.nodes.node(s.node_url) for s in sources}
    left = chunk.free_bytes + sum(job.remaining for job in chunk.jobs.values())
    for source in sources:
        node = nodes[source.node_url]
        others = sum(n.rate_mbps for n in nodes.values() if n is not node)
        least_sec = TRAVEL_SEC + node.expected_sec(MIN_SHARE_BYTES)
        if others and least_sec >= transfer_sec(left, others):
            # Its smallest range would end after the others' last one.
            continue
        if node.active == 0 and node.accepts_ranges is not False:
            assert not chunk.free_spans(source.part), (
                f"{node.node_url} idles while {chunk.spec.chunk_id} has free bytes"
            )


def _reading(world: World) -> set[str]:
    return {job.chunk.spec.chunk_id for job in world.planner.jobs}


def _in_work(world: World) -> set[str]:
    """Chunks that are read, and those whose verdict is on its way."""
    verifying = [c for c in world.planner.chunks if c.verifying_sec is not None]
    waited_for = {c.spec.chunk_id for c in verifying if c.delivered_sec is None}
    return _reading(world) | waited_for


def _most_urgent(world: World) -> Wanted | None:
    waiting = [
        chunk
        for chunk in world.planner.chunks
        if chunk.delivered_sec is None
        and chunk.verifying_sec is None
        and chunk.retry_at_sec <= world.now_sec
        and usable_sources(chunk, world.planner.nodes, world.now_sec, urgent=True)
    ]
    return min(waiting, key=lambda c: (c.deadline_sec, c.spec.sequence_num), default=None)


def _bodies_overlap(chunk: Wanted, world: World) -> bool:
    """Whether a second copy of bytes may be under way that the worker throws away.

    Bytes discarded meanwhile are then missed late: when no verdict comes, the chunk moves.
    """
    nodes = world.planner.nodes
    return any(nodes.node(url).accepts_ranges is False for url in chunk.node_urls())


def _held_bytes_are_held(world: World) -> None:
    """What the planner counts as held lies at the worker: bytes it forgot would be orphans."""
    for chunk in world.planner.chunks:
        worker = world.workers.get(chunk.worker_id)
        assembly = worker.assemblies.get(chunk.lease_id) if worker is not None else None
        if assembly is None or _bodies_overlap(chunk, world):
            continue
        for index, part in chunk.parts.items():
            spans = [(c.start, c.end) for c in part.contributions]
            held = [(c.start, c.end) for c in assembly.parts[index].contributions]
            assert not subtract(spans, held), "bytes are counted as held that no worker has"
