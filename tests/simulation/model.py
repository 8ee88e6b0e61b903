"""A small world for the planner in virtual time: nodes with links and faults, workers that may die, a buffer that asks.

Steps of 50 ms. The model answers the planner's commands as real workers do and checks, at every step, what must always
hold.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field

from common.messages import (
    CancelRange,
    ChunkFinished,
    ChunkSpec,
    CloseChunk,
    DiscardRange,
    FetchRange,
    JobProgress,
    OpenChunk,
    RangeFinished,
    RangeOutcome,
    RangeProgress,
)
from common.units import node_of
from scheduler.bytemap import ByteMap
from scheduler.commands import Command, SendJob
from scheduler.planner import Event, Planner
from scheduler.wanted import DATA_FRAGMENTS, WHOLE
from tests.builders import a_beat, a_demand, a_score, scores

STEP_SEC = 0.05
BEAT_STEPS = 20
PROGRESS_STEPS = 2


@dataclass(frozen=True)
class Trouble:
    """From `at_sec` on, for `for_sec`, a node refuses, is silent, or sends wrong bytes."""

    kind: RangeOutcome | str
    at_sec: float
    for_sec: float


@dataclass(frozen=True)
class NodePlan:
    """One node's link and what befalls it."""

    rate_mbps: float
    rtt_sec: float
    accepts_ranges: bool = True
    lacks: frozenset[int] = frozenset()
    troubles: tuple[Trouble, ...] = ()

    def trouble(self, now_sec: float) -> str:
        for trouble in self.troubles:
            if trouble.at_sec <= now_sec < trouble.at_sec + trouble.for_sec:
                return trouble.kind
        return ""


@dataclass(slots=True)
class Read:
    """A range on its way."""

    fetch: FetchRange
    worker_id: str
    number: int
    node_url: str
    begun_sec: float
    heard_sec: float
    sent: float
    received: int = 0
    cancelled: bool = False

    @property
    def until(self) -> int:
        return max(self.fetch.start_bytes, min(int(self.sent), self.fetch.end_bytes))


@dataclass(slots=True)
class Home:
    """What a worker holds of a chunk."""

    opened: OpenChunk
    worker_id: str
    parts: dict[int, ByteMap]
    wrong: dict[int, ByteMap]
    rejected: set[int] = field(default_factory=set)


class World:
    """The planner and everything around it."""

    def __init__(
        self,
        nodes: dict[str, NodePlan],
        chunks: list[ChunkSpec],
        *,
        workers: int = 2,
        max_active_chunks: int = 4,
        seed: int = 0,
        pinged: bool = True,
    ) -> None:
        self.now_sec = 0.0
        self.nodes = nodes
        self.planner = Planner(max_active_chunks=max_active_chunks, rng=random.Random(seed))
        self.workers = {f"w{n}" for n in range(workers)}
        self.reads: dict[str, Read] = {}
        self.homes: dict[str, Home] = {}
        self.wanted = list(chunks)
        self.delivered: Counter[str] = Counter()
        self._steps = 0
        for worker_id in sorted(self.workers):
            self.feed(a_beat(worker_id))
        if pinged:
            known = [
                a_score(url, mbps=None, latency_ms=plan.rtt_sec * 1000, accepts_ranges=None)
                for url, plan in nodes.items()
            ]
            self.feed(scores(*known))
        self.ask()

    # ------------------------------------------------------------ the world's doings

    def ask(self, *, closed: bool = False) -> None:
        """Say what the buffer wants: every chunk it has not got, 2 s of film each."""
        self.feed(a_demand(*([] if closed else self.wanted), low_water_mark_sec=5.0, closed=closed))

    def drop(self, chunk: ChunkSpec) -> None:
        """Want a chunk no longer."""
        self.wanted = [c for c in self.wanted if c.chunk_id != chunk.chunk_id]
        self.ask()
        assert all(job.chunk.spec.chunk_id != chunk.chunk_id for job in self.planner.jobs)

    def kill_worker(self) -> None:
        """Let a worker die without a word; another one is started."""
        dead = min(self.workers)
        self.workers.discard(dead)
        self.homes = {lease: h for lease, h in self.homes.items() if h.worker_id != dead}
        self.reads = {job: r for job, r in self.reads.items() if r.worker_id != dead}
        fresh = f"{dead}x"
        self.workers.add(fresh)
        self.feed(a_beat(fresh))

    def run(self, until_sec: float) -> None:
        """Let time pass until everything was delivered, at most to `until_sec`."""
        while self.wanted and self.now_sec < until_sec:
            self.step()

    def step(self) -> None:
        """Let one step pass."""
        self._steps += 1
        self.now_sec = self._steps * STEP_SEC
        for job_id, read in list(self.reads.items()):
            if job_id in self.reads:
                self._move(read)
        if self._steps % PROGRESS_STEPS == 0:
            for worker_id in sorted(self.workers):
                if running := self._progress_of(worker_id):
                    self.feed(RangeProgress(worker_id=worker_id, running=running))
        if self._steps % BEAT_STEPS == 0:
            for worker_id in sorted(self.workers):
                leases = [lease for lease, h in self.homes.items() if h.worker_id == worker_id]
                running = self._progress_of(worker_id)
                self.feed(a_beat(worker_id, leases=leases, running=running))
            self.ask()
        self._note(self.planner.tick(self.now_sec))

    def feed(self, event: Event) -> None:
        """Hand an event to the planner and carry out what it says."""
        self._note(self.planner.handle(event, self.now_sec))

    # ------------------------------------------------------------ workers

    def _note(self, commands: list[Command]) -> None:
        for command in commands:
            if isinstance(command, SendJob):
                worker_id = command.jobs_endpoint.removeprefix("inproc://")
                if worker_id in self.workers:
                    self._take(command, worker_id)
        self.check()

    def _take(self, command: SendJob, worker_id: str) -> None:
        match command.msg:
            case OpenChunk() as opened:
                sizes = {f.fragment_index: f.size_bytes for f in opened.chunk.fragments}
                sizes = sizes or {WHOLE: opened.chunk.size_bytes}
                self.homes[opened.lease_id] = Home(
                    opened,
                    worker_id,
                    {part: ByteMap(size) for part, size in sizes.items()},
                    {part: ByteMap(size) for part, size in sizes.items()},
                )
            case FetchRange() as fetch:
                self._start(fetch, worker_id)
            case CancelRange(job_id=job_id):
                if job_id in self.reads:
                    self.reads[job_id].cancelled = True
            case DiscardRange() as discard:
                home = self.homes.get(discard.lease_id)
                if home is not None:
                    home.rejected.discard(discard.part)
                    for held in (home.parts[discard.part], home.wrong[discard.part]):
                        held.remove(discard.start_bytes, discard.end_bytes)
            case CloseChunk(lease_id=lease_id):
                self.homes.pop(lease_id, None)
                for job_id in [j for j, r in self.reads.items() if r.fetch.lease_id == lease_id]:
                    del self.reads[job_id]

    def _start(self, fetch: FetchRange, worker_id: str) -> None:
        home = self.homes[fetch.lease_id]
        url = node_of(fetch.replica.url)
        free = home.parts[fetch.part].free(
            (max(r.fetch.start_bytes, r.until), r.fetch.end_bytes)
            for r in self.reads.values()
            if r.fetch.lease_id == fetch.lease_id and r.fetch.part == fetch.part
        )
        assert any(start <= fetch.start_bytes < fetch.end_bytes <= end for start, end in free), (
            "bytes are asked for that are held or on their way"
        )
        self.reads[fetch.job_id] = Read(
            fetch=fetch,
            worker_id=worker_id,
            number=home.opened.chunk.sequence_num,
            node_url=url,
            begun_sec=self.now_sec,
            heard_sec=self.now_sec,
            sent=fetch.start_bytes if self.nodes[url].accepts_ranges else 0,
        )

    def _move(self, read: Read) -> None:
        plan = self.nodes[read.node_url]
        kind = plan.trouble(self.now_sec)
        age_sec = self.now_sec - read.begun_sec
        if read.cancelled:
            self._end(read, "cancelled")
        elif kind == "silent":
            if self.now_sec - read.heard_sec > read.fetch.silence_sec:
                self._end(read, "silent")
        elif age_sec < plan.rtt_sec:
            pass
        elif kind in ("refused", "broken"):
            self._end(read, "broken" if kind == "broken" else "refused")
        elif read.number in plan.lacks:
            self._end(read, "missing")
        else:
            self._receive(read, plan.rate_mbps * 1e6 / 8 * STEP_SEC, wrong=kind == "corrupt")

    def _receive(self, read: Read, size: float, *, wrong: bool) -> None:
        home, part = self.homes[read.fetch.lease_id], read.fetch.part
        before, sent = read.until, read.sent
        read.sent = min(sent + size, read.fetch.end_bytes)
        read.received += int(read.sent) - int(sent)
        read.heard_sec = self.now_sec
        home.parts[part].add(before, read.until, read.node_url)
        if wrong:
            home.wrong[part].add(before, read.until, read.node_url)
        if read.until == read.fetch.end_bytes:
            self._end(read, "complete")

    def _end(self, read: Read, outcome: RangeOutcome) -> None:
        plan = self.nodes[read.node_url]
        del self.reads[read.fetch.job_id]
        self.feed(
            RangeFinished(
                worker_id=read.worker_id,
                job_id=read.fetch.job_id,
                outcome=outcome,
                start_bytes=read.fetch.start_bytes,
                received_until_bytes=read.until,
                received_bytes=read.received,
                first_byte_sec=plan.rtt_sec if read.received else None,
                duration_sec=self.now_sec - read.begun_sec,
                range_honoured=plan.accepts_ranges if read.received else None,
                retry_after_sec=None,
                detail="",
            )
        )
        self._judge(read.fetch.lease_id)

    def _judge(self, lease_id: str) -> None:
        home = self.homes.get(lease_id)
        if home is None:
            return
        whole = [p for p, held in home.parts.items() if held.complete and p not in home.rejected]
        for part in whole:
            if home.wrong[part].held_bytes:
                home.rejected.add(part)
                self._say(home, lease_id, part)
                return
        if len(whole) >= (DATA_FRAGMENTS if home.opened.chunk.fragments else 1):
            del self.homes[lease_id]
            chunk_id = home.opened.chunk.chunk_id
            self.delivered[chunk_id] += 1
            self.wanted = [c for c in self.wanted if c.chunk_id != chunk_id]
            self._say(home, lease_id, None)
            self.ask()

    def _say(self, home: Home, lease_id: str, corrupt_part: int | None) -> None:
        self.feed(
            ChunkFinished(
                worker_id=home.worker_id,
                lease_id=lease_id,
                verdict="delivered" if corrupt_part is None else "corrupt",
                corrupt_part=WHOLE if corrupt_part is None else corrupt_part,
                detail="",
            )
        )

    def _progress_of(self, worker_id: str) -> tuple[JobProgress, ...]:
        return tuple(
            JobProgress(
                job_id=job_id, received_until_bytes=read.until, received_bytes=read.received
            )
            for job_id, read in self.reads.items()
            if read.worker_id == worker_id
        )

    # ------------------------------------------------------------ what must always hold

    def check(self) -> None:
        """Compare the planner's books with each other and with the limits."""
        jobs = list(self.planner.jobs)
        busy = Counter(job.node_url for job in jobs)
        assert {n.node_url: n.active for n in self.planner.nodes if n.active} == busy
        assert max(busy.values(), default=0) <= 1, "two ranges at one node"
        in_work = {job.chunk.key for job in jobs}
        assert len(in_work) <= self.planner.max_active_chunks
        for chunk in self.planner.chunks:
            parts = {job.part for job in chunk.jobs.values() if not job.cancelled}
            assert len(parts) <= chunk.needed_parts
            assert (chunk.lease_id == "") == (chunk.worker_id == "")
        leases = {c.lease_id for c in self.planner.chunks if c.lease_id}
        assert {lease for w in self.planner.workers.workers for lease in w.leases} == leases
