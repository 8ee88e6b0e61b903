"""Sessions that play endlessly, nodes and workers, as far as the planner sees of them: a load for its bench.

Virtual time; only the processor time inside the planner is counted.
"""

from __future__ import annotations

import cProfile
import hashlib
import heapq
import itertools
import random
import time
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field

from common.messages import (
    CancelRange,
    ChunkFinished,
    ChunkSpec,
    CloseChunk,
    Demand,
    FetchRange,
    JobProgress,
    NodeScore,
    NodeScores,
    OpenChunk,
    RangeFinished,
    RangeProgress,
    Replica,
    ResizeRange,
    WantedChunk,
    WorkerHeartbeat,
)
from common.units import node_of
from scheduler.commands import Command, SendJob
from scheduler.planner import Event, Planner
from scheduler.timing import PROGRESS_SEC

# A film of 4 Mbit/s: all sessions take 840 Mbit/s, the 62 nodes of the smallest run offer 1.6 times as much.
CHUNK_BYTES = 2 * 1024 * 1024
CHUNK_SEC = 4.0
REPLICAS = 3
WINDOW_CHUNKS = 7
LOW_WATER_SEC = 15.0
RATES_MBPS = (5.0, 40.0)
LATENCY_SEC = 0.02
# As the scheduler's shell and the buffer do it.
TICK_SEC = 0.05
BEAT_SEC = 1.0
DEMAND_SEC = 1.0
WORKERS = 8


@dataclass(slots=True, eq=False)
class _Range:
    fetch: FetchRange
    worker_id: str
    asked_sec: float
    end: int
    rate_bytes_per_sec: float
    flows_sec: float = 0.0
    over: bool = False

    def until(self, now_sec: float) -> int:
        if not self.flows_sec:
            return self.fetch.start_bytes
        flowing_sec = max(0.0, now_sec - self.flows_sec)
        return min(self.end, self.fetch.start_bytes + int(flowing_sec * self.rate_bytes_per_sec))

    def ends_sec(self) -> float:
        return self.flows_sec + (self.end - self.fetch.start_bytes) / self.rate_bytes_per_sec


@dataclass(slots=True)
class _Lease:
    worker_id: str
    opened: OpenChunk
    held_bytes: int = 0
    jobs: set[str] = field(default_factory=set)


class PlannerLoad:
    """Everything around one planner; `run` plays for a while."""

    def __init__(self, nodes: int, sessions: int, seed: int) -> None:
        self._rng = random.Random(seed)
        self.planner = Planner(max_active_chunks=4, rng=random.Random(seed))
        self._urls = [
            f"http://10.{i // 65536}.{i // 256 % 256}.{i % 256}:8081" for i in range(nodes)
        ]
        self._rate = {url: self._rng.uniform(*RATES_MBPS) * 1e6 / 8 for url in self._urls}
        self._queue: dict[str, deque[_Range]] = defaultdict(deque)
        self._workers = [f"w{i}" for i in range(WORKERS)]
        self._slots = sessions * 4 // WORKERS + 4
        self._began_sec = {f"s{i}": self._rng.uniform(0, 1) for i in range(sessions)}
        self._delivered: dict[str, set[int]] = defaultdict(set)
        self._specs: dict[tuple[str, int], ChunkSpec] = {}
        self._leases: dict[str, _Lease] = {}
        self._running: dict[str, _Range] = {}
        self._agenda: list[tuple[float, int, str, object]] = []
        self._tickets = itertools.count()
        self._digest = hashlib.sha256()
        self.decisions: Counter[str] = Counter()
        self.events: Counter[str] = Counter()
        self.event_sec: dict[str, float] = defaultdict(float)
        self.profile: cProfile.Profile | None = None

    def run(self, virtual_sec: float) -> None:
        self._beat(0.0)
        self._scores(0.0)
        self._report(0.0)
        self._at(TICK_SEC, "tick", None)
        for session, began_sec in self._began_sec.items():
            self._at(began_sec, "demand", session)
        while self._agenda:
            now_sec, _, kind, what = heapq.heappop(self._agenda)
            if now_sec > virtual_sec:
                break
            if isinstance(what, _Range):
                self._maybe_end(what, now_sec)
            elif isinstance(what, str):
                self._demand(what, now_sec)
                self._at(now_sec + DEMAND_SEC, "demand", what)
            elif kind == "tick":
                self._feed(None, now_sec)
                self._at(now_sec + TICK_SEC, "tick", None)
            elif kind == "report":
                self._report(now_sec)
            elif kind == "beat":
                self._beat(now_sec)
            else:
                self._scores(now_sec)

    def digest(self) -> str:
        """Return a name for the stream of commands: equal streams, equal names."""
        return self._digest.hexdigest()[:16]

    def _at(self, when_sec: float, kind: str, what: object) -> None:
        heapq.heappush(self._agenda, (when_sec, next(self._tickets), kind, what))

    # ------------------------------------------------------------ the planner

    def _feed(self, event: Event | None, now_sec: float) -> None:
        name = type(event).__name__ if event is not None else "tick"
        if self.profile is not None:
            self.profile.enable()
        begun_sec = time.process_time()
        planner = self.planner
        commands = planner.tick(now_sec) if event is None else planner.handle(event, now_sec)
        took_sec = time.process_time() - begun_sec
        if self.profile is not None:
            self.profile.disable()
        self.events[name] += 1
        self.event_sec[name] += took_sec
        self._carry_out(commands, now_sec)

    def _carry_out(self, commands: list[Command], now_sec: float) -> None:
        for command in commands:
            self._digest.update(repr(command).encode())
            if not isinstance(command, SendJob):
                continue
            msg = command.msg
            if isinstance(msg, OpenChunk):
                worker_id = command.jobs_endpoint.removeprefix("ipc://")
                self._leases[msg.lease_id] = _Lease(worker_id, msg)
            elif isinstance(msg, FetchRange):
                self.decisions["FetchRange"] += 1
                self._begin(msg, now_sec)
            elif isinstance(msg, ResizeRange):
                self.decisions["ResizeRange"] += 1
                run = self._running.get(msg.job_id)
                if run is not None:
                    run.end = max(msg.end_bytes, run.until(now_sec))
                    self._expect_end(run)
            elif isinstance(msg, CancelRange):
                self._drop(msg.job_id, now_sec)
            elif isinstance(msg, CloseChunk):
                lease = self._leases.pop(msg.lease_id, None)
                for job_id in tuple(lease.jobs) if lease is not None else ():
                    self._drop(job_id, now_sec)

    # ------------------------------------------------------------ nodes and workers

    def _begin(self, fetch: FetchRange, now_sec: float) -> None:
        url = node_of(fetch.replica.url)
        lease = self._leases[fetch.lease_id]
        run = _Range(fetch, lease.worker_id, now_sec, fetch.end_bytes, self._rate[url])
        self._running[fetch.job_id] = run
        lease.jobs.add(fetch.job_id)
        queue = self._queue[url]
        queue.append(run)
        if len(queue) == 1:
            self._flow(run, now_sec)

    def _flow(self, run: _Range, now_sec: float) -> None:
        run.flows_sec = max(now_sec, run.asked_sec + LATENCY_SEC)
        self._expect_end(run)

    def _expect_end(self, run: _Range) -> None:
        if run.flows_sec:
            self._at(run.ends_sec(), "end", run)

    def _drop(self, job_id: str, now_sec: float) -> None:
        run = self._running.pop(job_id, None)
        if run is None:
            return
        run.over = True
        lease = self._leases.get(run.fetch.lease_id)
        if lease is not None:
            lease.jobs.discard(job_id)
        queue = self._queue[node_of(run.fetch.replica.url)]
        was_first = queue[0] is run
        queue.remove(run)
        if was_first and queue:
            self._flow(queue[0], now_sec)

    def _maybe_end(self, run: _Range, now_sec: float) -> None:
        if run.over or now_sec < run.ends_sec() - 1e-9:
            return
        fetch = run.fetch
        lease = self._leases[fetch.lease_id]
        self._drop(fetch.job_id, now_sec)
        size_bytes = run.end - fetch.start_bytes
        lease.held_bytes += size_bytes
        self._feed(
            RangeFinished(
                worker_id=run.worker_id,
                job_id=fetch.job_id,
                outcome="complete",
                start_bytes=fetch.start_bytes,
                received_until_bytes=run.end,
                received_bytes=size_bytes,
                first_byte_sec=run.flows_sec - run.asked_sec,
                duration_sec=now_sec - run.asked_sec,
                range_honoured=True,
                retry_after_sec=None,
                detail="",
            ),
            now_sec,
        )
        chunk = lease.opened.chunk
        if lease.held_bytes < chunk.size_bytes:
            return
        self._delivered[lease.opened.session_id].add(chunk.sequence_num)
        self._feed(
            ChunkFinished(
                worker_id=lease.worker_id,
                lease_id=fetch.lease_id,
                verdict="delivered",
                corrupt_part=-1,
                detail="",
            ),
            now_sec,
        )
        self._leases.pop(fetch.lease_id, None)
        # The buffer says at once what it wants next.
        self._demand(lease.opened.session_id, now_sec)

    def _progress(self, run: _Range, now_sec: float) -> JobProgress:
        until = run.until(now_sec)
        return JobProgress(
            job_id=run.fetch.job_id,
            received_until_bytes=until,
            received_bytes=until - run.fetch.start_bytes,
            range_honoured=True if run.flows_sec and now_sec >= run.flows_sec else None,
        )

    def _running_by_worker(self, now_sec: float) -> dict[str, tuple[JobProgress, ...]]:
        by_worker: dict[str, list[JobProgress]] = {worker_id: [] for worker_id in self._workers}
        for run in self._running.values():
            by_worker[run.worker_id].append(self._progress(run, now_sec))
        return {worker_id: tuple(running) for worker_id, running in by_worker.items()}

    def _report(self, now_sec: float) -> None:
        for worker_id, running in self._running_by_worker(now_sec).items():
            if running:
                self._feed(RangeProgress(worker_id=worker_id, running=running), now_sec)
        self._at(now_sec + PROGRESS_SEC, "report", None)

    def _beat(self, now_sec: float) -> None:
        for worker_id, running in self._running_by_worker(now_sec).items():
            beat = WorkerHeartbeat(
                worker_id=worker_id,
                jobs_endpoint=f"ipc://{worker_id}",
                pid=1,
                slots=self._slots,
                leases=tuple(
                    key for key, lease in self._leases.items() if lease.worker_id == worker_id
                ),
                running=running,
                received_bytes=0,
                draining=False,
            )
            self._feed(beat, now_sec)
        self._at(now_sec + BEAT_SEC, "beat", None)

    # ------------------------------------------------------------ sessions and scores

    def _spec(self, session: str, number: int) -> ChunkSpec:
        key = (session, number)
        if key not in self._specs:
            chunk_id = f"{session}-{number}"
            chosen = self._rng.sample(self._urls, REPLICAS)
            self._specs[key] = ChunkSpec(
                chunk_id=chunk_id,
                sequence_num=number,
                size_bytes=CHUNK_BYTES,
                checksum_sha256="0" * 64,
                replicas=tuple(Replica(url=f"{url}/chunk/{chunk_id}") for url in chosen),
            )
        return self._specs[key]

    def _demand(self, session: str, now_sec: float) -> None:
        began_sec = self._began_sec[session]
        first = max(0, int((now_sec - began_sec) / CHUNK_SEC))
        wanted = tuple(
            WantedChunk(
                chunk=self._spec(session, number),
                deadline_in_sec=began_sec + number * CHUNK_SEC - now_sec,
            )
            for number in range(first, first + WINDOW_CHUNKS)
            if number not in self._delivered[session]
        )
        self._feed(
            Demand(
                session_id=session,
                deliver_to="ipc://buffer",
                wanted=wanted,
                low_water_mark_sec=LOW_WATER_SEC,
            ),
            now_sec,
        )

    def _scores(self, now_sec: float) -> None:
        scored = tuple(
            NodeScore(
                node_url=url,
                score=1.0,
                healthy=True,
                latency_ms=LATENCY_SEC * 1000,
                latency_average_ms=LATENCY_SEC * 1000,
                latency_min_ms=LATENCY_SEC * 1000,
                latency_max_ms=LATENCY_SEC * 1000,
                bandwidth_mbps=None,
                bandwidth_average_mbps=None,
                success_rate_ratio=1.0,
                measurements_count=5,
                last_update_unix_sec=now_sec,
                accepts_ranges=True,
            )
            for url in self._urls
        )
        self._feed(NodeScores(published_unix_sec=now_sec, nodes=scored), now_sec)
        # As seldom as the monitor speaks of so many.
        self._at(now_sec + min(0.9, max(0.2, 0.001 * len(scored))), "scores", None)
