"""`python -m bench planner`: how many decisions a second the planner makes, and how that grows with the nodes.

The planner runs alone, in virtual time, against links of constant rate; only the time inside it is counted.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
import time
from dataclasses import dataclass

from common.messages import (
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
from common.units import node_of, transfer_sec
from scheduler.commands import Command, SendJob
from scheduler.planner import Event, Planner

CHUNK_BYTES = 2 * 1024 * 1024
CHUNK_SEC = 4.0
REPLICAS = 3
WINDOW_CHUNKS = 7
TICK_SEC = 0.05
REPORT_SEC = 0.1
LATENCY_SEC = 0.02
SLOTS = 8


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run took: ranges decided, seconds inside the planner for them."""

    nodes: int
    sessions: int
    decisions: int
    planner_sec: float
    virtual_sec: float

    @property
    def decisions_per_sec(self) -> float:
        return self.decisions / self.planner_sec

    @property
    def core_ratio(self) -> float:
        """Share of a core that the planner needs to keep these sessions going."""
        return self.planner_sec / self.virtual_sec


@dataclass(slots=True)
class _Range:
    fetch: FetchRange
    worker_id: str
    begun_sec: float
    end: int
    per_sec: float
    over: bool = False

    def until(self, now_sec: float) -> int:
        flowing_sec = max(0.0, now_sec - self.begun_sec - LATENCY_SEC)
        return min(self.end, self.fetch.start_bytes + int(flowing_sec * self.per_sec))


class _World:
    """Sessions that play endlessly, and links that deliver what the planner asks for."""

    def __init__(self, nodes: int, sessions: int, seed: int) -> None:
        self.rng = random.Random(seed)
        self.planner = Planner(max_active_chunks=4, rng=random.Random(seed))
        self.urls = [
            f"http://10.{i // 65536}.{i // 256 % 256}.{i % 256}:8081" for i in range(nodes)
        ]
        self.rate = {url: self.rng.uniform(5, 40) for url in self.urls}
        self.workers = {f"w{i}": f"ipc://w{i}" for i in range(math.ceil(sessions * 4 / SLOTS))}
        self.sessions = [f"s{i}" for i in range(sessions)]
        self.playhead_sec = {s: self.rng.uniform(-CHUNK_SEC, 0) for s in self.sessions}
        self.delivered: dict[str, set[int]] = {s: set() for s in self.sessions}
        self.specs: dict[tuple[str, int], ChunkSpec] = {}
        self.homes: dict[str, tuple[str, OpenChunk]] = {}
        self.running: dict[str, _Range] = {}
        self.held: dict[str, int] = {}
        self.heap: list[tuple[float, int, str, object]] = []
        self.ids = itertools.count()
        self.decisions = 0
        self.planner_sec = 0.0

    def at(self, when_sec: float, kind: str, what: object) -> None:
        heapq.heappush(self.heap, (when_sec, next(self.ids), kind, what))

    def spec(self, session: str, number: int) -> ChunkSpec:
        key = (session, number)
        if key not in self.specs:
            chunk_id = f"{session}-{number}"
            chosen = self.rng.sample(self.urls, REPLICAS)
            self.specs[key] = ChunkSpec(
                chunk_id=chunk_id,
                sequence_num=number,
                size_bytes=CHUNK_BYTES,
                checksum_sha256="0" * 64,
                replicas=tuple(Replica(url=f"{url}/chunk/{chunk_id}") for url in chosen),
            )
        return self.specs[key]

    def feed(self, event: Event | None, now_sec: float) -> None:
        begun = time.perf_counter()
        commands = (
            self.planner.tick(now_sec) if event is None else self.planner.handle(event, now_sec)
        )
        self.planner_sec += time.perf_counter() - begun
        self.carry_out(commands, now_sec)

    def carry_out(self, commands: list[Command], now_sec: float) -> None:
        for command in commands:
            if not isinstance(command, SendJob):
                continue
            msg = command.msg
            worker_id = command.jobs_endpoint.removeprefix("ipc://")
            if isinstance(msg, OpenChunk):
                self.homes[msg.lease_id] = (worker_id, msg)
                self.held[msg.lease_id] = 0
            elif isinstance(msg, FetchRange):
                self.decisions += 1
                per_sec = self.rate[node_of(msg.replica.url)] * 1e6 / 8
                run = _Range(msg, worker_id, now_sec, msg.end_bytes, per_sec)
                self.running[msg.job_id] = run
                self.due(run)
            elif isinstance(msg, ResizeRange) and msg.job_id in self.running:
                run = self.running[msg.job_id]
                run.end = max(msg.end_bytes, run.until(now_sec))
                self.due(run)
            elif isinstance(msg, CloseChunk):
                self.homes.pop(msg.lease_id, None)
                for run in [r for r in self.running.values() if r.fetch.lease_id == msg.lease_id]:
                    run.over = True
                    del self.running[run.fetch.job_id]

    def due(self, run: _Range) -> None:
        left = run.end - run.fetch.start_bytes
        self.at(run.begun_sec + LATENCY_SEC + transfer_sec(left, run.per_sec * 8 / 1e6), "end", run)

    def ended(self, run: _Range, now_sec: float) -> None:
        if run.over or run.until(now_sec + 1e-6) < run.end:
            return
        run.over = True
        fetch = run.fetch
        del self.running[fetch.job_id]
        size = run.end - fetch.start_bytes
        self.feed(
            RangeFinished(
                job_id=fetch.job_id,
                lease_id=fetch.lease_id,
                worker_id=run.worker_id,
                outcome="complete",
                received_until_bytes=run.end,
                received_bytes=size,
                duration_sec=now_sec - run.begun_sec,
                first_byte_sec=LATENCY_SEC,
                range_honoured=True,
            ),
            now_sec,
        )
        self.held[fetch.lease_id] += size
        worker_id, opened = self.homes[fetch.lease_id]
        if self.held[fetch.lease_id] >= opened.chunk.size_bytes:
            self.delivered[opened.session_id].add(opened.chunk.sequence_num)
            self.feed(
                ChunkFinished(lease_id=fetch.lease_id, worker_id=worker_id, verdict="delivered"),
                now_sec,
            )

    def demand(self, session: str, now_sec: float) -> None:
        begin = max(0, int((now_sec - self.playhead_sec[session]) / CHUNK_SEC))
        wanted = []
        for number in range(begin, begin + WINDOW_CHUNKS):
            if number not in self.delivered[session]:
                due_sec = self.playhead_sec[session] + number * CHUNK_SEC - now_sec
                wanted.append(
                    WantedChunk(chunk=self.spec(session, number), deadline_in_sec=due_sec)
                )
        self.feed(
            Demand(
                session_id=session,
                deliver_to="ipc://buffer",
                low_water_mark_sec=15.0,
                wanted=tuple(wanted),
            ),
            now_sec,
        )
        self.at(now_sec + 1.0, "demand", session)

    def report(self, now_sec: float) -> None:
        by_worker: dict[str, list[JobProgress]] = {}
        for run in self.running.values():
            until = run.until(now_sec)
            by_worker.setdefault(run.worker_id, []).append(
                JobProgress(
                    job_id=run.fetch.job_id,
                    received_until_bytes=until,
                    received_bytes=until - run.fetch.start_bytes,
                    range_honoured=True,
                )
            )
        for worker_id, running in by_worker.items():
            self.feed(RangeProgress(worker_id=worker_id, running=tuple(running)), now_sec)
        self.at(now_sec + REPORT_SEC, "report", None)

    def beat(self, now_sec: float) -> None:
        for worker_id, endpoint in self.workers.items():
            beat = WorkerHeartbeat(
                worker_id=worker_id,
                jobs_endpoint=endpoint,
                pid=1,
                slots=SLOTS,
                leases=tuple(lease for lease, (who, _) in self.homes.items() if who == worker_id),
                running=(),
                received_bytes=0,
                draining=False,
            )
            self.feed(beat, now_sec)
        self.at(now_sec + 1.0, "beat", None)

    def scores(self, now_sec: float) -> None:
        scored = tuple(
            NodeScore(
                node_url=url,
                score=1.0,
                healthy=True,
                latency_ms=LATENCY_SEC * 1000,
                latency_average_ms=LATENCY_SEC * 1000,
                latency_min_ms=LATENCY_SEC * 1000,
                latency_max_ms=LATENCY_SEC * 1000,
                success_rate_ratio=1.0,
                bandwidth_mbps=None,
                bandwidth_average_mbps=None,
                measurements_count=5,
                last_update_unix_sec=now_sec,
                accepts_ranges=True,
            )
            for url in self.urls
        )
        self.feed(NodeScores(published_unix_sec=now_sec, nodes=scored), now_sec)
        self.at(now_sec + 1.0, "scores", None)


def measure(nodes: int, sessions: int, virtual_sec: float, seed: int = 1) -> Cost:
    """Play `sessions` sessions on `nodes` nodes for a while and count the planner's time."""
    world = _World(nodes, sessions, seed)
    world.beat(0.0)
    world.scores(0.0)
    world.report(0.0)
    world.at(TICK_SEC, "tick", None)
    for session in world.sessions:
        world.at(world.rng.uniform(0, 1), "demand", session)
    while world.heap:
        now_sec, _, kind, what = heapq.heappop(world.heap)
        if now_sec > virtual_sec:
            break
        if isinstance(what, _Range):
            world.ended(what, now_sec)
        elif isinstance(what, str):
            world.demand(what, now_sec)
        elif kind == "tick":
            world.feed(None, now_sec)
            world.at(now_sec + TICK_SEC, "tick", None)
        else:
            getattr(world, kind)(now_sec)
    return Cost(nodes, sessions, world.decisions, world.planner_sec, virtual_sec)


def run() -> None:
    """Print the table."""
    print(f"{'nodes':>7} {'sessions':>9} {'decisions':>10} {'a second':>9} {'of a core':>10}")
    for nodes, sessions in ((62, 200), (250, 200), (1000, 200), (4000, 200)):
        cost = measure(nodes, sessions, virtual_sec=10.0)
        print(
            f"{cost.nodes:>7} {cost.sessions:>9} {cost.decisions:>10} {cost.decisions_per_sec:>9.0f} "
            f"{cost.core_ratio:>9.0%}"
        )
