"""The planner and one home in one process: an event loop takes the place of the sockets.

All methods belong to the event loop of the first `want`; only the home's threads call in from outside, through
`call_soon_threadsafe`. The timer runs only while something is wanted.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, assert_never

from common.messages import (
    ChunkDelivery,
    ChunkSpec,
    ChunkTrouble,
    Demand,
    NodeScores,
    RangeProgress,
    SourceShare,
    Transfer,
    WantedChunk,
    WarmNodes,
    WorkerHeartbeat,
)
from scheduler.commands import (
    Announce,
    Command,
    ForgetWorker,
    PublishTransfer,
    PublishVerdict,
    SendJob,
    TellBuffer,
)
from scheduler.home import ChunkHome, Delivery, Report
from scheduler.planner import Event, Planner

logger = logging.getLogger(__name__)

# The scheduler process's own pace.
TICK_SEC = 0.05
# Demand, heartbeat and scores run out after three seconds or more.
RENEW_SEC = 1.0
HOME_ID = "local"
# The planner bounds the chunks in work; the one home has room for all of them.
HOME_SLOTS = 1024


@dataclass(frozen=True, slots=True)
class Fetched:
    """A verified chunk and who sent how much of it, the largest share first."""

    data: bytes
    sources: tuple[SourceShare, ...]


@dataclass(slots=True)
class Ticket:
    """One wanted chunk; it is a session of its own, so that the same chunk may be wanted twice.

    `events` brings troubles, then the chunk; None when the dispatcher was stopped.
    """

    session_id: str
    spec: ChunkSpec
    deadline_sec: float
    events: asyncio.Queue[Fetched | ChunkTrouble | None] = field(default_factory=asyncio.Queue)
    over: bool = False


class LocalDispatcher:
    """Hands the planner's commands to a home in this process, and its reports back."""

    def __init__(
        self,
        *,
        max_active_chunks: int,
        scores: Callable[[], NodeScores],
        on_transfer: Callable[[Transfer], None],
        on_failover: Callable[[], None],
        on_load: Callable[[str, int], None],
    ) -> None:
        """`scores` is asked each second; `on_load` is told how the ranges at a node changed."""
        self._planner = Planner(
            max_active_chunks=max_active_chunks, rng=random.Random(), shared_limit=True
        )
        self._scores = scores
        self._on_transfer = on_transfer
        self._on_failover = on_failover
        self._on_load = on_load
        self._home: ChunkHome | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._tickets: dict[str, Ticket] = {}
        self._active: dict[str, int] = {}
        self._renewed_sec = 0.0
        self._ids = itertools.count(1)

    @property
    def max_active_chunks(self) -> int:
        """How many chunks are in work at once."""
        return self._planner.max_active_chunks

    @max_active_chunks.setter
    def max_active_chunks(self, count: int) -> None:
        self._planner.max_active_chunks = count

    @property
    def active_chunks(self) -> int:
        """How many chunks are in work now."""
        return sum(bool(c.lease_id) and c.delivered_sec is None for c in self._planner.chunks)

    # ------------------------------------------------------------ what is wanted

    def want(self, spec: ChunkSpec, *, deadline_sec: float) -> Ticket:
        """Fetch a chunk from now on, until `drop`; earlier deadlines (monotonic) go first."""
        self._enter(asyncio.get_running_loop())
        ticket = Ticket(f"ticket-{next(self._ids)}", spec, deadline_sec)
        self._tickets[ticket.session_id] = ticket
        self._renew()
        self._arm()
        return ticket

    def change(self, ticket: Ticket, spec: ChunkSpec) -> None:
        """Go on with other replicas of the same bytes."""
        ticket.spec = spec
        self._demand(ticket)

    def drop(self, ticket: Ticket) -> None:
        """Want it no more: what is being read for it is cancelled. Idempotent."""
        if self._tickets.pop(ticket.session_id, None) is not None:
            self._demand(ticket, closed=True)
        if not self._tickets and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def stop(self) -> None:
        """End everything; returns when no thread and no socket is left. Idempotent."""
        for ticket in list(self._tickets.values()):
            self.drop(ticket)
            ticket.events.put_nowait(None)
        home, self._home = self._home, None
        if home is not None:
            with ThreadPoolExecutor(1, thread_name_prefix="stop") as joiner:
                await asyncio.get_running_loop().run_in_executor(joiner, home.stop)

    # ------------------------------------------------------------ the event loop

    def _enter(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._loop is not None and self._loop is not loop and self._tickets:
            if not self._loop.is_closed():
                raise RuntimeError("downloads are running in another event loop")
            # It ended in the midst of them; nobody waits for these any more.
            self._timer = None
            for ticket in list(self._tickets.values()):
                self.drop(ticket)
        self._loop = loop
        if self._home is None:
            self._home = ChunkHome(HOME_ID, self._tell_soon)

    def _arm(self) -> None:
        if self._timer is None and self._tickets and self._loop is not None:
            self._timer = self._loop.call_later(TICK_SEC, self._tick)

    def _tick(self) -> None:
        self._timer = None
        try:
            if time.monotonic() - self._renewed_sec >= RENEW_SEC:
                # Before time is let act: a loop that was held up must not run out its own leases.
                self._renew()
            running = self._home.progress(only_new=True) if self._home is not None else ()
            if running:
                self._handle(RangeProgress(worker_id=HOME_ID, running=running))
            self._execute(self._planner.tick(time.monotonic()))
        finally:
            self._arm()

    def _renew(self) -> None:
        """Say again that the home lives, what the nodes are worth and what is wanted."""
        self._renewed_sec = time.monotonic()
        if self._home is None:
            return
        self._handle(self._scores())
        self._handle(
            WorkerHeartbeat(
                worker_id=HOME_ID,
                jobs_endpoint=HOME_ID,
                pid=os.getpid(),
                slots=HOME_SLOTS,
                leases=self._home.leases(),
                running=self._home.progress(only_new=False),
                received_bytes=self._home.received_bytes,
                draining=False,
            )
        )
        for ticket in list(self._tickets.values()):
            if not ticket.over:
                self._demand(ticket)

    def _demand(self, ticket: Ticket, *, closed: bool = False) -> None:
        due_sec = ticket.deadline_sec - time.monotonic()
        self._handle(
            Demand(
                session_id=ticket.session_id,
                deliver_to="",
                wanted=(WantedChunk(chunk=ticket.spec, deadline_in_sec=due_sec),),
                low_water_mark_sec=0.0,
                closed=closed,
            )
        )

    # ------------------------------------------------------------ planner and home

    def _handle(self, event: Event) -> None:
        self._execute(self._planner.handle(event, time.monotonic()))

    def _execute(self, commands: list[Command]) -> None:
        for command in commands:
            match command:
                case SendJob(msg=WarmNodes()):
                    # A library opens no connection before it is asked for something.
                    pass
                case SendJob():
                    if self._home is not None:
                        self._home.handle(command.msg)
                case TellBuffer():
                    ticket = self._tickets.get(command.msg.session_id)
                    if ticket is not None:
                        ticket.events.put_nowait(command.msg)
                case PublishTransfer():
                    self._on_transfer(command.msg)
                case Announce():
                    logger.debug("%s session_id=%s", command.text, command.session_id)
                    if command.kind == "failover":
                        self._on_failover()
                case ForgetWorker() | PublishVerdict():
                    pass
                case _:
                    assert_never(command)
        self._tell_loads()

    def _tell_loads(self) -> None:
        before = self._active
        self._active = {n.node_url: n.active for n in self._planner.nodes if n.active}
        for node_url in before.keys() | self._active.keys():
            change = self._active.get(node_url, 0) - before.get(node_url, 0)
            if change:
                self._on_load(node_url, change)

    def _on_told(self, reports: list[Report], delivery: ChunkDelivery | None, data: bytes) -> None:
        for report in reports:
            self._handle(report)
        if delivery is not None:
            self._on_delivery(delivery, data)

    def _on_delivery(self, delivery: ChunkDelivery, data: bytes) -> None:
        ticket = self._tickets.get(delivery.session_id)
        if ticket is not None and not ticket.over:
            # The home gives its verdict first, so the planner knows: whoever waits may drop the ticket.
            ticket.over = True
            ticket.events.put_nowait(Fetched(data, delivery.sources))

    # ------------------------------------------------------------ called in the home's threads

    def _tell_soon(self, reports: list[Report], delivery: Delivery | None) -> None:
        if delivery is None:
            self._soon(self._on_told, reports, None, b"")
        else:
            self._soon(self._on_told, reports, delivery.msg, bytes(delivery.data))

    def _soon(self, call: Callable[..., None], *arguments: Any) -> None:
        # The loop may have ended, and with it whoever waited.
        with contextlib.suppress(RuntimeError):
            if self._loop is not None:
                self._loop.call_soon_threadsafe(call, *arguments)
