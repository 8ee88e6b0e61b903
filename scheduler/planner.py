"""The owner of the schedule: which bytes of which chunk are read from which node, now.

No I/O, no clock: `now_sec` is an argument and randomness comes from `rng`. Messages of the other processes go in,
commands come out; a shell carries them out. The work is split over four modules: this one keeps the state and answers
events, `assignment` picks the node for a range, `wanted` and `selection` hold what is known of chunks and nodes.

Rules of this version: earliest deadline first over all sessions; at most `max_active_chunks` chunks in work; one
range in flight per node; a range is what is left of a chunk (or of a fragment); a failure frees the rest for another
node at once.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import assert_never

from common.messages import (
    CancelRange,
    ChunkFinished,
    ChunkTrouble,
    CloseChunk,
    Demand,
    DiscardRange,
    EventKind,
    FetchRange,
    JobProgress,
    NodeScores,
    OpenChunk,
    RangeFinished,
    RangeProgress,
    Transfer,
    WantedChunk,
    WorkerHeartbeat,
)
from common.units import megabits_per_sec, short_node
from scheduler import assignment
from scheduler.accounts import Accounts
from scheduler.leases import Worker, WorkerBook
from scheduler.selection import MIN_RATE_SAMPLE_BYTES, NODE_FAULTS, NodeBook
from scheduler.wanted import WHOLE, Job, Wanted

# A session whose buffer has not said what it wants for this long is gone.
DEMAND_LEASE_SEC = 5.0
# A chunk delivered but asked for again this much later never arrived.
REDELIVER_AFTER_SEC = 3.0
# The worker ends a silent range itself; this much later it is the worker that hangs.
HUNG_JOB_GRACE_SEC = 3.0
# Hashing and decoding take milliseconds; a verdict this late will not come.
VERDICT_SEC = 5.0
RETRY_BASE_SEC = 0.5
RETRY_MAX_SEC = 8.0
RETRY_JITTER_RATIO = 0.5


@dataclass(frozen=True, slots=True)
class SendJob:
    """Send a message to a worker's inbox."""

    jobs_endpoint: str
    msg: OpenChunk | FetchRange | CancelRange | DiscardRange | CloseChunk


@dataclass(frozen=True, slots=True)
class TellBuffer:
    """Tell the buffer that a chunk cannot be had for now."""

    msg: ChunkTrouble


@dataclass(frozen=True, slots=True)
class PublishTransfer:
    """Publish an ended range."""

    msg: Transfer


@dataclass(frozen=True, slots=True)
class Announce:
    """Publish something a viewer wants to read."""

    session_id: str
    kind: EventKind
    text: str


@dataclass(frozen=True, slots=True)
class ForgetWorker:
    """Close what leads to a worker that is gone."""

    jobs_endpoint: str


Command = SendJob | TellBuffer | PublishTransfer | Announce | ForgetWorker
Event = (
    Demand | NodeScores | WorkerHeartbeat | RangeProgress | RangeFinished | ChunkFinished
)


class Planner:
    """Turns events into commands; see the module's first lines for the rules."""

    def __init__(self, *, max_active_chunks: int, rng: random.Random) -> None:
        self.max_active_chunks = max_active_chunks
        self.nodes = NodeBook()
        self.workers = WorkerBook()
        self.accounts = Accounts()
        self.chunks: dict[tuple[str, str], Wanted] = {}
        self._rng = rng
        self._jobs: dict[str, Job] = {}
        self._demand_seen_sec: dict[str, float] = {}
        self._low_water_sec: dict[str, float] = {}
        self._ids = itertools.count(1)
        # Ids of an earlier life of the scheduler may still be reported by workers.
        self._prefix = f"{rng.getrandbits(32):08x}"

    # ------------------------------------------------------------ events

    def handle(self, event: Event, now_sec: float) -> list[Command]:
        """Fold one message in and return what to do."""
        commands: list[Command] = []
        match event:
            case Demand():
                self._on_demand(event, now_sec, commands)
            case NodeScores():
                self.nodes.update(event.nodes)
                named = {score.node_url for score in event.nodes}
                self.nodes.forget_except(
                    named.union(*(c.node_urls() for c in self.chunks.values()))
                )
            case WorkerHeartbeat():
                self._on_heartbeat(event, now_sec, commands)
            case RangeProgress():
                self._on_progress(event.worker_id, event.running, now_sec)
            case RangeFinished():
                self._on_range(event, now_sec, commands)
            case ChunkFinished():
                self._on_chunk(event, now_sec, commands)
            case _:
                assert_never(event)
        self._plan(now_sec, commands)
        return commands

    def tick(self, now_sec: float) -> list[Command]:
        """Let time act: leases and sessions run out, waits end, late ranges move."""
        commands: list[Command] = []
        for worker in self.workers.take_silent(now_sec):
            self._lose_worker(worker, now_sec, commands)
        for job in list(self._jobs.values()):
            if now_sec - job.progress_sec > job.silence_sec + HUNG_JOB_GRACE_SEC:
                self._break_lease(job.chunk, now_sec, commands, "worker does not report")
        for chunk in list(self.chunks.values()):
            if chunk.verifying_sec is not None and now_sec - chunk.verifying_sec > VERDICT_SEC:
                self._break_lease(chunk, now_sec, commands, "no verdict on its bytes")
        for session_id, seen_sec in list(self._demand_seen_sec.items()):
            if now_sec - seen_sec > DEMAND_LEASE_SEC:
                self._close_session(session_id, commands)
        for job in assignment.late_jobs(self._jobs.values(), self.nodes, now_sec):
            job.cancelled = True
            job.chunk.excluded.add(job.node_url)
            job.chunk.failed_over = True
            self._send(job.chunk, CancelRange(job_id=job.job_id), commands)
        self._plan(now_sec, commands)
        return commands

    @property
    def jobs(self) -> Iterable[Job]:
        """Ranges in flight."""
        return self._jobs.values()

    # ------------------------------------------------------------ demand

    def _on_demand(self, demand: Demand, now_sec: float, commands: list[Command]) -> None:
        session_id = demand.session_id
        if demand.closed:
            self._close_session(session_id, commands)
            return
        self._demand_seen_sec[session_id] = now_sec
        self._low_water_sec[session_id] = demand.low_water_mark_sec
        self.accounts.session(session_id)
        named = {item.chunk.chunk_id for item in demand.wanted}
        for chunk in [c for c in self.chunks.values() if c.session_id == session_id]:
            if chunk.spec.chunk_id not in named:
                self._drop(chunk, commands)
        for item in demand.wanted:
            self._want(demand, item, now_sec, commands)

    def _want(
        self, demand: Demand, item: WantedChunk, now_sec: float, commands: list[Command]
    ) -> None:
        deadline_sec = now_sec + item.deadline_in_sec
        chunk = self.chunks.get((demand.session_id, item.chunk.chunk_id))
        if chunk is not None and chunk.delivered_sec is not None:
            if now_sec - chunk.delivered_sec < REDELIVER_AFTER_SEC:
                return
            self._drop(chunk, commands)
            chunk = None
        if chunk is None:
            chunk = Wanted(
                session_id=demand.session_id,
                spec=item.chunk,
                deadline_sec=deadline_sec,
                seen_sec=now_sec,
                deliver_to=demand.deliver_to,
            )
            self.chunks[chunk.key] = chunk
            return
        chunk.deadline_sec = deadline_sec
        chunk.deliver_to = demand.deliver_to
        if chunk.spec != item.chunk:
            chunk.spec = item.chunk
            chunk.retry_at_sec = min(chunk.retry_at_sec, now_sec)

    def _close_session(self, session_id: str, commands: list[Command]) -> None:
        for chunk in [c for c in self.chunks.values() if c.session_id == session_id]:
            self._drop(chunk, commands)
        self._demand_seen_sec.pop(session_id, None)
        self._low_water_sec.pop(session_id, None)
        self.accounts.close(session_id)

    def _drop(self, chunk: Wanted, commands: list[Command]) -> None:
        if chunk.lease_id:
            self._send(chunk, CloseChunk(lease_id=chunk.lease_id), commands)
        self._release(chunk)
        self.chunks.pop(chunk.key, None)

    def _release(self, chunk: Wanted) -> None:
        for job in list(chunk.jobs.values()):
            self._end_job(job)
        self.workers.release(chunk.worker_id, chunk.lease_id)
        chunk.lease_id, chunk.worker_id = "", ""

    def _end_job(self, job: Job) -> None:
        job.chunk.jobs.pop(job.job_id, None)
        if self._jobs.pop(job.job_id, None) is not None:
            self.nodes.node(job.node_url).active -= 1

    # ------------------------------------------------------------ workers

    def _on_heartbeat(
        self, beat: WorkerHeartbeat, now_sec: float, commands: list[Command]
    ) -> None:
        worker, is_new = self.workers.seen(beat, now_sec)
        if is_new:
            commands.append(Announce("", "worker", f"worker {beat.worker_id} joined"))
        known = {c.lease_id for c in self.chunks.values() if c.worker_id == beat.worker_id}
        for lease_id in beat.leases:
            if lease_id not in known:
                # Work of an earlier life of this scheduler, or already given to someone else.
                commands.append(SendJob(worker.jobs_endpoint, CloseChunk(lease_id=lease_id)))
        if beat.draining:
            self.workers.take(beat.worker_id)
            self._lose_worker(worker, now_sec, commands)
            return
        self._on_progress(beat.worker_id, beat.running, now_sec)

    def _lose_worker(self, worker: Worker, now_sec: float, commands: list[Command]) -> None:
        commands.append(Announce("", "worker", f"worker {worker.worker_id} left"))
        for chunk in list(self.chunks.values()):
            if chunk.worker_id == worker.worker_id and chunk.delivered_sec is None:
                self._break_lease(chunk, now_sec, commands, f"worker {worker.worker_id} left")
        commands.append(ForgetWorker(worker.jobs_endpoint))

    def _break_lease(
        self, chunk: Wanted, now_sec: float, commands: list[Command], why: str
    ) -> None:
        """Take a chunk away from its home; its bytes went with it."""
        if chunk.lease_id:
            self._send(chunk, CloseChunk(lease_id=chunk.lease_id), commands)
        self._release(chunk)
        chunk.reset_parts()
        chunk.retry_at_sec = min(chunk.retry_at_sec, now_sec)
        commands.append(
            Announce(chunk.session_id, "worker", f"chunk {chunk.spec.sequence_num} moves: {why}")
        )

    def _on_progress(
        self, worker_id: str, running: tuple[JobProgress, ...], now_sec: float
    ) -> None:
        for progress in running:
            job = self._jobs.get(progress.job_id)
            if job is None or job.chunk.worker_id != worker_id:
                continue
            until = min(progress.received_until_bytes, job.end)
            if until <= job.received_until:
                continue
            job.chunk.parts[job.part].add(job.received_until, until, job.node_url)
            job.received_until, job.progress_sec = until, now_sec
            assignment.measure(job, self.nodes.node(job.node_url), now_sec)

    # ------------------------------------------------------------ results

    def _on_range(self, done: RangeFinished, now_sec: float, commands: list[Command]) -> None:
        job = self._jobs.get(done.job_id)
        if job is None or job.chunk.worker_id != done.worker_id:
            return
        chunk, node = job.chunk, self.nodes.node(job.node_url)
        until = max(job.received_until, min(done.received_until_bytes, job.end))
        chunk.parts[job.part].add(job.start, until, job.node_url)
        self._end_job(job)
        self.accounts.range_ended(chunk.session_id, done, node)
        busy_sec = max(0.0, done.duration_sec - (done.first_byte_sec or 0.0))
        goodput = None
        if done.received_bytes >= MIN_RATE_SAMPLE_BYTES and busy_sec > 0:
            goodput = megabits_per_sec(done.received_bytes, busy_sec)
            if job.rate_mbps is None:
                node.rate.add(goodput)
        if done.first_byte_sec is not None:
            node.first_byte.add(done.first_byte_sec)
        if done.received_bytes:
            node.last_data_sec = now_sec
        if done.range_honoured is not None:
            node.accepts_ranges = done.range_honoured
        commands.append(
            PublishTransfer(
                Transfer(
                    node_url=job.node_url,
                    session_id=chunk.session_id,
                    chunk_id=chunk.spec.chunk_id,
                    outcome=done.outcome,
                    size_bytes=done.received_bytes,
                    first_byte_sec=done.first_byte_sec,
                    busy_sec=busy_sec,
                    goodput_mbps=goodput,
                    range_honoured=done.range_honoured,
                )
            )
        )
        if done.outcome == "complete":
            if node.breaker.success():
                commands.append(
                    Announce(chunk.session_id, "recovered", f"{short_node(node.node_url)} is back")
                )
            if chunk.complete:
                chunk.verifying_sec = now_sec
        elif done.outcome != "cancelled":
            self._on_failure(job, done, now_sec, commands)

    def _on_failure(
        self, job: Job, done: RangeFinished, now_sec: float, commands: list[Command]
    ) -> None:
        chunk, node = job.chunk, self.nodes.node(job.node_url)
        chunk.excluded.add(job.node_url)
        chunk.failed_over = True
        chunk.last_fault = "missing" if done.outcome == "missing" else "unreachable"
        chunk.last_detail = f"{short_node(job.node_url)}: {done.detail or done.outcome}"
        if done.outcome in NODE_FAULTS and node.breaker.failure(
            done.outcome, now_sec, self._rng, done.retry_after_sec
        ):
            wait_sec = (node.breaker.open_until_sec or now_sec) - now_sec
            commands.append(
                Announce(
                    chunk.session_id,
                    "suspended",
                    f"{short_node(node.node_url)} suspended for {wait_sec:.1f} s: {done.detail or done.outcome}",
                )
            )

    def _on_chunk(self, done: ChunkFinished, now_sec: float, commands: list[Command]) -> None:
        chunk = next((c for c in self.chunks.values() if c.lease_id == done.lease_id), None)
        if chunk is None or chunk.worker_id != done.worker_id:
            return
        if done.verdict == "delivered":
            if chunk.suspects:
                # It failed before the last suspect's bytes were replaced and matches now.
                self.nodes.node(chunk.suspects[-1]).offences += 1
            chunk.delivered_sec = now_sec
            self.accounts.delivered(chunk.session_id, chunk.spec.size_bytes)
            self._release(chunk)
            return
        chunk.verifying_sec = None
        self.accounts.corrupt(chunk.session_id)
        part = done.corrupt_part if done.corrupt_part in chunk.parts else WHOLE
        found = chunk.next_suspect(part) if part in chunk.parts else None
        if found is None:
            self._start_over(chunk)
            return
        suspect, certain = found
        if certain:
            self.nodes.node(suspect).offences += 1
        else:
            chunk.suspects.append(suspect)
        chunk.banned.add(suspect)
        chunk.failed_over = True
        chunk.last_fault = "integrity"
        chunk.last_detail = f"{short_node(suspect)} sent wrong bytes"
        for span in chunk.parts[part].contributions:
            if span.node_url == suspect:
                chunk.parts[part].remove(span.start, span.end)
                discard = DiscardRange(
                    lease_id=chunk.lease_id, part=part, start_bytes=span.start, end_bytes=span.end
                )
                self._send(chunk, discard, commands)
        commands.append(
            Announce(
                chunk.session_id,
                "corrupt",
                f"chunk {chunk.spec.sequence_num}: wrong bytes from {short_node(suspect)}, fetched again",
            )
        )

    def _start_over(self, chunk: Wanted) -> None:
        """Every contributor was replaced and it still does not match: forget all bytes."""
        chunk.last_fault, chunk.last_detail = "integrity", "no combination of replicas matches"
        chunk.banned |= chunk.node_urls()
        self._release(chunk)
        chunk.reset_parts()

    # ------------------------------------------------------------ planning

    def _plan(self, now_sec: float, commands: list[Command]) -> None:
        waiting = [c for c in self.chunks.values() if c.delivered_sec is None]
        waiting.sort(key=lambda c: (c.deadline_sec, c.spec.sequence_num))
        for chunk in waiting[: self.max_active_chunks]:
            if chunk.retry_at_sec > now_sec:
                continue
            low_water_sec = self._low_water_sec.get(chunk.session_id, 0.0)
            urgent = chunk.deadline_sec - now_sec < low_water_sec
            while True:
                choice = assignment.choose(
                    chunk,
                    self.nodes,
                    self._jobs.values(),
                    now_sec,
                    urgent=urgent,
                    rng=self._rng,
                )
                if choice is None:
                    break
                if isinstance(choice, assignment.Exhausted):
                    self._retry_later(chunk, now_sec, commands)
                    break
                if not self._start(chunk, choice, now_sec, commands):
                    return

    def _retry_later(self, chunk: Wanted, now_sec: float, commands: list[Command]) -> None:
        """All replicas failed: wait, tell the viewer, then try all of them again."""
        chunk.rounds += 1
        length_sec = min(RETRY_MAX_SEC, RETRY_BASE_SEC * 2.0 ** (chunk.rounds - 1))
        length_sec *= 1 + RETRY_JITTER_RATIO * (2 * self._rng.random() - 1)
        chunk.retry_at_sec = now_sec + length_sec
        chunk.excluded.clear()
        chunk.banned.clear()
        chunk.suspects.clear()
        fault = chunk.last_fault
        detail = chunk.last_detail
        if not chunk.sources():
            fault, detail = "missing", "no replica is known"
        if fault not in ("missing", "integrity"):
            fault = "unreachable"
        commands.append(
            TellBuffer(
                ChunkTrouble(
                    session_id=chunk.session_id,
                    chunk_id=chunk.spec.chunk_id,
                    fault=fault,  # type: ignore[arg-type]  # narrowed to the three words just above
                    rounds=chunk.rounds,
                    detail=detail,
                )
            )
        )

    def _start(
        self, chunk: Wanted, choice: assignment.Choice, now_sec: float, commands: list[Command]
    ) -> bool:
        """Give a range to the chunk's home; False when no worker can take it."""
        if not chunk.lease_id:
            worker = self.workers.freest()
            if worker is None:
                return False
            chunk.attempt += 1
            chunk.worker_id = worker.worker_id
            chunk.lease_id = f"{self._prefix}.{next(self._ids)}"
            worker.leases.add(chunk.lease_id)
            self._send(
                chunk,
                OpenChunk(
                    lease_id=chunk.lease_id,
                    session_id=chunk.session_id,
                    chunk=chunk.spec,
                    deliver_to=chunk.deliver_to,
                ),
                commands,
            )
        node = self.nodes.node(choice.source.node_url)
        job = Job(
            job_id=f"{self._prefix}.{next(self._ids)}",
            chunk=chunk,
            part=choice.source.part,
            node_url=node.node_url,
            start=choice.start,
            end=choice.end,
            received_until=choice.start,
            begun_sec=now_sec,
            progress_sec=now_sec,
            silence_sec=node.silence_sec(),
            measured_until=choice.start,
        )
        chunk.jobs[job.job_id] = self._jobs[job.job_id] = job
        node.active += 1
        if chunk.failed_over:
            chunk.failed_over = False
            self.accounts.failover(chunk.session_id)
            commands.append(
                Announce(
                    chunk.session_id,
                    "failover",
                    f"chunk {chunk.spec.sequence_num} continues at byte {choice.start} "
                    f"from {short_node(node.node_url)}",
                )
            )
        self._send(
            chunk,
            FetchRange(
                job_id=job.job_id,
                lease_id=chunk.lease_id,
                part=job.part,
                replica=choice.source.replica,
                start_bytes=job.start,
                end_bytes=job.end,
                silence_sec=job.silence_sec,
                accepts_ranges=node.accepts_ranges,
            ),
            commands,
        )
        return True

    def _send(
        self,
        chunk: Wanted,
        msg: OpenChunk | FetchRange | CancelRange | DiscardRange | CloseChunk,
        commands: list[Command],
    ) -> None:
        endpoint = self.workers.endpoint_of(chunk.worker_id)
        if endpoint is not None:
            commands.append(SendJob(endpoint, msg))
