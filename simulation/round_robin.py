"""Round robin: chunk i whole from holder i modulo their number, from the next one when that fails. Pure.

No I/O, no clock, no randomness: time is an argument. It knows no scores and no rates, and exists to be compared with:
no stack plays by it. Of a coded chunk three fragments are read at a time, from the i-th on.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

from common.messages import (
    ChunkFinished,
    ChunkTrouble,
    CloseChunk,
    Demand,
    DiscardRange,
    FetchRange,
    OpenChunk,
    RangeFinished,
    WantedChunk,
    WorkerHeartbeat,
)
from common.units import node_of
from scheduler.commands import Command, SendJob, TellBuffer
from scheduler.leases import Worker, WorkerBook
from scheduler.planner import Event
from scheduler.selection import SILENCE_MAX_SEC
from scheduler.wanted import DATA_FRAGMENTS, WHOLE, Source

# As long as the planner bears the silence of a node it does not know better, so that both see a death as soon.
SILENCE_SEC = SILENCE_MAX_SEC
# When every holder has failed they are all asked again after this long.
ROUND_PAUSE_SEC = 1.0


@dataclass(slots=True, eq=False)
class _Chunk:
    """A chunk that is wanted: whose turn it is, and what is being read."""

    item: WantedChunk
    session_id: str
    deliver_to: str
    sources: list[Source]
    turn: int
    needed: int
    failures: int = 0
    rounds: int = 0
    lease_id: str = ""
    worker: Worker | None = None
    jobs: dict[str, tuple[Source, int]] = field(default_factory=dict)
    have: set[int] = field(default_factory=set)
    wait_until_sec: float = 0.0
    delivered: bool = False


class RoundRobin:
    """Decides as a player would that knows nothing but the list of holders."""

    def __init__(self, *, max_active_chunks: int) -> None:
        self._max_active_chunks = max_active_chunks
        self._chunks: dict[str, _Chunk] = {}
        self._workers = WorkerBook()
        self._ids = itertools.count()
        self._by_job: dict[str, _Chunk] = {}

    def handle(self, event: Event, now_sec: float) -> list[Command]:
        """Fold one message in and return what to do."""
        commands: list[Command] = []
        match event:
            case Demand():
                self._on_demand(event, commands)
            case WorkerHeartbeat():
                self._workers.seen(event, now_sec)
            case RangeFinished():
                self._on_range(event, now_sec, commands)
            case ChunkFinished():
                self._on_chunk(event, commands)
            case _:
                pass
        self._work(now_sec, commands)
        return commands

    def tick(self, now_sec: float) -> list[Command]:
        """Let time act: a pause ends."""
        commands: list[Command] = []
        self._work(now_sec, commands)
        return commands

    def _on_demand(self, demand: Demand, commands: list[Command]) -> None:
        named = {} if demand.closed else {w.chunk.chunk_id: w for w in demand.wanted}
        for chunk_id in [c for c in self._chunks if c not in named]:
            self._close(self._chunks.pop(chunk_id), commands)
        for chunk_id, item in named.items():
            if chunk_id in self._chunks:
                self._chunks[chunk_id].item = item
                continue
            spec = item.chunk
            places = [(f.fragment_index, r) for f in spec.fragments for r in f.replicas]
            places = places or [(WHOLE, replica) for replica in spec.replicas]
            sources = [Source(part, node_of(r.url), r) for part, r in places]
            self._chunks[chunk_id] = _Chunk(
                item=item,
                session_id=demand.session_id,
                deliver_to=demand.deliver_to,
                sources=sources,
                turn=spec.sequence_num % max(1, len(sources)),
                needed=DATA_FRAGMENTS if spec.fragments else 1,
            )

    def _work(self, now_sec: float, commands: list[Command]) -> None:
        """Begin chunks in the film's order, and go on where a holder failed."""
        active = 0
        for chunk in self._chunks.values():
            if chunk.delivered or not chunk.sources:
                continue
            active += 1
            if active > self._max_active_chunks:
                break
            if now_sec < chunk.wait_until_sec or (
                not chunk.worker and not self._open(chunk, commands)
            ):
                continue
            busy = {source.part for source, _ in chunk.jobs.values()}
            tries = 0
            while len(chunk.have) + len(busy) < chunk.needed and tries < len(chunk.sources):
                source = chunk.sources[chunk.turn % len(chunk.sources)]
                chunk.turn, tries = chunk.turn + 1, tries + 1
                if source.part not in busy | chunk.have:
                    busy.add(source.part)
                    self._fetch(chunk, source, commands)

    def _open(self, chunk: _Chunk, commands: list[Command]) -> bool:
        worker = self._workers.freest()
        if worker is None:
            return False
        chunk.worker, chunk.lease_id = worker, f"rr{next(self._ids)}"
        worker.leases.add(chunk.lease_id)
        opened = OpenChunk(
            lease_id=chunk.lease_id,
            session_id=chunk.session_id,
            chunk=chunk.item.chunk,
            deliver_to=chunk.deliver_to,
        )
        commands.append(SendJob(worker.jobs_endpoint, opened))
        return True

    def _fetch(self, chunk: _Chunk, source: Source, commands: list[Command]) -> None:
        assert chunk.worker is not None
        spec = chunk.item.chunk
        size = next((f.size_bytes for f in spec.fragments), spec.size_bytes)
        job_id = f"rr{next(self._ids)}"
        chunk.jobs[job_id] = (source, size)
        self._by_job[job_id] = chunk
        fetch = FetchRange(
            job_id=job_id,
            lease_id=chunk.lease_id,
            part=source.part,
            replica=source.replica,
            start_bytes=0,
            end_bytes=size,
            silence_sec=SILENCE_SEC,
            accepts_ranges=None,
        )
        commands.append(SendJob(chunk.worker.jobs_endpoint, fetch))

    def _on_range(self, done: RangeFinished, now_sec: float, commands: list[Command]) -> None:
        chunk = self._by_job.pop(done.job_id, None)
        if chunk is None or done.job_id not in chunk.jobs:
            return
        source, size = chunk.jobs.pop(done.job_id)
        if done.received_until_bytes >= size:
            chunk.have.add(source.part)
        else:
            self._failed(chunk, now_sec, commands)

    def _failed(self, chunk: _Chunk, now_sec: float, commands: list[Command]) -> None:
        chunk.failures += 1
        if chunk.failures % len(chunk.sources):
            return
        chunk.rounds += 1
        chunk.wait_until_sec = now_sec + ROUND_PAUSE_SEC
        trouble = ChunkTrouble(
            session_id=chunk.session_id,
            chunk_id=chunk.item.chunk.chunk_id,
            fault="unreachable",
            rounds=chunk.rounds,
            detail="every holder failed",
        )
        commands.append(TellBuffer(trouble))

    def _on_chunk(self, done: ChunkFinished, commands: list[Command]) -> None:
        chunk = next((c for c in self._chunks.values() if c.lease_id == done.lease_id), None)
        if chunk is None or chunk.worker is None:
            return
        if done.verdict == "delivered":
            chunk.delivered = True
            self._workers.release(chunk.worker.worker_id, chunk.lease_id)
            return
        parts = [done.corrupt_part] if done.corrupt_part in chunk.have else list(chunk.have)
        spec = chunk.item.chunk
        size = next((f.size_bytes for f in spec.fragments), spec.size_bytes)
        for part in parts:
            chunk.have.discard(part)
            discard = DiscardRange(
                lease_id=chunk.lease_id, part=part, start_bytes=0, end_bytes=size
            )
            commands.append(SendJob(chunk.worker.jobs_endpoint, discard))

    def _close(self, chunk: _Chunk, commands: list[Command]) -> None:
        for job_id in chunk.jobs:
            self._by_job.pop(job_id, None)
        if chunk.worker is not None and not chunk.delivered:
            commands.append(
                SendJob(chunk.worker.jobs_endpoint, CloseChunk(lease_id=chunk.lease_id))
            )
            self._workers.release(chunk.worker.worker_id, chunk.lease_id)
