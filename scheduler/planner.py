"""The owner of the schedule: which bytes of which chunk are read from which node, now.

No I/O, no clock: `now_sec` is an argument and randomness comes from `rng`. Messages of the other processes go in,
commands come out; a shell carries them out. The work is split over four modules: this one keeps the state and answers
events, `assignment` picks the node for a range, `wanted` and `selection` hold what is known of chunks and nodes.

Rules of this version: earliest deadline first over all sessions; at most `max_active_chunks` chunks in work; one
range in flight per node; a range is what is left of a chunk (or of a fragment); a failure frees the rest for another
node at once.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import assert_never

from common.messages import (
    CancelRange,
    ChunkFinished,
    ChunkTrouble,
    CloseChunk,
    Demand,
    NodeScores,
    RangeFinished,
    RangeProgress,
    WantedChunk,
    WorkerHeartbeat,
)
from scheduler import assignment, results
from scheduler.accounts import Accounts
from scheduler.commands import Announce, Command, SendJob, TellBuffer
from scheduler.leases import WorkerBook
from scheduler.schedule import Schedule
from scheduler.selection import NodeBook
from scheduler.wanted import Job, Wanted

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


Event = Demand | NodeScores | WorkerHeartbeat | RangeProgress | RangeFinished | ChunkFinished


class Planner:
    """Turns events into commands; see the module's first lines for the rules."""

    def __init__(self, *, max_active_chunks: int, rng: random.Random) -> None:
        self.max_active_chunks = max_active_chunks
        self._schedule = Schedule(rng)
        self._demand_seen_sec: dict[str, float] = {}
        self._low_water_sec: dict[str, float] = {}

    @property
    def jobs(self) -> Iterable[Job]:
        """Ranges in flight."""
        return self._schedule.jobs.values()

    @property
    def chunks(self) -> Iterable[Wanted]:
        """Chunks of the sessions' demands."""
        return self._schedule.chunks.values()

    @property
    def nodes(self) -> NodeBook:
        return self._schedule.nodes

    @property
    def workers(self) -> WorkerBook:
        return self._schedule.workers

    @property
    def accounts(self) -> Accounts:
        return self._schedule.accounts

    # ------------------------------------------------------------ events

    def handle(self, event: Event, now_sec: float) -> list[Command]:
        """Fold one message in and return what to do."""
        commands: list[Command] = []
        match event:
            case Demand():
                self._on_demand(event, now_sec, commands)
            case NodeScores():
                self._schedule.nodes.update(event.nodes)
                named = {score.node_url for score in event.nodes}
                self._schedule.nodes.forget_except(
                    named.union(*(c.node_urls() for c in self._schedule.chunks.values()))
                )
            case WorkerHeartbeat():
                self._on_heartbeat(event, now_sec, commands)
            case RangeProgress():
                results.on_progress(self._schedule, event.worker_id, event.running, now_sec)
            case RangeFinished():
                results.on_range(self._schedule, event, now_sec, commands)
            case ChunkFinished():
                results.on_chunk(self._schedule, event, now_sec, commands)
            case _:
                assert_never(event)
        self._plan(now_sec, commands)
        return commands

    def tick(self, now_sec: float) -> list[Command]:
        """Let time act: leases and sessions run out, waits end, late ranges move."""
        commands: list[Command] = []
        for worker in self._schedule.workers.take_silent(now_sec):
            self._schedule.lose_worker(worker, now_sec, commands)
        for job in list(self._schedule.jobs.values()):
            silent_sec = now_sec - job.progress_sec
            # Its chunk may just have moved for the sake of another of its ranges.
            if (
                job.job_id in self._schedule.jobs
                and silent_sec > job.silence_sec + HUNG_JOB_GRACE_SEC
            ):
                self._schedule.break_lease(job.chunk, now_sec, commands, "worker does not report")
        for chunk in list(self._schedule.chunks.values()):
            if chunk.verifying_sec is not None and now_sec - chunk.verifying_sec > VERDICT_SEC:
                self._schedule.break_lease(chunk, now_sec, commands, "no verdict on its bytes")
        for session_id, seen_sec in list(self._demand_seen_sec.items()):
            if now_sec - seen_sec > DEMAND_LEASE_SEC:
                self._close_session(session_id, commands)
        for job in assignment.late_jobs(
            self._schedule.jobs.values(), self._schedule.nodes, now_sec
        ):
            job.cancelled = True
            job.chunk.excluded.add(job.node_url)
            self._schedule.send(job.chunk, CancelRange(job_id=job.job_id), commands)
        self._plan(now_sec, commands)
        return commands

    def _on_demand(self, demand: Demand, now_sec: float, commands: list[Command]) -> None:
        session_id = demand.session_id
        if demand.closed:
            self._close_session(session_id, commands)
            return
        self._demand_seen_sec[session_id] = now_sec
        self._low_water_sec[session_id] = demand.low_water_mark_sec
        self._schedule.accounts.session(session_id).closed = False
        named = {item.chunk.chunk_id for item in demand.wanted}
        for chunk in self._schedule.of_session(session_id):
            if chunk.spec.chunk_id not in named:
                self._schedule.drop(chunk, commands)
        for item in demand.wanted:
            self._want(demand, item, now_sec, commands)

    def _want(
        self, demand: Demand, item: WantedChunk, now_sec: float, commands: list[Command]
    ) -> None:
        deadline_sec = now_sec + item.deadline_in_sec
        chunk = self._schedule.chunks.get((demand.session_id, item.chunk.chunk_id))
        if chunk is not None and chunk.delivered_sec is not None:
            if now_sec - chunk.delivered_sec < REDELIVER_AFTER_SEC:
                return
            self._schedule.drop(chunk, commands)
            chunk = None
        if chunk is not None and not chunk.is_of(item.chunk):
            self._schedule.drop(chunk, commands)
            chunk = None
        if chunk is None:
            chunk = Wanted(
                session_id=demand.session_id,
                spec=item.chunk,
                deadline_sec=deadline_sec,
                seen_sec=now_sec,
                deliver_to=demand.deliver_to,
            )
            self._schedule.chunks[chunk.key] = chunk
            return
        chunk.deadline_sec = deadline_sec
        chunk.deliver_to = demand.deliver_to
        if chunk.spec != item.chunk:
            chunk.spec = item.chunk
            chunk.retry_at_sec = min(chunk.retry_at_sec, now_sec)

    def _close_session(self, session_id: str, commands: list[Command]) -> None:
        for chunk in self._schedule.of_session(session_id):
            self._schedule.drop(chunk, commands)
        self._demand_seen_sec.pop(session_id, None)
        self._low_water_sec.pop(session_id, None)
        self._schedule.accounts.close(session_id)

    def _on_heartbeat(self, beat: WorkerHeartbeat, now_sec: float, commands: list[Command]) -> None:
        worker, is_new = self._schedule.workers.seen(beat, now_sec)
        if is_new:
            commands.append(Announce("", "worker", f"worker {beat.worker_id} joined"))
        known = {
            c.lease_id for c in self._schedule.chunks.values() if c.worker_id == beat.worker_id
        }
        for lease_id in beat.leases:
            if lease_id not in known:
                # Work of an earlier life of this scheduler, or already given to someone else.
                commands.append(SendJob(worker.jobs_endpoint, CloseChunk(lease_id=lease_id)))
        if beat.draining:
            self._schedule.workers.take(beat.worker_id)
            self._schedule.lose_worker(worker, now_sec, commands)
            return
        results.on_progress(self._schedule, beat.worker_id, beat.running, now_sec)

    def _plan(self, now_sec: float, commands: list[Command]) -> None:
        waiting = [c for c in self._schedule.chunks.values() if c.delivered_sec is None]
        waiting.sort(key=lambda c: (c.deadline_sec, c.spec.sequence_num))
        in_work = sum(1 for c in waiting if c.jobs)
        for chunk in waiting:
            # A chunk that waits for its replicas to recover holds nobody up.
            if chunk.retry_at_sec > now_sec:
                continue
            if not chunk.jobs and in_work >= self.max_active_chunks:
                continue
            was_idle = not chunk.jobs
            low_water_sec = self._low_water_sec.get(chunk.session_id, 0.0)
            urgent = chunk.deadline_sec - now_sec < low_water_sec
            while True:
                choice = assignment.choose(
                    chunk,
                    self._schedule.nodes,
                    self._schedule.jobs.values(),
                    now_sec,
                    urgent=urgent,
                    rng=self._schedule.rng,
                )
                if choice is None:
                    break
                if isinstance(choice, assignment.Exhausted):
                    self._retry_later(chunk, now_sec, commands)
                    break
                if not self._schedule.start(chunk, choice, now_sec, commands):
                    break
            in_work += was_idle and bool(chunk.jobs)

    def _retry_later(self, chunk: Wanted, now_sec: float, commands: list[Command]) -> None:
        """All replicas failed: wait, tell the viewer, then try all of them again."""
        chunk.rounds += 1
        doubtful = bool(chunk.suspects)
        nothing_held = not chunk.bytes_by_node()
        chunk.begin_round()
        if chunk.lease_id and (doubtful or nothing_held):
            # Wrong bytes are among those held, or there are none: the worker's room is better used.
            self._schedule.send(chunk, CloseChunk(lease_id=chunk.lease_id), commands)
            self._schedule.release(chunk)
            chunk.reset_parts()
        length_sec = min(RETRY_MAX_SEC, RETRY_BASE_SEC * 2.0 ** (chunk.rounds - 1))
        length_sec *= 1 + RETRY_JITTER_RATIO * (2 * self._schedule.rng.random() - 1)
        chunk.retry_at_sec = now_sec + length_sec
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
