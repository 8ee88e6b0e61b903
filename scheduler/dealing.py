"""Deals ranges to nodes: who reads what next, over all chunks in work.

No I/O, no clock, no randomness but the schedule's own `rng`.

Earliest deadline first; at most `max_active_chunks` chunks in work. Every idle node takes a share of the earliest
urgent chunk that it can serve, and a node soon idle its next one; with nothing free it takes over a part of a late
range. A chunk due later than the low water mark is read by one node per part. A failure frees the rest of a range for
the others at once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from common.messages import Policy
from scheduler import assignment, bodies, lanes, theft, timing
from scheduler.active import Active, ActiveBook, urgency
from scheduler.assignment import Choice
from scheduler.choosing import Chooser
from scheduler.commands import Command
from scheduler.room import Room
from scheduler.schedule import Schedule
from scheduler.score_policy import whole_part
from scheduler.selection import Node
from scheduler.wanted import Job, Source, Wanted

# Each round of dealing gives each node one range: to fill its lanes, and one ahead.
MAX_ROUNDS = lanes.MAX_LANES + 1


class Dealer:
    """Keeps which chunks are in work, and gives out their bytes."""

    def __init__(self, schedule: Schedule, *, max_active_chunks: int, shared_limit: bool) -> None:
        """`max_active_chunks` bounds the chunks in work of each session, of all together with `shared_limit`."""
        self._chooser = Chooser(
            schedule, max_active_chunks=max_active_chunks, shared_limit=shared_limit
        )
        self._schedule = schedule
        self._active = ActiveBook(schedule.nodes)
        self._room = Room(schedule, self._active)
        # Groups with a chunk that found no place among those being read, or no room at a worker.
        self._blocked: dict[str, None] = {}
        # Nodes that may have room, or something to read, since ranges were given out or shortened in this round.
        self._moved: dict[str, None] = {}

    @property
    def max_active_chunks(self) -> int:
        """How many chunks of a group may be in work at once."""
        return self._chooser.max_active_chunks

    @max_active_chunks.setter
    def max_active_chunks(self, count: int) -> None:
        self._chooser.max_active_chunks = count
        self._schedule.touched.update((c.session_id, None) for c in self._schedule.chunks.values())

    def learn(self, session_id: str, low_water_sec: float, policy: Policy) -> None:
        """Note how a session wants to be served."""
        self._chooser.learn(session_id, low_water_sec, policy)

    def forget(self, session_id: str) -> None:
        """Forget a session that is over."""
        self._chooser.forget(session_id)

    def node_urls(self) -> Collection[str]:
        """Return the nodes that the chunks in work can be read from."""
        return self._active.node_urls()

    def deal(self, now_sec: float, commands: list[Command], *, everything: bool = False) -> None:
        """Give every node that has room the most urgent range it can serve.

        Only nodes are asked for which an event changed something: they, or a chunk they have. What time alone has
        changed is looked at with `everything`.
        """
        schedule = self._schedule
        self._room.begin()
        self._moved.clear()
        news = self._renew(now_sec, commands, everything=everything)
        asked = self._to_ask(news, now_sec, everything=everything)
        schedule.changed.clear()
        schedule.stirred.clear()
        for first in self._active.firsts() if everything else news:
            if first.chunk is first.first:
                self._make_way(first, now_sec, commands)
        for _ in range(MAX_ROUNDS):
            asked.update(self._moved)
            self._moved.clear()
            if not self._give_once(asked, now_sec, commands):
                break
            # Nobody else has got room, or anything to read, meanwhile.
            asked.clear()
        schedule.changed.clear()
        schedule.stirred.clear()

    def _renew(self, now_sec: float, commands: list[Command], *, everything: bool) -> list[Active]:
        """Choose again where that may change; return the chunks in work that are new, or of which something changed."""
        schedule, chooser, book = self._schedule, self._chooser, self._active
        groups = dict.fromkeys(map(chooser.group_of, schedule.touched))
        schedule.touched.clear()
        if everything:
            groups.update(dict.fromkeys(chooser.unsettled))
        for url in book.node_urls() if everything else schedule.stirred:
            if not schedule.nodes.node(url).blameless:
                groups.update((item.group, None) for item in book.of_node(url))
        for chunk in schedule.changed:
            group = chooser.group_of(chunk.session_id)
            if chunk.excluded or chunk.banned or group in chooser.unsettled:
                groups[group] = None
        news: list[Active] = []
        for group in groups:
            active = chooser.choose(group, now_sec, commands)
            if chooser.by_score(group):
                self._give_by_score(active, now_sec, commands)
                active = []
            news += book.replace(group, active)
        changed = [item for item in map(book.item, schedule.changed) if item is not None]
        if self._blocked:
            groups.update((chooser.group_of(c.session_id), None) for c in schedule.changed)
            for group in [group for group in self._blocked if group in groups]:
                del self._blocked[group]
                changed += book.of_group(group)
        for item in changed:
            item.free_bytes = None
            item.refused.clear()
        return news + changed

    def _to_ask(self, news: list[Active], now_sec: float, *, everything: bool) -> dict[str, None]:
        """Return the nodes to ask: something has changed for them, or for a chunk that they have."""
        book, node = self._active, self._schedule.nodes.node
        asked = dict.fromkeys(self._room.attention.due(now_sec))
        for url in self._schedule.stirred:
            self._room.attention.forget(url)
            asked[url] = None
        if everything:
            for item in book.items():
                item.free_bytes = None
                item.refused.clear()
            asked.update((url, None) for url in book.node_urls() if not node(url).active)
        for url in asked:
            for item in book.of_node(url):
                item.refused.discard(url)
        for item in news:
            for able in item.nodes:
                url = able.node_url
                if url not in asked and not self._room.known_busy(able, now_sec):
                    asked[url] = None
        return asked

    def _give_once(self, asked: Iterable[str], now_sec: float, commands: list[Command]) -> bool:
        """Give each of these nodes at most one range; False when nobody took any."""
        able: list[tuple[float, str, Node, list[Active]]] = []
        for url in asked:
            node = self._schedule.nodes.node(url)
            if node.active and not self._room.has_room(node, now_sec):
                continue
            items = self._active.at_node(url)
            for place, item in enumerate(items):
                if url not in item.refused and self._offers(item, node, now_sec):
                    able.append((-node.loaded_score(), url, node, items[place:]))
                    break
        # The best node takes the first bytes: they are what an equal finish is measured from.
        if len(able) > 1:
            able.sort()
        given = False
        for _, url, node, items in able:
            too_early = self._room.too_early(node, now_sec) if node.active else None
            for item in items:
                if too_early is not None and urgency(item.chunk) > too_early:
                    self._room.call_again(node, self._room.busy_sec(node, now_sec), now_sec)
                    break
                if url in item.refused:
                    continue
                if self._offers(item, node, now_sec) and self._give(node, item, now_sec, commands):
                    given = True
                    self._moved[url] = None
                    break
                item.refused.add(url)
        return given

    def _offers(self, item: Active, node: Node, now_sec: float) -> bool:
        """Whether a chunk may have anything for a node; cheap to ask."""
        chunk, free = item.chunk, item.free_bytes
        if free is None:
            free = self._room.free_bytes(item)
        if chunk.is_urgent(now_sec):
            if free or (chunk.jobs and node.accepts_ranges is False):
                return True
            return self._room.longest_sec(item, now_sec) >= theft.STEAL_GAIN_SEC + node.latency_sec
        if not free or not chunk.jobs or chunk.coded:
            return free > 0
        # One node reads a part.
        return any(job.node_url == node.node_url for job in chunk.jobs.values())

    def _make_way(self, first: Active, now_sec: float, commands: list[Command]) -> None:
        """Shorten ranges of later chunks where bytes of the most urgent one came back and nobody is free for them."""
        chunk = first.chunk
        if self._room.free_bytes(first) < theft.MIN_STEAL_BYTES or not chunk.is_urgent(now_sec):
            return
        later: list[tuple[Node, Job]] = []
        for node in first.nodes:
            jobs = self._schedule.jobs_at(node.node_url)
            if len(jobs) == 1 and jobs[0].chunk.deadline_sec > chunk.deadline_sec:
                later.append((node, jobs[0]))
        if not later or any(self._room.has_room(node, now_sec) for node in first.nodes):
            return
        for node, job in later:
            end = theft.way_out(job, node, now_sec)
            if end is not None:
                self._resize(job, end, commands)

    def _give_by_score(
        self, active: list[tuple[Wanted, list[Source]]], now_sec: float, commands: list[Command]
    ) -> None:
        for chunk, sources in active:
            while self._chooser.may_read(chunk):
                choice = whole_part(chunk, sources, self._schedule.nodes)
                if choice is None or not self._start(chunk, choice, now_sec, commands):
                    break

    def _start(
        self, chunk: Wanted, choice: Choice, now_sec: float, commands: list[Command]
    ) -> bool:
        self._room.forget(choice.source.node_url, chunk)
        item = self._active.item(chunk)
        if not self._schedule.start(chunk, choice, now_sec, commands):
            if item is not None:
                self._blocked[item.group] = None
            return False
        if item is not None and item.refused:
            # With other shares for each, or a body to race with, others may think again.
            self._moved.update(dict.fromkeys(item.refused))
            item.refused.clear()
        return True

    def _resize(self, job: Job, end: int, commands: list[Command]) -> None:
        self._room.forget(job.node_url, job.chunk)
        self._moved[job.node_url] = None
        self._schedule.resize(job, end, commands)

    def _give(self, node: Node, item: Active, now_sec: float, commands: list[Command]) -> bool:
        schedule, chunk, sources = self._schedule, item.chunk, item.sources
        if not self._chooser.may_read(chunk):
            self._blocked[item.group] = None
            return False
        urgent = chunk.is_urgent(now_sec)
        if self._room.free_bytes(item) or node.accepts_ranges is False:
            starting = chunk is not item.first and item.first.deadline_sec <= now_sec
            busy_sec = self._room.busy_by_node(item, now_sec)
            if node.accepts_ranges is False and bodies.hopeless(
                node, chunk, sources, schedule.nodes, busy_sec, now_sec
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
                leading=chunk is item.first,
                starting=starting,
            )
            if choice is not None:
                return self._start(chunk, choice, now_sec, commands)
        if not urgent:
            return False
        wait_sec = self._room.busy_sec(node, now_sec)
        if node.accepts_ranges is False:
            choice = bodies.race(node, chunk, sources, schedule.nodes, now_sec, wait_sec=wait_sec)
            return choice is not None and self._start(chunk, choice, now_sec, commands)
        least_sec = max(wait_sec, timing.first_byte_sec(node, cold=False)) + theft.STEAL_GAIN_SEC
        if self._room.longest_sec(item, now_sec) < least_sec:
            return False
        return self._steal(node, item, now_sec, commands)

    def _steal(self, node: Node, item: Active, now_sec: float, commands: list[Command]) -> bool:
        """Take over part of a late range; where its node sends several side by side, of each of them."""
        robbed: list[Job] = []
        chunk, nodes = item.chunk, self._schedule.nodes
        for _ in range(lanes.MAX_LANES):
            found = theft.best_theft(
                node,
                chunk,
                item.sources,
                nodes,
                now_sec,
                busy_sec=self._room.busy_by_node(item, now_sec),
                robbed=robbed,
            )
            if found is None:
                break
            robbed.append(found.victim)
            self._resize(found.victim, found.cut, commands)
            if not self._start(chunk, found.choice, now_sec, commands):
                return False
            waits = lanes.waits_for_lanes(node) and node.active >= lanes.lanes(node)
            coming = [job for job in self._schedule.jobs_at(node.node_url) if not job.flowing]
            full = len(coming) >= lanes.MAX_LANES or node.active >= lanes.MAX_RANGES
            if waits or full or found.choice.lanes == 1:
                break
        return bool(robbed)
