"""The scheduler process: the planner between sockets."""

from __future__ import annotations

import logging
import random
import time
from collections import deque
from collections.abc import Callable
from typing import assert_never

from common import sockets
from common.clock import Clock, MonotonicClock
from common.config import Settings
from common.endpoints import Endpoints, RoleLock
from common.event_log import EventLog
from common.messages import (
    ChunkFinished,
    ChunkVerdict,
    Demand,
    InFlight,
    NodeLoad,
    NodeScores,
    RangeFinished,
    RangeProgress,
    RecentVerdicts,
    SchedulerStatus,
    SessionTraffic,
    WorkerHeartbeat,
    WorkerStatus,
)
from common.service import Service
from scheduler.commands import (
    Announce,
    Command,
    ForgetWorker,
    PublishTransfer,
    PublishVerdict,
    SendJob,
    TellBuffer,
)
from scheduler.planner import Event, Planner

logger = logging.getLogger(__name__)

# What a dashboard that starts a little late can tell of the first chunks.
KEPT_VERDICTS = 40

TICK_SEC = 0.05
# Often enough for a live page; changes in between show in the next snapshot.
STATUS_SEC = 0.25


class SchedulerProcess:
    """Feeds messages to the planner and carries out its commands."""

    def __init__(
        self,
        endpoints: Endpoints,
        settings: Settings,
        *,
        clock: Clock | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self._lock = RoleLock(endpoints.run_dir, "scheduler")
        self._clock = clock or MonotonicClock()
        self.planner = Planner(
            max_active_chunks=settings.max_concurrent_downloads, rng=rng or random.Random()
        )
        self.service = Service(endpoints)
        self._commands_address = endpoints.address("buffer.commands")
        self._events = self.service.publisher("scheduler.events")
        self._log = EventLog(self._events)
        self._verdicts: deque[ChunkVerdict] = deque(maxlen=KEPT_VERDICTS)
        self._verdicts_told = True
        self.service.pull(endpoints.address("scheduler.requests"), {Demand: self._handle})
        self.service.pull(
            endpoints.address("scheduler.reports"),
            {
                WorkerHeartbeat: self._on_heartbeat,
                RangeProgress: self._handle,
                RangeFinished: self._handle,
                ChunkFinished: self._handle,
            },
        )
        self.service.subscribe(("monitor.events",), {NodeScores: self._handle})
        self.service.every(TICK_SEC, self._tick)
        self.service.every(STATUS_SEC, self._publish_status)
        self.service.on_close(self._lock.release)

    def _on_heartbeat(self, beat: WorkerHeartbeat) -> None:
        # The way to a worker is open before its first range.
        self.service.connect(beat.jobs_endpoint)
        self._handle(beat)

    def _handle(self, event: Event) -> None:
        self._execute(self.planner.handle(event, self._clock.now_sec()))

    def _tick(self) -> None:
        self._execute(self.planner.tick(self._clock.now_sec()))

    def _execute(self, commands: list[Command]) -> None:
        for command in commands:
            match command:
                case SendJob():
                    if not self.service.push(command.jobs_endpoint, command.msg):
                        logger.warning("worker inbox is full endpoint=%s", command.jobs_endpoint)
                case TellBuffer():
                    self.service.push(self._commands_address, command.msg)
                case PublishTransfer():
                    self._events.publish(command.msg, key=None)
                case PublishVerdict():
                    self._events.publish(command.msg, key=None)
                    self._verdicts.append(command.msg)
                    self._verdicts_told = False
                case Announce():
                    logger.info("%s session_id=%s", command.text, command.session_id)
                    self._log.say(command.session_id, command.kind, command.text)
                case ForgetWorker():
                    self.service.forget_push(command.jobs_endpoint)
                    sockets.unlink_ipc(command.jobs_endpoint)
                case _:
                    assert_never(command)

    def _publish_status(self) -> None:
        if not self._verdicts_told:
            # Packed here, for the way of a chunk is no place for it.
            self._events.keep(RecentVerdicts(verdicts=tuple(self._verdicts)))
            self._verdicts_told = True
        self._events.publish(status_of(self.planner, self._clock.now_sec(), time.time))


def status_of(planner: Planner, now_sec: float, unix_sec: Callable[[], float]) -> SchedulerStatus:
    """Return the planner's state as a snapshot."""
    active: dict[str, set[str]] = {}
    for job in planner.jobs:
        active.setdefault(job.chunk.session_id, set()).add(job.chunk.spec.chunk_id)
    return SchedulerStatus(
        published_unix_sec=unix_sec(),
        max_active_chunks=planner.max_active_chunks,
        in_flight=tuple(
            InFlight(
                session_id=job.chunk.session_id,
                chunk_id=job.chunk.spec.chunk_id,
                sequence_num=job.chunk.spec.sequence_num,
                part=job.part,
                node_url=job.node_url,
                worker_id=job.chunk.worker_id,
                start_bytes=job.start,
                end_bytes=job.end,
                received_until_bytes=job.received_until,
                age_sec=now_sec - job.begun_sec,
            )
            for job in planner.jobs
        ),
        workers=tuple(
            WorkerStatus(
                worker_id=worker.worker_id,
                pid=worker.pid,
                slots=worker.slots,
                busy=len(worker.leases),
                received_bytes=worker.received_bytes,
                silent_sec=now_sec - worker.seen_sec,
            )
            for worker in planner.workers.workers
        ),
        nodes=tuple(
            NodeLoad(
                node_url=node.node_url,
                active_ranges=node.active,
                completed_ranges=node.completed_ranges,
                failed_ranges=node.failed_ranges,
                received_bytes=node.received_bytes,
                breaker="open" if node.banned else node.breaker.state(now_sec),
                suspended_for_sec=max(0.0, (node.breaker.open_until_sec or now_sec) - now_sec),
                rate_mbps=node.rate.value_mbps,
            )
            for node in planner.nodes
        ),
        sessions=tuple(
            SessionTraffic(
                session_id=account.session_id,
                total_downloads=account.total_downloads,
                failed_downloads=account.failed_downloads,
                failover_count=account.failover_count,
                received_bytes=account.received_bytes,
                needed_bytes=account.needed_bytes,
                active_downloads=len(active.get(account.session_id, ())),
            )
            for account in planner.accounts.all
        ),
    )
