"""A planner with its clock and the ranges it has sent out; tests answer for the workers."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any, TypeVar

from common.messages import (
    CancelRange,
    ChunkFinished,
    ChunkSpec,
    ChunkTrouble,
    CloseChunk,
    FetchRange,
    JobProgress,
    OpenChunk,
    RangeFinished,
    RangeOutcome,
    RangeProgress,
    ResizeRange,
)
from common.units import node_of
from scheduler.commands import Announce, Command, SendJob, TellBuffer
from scheduler.planner import Event, Planner
from scheduler.wanted import Wanted
from tests.builders import A, B, C, a_beat, a_chunk, a_demand, a_score, scores

TICK_SEC = 0.05
BEAT_SEC = 1.0
T = TypeVar("T")


class PlannerRig:
    """One planner, one or more workers that beat, and a record of every command.

    `running` holds the ranges in flight, each with the end that it was last given.
    """

    def __init__(
        self,
        *workers: str,
        max_active_chunks: int = 4,
        seed: int = 1,
        shared_limit: bool = False,
    ) -> None:
        self.now_sec = 100.0
        self.planner = Planner(
            max_active_chunks=max_active_chunks,
            rng=random.Random(seed),
            shared_limit=shared_limit,
        )
        self.commands: list[Command] = []
        self.running: dict[str, FetchRange] = {}
        self.cancelled: set[str] = set()
        self.leases: dict[str, tuple[str, OpenChunk]] = {}
        self._owners: dict[str, str] = {}
        self.beating: set[str] = set()
        self._next_beat_sec = self.now_sec + BEAT_SEC
        for worker in workers or ("w1",):
            self.join(worker)

    # ------------------------------------------------------------ events

    def feed(self, event: Event) -> list[Command]:
        """Hand one event in."""
        return self._note(self.planner.handle(event, self.now_sec))

    def pass_time(self, duration_sec: float) -> list[Command]:
        """Tick, and let the workers beat, for a while."""
        made: list[Command] = []
        until_sec = self.now_sec + duration_sec
        while self.now_sec < until_sec - 1e-9:
            self.now_sec = min(self.now_sec + TICK_SEC, until_sec)
            if self.now_sec >= self._next_beat_sec:
                self._next_beat_sec += BEAT_SEC
                for worker in sorted(self.beating):
                    made += self.beat(worker)
            made += self._note(self.planner.tick(self.now_sec))
        return made

    def join(self, worker_id: str, **changed: Any) -> None:
        """Let a worker register and beat from now on."""
        self.beating.add(worker_id)
        self.feed(a_beat(worker_id, **changed))

    def beat(self, worker_id: str = "w1", **changed: Any) -> list[Command]:
        """Send a heartbeat with what the worker really holds."""
        mine = [lease for lease, (owner, _) in self.leases.items() if owner == worker_id]
        running = [
            JobProgress(job_id=f.job_id, received_until_bytes=f.start_bytes)
            for f in self.running.values()
            if f.lease_id in mine
        ]
        fields: dict[str, Any] = {"leases": mine, "running": running}
        return self.feed(a_beat(worker_id, **(fields | changed)))

    def know(self, *nodes: Any) -> None:
        """Publish scores; without arguments three equal nodes answer pings and ranges."""
        self.feed(scores(*(nodes or (a_score(A), a_score(B), a_score(C)))))

    def prove(self, *nodes: str, mbps: float = 20.0) -> None:
        """Let nodes bring a chunk of another session, so that their rates are measured."""
        for number, node in enumerate(nodes, 900):
            chunk = a_chunk(number, [node], size_bytes=512 * 1024)
            self.feed(a_demand(chunk, session_id="proof"))
            self.verdict(self.bring(chunk, mbps=mbps))
        self.feed(a_demand(session_id="proof", closed=True))

    def head(self, fetch: FetchRange, *, honoured: bool = True) -> list[Command]:
        """Report that the answer to a range begins."""
        return self.progress(fetch, fetch.start_bytes, range_honoured=honoured)

    def progress(self, fetch: FetchRange, until: int, **changed: Any) -> list[Command]:
        """Report bytes of a running range."""
        progress = JobProgress(job_id=fetch.job_id, received_until_bytes=until, **changed)
        return self.feed(RangeProgress(worker_id=self._owner(fetch), running=(progress,)))

    def end(
        self,
        fetch: FetchRange,
        outcome: RangeOutcome = "complete",
        *,
        until: int | None = None,
        mbps: float = 20.0,
        **changed: Any,
    ) -> list[Command]:
        """Report the end of a range; a failed one has brought nothing unless `until` says so."""
        fetch = self.running.get(fetch.job_id, fetch)
        if until is None:
            until = fetch.end_bytes if outcome == "complete" else fetch.start_bytes
        fields: dict[str, Any] = {
            "received_bytes": until - fetch.start_bytes,
            "first_byte_sec": 0.02,
            "duration_sec": 0.02 + (until - fetch.start_bytes) * 8e-6 / mbps,
            "range_honoured": True if until > fetch.start_bytes else None,
            "retry_after_sec": None,
            "detail": "",
        }
        self.running.pop(fetch.job_id, None)
        return self.feed(
            RangeFinished(
                worker_id=self._owner(fetch),
                job_id=fetch.job_id,
                outcome=outcome,
                start_bytes=fetch.start_bytes,
                received_until_bytes=until,
                **(fields | changed),
            )
        )

    def verdict(self, fetch: FetchRange, corrupt_part: int | None = None) -> list[Command]:
        """Report that the chunk of a range was delivered, or that a part of it is wrong."""
        if corrupt_part is None:
            self.leases.pop(fetch.lease_id, None)
        return self.feed(
            ChunkFinished(
                worker_id=self._owner(fetch),
                lease_id=fetch.lease_id,
                verdict="delivered" if corrupt_part is None else "corrupt",
                corrupt_part=-1 if corrupt_part is None else corrupt_part,
                detail="",
            )
        )

    def bring(self, chunk: ChunkSpec, *, mbps: float = 20.0) -> FetchRange:
        """End all ranges of a chunk, those that follow from that too; return the last of them."""
        last = None
        while found := self.fetches(chunk):
            last = found[0]
            outcome: RangeOutcome = "cancelled" if last.job_id in self.cancelled else "complete"
            self.end(last, outcome, mbps=mbps)
        assert last is not None, f"nothing is read of {chunk.chunk_id}"
        return last

    def deliver(self, chunk: ChunkSpec) -> list[Command]:
        """Bring what is missing of a chunk and report that it has matched and gone to the buffer."""
        return self.verdict(self.bring(chunk))

    # ------------------------------------------------------------ what is to be seen

    def fetch(self, node_url: str) -> FetchRange:
        """Return the one range that runs at a node."""
        (found,) = (f for f in self.running.values() if node_of(f.replica.url) == node_url)
        return found

    def fetches_at(self, node_url: str) -> list[FetchRange]:
        """Return the ranges that run at a node, in the order they were asked for."""
        return [f for f in self.running.values() if node_of(f.replica.url) == node_url]

    def fetches(self, chunk: ChunkSpec) -> list[FetchRange]:
        """Return the running ranges of a chunk."""
        return [f for f in self.running.values() if self.chunk_of(f) == chunk.chunk_id]

    def chunks_read(self) -> set[str]:
        """Return the ids of the chunks of which ranges run."""
        return {self.chunk_of(f) for f in self.running.values()}

    def spans(self, chunk: ChunkSpec, part: int = -1) -> list[tuple[int, int]]:
        """Return what is being read of a chunk, in the order of its bytes."""
        return sorted((f.start_bytes, f.end_bytes) for f in self.fetches(chunk) if f.part == part)

    def only_fetch(self) -> FetchRange:
        """Return the one range that runs at all."""
        (found,) = self.running.values()
        return found

    def chunk_of(self, fetch: FetchRange) -> str:
        """Return the id of the chunk a range belongs to."""
        return self.leases[fetch.lease_id][1].chunk.chunk_id

    def state_of(self, chunk: ChunkSpec) -> Wanted:
        """Return the planner's own record of a chunk."""
        (found,) = (c for c in self.planner.chunks if c.spec.chunk_id == chunk.chunk_id)
        return found

    def busy_nodes(self) -> list[str]:
        """Return the nodes that send, in the order they were asked."""
        return [node_of(f.replica.url) for f in self.running.values()]

    def _owner(self, fetch: FetchRange) -> str:
        return self._owners[fetch.lease_id]

    def _note(self, commands: list[Command]) -> list[Command]:
        self.commands += commands
        for command in commands:
            if not isinstance(command, SendJob):
                continue
            match command.msg:
                case OpenChunk() as opened:
                    owner = command.jobs_endpoint.removeprefix("inproc://")
                    self.leases[opened.lease_id] = (owner, opened)
                    self._owners[opened.lease_id] = owner
                case FetchRange() as fetch:
                    self.running[fetch.job_id] = fetch
                case CloseChunk(lease_id=lease_id):
                    self.leases.pop(lease_id, None)
                    gone = [j for j, f in self.running.items() if f.lease_id == lease_id]
                    for job_id in gone:
                        del self.running[job_id]
                case ResizeRange(job_id=job_id, end_bytes=end_bytes) if job_id in self.running:
                    self.running[job_id] = replace(self.running[job_id], end_bytes=end_bytes)
                case CancelRange(job_id=job_id):
                    # It runs until the worker says how far it came.
                    self.cancelled.add(job_id)
        return commands


def sent(commands: list[Command], kind: type[T]) -> list[T]:
    """Return the messages of one kind that went to workers."""
    return [c.msg for c in commands if isinstance(c, SendJob) and isinstance(c.msg, kind)]


def troubles(commands: list[Command]) -> list[ChunkTrouble]:
    """Return what the buffer was told."""
    return [c.msg for c in commands if isinstance(c, TellBuffer)]


def announced(commands: list[Command], kind: str) -> list[str]:
    """Return the texts of one kind a viewer was told."""
    return [c.text for c in commands if isinstance(c, Announce) and c.kind == kind]
