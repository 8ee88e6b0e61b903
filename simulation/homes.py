"""A worker in virtual time: assembles, verifies and delivers, as `scheduler.home` does.

No I/O, no clock; randomness comes from the `rng` handed in. Bytes are not moved, only counted; wrong ones are known.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from common.messages import (
    CancelRange,
    ChunkFinished,
    CloseChunk,
    DiscardRange,
    FetchRange,
    JobProgress,
    OpenChunk,
    RangeFinished,
    RangeOutcome,
    RangeProgress,
    ResizeRange,
    WorkerHeartbeat,
)
from common.units import node_of
from scheduler.bytemap import ByteMap
from scheduler.commands import JobMessage
from scheduler.coverage import missing_bytes
from scheduler.timing import PROGRESS_SEC
from scheduler.wanted import DATA_FRAGMENTS, WHOLE
from simulation.agenda import Agenda
from simulation.connections import Connection, Connections
from simulation.nodes import Request, SimNode, Wish

HEARTBEAT_SEC = 1.0
SLOTS = 8
# Hashing; decoding is as quick.
VERIFY_BYTES_PER_SEC = 1e9

Report = RangeProgress | RangeFinished | ChunkFinished | WorkerHeartbeat


@dataclass(frozen=True, slots=True, kw_only=True)
class Delays:
    """How long messages take, in seconds from and to; a thread that wakes up is part of it."""

    command: tuple[float, float] = (0.002, 0.005)
    report: tuple[float, float] = (0.001, 0.003)
    delivery: tuple[float, float] = (0.001, 0.003)
    demand: tuple[float, float] = (0.001, 0.003)


class Channel:
    """Messages in order, each a little late."""

    def __init__(self, agenda: Agenda, rng: random.Random, delay_sec: tuple[float, float]) -> None:
        self._agenda, self._rng, self._delay_sec = agenda, rng, delay_sec
        self._last_sec = 0.0

    def send(self, action: Callable[[], None], *, extra_sec: float = 0.0) -> None:
        """Do something when the message has arrived."""
        when_sec = self._agenda.now_sec + extra_sec + self._rng.uniform(*self._delay_sec)
        self._last_sec = max(self._last_sec, when_sec)
        self._agenda.at(self._last_sec, action)


@dataclass(slots=True, eq=False)
class Assembly:
    """What a worker holds of a chunk, and which of it is wrong."""

    opened: OpenChunk
    parts: dict[int, ByteMap]
    wrong: dict[int, ByteMap]
    rejected: set[int] = field(default_factory=set)
    verified: set[int] = field(default_factory=set)
    closed: bool = False


@dataclass(slots=True, eq=False)
class Read:
    """A range on its way."""

    fetch: FetchRange
    assembly: Assembly
    request: Request
    connection: Connection
    reported_until: int


class SimWorker:
    """Carries out the scheduler's messages; what it says goes to `report` and `deliver`."""

    def __init__(
        self,
        worker_id: str,
        nodes: Mapping[str, SimNode],
        *,
        agenda: Agenda,
        rng: random.Random,
        delays: Delays,
        warm: bool,
        report: Callable[[Report], None],
        deliver: Callable[[OpenChunk], None],
    ) -> None:
        self.worker_id = worker_id
        self.assemblies: dict[str, Assembly] = {}
        self.reads: dict[str, Read] = {}
        self.received_bytes = 0
        self.alive = True
        self._nodes, self._agenda = nodes, agenda
        self._report, self._deliver = report, deliver
        self._inbox = Channel(agenda, rng, delays.command)
        self._outbox = Channel(agenda, rng, delays.report)
        self._deliveries = Channel(agenda, rng, delays.delivery)
        self._connections = Connections(nodes, warm=warm)
        self._beat()
        agenda.every(HEARTBEAT_SEC, self._beat, first_sec=agenda.now_sec + rng.uniform(0.1, 1.0))
        agenda.every(
            PROGRESS_SEC,
            self._send_progress,
            first_sec=agenda.now_sec + rng.uniform(0.0, PROGRESS_SEC),
        )

    @property
    def endpoint(self) -> str:
        return f"inproc://{self.worker_id}"

    def post(self, msg: JobMessage) -> None:
        """Put a message into the inbox."""
        self._inbox.send(lambda: self._handle(msg))

    def die(self) -> None:
        """End without a word."""
        self.alive = False
        for read in self.reads.values():
            read.request.forget()
        self.reads.clear()
        self.assemblies.clear()

    # ------------------------------------------------------------ messages

    def _handle(self, msg: JobMessage) -> None:
        if not self.alive:
            return
        match msg:
            case OpenChunk():
                sizes = {f.fragment_index: f.size_bytes for f in msg.chunk.fragments}
                sizes = sizes or {WHOLE: msg.chunk.size_bytes}
                self.assemblies[msg.lease_id] = Assembly(
                    msg,
                    {part: ByteMap(size) for part, size in sizes.items()},
                    {part: ByteMap(size) for part, size in sizes.items()},
                )
            case FetchRange():
                self._fetch(msg)
            case ResizeRange():
                if msg.job_id in self.reads:
                    self.reads[msg.job_id].request.resize(msg.end_bytes)
            case CancelRange():
                if msg.job_id in self.reads:
                    self.reads[msg.job_id].request.cancel()
            case DiscardRange():
                self._discard(msg)
            case CloseChunk():
                assembly = self.assemblies.pop(msg.lease_id, None)
                if assembly is not None:
                    assembly.closed = True
                for read in [r for r in self.reads.values() if r.fetch.lease_id == msg.lease_id]:
                    read.request.cancel()

    def _fetch(self, fetch: FetchRange) -> None:
        assembly = self.assemblies.get(fetch.lease_id)
        if assembly is None:
            return
        url = node_of(fetch.replica.url)
        held, wrong = assembly.parts[fetch.part], assembly.wrong[fetch.part]

        def sink(start: int, end: int, is_wrong: bool) -> None:
            for a, b in held.missing_within(start, end) if is_wrong else ():
                wrong.add(a, b, url)
            held.add(start, end, url)

        connection = self._connections.take(url)
        request = self._nodes[url].request(
            Wish(
                number=assembly.opened.chunk.sequence_num,
                start=fetch.start_bytes,
                end=min(fetch.end_bytes, held.size),
                part_bytes=held.size,
                silence_sec=fetch.silence_sec,
                asks_range=fetch.accepts_ranges is not False,
                cold=connection.cold,
                window=connection.window,
            ),
            sink=sink,
            on_head=lambda honoured: self._say_head(fetch, honoured),
            on_end=lambda outcome, detail: self._ended(fetch.job_id, outcome, detail),
        )
        self.reads[fetch.job_id] = Read(
            fetch, assembly, request, connection, reported_until=fetch.start_bytes
        )

    def _discard(self, msg: DiscardRange) -> None:
        assembly = self.assemblies.get(msg.lease_id)
        if assembly is not None and msg.part in assembly.parts:
            assembly.rejected.discard(msg.part)
            assembly.verified.discard(msg.part)
            for held in (assembly.parts[msg.part], assembly.wrong[msg.part]):
                held.remove(msg.start_bytes, msg.end_bytes)

    # ------------------------------------------------------------ ranges

    def _say_head(self, fetch: FetchRange, honoured: bool) -> None:
        begun = JobProgress(
            job_id=fetch.job_id, received_until_bytes=fetch.start_bytes, range_honoured=honoured
        )
        self._say(RangeProgress(worker_id=self.worker_id, running=(begun,)))

    def _ended(self, job_id: str, outcome: RangeOutcome, detail: str) -> None:
        read = self.reads.pop(job_id, None)
        if read is None:
            return
        request = read.request
        self.received_bytes += request.received_bytes
        if request.reusable:
            self._connections.keep(request.node.url, read.connection)
        self._say(
            RangeFinished(
                worker_id=self.worker_id,
                job_id=job_id,
                outcome=outcome,
                start_bytes=read.fetch.start_bytes,
                received_until_bytes=request.until,
                received_bytes=request.received_bytes,
                first_byte_sec=request.first_byte_sec,
                duration_sec=self._agenda.now_sec - request.begun_sec,
                range_honoured=request.honoured,
                retry_after_sec=None,
                detail=detail,
            )
        )
        self._judge(read.fetch.lease_id, read.assembly)

    def _judge(self, lease_id: str, assembly: Assembly) -> None:
        """Verify what is complete; deliver the chunk when it is whole and right."""
        if assembly.closed:
            return
        chunk = assembly.opened.chunk
        extra_sec = 0.0
        for index, held in assembly.parts.items():
            if held.complete and index not in assembly.rejected | assembly.verified:
                extra_sec += held.size / VERIFY_BYTES_PER_SEC
                if assembly.wrong[index].held_bytes:
                    assembly.rejected.add(index)
                    self._verdict(lease_id, index, extra_sec)
                    return
                assembly.verified.add(index)
        if chunk.fragments:
            spans = {
                index: [(c.start, c.end) for c in held.contributions]
                for index, held in assembly.parts.items()
                if index not in assembly.rejected
            }
            size = next(iter(assembly.parts.values())).size
            if missing_bytes(spans, size, DATA_FRAGMENTS):
                return
            extra_sec += chunk.size_bytes / VERIFY_BYTES_PER_SEC
            if any(assembly.wrong[index].held_bytes for index in spans):
                self._verdict(lease_id, WHOLE, extra_sec)
                return
        elif WHOLE not in assembly.verified:
            return
        assembly.closed = True
        self.assemblies.pop(lease_id, None)
        self._verdict(lease_id, None, extra_sec)
        self._deliveries.send(lambda: self._deliver(assembly.opened), extra_sec=extra_sec)

    def _verdict(self, lease_id: str, corrupt_part: int | None, extra_sec: float) -> None:
        self._say(
            ChunkFinished(
                worker_id=self.worker_id,
                lease_id=lease_id,
                verdict="delivered" if corrupt_part is None else "corrupt",
                corrupt_part=WHOLE if corrupt_part is None else corrupt_part,
                detail="",
            ),
            extra_sec=extra_sec,
        )

    # ------------------------------------------------------------ reports

    def _say(self, msg: Report, *, extra_sec: float = 0.0) -> None:
        def arrive() -> None:
            if self.alive:
                self._report(msg)

        self._outbox.send(arrive, extra_sec=extra_sec)

    def _beat(self) -> None:
        if not self.alive:
            return
        self._say(
            WorkerHeartbeat(
                worker_id=self.worker_id,
                jobs_endpoint=self.endpoint,
                pid=1,
                slots=SLOTS,
                leases=tuple(self.assemblies),
                running=self._progress(only_new=False),
                received_bytes=self.received_bytes,
                draining=False,
            )
        )

    def _send_progress(self) -> None:
        if self.reads and self.alive:
            running = self._progress(only_new=True)
            if running:
                self._say(RangeProgress(worker_id=self.worker_id, running=running))

    def _progress(self, *, only_new: bool) -> tuple[JobProgress, ...]:
        found = []
        for job_id, read in self.reads.items():
            read.request.sync()
            until = read.request.until
            if only_new and until == read.reported_until:
                continue
            found.append(
                JobProgress(
                    job_id=job_id,
                    received_until_bytes=until,
                    received_bytes=read.request.received_bytes,
                )
            )
            if only_new:
                read.reported_until = until
        return tuple(found)
