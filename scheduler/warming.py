"""Which nodes the workers should have connections open to, so that a first request costs one round trip, not two.

No I/O, no clock, no randomness: time is an argument.

The nodes of chunks in work come first, then the best-scored healthy ones. All workers are told the same: any of them
may become the home of a chunk that any node can bring. A worker is told when it joins and when the set changes.
"""

from __future__ import annotations

import heapq

from common.messages import Demand, NodeScores, WarmNodes, WorkerHeartbeat
from scheduler.commands import Command, SendJob
from scheduler.dealing import Dealer
from scheduler.lanes import lanes
from scheduler.schedule import Schedule
from scheduler.selection import Node

MAX_NODES = 64
# One for the range that runs and one for the next, which is asked for before that one ends; so for each of the ranges
# that a node sends side by side.
CONNECTIONS_PER_LANE = 2
# Scores move all the time; a second is soon enough for a connection that may be needed some day.
CHOOSE_AGAIN_SEC = 1.0
# A node that is warm stays so while it is among this many times as many best ones: sets must not flutter.
KEPT_RANK_RATIO = 2

_NOTHING: frozenset[str] = frozenset()


class Warming:
    """What the workers were told, and what they should be told now."""

    def __init__(self) -> None:
        # The best first; those of chunks in work before the others.
        self._chosen: list[str] = []
        self._demanded: set[str] = set()
        self._set = _NOTHING
        self._chosen_sec: float | None = None
        # It only grows: connections must not flutter.
        self._count = CONNECTIONS_PER_LANE
        self._told: dict[str, tuple[frozenset[str], int]] = {}
        self._sessions: set[str] = set()

    def update(
        self,
        event: Demand | NodeScores | WorkerHeartbeat,
        schedule: Schedule,
        dealer: Dealer,
        now_sec: float,
    ) -> list[Command]:
        """Return the messages that an event makes necessary."""
        begins = self._begins(event)
        if self._is_due(event, now_sec):
            self._chosen_sec = now_sec
            self._choose(schedule, dealer, now_sec)
            most = max(map(lanes, map(schedule.nodes.node, self._set)), default=1)
            self._count = max(self._count, CONNECTIONS_PER_LANE * most)
        elif begins:
            self._add(dealer)
        workers = schedule.workers.workers
        if len(self._told) > len(workers):
            alive = {worker.worker_id for worker in workers}
            self._told = {w: told for w, told in self._told.items() if w in alive}
        commands: list[Command] = []
        for worker in workers:
            told, count = self._told.get(worker.worker_id, (_NOTHING, self._count))
            if count != self._count or (told is not self._set and told != self._set):
                self._told[worker.worker_id] = (self._set, self._count)
                msg = WarmNodes(
                    node_urls=tuple(sorted(self._set)),
                    per_node_count=self._count,
                )
                commands.append(SendJob(worker.jobs_endpoint, msg))
        return commands

    def _begins(self, event: Demand | NodeScores | WorkerHeartbeat) -> bool:
        """Whether an event is the first demand of a session."""
        if not isinstance(event, Demand):
            return False
        if event.closed:
            self._sessions.discard(event.session_id)
            return False
        is_new = event.session_id not in self._sessions
        self._sessions.add(event.session_id)
        return is_new

    def _is_due(self, event: Demand | NodeScores | WorkerHeartbeat, now_sec: float) -> bool:
        if (
            isinstance(event, NodeScores)
            and len(self._set) < MAX_NODES
            and any(s.healthy and s.node_url not in self._set for s in event.nodes)
        ):
            # The first word of a node is worth acting on at once.
            return True
        return self._chosen_sec is None or now_sec - self._chosen_sec >= CHOOSE_AGAIN_SEC

    def _choose(self, schedule: Schedule, dealer: Dealer, now_sec: float) -> None:
        """Rank all nodes anew, or where those of chunks in work are enough only them."""
        node = schedule.nodes.node
        demanded = set(dealer.node_urls())
        first = heapq.nsmallest(MAX_NODES, map(node, demanded), key=_rank)
        self._demanded = {n.node_url for n in first}
        urls = [n.node_url for n in first]
        if len(urls) < MAX_NODES:
            good = [
                n for n in schedule.nodes if n.node_url not in demanded and _promising(n, now_sec)
            ]
            best = heapq.nsmallest(KEPT_RANK_RATIO * MAX_NODES, good, key=_rank)
            others = [n.node_url for n in best]
            urls += [url for url in others if url in self._set]
            urls += others
        self._take(urls)

    def _add(self, dealer: Dealer) -> None:
        """Put the nodes of a new session before those that no chunk is read from."""
        first = [url for url in self._chosen if url in self._demanded]
        if len(first) >= MAX_NODES:
            return
        fresh = [url for url in dealer.node_urls() if url not in self._demanded]
        self._demanded.update(fresh[: MAX_NODES - len(first)])
        self._take([*first, *fresh, *self._chosen])

    def _take(self, urls: list[str]) -> None:
        self._chosen = list(dict.fromkeys(urls))[:MAX_NODES]
        chosen = frozenset(self._chosen)
        if chosen != self._set:
            self._set = chosen


def _rank(node: Node) -> tuple[float, str]:
    return (-node.score, node.node_url)


def _promising(node: Node, now_sec: float) -> bool:
    if node.banned or node.breaker.state(now_sec) == "open":
        return False
    return node.reported is not None and node.reported.healthy
