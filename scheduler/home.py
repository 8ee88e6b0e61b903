"""The home of chunks: assembles ranges, verifies, decodes and delivers. Used by worker processes and in-process.

Takes the scheduler's messages through `handle`, answers through `report` and `deliver`. Ranges are read in threads;
each chunk has a lock of its own. `report` and `deliver` are called in those threads.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

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
    SourceShare,
)
from common.units import node_of
from scheduler.bytemap import ByteMap, Span
from scheduler.commands import JobMessage
from scheduler.coverage import missing_bytes
from scheduler.fetcher import RangeRead, new_http_session
from scheduler.wanted import DATA_FRAGMENTS, WHOLE

logger = logging.getLogger(__name__)

Report = Callable[[RangeProgress | RangeFinished | ChunkFinished], None]
Deliver = Callable[[ChunkDelivery, memoryview, str], None]

# Ranges read at the same time by one home; above the scheduler's limit of chunks times fragments.
MAX_THREADS = 16


@dataclass(slots=True)
class _Part:
    data: bytearray
    held: ByteMap
    checksum_sha256: str
    verified: bool = False
    # Judged wrong; nothing more is said of it until the scheduler discards bytes.
    rejected: bool = False


@dataclass(slots=True)
class _Assembly:
    """A chunk being put together."""

    opened: OpenChunk
    parts: dict[int, _Part]
    lock: threading.Lock = field(default_factory=threading.Lock)
    closed: bool = False


class ChunkHome:
    """Everything one worker holds."""

    def __init__(self, worker_id: str, *, report: Report, deliver: Deliver) -> None:
        self.worker_id = worker_id
        self.received_bytes = 0
        self._report = report
        self._deliver = deliver
        self._http = new_http_session()
        self._pool = ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="range")
        self._lock = threading.Lock()
        self._assemblies: dict[str, _Assembly] = {}
        self._reads: dict[str, tuple[str, RangeRead]] = {}
        self._progress: dict[str, int] = {}
        self._stopping = False

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

    def _running(self, job_id: str) -> RangeRead | None:
        with self._lock:
            found = self._reads.get(job_id)
        return found[1] if found is not None else None

    def leases(self) -> tuple[str, ...]:
        """Return the chunks held."""
        with self._lock:
            return tuple(self._assemblies)

    def progress(self, *, only_new: bool) -> tuple[JobProgress, ...]:
        """Return the running ranges, or those with bytes since the last call with `only_new`.

        Asked several times a second, it also ends the reads that no timeout ends.
        """
        now_sec = time.monotonic()
        with self._lock:
            for _, read in self._reads.values():
                read.cut_if_overdue(now_sec)
            found = []
            for job_id, until in self._progress.items():
                if only_new and until <= 0:
                    continue
                received_bytes = self._reads[job_id][1].received_bytes
                found.append(
                    JobProgress(
                        job_id=job_id,
                        received_until_bytes=abs(until),
                        received_bytes=received_bytes,
                    )
                )
                if only_new:
                    self._progress[job_id] = -until
            return tuple(found)

    def stop(self) -> None:
        """Cancel everything and wait for the threads; idempotent."""
        with self._lock:
            self._stopping = True
            reads = [read for _, read in self._reads.values()]
        for read in reads:
            read.cancel()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._http.close()

    # ------------------------------------------------------------ chunks

    def _open(self, msg: OpenChunk) -> None:
        chunk = msg.chunk
        if chunk.fragments:
            parts = {
                f.fragment_index: _Part(
                    bytearray(f.size_bytes), ByteMap(f.size_bytes), f.checksum_sha256
                )
                for f in chunk.fragments
            }
        else:
            whole = _Part(
                bytearray(chunk.size_bytes), ByteMap(chunk.size_bytes), chunk.checksum_sha256
            )
            parts = {WHOLE: whole}
        with self._lock:
            self._assemblies[msg.lease_id] = _Assembly(msg, parts)

    def _close(self, lease_id: str) -> None:
        with self._lock:
            assembly = self._assemblies.pop(lease_id, None)
            reads = [read for lease, read in self._reads.values() if lease == lease_id]
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
            part.held.remove(msg.start_bytes, msg.end_bytes)
            part.verified = part.rejected = False

    # ------------------------------------------------------------ ranges

    def _fetch(self, msg: FetchRange) -> None:
        with self._lock:
            assembly = self._assemblies.get(msg.lease_id)
            part = assembly.parts.get(msg.part) if assembly is not None else None
            if assembly is None or part is None or self._stopping:
                return
            node_url = node_of(msg.replica.url)

            def sink(position: int, data: bytes) -> None:
                with assembly.lock:
                    # Held bytes may be verified already: a second sender does not touch them.
                    for start, end in part.held.missing_within(position, position + len(data)):
                        part.data[start:end] = data[start - position : end - position]
                    part.held.add(position, position + len(data), node_url)
                with self._lock:
                    self._progress[msg.job_id] = position + len(data)

            def headed(honoured: bool) -> None:
                begun = JobProgress(
                    job_id=msg.job_id,
                    received_until_bytes=msg.start_bytes,
                    range_honoured=honoured,
                )
                self._report(RangeProgress(worker_id=self.worker_id, running=(begun,)))

            read = RangeRead(
                self._http,
                msg.replica,
                start=msg.start_bytes,
                end=min(msg.end_bytes, part.held.size),
                part_size=part.held.size,
                silence_sec=msg.silence_sec,
                accepts_ranges=msg.accepts_ranges,
                sink=sink,
                headed=headed,
            )
            self._reads[msg.job_id] = (msg.lease_id, read)
            self._progress[msg.job_id] = -msg.start_bytes
        self._pool.submit(self._run, msg, assembly, read)

    def _run(self, msg: FetchRange, assembly: _Assembly, read: RangeRead) -> None:
        try:
            result = read.run()
            with self._lock:
                self._reads.pop(msg.job_id, None)
                self._progress.pop(msg.job_id, None)
                self.received_bytes += result.received_bytes
            self._report(
                RangeFinished(
                    worker_id=self.worker_id,
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
            )
            self._finish(msg.lease_id, assembly)
        except Exception:
            # The scheduler must not wait for a verdict that never comes.
            logger.exception("range failed job_id=%s", msg.job_id)
            self._reject(msg.lease_id, WHOLE, "the worker failed")

    def _finish(self, lease_id: str, assembly: _Assembly) -> None:
        """Verify what is complete; deliver the chunk when it is whole and right."""
        with assembly.lock:
            if assembly.closed:
                return
            chunk = assembly.opened.chunk
            whole = [
                index
                for index, part in assembly.parts.items()
                if part.held.complete and not part.rejected
            ]
            for index in whole:
                part = assembly.parts[index]
                if not part.verified and not _matches(part.data, part.checksum_sha256):
                    part.rejected = True
                    self._reject(lease_id, index, f"part {index} does not match its checksum")
                    return
                part.verified = True
            data: bytes | bytearray
            if not chunk.fragments:
                if not whole:
                    return
                data = assembly.parts[WHOLE].data
            else:
                if not _is_covered(assembly):
                    return
                data = _decode(assembly, chunk.size_bytes)
                if not _matches(data, chunk.checksum_sha256):
                    self._reject(lease_id, WHOLE, "decoded chunk does not match its checksum")
                    return
            delivery = self._describe(assembly)
            assembly.closed = True
        with self._lock:
            self._assemblies.pop(lease_id, None)
        # The verdict first: with the last chunk the buffer ends the session, and the scheduler counts until then.
        self._verdict(lease_id, "delivered", WHOLE, "")
        self._deliver(delivery, memoryview(data), assembly.opened.deliver_to)

    def _reject(self, lease_id: str, part: int, detail: str) -> None:
        logger.warning("chunk does not match lease_id=%s detail=%s", lease_id, detail)
        self._verdict(lease_id, "corrupt", part, detail)

    def _verdict(self, lease_id: str, verdict: str, part: int, detail: str) -> None:
        self._report(
            ChunkFinished(
                worker_id=self.worker_id,
                lease_id=lease_id,
                verdict="delivered" if verdict == "delivered" else "corrupt",
                corrupt_part=part,
                detail=detail,
            )
        )

    def _describe(self, assembly: _Assembly) -> ChunkDelivery:
        chunk = assembly.opened.chunk
        ranges = tuple(
            RangeSource(part=index, start_bytes=c.start, end_bytes=c.end, node_url=c.node_url)
            for index, part in assembly.parts.items()
            for c in part.held.contributions
        )
        shares: dict[str, int] = {}
        for source in ranges:
            size = source.end_bytes - source.start_bytes
            shares[source.node_url] = shares.get(source.node_url, 0) + size
        return ChunkDelivery(
            session_id=assembly.opened.session_id,
            chunk_id=chunk.chunk_id,
            sequence_num=chunk.sequence_num,
            size_bytes=chunk.size_bytes,
            worker_id=self.worker_id,
            sources=tuple(
                SourceShare(node_url=node, size_bytes=size)
                for node, size in sorted(shares.items(), key=lambda item: -item[1])
            ),
            ranges=ranges,
        )


def _matches(data: bytes | bytearray, checksum_sha256: str) -> bool:
    """Compare with the checksum; a chunk without one is taken as it is."""
    return not checksum_sha256 or hashlib.sha256(data).hexdigest() == checksum_sha256


def _usable_spans(assembly: _Assembly) -> dict[int, list[Span]]:
    """Return what is held of each part that was not found wrong."""
    return {
        index: [(c.start, c.end) for c in part.held.contributions]
        for index, part in assembly.parts.items()
        if not part.rejected
    }


def _is_covered(assembly: _Assembly) -> bool:
    """Whether enough parts hold every position."""
    spans = _usable_spans(assembly)
    size = next(iter(assembly.parts.values())).held.size
    needed = DATA_FRAGMENTS if assembly.opened.chunk.fragments else 1
    return missing_bytes(spans, size, needed) == 0


def _decode(assembly: _Assembly, size_bytes: int) -> bytes:
    """Return the chunk from any three fragments at every position: each stretch has its own survivors."""
    # numpy takes longer to import than most chunks to fetch, and replicated videos never need it.
    from scheduler.erasure import decode_fragments

    length = next(iter(assembly.parts.values())).held.size
    spans = _usable_spans(assembly)
    edges = sorted(
        {0, length, *(edge for held in spans.values() for span in held for edge in span)}
    )
    columns = [bytearray(length) for _ in range(DATA_FRAGMENTS)]
    for start, end in itertools.pairwise(edges):
        survivors = [
            index
            for index in sorted(spans)
            if any(a <= start and end <= b for a, b in spans[index])
        ][:DATA_FRAGMENTS]
        stretch = {i: memoryview(assembly.parts[i].data)[start:end] for i in survivors}
        plain = decode_fragments(stretch, DATA_FRAGMENTS * (end - start))
        for row, column in enumerate(columns):
            column[start:end] = plain[row * (end - start) : (row + 1) * (end - start)]
    return b"".join(columns)[:size_bytes]
