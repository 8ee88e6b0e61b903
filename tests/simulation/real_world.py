"""The planner with a real home of chunks, real sockets and real time; otherwise as `bench.world`."""

from __future__ import annotations

import queue
import random
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from common.messages import ChunkSpec, ChunkTrouble, Demand, RangeProgress
from scheduler.commands import Command, SendJob, TellBuffer
from scheduler.home import ChunkHome, Delivery, Report
from scheduler.planner import Event, Planner
from scheduler.timing import PROGRESS_SEC
from simulation.agenda import Agenda
from simulation.world import HEARTBEAT_SEC, TICK_SEC
from tests.builders import a_beat


class RealWorld:
    """Runs the planner in this thread; what the home's threads say comes through a queue."""

    def __init__(
        self, *, max_active_chunks: int, watch: Callable[[list[Command]], None], seed: int = 0
    ) -> None:
        """`watch` is told the planner's commands."""
        self.agenda = Agenda()
        self.planner = Planner(max_active_chunks=max_active_chunks, rng=random.Random(seed))
        self.on_delivery: Callable[[str, ChunkSpec], None] = lambda _session, _chunk: None
        self.on_trouble: Callable[[ChunkTrouble], None] = lambda _trouble: None
        self._watch = watch
        self._told: queue.SimpleQueue[tuple[list[Report], Delivery | None]] = queue.SimpleQueue()
        self._home = ChunkHome("w1", lambda reports, delivery: self._told.put((reports, delivery)))
        self._origin_sec = time.monotonic()
        self._specs: dict[str, ChunkSpec] = {}
        self._beat()
        self.agenda.every(HEARTBEAT_SEC, self._beat, first_sec=HEARTBEAT_SEC)
        self.agenda.every(PROGRESS_SEC, self._send_progress, first_sec=PROGRESS_SEC)
        self.agenda.every(TICK_SEC, self._tick, first_sec=TICK_SEC)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._home.stop()

    def ask(self, demand: Demand) -> None:
        """Send a demand to the scheduler."""
        self._specs.update((item.chunk.chunk_id, item.chunk) for item in demand.wanted)
        self.feed(demand)

    def feed(self, event: Event) -> None:
        """Hand an event to the planner and carry out what it says."""
        self._execute(self.planner.handle(event, self._now_sec()))

    def run(self, done: Callable[[], bool], limit_sec: float) -> None:
        """Let time pass until something is done; fail when it is not done in time."""
        while not done():
            assert self._now_sec() < limit_sec, "the chunks did not come in time"
            self.agenda.run(self._now_sec(), done)
            try:
                reports, delivery = self._told.get(timeout=PROGRESS_SEC / 10)
            except queue.Empty:
                continue
            for report in reports:
                self.feed(report)
            if delivery is not None:
                spec = self._specs[delivery.msg.chunk_id]
                self.on_delivery(delivery.msg.session_id, spec)

    def _now_sec(self) -> float:
        return time.monotonic() - self._origin_sec

    def _execute(self, commands: list[Command]) -> None:
        self._watch(commands)
        for command in commands:
            if isinstance(command, SendJob):
                self._home.handle(command.msg)
            elif isinstance(command, TellBuffer):
                self.on_trouble(command.msg)

    def _tick(self) -> None:
        self._execute(self.planner.tick(self._now_sec()))

    def _beat(self) -> None:
        running = self._home.progress(only_new=False)
        self.feed(a_beat("w1", leases=self._home.leases(), running=running))

    def _send_progress(self) -> None:
        running = self._home.progress(only_new=True)
        if running:
            self.feed(RangeProgress(worker_id="w1", running=running))
