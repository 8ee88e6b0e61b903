"""The planner and everything around it in virtual time: nodes, workers, the monitor.

No I/O, no clock; all randomness comes from the seed. Who wants chunks is somebody else's matter: `ask` takes demands,
`on_delivery` and `on_trouble` tell what became of them.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from cluster.profiles import LinkProfile
from cluster.shaping import RateSchedule
from common.messages import (
    CancelRange,
    ChunkSpec,
    ChunkTrouble,
    Demand,
    FetchRange,
    NodeScore,
    NodeScores,
    OpenChunk,
    ResizeRange,
    Transfer,
)
from monitor.book import NodeBook, answer_age_limit_sec
from monitor.probe import probe_timeout_sec
from monitor.schedule import PingSchedule
from scheduler.commands import Command, JobMessage, PublishTransfer, SendJob, TellBuffer
from scheduler.planner import Event, Planner
from simulation.agenda import Agenda
from simulation.fault_events import FaultEvent
from simulation.homes import Channel, Delays, Report, SimWorker
from simulation.nodes import SimNode

TICK_SEC = 0.05
PING_INTERVAL_SEC = 3.0
HISTORY_SIZE = 10
# As the monitor process spaces its snapshots.
STARTING_GAP_SEC = 0.05
STEADY_GAP_SEC = 0.2
HEARTBEAT_SEC = 0.75

MonitorMode = Literal["fresh", "known", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePlan:
    """One node: its link and what befalls it; `schedule` replaces the rates that the profile names."""

    profile: LinkProfile
    faults: tuple[FaultEvent, ...] = ()
    schedule: RateSchedule | None = None


class Decider(Protocol):
    """Who decides what is read from where: the planner, or another to compare it with."""

    def handle(self, event: Event, now_sec: float) -> list[Command]:
        """Fold one message in and return what to do."""

    def tick(self, now_sec: float) -> list[Command]:
        """Let time act."""


@dataclass(slots=True)
class Counts:
    """What the scheduler sent to workers."""

    fetches: int = 0
    resizes: int = 0
    cancels: int = 0

    def note(self, msg: JobMessage) -> None:
        """Count one message."""
        match msg:
            case FetchRange():
                self.fetches += 1
            case ResizeRange():
                self.resizes += 1
            case CancelRange():
                self.cancels += 1
            case _:
                pass


class World:
    """Runs the planner against modelled nodes and workers."""

    def __init__(
        self,
        nodes: Mapping[str, NodePlan],
        *,
        workers: int = 2,
        max_active_chunks: int = 4,
        seed: int = 0,
        delays: Delays | None = None,
        warm: bool = False,
        monitor: MonitorMode = "fresh",
        watch: Callable[[World, Event | None, list[Command]], None] | None = None,
        decider: Decider | None = None,
    ) -> None:
        """`watch` is called after every event the planner has folded in (None: a tick), with its commands.

        `warm` keeps a set-up connection ready for every request. The monitor begins at time 0 (`fresh`), has pinged
        all nodes before (`known`), or there is none. `decider` takes the place of the planner.
        """
        self.agenda = Agenda()
        self.rng = random.Random(seed)
        self.planner = Planner(
            max_active_chunks=max_active_chunks, rng=random.Random(self.rng.getrandbits(32))
        )
        self._decider: Decider = decider or self.planner
        self.counts = Counts()
        self.on_delivery: Callable[[str, ChunkSpec], None] = lambda _session, _chunk: None
        self.on_trouble: Callable[[ChunkTrouble], None] = lambda _trouble: None
        self._delays = delays or Delays()
        self._warm, self._watch = warm, watch
        self.nodes = {
            url: SimNode(
                url,
                plan.profile,
                plan.faults,
                agenda=self.agenda,
                rng=self.rng,
                schedule=plan.schedule,
            )
            for url, plan in nodes.items()
        }
        self._requests = Channel(self.agenda, self.rng, self._delays.demand)
        self._answers = Channel(self.agenda, self.rng, self._delays.demand)
        self.workers: dict[str, SimWorker] = {}
        self._names = 0
        for _ in range(workers):
            self.start_worker()
        self.agenda.every(TICK_SEC, self._tick, first_sec=self.rng.uniform(0.0, TICK_SEC))
        self._monitor = None if monitor == "none" else _Monitor(self, known=monitor == "known")

    # ------------------------------------------------------------ what others do

    @property
    def received_bytes(self) -> int:
        """Bytes of bodies that crossed the network, workers that died left out."""
        ended = sum(worker.received_bytes for worker in self.workers.values())
        reads = (r for worker in self.workers.values() for r in worker.reads.values())
        return ended + sum(read.request.received_bytes for read in reads)

    @property
    def traffic_bytes(self) -> int | None:
        """What the session is told of its traffic; None before it has any."""
        if self._decider is not self.planner:
            return self.received_bytes
        for account in self.planner.accounts.all:
            return account.received_bytes + sum(job.received_bytes for job in self.planner.jobs)
        return None

    @property
    def now_sec(self) -> float:
        return self.agenda.now_sec

    def ask(self, demand: Demand) -> None:
        """Send a demand to the scheduler."""
        self._requests.send(lambda: self.feed(demand))

    def start_worker(self) -> None:
        """Start one more worker."""
        name = f"w{self._names}"
        self._names += 1
        self.workers[name] = SimWorker(
            name,
            self.nodes,
            agenda=self.agenda,
            rng=self.rng,
            delays=self._delays,
            warm=self._warm,
            report=self._on_report,
            deliver=self._on_delivered,
        )

    def kill_worker(self) -> None:
        """Let the oldest worker die without a word; another one is started."""
        self.workers.pop(next(iter(self.workers))).die()
        self.start_worker()

    # ------------------------------------------------------------ the planner

    def feed(self, event: Event) -> None:
        """Hand an event to the planner and carry out what it says."""
        self._execute(event, self._decider.handle(event, self.now_sec))

    def _tick(self) -> None:
        self._execute(None, self._decider.tick(self.now_sec))

    def _execute(self, event: Event | None, commands: list[Command]) -> None:
        for command in commands:
            match command:
                case SendJob():
                    self.counts.note(command.msg)
                    worker = self.workers.get(command.jobs_endpoint.removeprefix("inproc://"))
                    if worker is not None:
                        worker.post(command.msg)
                case TellBuffer():
                    trouble = command.msg
                    self._answers.send(lambda trouble=trouble: self.on_trouble(trouble))  # type: ignore[misc]
                case PublishTransfer():
                    if self._monitor is not None:
                        self._monitor.note(command.msg)
                case _:
                    pass
        if self._watch is not None:
            self._watch(self, event, commands)

    def _on_report(self, msg: Report) -> None:
        self.feed(msg)

    def _on_delivered(self, opened: OpenChunk) -> None:
        self.on_delivery(opened.session_id, opened.chunk)


class _Monitor:
    """The monitor's own book and ping schedule, and its snapshots."""

    def __init__(self, world: World, *, known: bool) -> None:
        self._world = world
        urls = list(world.nodes)
        self._agenda = world.agenda
        limit_sec = answer_age_limit_sec(PING_INTERVAL_SEC)
        self._book = NodeBook(history_size=HISTORY_SIZE, timeout_sec=limit_sec)
        self._schedule = PingSchedule(
            interval_sec=PING_INTERVAL_SEC, rng=random.Random(world.rng.getrandbits(32))
        )
        self._timeout_sec = probe_timeout_sec(PING_INTERVAL_SEC)
        self._unmeasured = set(urls)
        self._published_sec = -1.0
        self._publish_at_sec: float | None = None
        # As on the monitor's board: a score changes with its node's samples, and lapses with time.
        self._scored: dict[str, tuple[NodeScore, float]] = {}
        self._channel = Channel(world.agenda, world.rng, world._delays.report)
        if known:
            self._recall(urls)
            self._begin(urls)
            # The scheduler has heard of them long before anybody plays.
            world.feed(self._scores())
        else:
            # The buffer names the nodes.
            self._channel.send(lambda: self._begin(urls))

    def note(self, transfer: Transfer) -> None:
        """Take in what a range told of its node."""
        self._channel.send(lambda: self._on_transfer(transfer))

    def _recall(self, urls: Sequence[str]) -> None:
        """Take the nodes for pinged, and asked for one byte, before time 0."""
        self._unmeasured.clear()
        for url in urls:
            node = self._world.nodes[url]
            for _ in range(HISTORY_SIZE):
                latency_ms = node.answer_sec() * 1000 if node.answers_pings() else None
                self._book.record_ping(
                    url,
                    latency_ms,
                    accepts_ranges=None if latency_ms is None else not node.profile.no_range,
                    now_sec=0.0,
                    now_unix_sec=0.0,
                )

    def _begin(self, urls: Sequence[str]) -> None:
        for url in urls:
            self._book.add_node(url)
            self._schedule.add(url, self._agenda.now_sec)
        self._ping_due()
        self._publish_soon()
        first_sec = self._agenda.now_sec + HEARTBEAT_SEC
        self._agenda.every(HEARTBEAT_SEC, self._publish_soon, first_sec=first_sec)

    def _ping_due(self) -> None:
        for url in self._schedule.due(self._agenda.now_sec):
            node = self._world.nodes[url]
            connect_sec = node.round_trip_sec() if url in self._unmeasured else 0.0
            answer_sec = node.answer_sec()
            total_sec = connect_sec + answer_sec
            if node.kind == "down":
                self._pinged(url, None, node.round_trip_sec())
            elif not node.answers_pings() or total_sec > self._timeout_sec:
                self._pinged(url, None, self._timeout_sec)
            else:
                self._pinged(url, answer_sec * 1000, total_sec)
        next_sec = self._schedule.next_due_sec()
        if next_sec is not None:
            self._agenda.at(next_sec, self._ping_if_due)

    def _ping_if_due(self) -> None:
        next_sec = self._schedule.next_due_sec()
        if next_sec is not None and next_sec <= self._agenda.now_sec:
            self._ping_due()

    def _pinged(self, url: str, latency_ms: float | None, wait_sec: float) -> None:
        def arrive() -> None:
            now_sec = self._agenda.now_sec
            answered = latency_ms is not None
            self._schedule.finished(url, answered=answered, now_sec=now_sec)
            self._book.record_ping(url, latency_ms, now_sec=now_sec, now_unix_sec=now_sec)
            self._scored.pop(url, None)
            self._publish_soon()
            self._unmeasured.discard(url)
            self._ping_due()

        self._agenda.after(wait_sec, arrive)

    def _on_transfer(self, transfer: Transfer) -> None:
        self._scored.pop(transfer.node_url, None)
        self._book.record_transfer(
            transfer.node_url,
            transfer.outcome,
            size_bytes=transfer.size_bytes,
            goodput_mbps=transfer.goodput_mbps,
            range_honoured=transfer.range_honoured,
            now_sec=self._agenda.now_sec,
            now_unix_sec=self._agenda.now_sec,
        )
        self._publish_soon()

    def _publish_soon(self) -> None:
        gap_sec = STARTING_GAP_SEC if self._unmeasured else STEADY_GAP_SEC
        at_sec = max(self._agenda.now_sec, self._published_sec + gap_sec)
        if self._publish_at_sec is None or at_sec < self._publish_at_sec:
            self._publish_at_sec = at_sec
            self._agenda.at(at_sec, self._publish_if_due)

    def _publish_if_due(self) -> None:
        now_sec = self._agenda.now_sec
        if self._publish_at_sec is None or now_sec < self._publish_at_sec:
            return
        self._publish_at_sec, self._published_sec = None, now_sec
        scores = self._scores()
        self._channel.send(lambda: self._world.feed(scores))

    def _scores(self) -> NodeScores:
        now_sec = self._agenda.now_sec
        return NodeScores(
            published_unix_sec=now_sec,
            nodes=tuple(self._score(url, now_sec) for url in self._book.node_urls()),
        )

    def _score(self, url: str, now_sec: float) -> NodeScore:
        known, lapses_sec = self._scored.get(url, (None, 0.0))
        if known is None or lapses_sec < now_sec:
            known = self._book.node_score(url, now_sec=now_sec)
            lapses_sec = self._book.fresh_until_sec(url) if known.healthy else math.inf
            self._scored[url] = known, lapses_sec
        return known
