"""Deals ranges to nodes: who reads what next, over all chunks in work.

No I/O, no clock, no randomness but the schedule's own `rng`.

Earliest deadline first; at most `max_active_chunks` chunks in work. Every idle node takes a share of the earliest
urgent chunk that it can serve, and a node soon idle its next one; with nothing free it takes over a part of a late
range. A chunk due later than the low water mark is read by one node per part. A failure frees the rest of a range for
the others at once.
"""

from __future__ import annotations

from collections.abc import Iterable

from common.messages import ChunkTrouble, CloseChunk, Policy
from scheduler import assignment, bodies, theft, timing
from scheduler.active import Active, ActiveBook, urgency
from scheduler.assignment import Choice
from scheduler.commands import Command, TellBuffer
from scheduler.schedule import Schedule
from scheduler.score_policy import whole_part
from scheduler.selection import Node
from scheduler.wanted import Job, Source, Wanted

# Each round of dealing gives each node one range; two per node is the most there is to give.
MAX_ROUNDS = 4
RETRY_BASE_SEC = 0.5
RETRY_MAX_SEC = 8.0
RETRIES_BEFORE_DUE = 4
RETRY_JITTER_RATIO = 0.5


class Dealer:
    """Keeps which chunks are in work, and gives out their bytes."""

    def __init__(self, schedule: Schedule, *, max_active_chunks: int, shared_limit: bool) -> None:
        """`max_active_chunks` bounds the chunks in work of each session, of all together with `shared_limit`."""
        self.max_active_chunks = max_active_chunks
        self._shared_limit = shared_limit
        self._schedule = schedule
        self._active = ActiveBook()
        self._low_water_sec: dict[str, float] = {}
        # Sessions that play by the seed's policy.
        self._by_score: set[str] = set()
        # How long nodes are busy still; holds for one moment, and for a node until its ranges change.
        self._busy: dict[str, float] = {}
        # How many bytes of a chunk are free; holds likewise.
        self._free: dict[tuple[str, str], int] = {}
        # Nodes of which a range was shortened in this round: they may have room sooner.
        self._cut_short: set[str] = set()

    def learn(self, session_id: str, low_water_sec: float, policy: Policy) -> None:
        """Note how a session wants to be served."""
        self._low_water_sec[session_id] = low_water_sec
        if policy == "score":
            self._by_score.add(session_id)

    def forget(self, session_id: str) -> None:
        """Forget a session that is over."""
        self._low_water_sec.pop(session_id, None)
        self._by_score.discard(session_id)

    def node_urls(self) -> set[str]:
        """Return the nodes that the chunks in work can be read from."""
        return self._active.node_urls(self._active.groups())

    def _group(self, session_id: str) -> str:
        return "" if self._shared_limit else session_id

    def deal(self, now_sec: float, commands: list[Command], *, everything: bool = False) -> None:
        """Give every node that has room the most urgent range it can serve.

        What no event has touched is looked at again when time has passed, with `everything`.
        """
        schedule = self._schedule
        self._busy.clear()
        self._free.clear()
        if everything:
            groups = dict.fromkeys(self._group(c.session_id) for c in schedule.chunks.values())
            groups.update(dict.fromkeys(self._active.groups()))
        else:
            groups = dict.fromkeys(self._group(session_id) for session_id in schedule.touched)
        for group in groups:
            active = self._choose_active(group, now_sec, commands)
            if group in self._by_score:
                self._give_by_score(active, now_sec, commands)
                active = []
            self._active.replace(group, active)
        schedule.touched.clear()
        node_urls = self._active.node_urls(groups)
        for group in groups:
            self._make_way(group, now_sec, commands)
        candidates = node_urls
        for _ in range(MAX_ROUNDS):
            self._cut_short.clear()
            room = self._with_room(candidates, now_sec)
            if not self._give_once(room, now_sec, commands):
                break
            # Nobody else has got room meanwhile.
            candidates = {node.node_url for node in room} | (node_urls & self._cut_short)
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
            chunk.give_second_chance(now_sec)
            sources = assignment.usable_sources(
                chunk, schedule.nodes, now_sec, urgent=self._is_urgent(chunk, now_sec)
            )
            if not sources and not chunk.jobs and chunk.verifying_sec is None:
                self._retry_later(chunk, now_sec, commands)
                continue
            in_work += 1
            if sources:
                active.append((chunk, sources))
        return active

    def _with_room(self, node_urls: Iterable[str], now_sec: float) -> list[Node]:
        nodes = map(self._schedule.nodes.node, node_urls)
        return [node for node in nodes if self._has_room(node, now_sec)]

    def _give_once(self, room: list[Node], now_sec: float, commands: list[Command]) -> bool:
        """Give each of these nodes at most one range; False when nobody took any."""
        # The best node takes the first bytes: they are what an equal finish is measured from.
        given = False
        for node in sorted(room, key=lambda n: (-n.loaded_score(), n.node_url)):
            for active in self._active.at_node(node.node_url):
                if self._give(node, active, now_sec, commands):
                    given = True
                    break
        return given

    def _make_way(self, group: str, now_sec: float, commands: list[Command]) -> None:
        """Shorten ranges of later chunks where bytes of the most urgent one came back and nobody is free for them."""
        first = self._active.first(group)
        if first is None or not self._is_urgent(first.chunk, now_sec):
            return
        chunk = first.chunk
        if self._free_bytes(chunk) < theft.MIN_STEAL_BYTES:
            return
        nodes = self._schedule.nodes
        able = [nodes.node(url) for url in dict.fromkeys(s.node_url for s in first.sources)]
        if any(self._has_room(node, now_sec) for node in able):
            return
        for node in able:
            jobs = self._schedule.jobs_at(node.node_url)
            if len(jobs) != 1 or jobs[0].chunk.deadline_sec <= chunk.deadline_sec:
                continue
            end = theft.way_out(jobs[0], node, now_sec)
            if end is not None:
                self._resize(jobs[0], end, commands)

    def _is_urgent(self, chunk: Wanted, now_sec: float) -> bool:
        low_water_sec = self._low_water_sec.get(chunk.session_id, 0.0)
        return chunk.deadline_sec - now_sec < low_water_sec

    def _give_by_score(
        self, active: list[tuple[Wanted, list[Source]]], now_sec: float, commands: list[Command]
    ) -> None:
        for chunk, sources in active:
            while self._may_read(chunk):
                choice = whole_part(chunk, sources, self._schedule.nodes)
                if choice is None or not self._start(chunk, choice, now_sec, commands):
                    break

    def _busy_sec(self, node: Node, now_sec: float) -> float:
        busy_sec = self._busy.get(node.node_url)
        if busy_sec is None:
            jobs = self._schedule.jobs_at(node.node_url)
            busy_sec = max([timing.remaining_sec(j, node, now_sec) for j in jobs], default=0.0)
            self._busy[node.node_url] = busy_sec
        return busy_sec

    def _busy_by_node(self, sources: list[Source], now_sec: float) -> dict[str, float]:
        nodes = self._schedule.nodes
        return {s.node_url: self._busy_sec(nodes.node(s.node_url), now_sec) for s in sources}

    def _start(
        self, chunk: Wanted, choice: Choice, now_sec: float, commands: list[Command]
    ) -> bool:
        self._busy.pop(choice.source.node_url, None)
        self._free.pop(chunk.key, None)
        return self._schedule.start(chunk, choice, now_sec, commands)

    def _resize(self, job: Job, end: int, commands: list[Command]) -> None:
        self._busy.pop(job.node_url, None)
        self._cut_short.add(job.node_url)
        self._free.pop(job.chunk.key, None)
        self._schedule.resize(job, end, commands)

    def _free_bytes(self, chunk: Wanted) -> int:
        known = self._free.get(chunk.key)
        if known is None:
            known = self._free[chunk.key] = chunk.free_bytes
        return known

    def _has_room(self, node: Node, now_sec: float) -> bool:
        if node.active == 0:
            return True
        if node.active > 1 or not node.measured or node.doubtful(now_sec):
            return False
        if self._busy_sec(node, now_sec) >= timing.ahead_sec(node):
            return False
        (job,) = self._schedule.jobs_at(node.node_url)
        return not timing.is_quiet(job, now_sec)

    def _may_read(self, chunk: Wanted) -> bool:
        """Whether a chunk may be begun: others of its group may still be read that are less urgent by now."""
        if chunk.jobs:
            return True
        reading = self._schedule.reading(None if self._shared_limit else chunk.session_id)
        return reading < self.max_active_chunks

    def _too_early(self, node: Node, chunk: Wanted, job: Job, now_sec: float) -> bool:
        """Whether a request for a chunk would come beside the bytes of a more urgent one, or even before them."""
        if urgency(job.chunk) >= urgency(chunk):
            return False
        if not self._is_urgent(job.chunk, now_sec):
            # Two requests that leave together, on two connections, arrive in either order.
            return not job.flowing
        left_sec = timing.remaining_sec(job, node, now_sec)
        return left_sec > timing.ahead_sec(node, same_chunk=False)

    def _give(self, node: Node, active: Active, now_sec: float, commands: list[Command]) -> bool:
        schedule, chunk, sources = self._schedule, active.chunk, active.sources
        if not self._may_read(chunk):
            return False
        urgent = self._is_urgent(chunk, now_sec)
        if any(
            self._too_early(node, chunk, job, now_sec) for job in schedule.jobs_at(node.node_url)
        ):
            return False
        if self._free_bytes(chunk) or node.accepts_ranges is False:
            starting = chunk is not active.first and active.first.deadline_sec <= now_sec
            busy_sec = self._busy_by_node(sources, now_sec)
            if node.accepts_ranges is False and bodies.hopeless(
                node, chunk, chunk.part_bytes, sources, schedule.nodes, busy_sec, now_sec
            ):
                return False
            choice = assignment.next_range(
                node,
                chunk,
                sources,
                schedule.nodes,
                busy_sec,
                now_sec,
                urgent=urgent,
                leading=chunk is active.first,
                starting=starting,
            )
            if choice is not None:
                return self._start(chunk, choice, now_sec, commands)
        if not urgent:
            return False
        wait_sec = self._busy_sec(node, now_sec)
        if node.accepts_ranges is False:
            choice = bodies.race(node, chunk, sources, schedule.nodes, now_sec, wait_sec=wait_sec)
            return choice is not None and self._start(chunk, choice, now_sec, commands)
        found = theft.best_theft(
            node,
            chunk,
            sources,
            schedule.nodes,
            now_sec,
            busy_sec=self._busy_by_node(sources, now_sec),
        )
        if found is None:
            return False
        self._resize(found.victim, found.cut, commands)
        return self._start(chunk, found.choice, now_sec, commands)

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
        # The playhead does not wait for a long pause to end.
        longest_sec = max(RETRY_BASE_SEC, (chunk.deadline_sec - now_sec) / RETRIES_BEFORE_DUE)
        length_sec = RETRY_BASE_SEC * 2.0 ** min(chunk.rounds - 1, 10)
        length_sec = min(RETRY_MAX_SEC, length_sec, longest_sec)
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
