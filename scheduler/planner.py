"""The owner of the schedule: which bytes of which chunk are read from which node, now.

No I/O, no clock: `now_sec` is an argument and randomness comes from `rng`. Messages of the other processes go in,
commands come out; a shell carries them out. This module answers demands and lets time act; `results` understands what
workers report, `dealing` gives nodes their ranges, `schedule` keeps the books.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import assert_never

from common.messages import (
    ChunkFinished,
    CloseChunk,
    Demand,
    NodeScores,
    RangeFinished,
    RangeProgress,
    WantedChunk,
    WorkerHeartbeat,
)
from scheduler import results
from scheduler.accounts import Accounts
from scheduler.commands import Announce, Command, SendJob
from scheduler.dealing import Dealer
from scheduler.leases import WorkerBook
from scheduler.schedule import Schedule
from scheduler.selection import NodeBook
from scheduler.wanted import Job, Wanted
from scheduler.warming import Warming

# A session whose buffer has not said what it wants for this long is gone.
DEMAND_LEASE_SEC = 5.0
# A chunk delivered but asked for again this much later never arrived.
REDELIVER_AFTER_SEC = 3.0
# The worker ends a silent range itself; this much later it is the worker that hangs.
HUNG_JOB_GRACE_SEC = 3.0
# Hashing and decoding take milliseconds; a verdict this late will not come.
VERDICT_SEC = 5.0


Event = Demand | NodeScores | WorkerHeartbeat | RangeProgress | RangeFinished | ChunkFinished


class Planner:
    """Turns events into commands; see the module's first lines for the rules."""

    def __init__(
        self, *, max_active_chunks: int, rng: random.Random, shared_limit: bool = False
    ) -> None:
        """`max_active_chunks` bounds the chunks in work of each session, of all together with `shared_limit`."""
        self._schedule = Schedule(rng)
        self._warming = Warming()
        self._dealer = Dealer(
            self._schedule, max_active_chunks=max_active_chunks, shared_limit=shared_limit
        )
        self._demand_seen_sec: dict[str, float] = {}

    @property
    def max_active_chunks(self) -> int:
        """How many chunks may be in work at once."""
        return self._dealer.max_active_chunks

    @max_active_chunks.setter
    def max_active_chunks(self, count: int) -> None:
        self._dealer.max_active_chunks = count

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
        everything = False
        match event:
            case Demand():
                self._on_demand(event, now_sec, commands)
            case NodeScores():
                everything = True
                self._schedule.nodes.update(event.nodes)
                named = {score.node_url for score in event.nodes}
                self._schedule.nodes.forget_except(
                    named.union(*(c.node_urls() for c in self._schedule.chunks.values()))
                )
            case WorkerHeartbeat():
                # A new one may take what nobody had room for.
                everything = self._on_heartbeat(event, now_sec, commands)
            case RangeProgress():
                results.on_progress(
                    self._schedule, event.worker_id, event.running, now_sec, commands
                )
            case RangeFinished():
                results.on_range(self._schedule, event, now_sec, commands)
            case ChunkFinished():
                results.on_chunk(self._schedule, event, now_sec, commands)
            case _:
                assert_never(event)
        self._dealer.deal(now_sec, commands, everything=everything)
        if isinstance(event, Demand | NodeScores | WorkerHeartbeat):
            commands += self._warming.update(event, self._schedule, self._dealer, now_sec)
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
        self._dealer.deal(now_sec, commands, everything=True)
        return commands

    def _on_demand(self, demand: Demand, now_sec: float, commands: list[Command]) -> None:
        session_id = demand.session_id
        if demand.closed:
            self._close_session(session_id, commands)
            return
        self._demand_seen_sec[session_id] = now_sec
        self._schedule.touched[session_id] = None
        self._dealer.learn(session_id, demand.low_water_mark_sec, demand.policy)
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
        changed = chunk is not None and chunk.spec is not item.chunk and chunk.spec != item.chunk
        if chunk is not None and changed and not chunk.is_of(item.chunk):
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
            self._schedule.add(chunk)
            return
        chunk.deadline_sec = deadline_sec
        chunk.deliver_to = demand.deliver_to
        if changed:
            chunk.spec = item.chunk
            chunk.retry_at_sec = min(chunk.retry_at_sec, now_sec)

    def _close_session(self, session_id: str, commands: list[Command]) -> None:
        for chunk in self._schedule.of_session(session_id):
            self._schedule.drop(chunk, commands)
        self._demand_seen_sec.pop(session_id, None)
        self._dealer.forget(session_id)
        self._schedule.accounts.close(session_id)

    def _on_heartbeat(self, beat: WorkerHeartbeat, now_sec: float, commands: list[Command]) -> bool:
        """Take in what a worker says of itself; return whether it is new."""
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
            return False
        results.on_progress(self._schedule, beat.worker_id, beat.running, now_sec, commands)
        return is_new
