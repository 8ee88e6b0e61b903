"""The home of chunks: assembles ranges, verifies, decodes and delivers. Used by worker processes and in-process.

Takes the scheduler's messages through `handle`, answers through `tell`, which is called in the threads that read the
ranges. Each chunk has a lock of its own.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

from common.messages import (
    CancelRange,
    ChunkDelivery,
    ChunkFinished,
    CloseChunk,
    DiscardRange,
    FetchRange,
    JobProgress,
    OpenChunk,
    RangeFinished,
    RangeProgress,
    RangeSource,
    ResizeRange,
    WarmNodes,
)
from common.units import node_of
from scheduler.assembly import Assembly, Landing, Part, matches
from scheduler.buffers import Buffers
from scheduler.commands import JobMessage
from scheduler.connections import new_http_session
from scheduler.fetcher import RangeRead, RangeResult
from scheduler.prewarmer import Prewarmer
from scheduler.wanted import WHOLE

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Delivery:
    """A verified chunk and where it goes."""

    msg: ChunkDelivery
    data: memoryview
    deliver_to: str


Report = RangeProgress | RangeFinished | ChunkFinished
# Reports to the scheduler, in order, and after them the chunk: with the last one the buffer ends the session, and the
# scheduler counts until then.
Tell = Callable[[list[Report], Delivery | None], None]

# Ranges read at the same time by one home; above the scheduler's limit of chunks times fragments.
MAX_THREADS = 16
# So many are started before they are needed, within this time.
READY_THREADS = 8
READY_SEC = 1.0


@dataclass(slots=True)
class _Fetch:
    """A range being read."""

    msg: FetchRange
    assembly: Assembly
    part: Part
    landing: Landing
    read: RangeRead
    node_url: str
    reported_bytes: int = 0


class ChunkHome:
    """Everything one worker holds."""

    def __init__(self, worker_id: str, tell: Tell) -> None:
        self.worker_id = worker_id
        self.received_bytes = 0
        self._tell = tell
        self._http = new_http_session()
        self._warm = Prewarmer(self._http)
        self._buffers = Buffers()
        self._pool = ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="range")
        self._lock = threading.Lock()
        self._assemblies: dict[str, Assembly] = {}
        self._fetches: dict[str, _Fetch] = {}
        self._stopping = False
        self._threads_begun = False

    # ------------------------------------------------------------ messages

    def handle(self, msg: JobMessage) -> None:
        """Carry out one message; returns at once."""
        match msg:
            case OpenChunk():
                self._open(msg)
            case FetchRange():
                self._fetch(msg)
            case CancelRange():
                read = self._running(msg.job_id)
                if read is not None:
                    read.cancel()
            case ResizeRange():
                read = self._running(msg.job_id)
                if read is not None:
                    read.resize(msg.end_bytes)
            case DiscardRange():
                self._discard(msg)
            case CloseChunk():
                self._close(msg.lease_id)
            case WarmNodes():
                self._warm.want(msg.node_urls, msg.per_node_count)

    def keep_warm(self) -> None:
        """See to the connections and threads that wait for a request; asked at every heartbeat."""
        self._warm.keep()
        if not self._threads_begun:
            self._threads_begun = True
            # All wait for one another, so that each gets a thread: the first requests need not start any.
            together = threading.Barrier(READY_THREADS)
            for _ in range(READY_THREADS):
                self._pool.submit(together.wait, READY_SEC)

    def _running(self, job_id: str) -> RangeRead | None:
        with self._lock:
            found = self._fetches.get(job_id)
        return found.read if found is not None else None

    def leases(self) -> tuple[str, ...]:
        """Return the chunks held."""
        with self._lock:
            return tuple(self._assemblies)

    def progress(self, *, only_new: bool = False) -> tuple[JobProgress, ...]:
        """Return the running ranges, or those that brought bytes since they were last told of.

        Asked several times a second, it also ends the reads that no timeout ends.
        """
        now_sec = time.monotonic()
        found = []
        with self._lock:
            for job_id, fetch in self._fetches.items():
                read = fetch.read
                read.cut_if_overdue(now_sec)
                received_bytes = read.received_bytes
                if only_new:
                    if received_bytes == fetch.reported_bytes:
                        continue
                    fetch.reported_bytes = received_bytes
                found.append(
                    JobProgress(
                        job_id=job_id,
                        received_until_bytes=read.received_until,
                        received_bytes=received_bytes,
                    )
                )
        return tuple(found)

    def stop(self) -> None:
        """Cancel everything and wait for the threads; idempotent."""
        with self._lock:
            self._stopping = True
            reads = [fetch.read for fetch in self._fetches.values()]
        for read in reads:
            read.cancel()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._warm.stop()
        self._http.close()

    # ------------------------------------------------------------ chunks

    def _open(self, msg: OpenChunk) -> None:
        with self._lock:
            self._assemblies[msg.lease_id] = Assembly.of(msg, self._buffers)

    def _close(self, lease_id: str) -> None:
        with self._lock:
            assembly = self._assemblies.pop(lease_id, None)
            reads = [f.read for f in self._fetches.values() if f.msg.lease_id == lease_id]
        if assembly is not None:
            assembly.closed = True
        for read in reads:
            read.cancel()

    def _discard(self, msg: DiscardRange) -> None:
        with self._lock:
            assembly = self._assemblies.get(msg.lease_id)
        part = assembly.parts.get(msg.part) if assembly is not None else None
        if assembly is None or part is None:
            return
        with assembly.lock:
            part.discard(msg.start_bytes, msg.end_bytes)

    # ------------------------------------------------------------ ranges

    def _fetch(self, msg: FetchRange) -> None:
        with self._lock:
            assembly = self._assemblies.get(msg.lease_id)
        part = assembly.parts.get(msg.part) if assembly is not None else None
        if assembly is None or part is None:
            return
        # Never under the home's own lock: threads take that one while they hold the chunk's.
        with assembly.lock:
            landing = part.land(node_of(msg.replica.url))

        def headed(honoured: bool) -> None:
            begun = JobProgress(
                job_id=msg.job_id,
                received_until_bytes=msg.start_bytes,
                range_honoured=honoured,
            )
            self._tell([RangeProgress(worker_id=self.worker_id, running=(begun,))], None)

        read = RangeRead(
            self._http,
            msg.replica,
            start=msg.start_bytes,
            end=min(msg.end_bytes, part.size_bytes),
            part_size=part.size_bytes,
            silence_sec=msg.silence_sec,
            accepts_ranges=msg.accepts_ranges,
            target=landing,
            headed=headed,
        )
        fetch = _Fetch(msg, assembly, part, landing, read, node_of(msg.replica.url))
        with self._lock:
            if self._stopping:
                return
            self._fetches[msg.job_id] = fetch
        self._pool.submit(self._run, fetch)

    def _run(self, fetch: _Fetch) -> None:
        msg, assembly = fetch.msg, fetch.assembly
        try:
            result = fetch.read.run()
            with assembly.lock:
                fetch.part.close(fetch.landing)
                with self._lock:
                    self._fetches.pop(msg.job_id, None)
                    self.received_bytes += result.received_bytes
                    others = [f.read for f in self._fetches.values() if f.assembly is assembly]
                said: list[Report] = [_ended(self.worker_id, msg, result)]
                delivery = None
                if not any(read.complete for read in others):
                    # Else that one is about to say so, and the verdict comes after it.
                    delivery = self._finish(msg.lease_id, assembly, said)
                if delivery is not None:
                    with self._lock:
                        self._assemblies.pop(msg.lease_id, None)
                self._tell(said, delivery)
            self._warm.refill(fetch.node_url)
        except Exception:
            # The scheduler must not wait for a verdict that never comes.
            logger.exception("range failed job_id=%s", msg.job_id)
            self._tell([self._reject(msg.lease_id, WHOLE, "the worker failed", ())], None)

    def _finish(self, lease_id: str, assembly: Assembly, said: list[Report]) -> Delivery | None:
        """Verify what is complete, add the verdict to `said`; return the chunk when it is whole and right.

        Called under the chunk's lock.
        """
        if assembly.closed:
            return None
        chunk = assembly.opened.chunk
        whole = [
            index
            for index, part in assembly.parts.items()
            if part.held.complete and not part.rejected
        ]
        for index in whole:
            part = assembly.parts[index]
            if not part.matches():
                part.rejected = True
                text = f"part {index} does not match its checksum"
                said.append(self._reject(lease_id, index, text, assembly.ranges()))
                return None
        if not chunk.fragments:
            if not whole:
                return None
            data = assembly.parts[WHOLE].data
        else:
            if not assembly.covered():
                return None
            data = assembly.decode()
            if not matches(data, chunk.checksum_sha256):
                text = "decoded chunk does not match its checksum"
                said.append(self._reject(lease_id, WHOLE, text, assembly.ranges()))
                return None
        delivery = assembly.describe(self.worker_id)
        assembly.closed = True
        said.append(self._verdict(lease_id, "delivered", WHOLE, "", delivery.ranges))
        return Delivery(delivery, data, assembly.opened.deliver_to)

    def _reject(
        self, lease_id: str, part: int, detail: str, ranges: tuple[RangeSource, ...]
    ) -> ChunkFinished:
        logger.warning("chunk does not match lease_id=%s detail=%s", lease_id, detail)
        return self._verdict(lease_id, "corrupt", part, detail, ranges)

    def _verdict(
        self,
        lease_id: str,
        verdict: Literal["delivered", "corrupt"],
        part: int,
        detail: str,
        ranges: tuple[RangeSource, ...],
    ) -> ChunkFinished:
        return ChunkFinished(
            worker_id=self.worker_id,
            lease_id=lease_id,
            verdict=verdict,
            corrupt_part=part,
            detail=detail,
            ranges=ranges,
        )


def _ended(worker_id: str, msg: FetchRange, result: RangeResult) -> RangeFinished:
    return RangeFinished(
        worker_id=worker_id,
        job_id=msg.job_id,
        outcome=result.outcome,
        start_bytes=msg.start_bytes,
        received_until_bytes=result.received_until,
        received_bytes=result.received_bytes,
        first_byte_sec=result.first_byte_sec,
        duration_sec=result.duration_sec,
        range_honoured=result.range_honoured,
        retry_after_sec=result.retry_after_sec,
        detail=result.detail,
    )
