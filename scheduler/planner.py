"""The owner of the schedule: which bytes of which chunk are read from which node, now.

No I/O, no clock: `now_sec` is an argument and randomness comes from `rng`. Messages of the other processes go in,
commands come out; a shell carries them out. The work is split over four modules: this one keeps the state and answers
events, `assignment` picks the node for a range, `wanted` and `selection` hold what is known of chunks and nodes.

Earliest deadline first over all sessions; at most `max_active_chunks` chunks in work. Every idle node takes a share of
the earliest urgent chunk that it can serve, and a node soon idle its next one; with nothing free it takes over a part
of a late range. A chunk due later than the low water mark is read by one node per part. A failure frees the rest of a
range for the others at once.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import assert_never

from common.messages import (
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
from scheduler import assignment, bodies, results, theft, timing
from scheduler.accounts import Accounts
from scheduler.active import Active, ActiveBook, urgency
from scheduler.commands import Announce, Command, SendJob, TellBuffer
from scheduler.leases import WorkerBook
from scheduler.schedule import Schedule
from scheduler.score_policy import whole_part
from scheduler.selection import Node, NodeBook
from scheduler.wanted import Job, Source, Wanted
from scheduler.warming import Warming

# A session whose buffer has not said what it wants for this long is gone.
DEMAND_LEASE_SEC = 5.0
# A chunk delivered but asked for again this much later never arrived.
REDELIVER_AFTER_SEC = 3.0
# The worker ends a silent range itself; this much later it is the worker that hangs.
HUNG_JOB_GRACE_SEC = 3.0
# Hashing and decoding take milliseconds; a verdict this late will not come.
VERDICT_SEC = 5.0
# Each round of planning gives each node one range; two per node is the most there is to give.
MAX_ROUNDS_OF_PLANNING = 4
RETRY_BASE_SEC = 0.5
RETRY_MAX_SEC = 8.0
RETRY_JITTER_RATIO = 0.5


Event = Demand | NodeScores | WorkerHeartbeat | RangeProgress | RangeFinished | ChunkFinished


class Planner:
    """Turns events into commands; see the module's first lines for the rules."""

    def __init__(
        self, *, max_active_chunks: int, rng: random.Random, shared_limit: bool = False
    ) -> None:
        """`max_active_chunks` bounds the chunks in work of each session, of all together with `shared_limit`."""
        self.max_active_chunks = max_active_chunks
        self._shared_limit = shared_limit
        self._active = ActiveBook()
        self._schedule = Schedule(rng)
        self._warming = Warming()
        self._demand_seen_sec: dict[str, float] = {}
        self._low_water_sec: dict[str, float] = {}
        # Sessions that play by another policy than the deadlines.
        self._by_score: set[str] = set()

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
                everything = True
                self._on_heartbeat(event, now_sec, commands)
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
        self._plan(now_sec, commands, everything=everything)
        if isinstance(event, Demand | NodeScores | WorkerHeartbeat):
            commands += self._warming.update(event, self._schedule, self._active, now_sec)
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
        self._plan(now_sec, commands, everything=True)
        return commands

    def _on_demand(self, demand: Demand, now_sec: float, commands: list[Command]) -> None:
        session_id = demand.session_id
        if demand.closed:
            self._close_session(session_id, commands)
            return
        self._demand_seen_sec[session_id] = now_sec
        self._schedule.touched.add(session_id)
        self._low_water_sec[session_id] = demand.low_water_mark_sec
        if demand.policy == "score":
            self._by_score.add(session_id)
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
            self._schedule.add(chunk)
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
        self._by_score.discard(session_id)
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
        results.on_progress(self._schedule, beat.worker_id, beat.running, now_sec, commands)

    def _group(self, session_id: str) -> str:
        return "" if self._shared_limit else session_id

    def _plan(self, now_sec: float, commands: list[Command], *, everything: bool = False) -> None:
        """Give every node that has room the most urgent range it can serve.

        What no event has touched is looked at again when time has passed, with `everything`.
        """
        schedule = self._schedule
        if everything:
            groups = {self._group(chunk.session_id) for chunk in schedule.chunks.values()}
            groups.update(self._active.groups())
        else:
            groups = {self._group(session_id) for session_id in schedule.touched}
        for group in groups:
            active = self._choose_active(group, now_sec, commands)
            if group in self._by_score:
                self._give_by_score(active, now_sec, commands)
                active = []
            self._active.replace(group, active)
        schedule.touched.clear()
        node_urls = self._active.node_urls(groups)
        for _ in range(MAX_ROUNDS_OF_PLANNING):
            if not self._give_once(node_urls, now_sec, commands):
                break
        schedule.touched.clear()

    def _choose_active(
        self, group: str, now_sec: float, commands: list[Command]
    ) -> list[tuple[Wanted, list[Source]]]:
        """Return the most urgent chunks of a group and where they can be read, no more than may be in work."""
        schedule = self._schedule
        chunks = schedule.chunks.values() if self._shared_limit else schedule.of_session(group)
        waiting = sorted((c for c in chunks if c.delivered_sec is None), key=urgency)
        active: list[tuple[Wanted, list[Source]]] = []
        in_work = 0
        for chunk in waiting:
            if in_work >= self.max_active_chunks:
                break
            if chunk.retry_at_sec > now_sec:
                # It waits for better times, and must not keep the others waiting.
                continue
            sources = assignment.usable_sources(chunk, schedule.nodes, now_sec)
            if not sources and not chunk.jobs and chunk.verifying_sec is None:
                self._retry_later(chunk, now_sec, commands)
                continue
            in_work += 1
            if sources:
                active.append((chunk, sources))
        return active

    def _give_once(self, node_urls: set[str], now_sec: float, commands: list[Command]) -> bool:
        """Give each node with room at most one range; False when nobody took any."""
        nodes = self._schedule.nodes
        room = [nodes.node(url) for url in node_urls]
        room = [node for node in room if self._has_room(node, now_sec)]
        # The best node takes the first bytes: they are what an equal finish is measured from.
        room.sort(key=lambda n: (-n.loaded_score(), n.node_url))
        given = False
        for node in room:
            for active in self._active.at_node(node.node_url):
                if self._give(node, active, now_sec, commands):
                    given = True
                    break
        return given

    def _give_by_score(
        self, active: list[tuple[Wanted, list[Source]]], now_sec: float, commands: list[Command]
    ) -> None:
        for chunk, sources in active:
            while self._may_read(chunk):
                choice = whole_part(chunk, sources, self._schedule.nodes)
                if choice is None or not self._schedule.start(chunk, choice, now_sec, commands):
                    break

    def _busy_sec(self, node: Node, now_sec: float) -> float:
        jobs = self._schedule.jobs_at(node.node_url)
        return max((timing.remaining_sec(j, node, now_sec) for j in jobs), default=0.0)

    def _has_room(self, node: Node, now_sec: float) -> bool:
        if node.active == 0:
            return True
        if node.active > 1 or not node.measured:
            return False
        (job,) = self._schedule.jobs_at(node.node_url)
        ahead_sec = node.latency_sec + timing.COMMAND_SEC + assignment.AHEAD_SEC
        return (
            not timing.is_quiet(job, now_sec)
            and timing.remaining_sec(job, node, now_sec) < ahead_sec
        )

    def _may_read(self, chunk: Wanted) -> bool:
        """Whether a chunk may be begun: others of its group may still be read that are less urgent by now."""
        if chunk.jobs:
            return True
        reading = self._schedule.reading(None if self._shared_limit else chunk.session_id)
        return reading < self.max_active_chunks

    def _give(self, node: Node, active: Active, now_sec: float, commands: list[Command]) -> bool:
        schedule, chunk, sources = self._schedule, active.chunk, active.sources
        if not self._may_read(chunk):
            return False
        low_water_sec = self._low_water_sec.get(chunk.session_id, 0.0)
        urgent = chunk.deadline_sec - now_sec < low_water_sec
        starting = chunk is not active.first and active.first.deadline_sec <= now_sec
        busy_sec = {
            s.node_url: self._busy_sec(schedule.nodes.node(s.node_url), now_sec) for s in sources
        }
        choice = assignment.next_range(
            node,
            chunk,
            sources,
            schedule.nodes,
            busy_sec,
            now_sec,
            urgent=urgent,
            starting=starting,
        )
        if choice is not None:
            return schedule.start(chunk, choice, now_sec, commands)
        if not urgent:
            return False
        wait_sec = busy_sec[node.node_url]
        if node.accepts_ranges is False:
            choice = bodies.race(node, chunk, sources, schedule.nodes, now_sec, wait_sec=wait_sec)
            return choice is not None and schedule.start(chunk, choice, now_sec, commands)
        found = theft.best_theft(
            node,
            chunk,
            sources,
            schedule.nodes,
            now_sec,
            wait_sec=wait_sec,
        )
        if found is None:
            return False
        schedule.resize(found.victim, found.cut, commands)
        return schedule.start(chunk, found.choice, now_sec, commands)

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
