"""Which nodes the workers should have connections open to, so that a first request costs one round trip, not two.

No I/O, no clock, no randomness: time is an argument.

The nodes of chunks in work come first, then the best-scored healthy ones. All workers are told the same: any of them
may become the home of a chunk that any node can bring. A worker is told when it joins and when the set changes.
"""

from __future__ import annotations

from common.messages import Demand, NodeScores, WarmNodes, WorkerHeartbeat
from scheduler.commands import Command, SendJob
from scheduler.dealing import Dealer
from scheduler.schedule import Schedule
from scheduler.selection import Node

MAX_NODES = 64
# One for the range that runs and one for the next, which is asked for before that one ends.
CONNECTIONS_PER_NODE = 2
# Scores move all the time; a second is soon enough for a connection that may be needed some day.
CHOOSE_AGAIN_SEC = 1.0
# A node that is warm stays so while it is among this many times as many best ones: sets must not flutter.
KEPT_RANK_RATIO = 2


class Warming:
    """What the workers were told, and what they should be told now."""

    def __init__(self) -> None:
        self._chosen: frozenset[str] = frozenset()
        self._chosen_sec: float | None = None
        self._told: dict[str, frozenset[str]] = {}
        self._sessions: set[str] = set()

    def update(
        self,
        event: Demand | NodeScores | WorkerHeartbeat,
        schedule: Schedule,
        dealer: Dealer,
        now_sec: float,
    ) -> list[Command]:
        """Return the messages that an event makes necessary."""
        if self._is_due(event, now_sec):
            self._chosen_sec = now_sec
            self._chosen = frozenset(self._choose(schedule, dealer, now_sec))
        workers = schedule.workers.workers
        if len(self._told) > len(workers):
            alive = {worker.worker_id for worker in workers}
            self._told = {w: told for w, told in self._told.items() if w in alive}
        commands: list[Command] = []
        for worker in workers:
            if self._told.get(worker.worker_id, frozenset()) != self._chosen:
                self._told[worker.worker_id] = self._chosen
                msg = WarmNodes(
                    node_urls=tuple(sorted(self._chosen)),
                    per_node_count=CONNECTIONS_PER_NODE,
                )
                commands.append(SendJob(worker.jobs_endpoint, msg))
        return commands

    def _is_due(self, event: Demand | NodeScores | WorkerHeartbeat, now_sec: float) -> bool:
        if isinstance(event, Demand):
            if event.closed:
                self._sessions.discard(event.session_id)
            elif event.session_id not in self._sessions:
                self._sessions.add(event.session_id)
                return True
        elif (
            isinstance(event, NodeScores)
            and len(self._chosen) < MAX_NODES
            and any(s.healthy and s.node_url not in self._chosen for s in event.nodes)
        ):
            # The first word of a node is worth acting on at once.
            return True
        return self._chosen_sec is None or now_sec - self._chosen_sec >= CHOOSE_AGAIN_SEC

    def _choose(self, schedule: Schedule, dealer: Dealer, now_sec: float) -> list[str]:
        demanded = dealer.node_urls()
        good = [n for n in schedule.nodes if n.node_url in demanded or _promising(n, now_sec)]
        good.sort(key=lambda n: (n.node_url not in demanded, -n.score, n.node_url))
        first = [node.node_url for node in good[:MAX_NODES] if node.node_url in demanded]
        others = [node.node_url for node in good[len(first) :]]
        kept = [url for url in others[: KEPT_RANK_RATIO * MAX_NODES] if url in self._chosen]
        return list(dict.fromkeys([*first, *kept, *others]))[:MAX_NODES]


def _promising(node: Node, now_sec: float) -> bool:
    if node.banned or node.breaker.state(now_sec) == "open":
        return False
    return node.reported is not None and node.reported.healthy
