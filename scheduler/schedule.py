"""The state of all work: chunks wanted, ranges in flight, nodes, workers, and the moves between them.

No I/O, no clock, no randomness but the `rng` handed in. Moves append the commands they need.
"""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Sequence

from common.messages import CancelRange, CloseChunk, FetchRange, OpenChunk, ResizeRange
from common.units import short_node
from scheduler.accounts import Accounts
from scheduler.assignment import Choice
from scheduler.commands import Announce, Command, ForgetWorker, JobMessage, SendJob
from scheduler.leases import Worker, WorkerBook
from scheduler.selection import NodeBook
from scheduler.wanted import Job, Wanted

# Last words come within milliseconds; a few hundred sessions may end in that time.
KEPT_AFTERWARDS = 1000


class Schedule:
    """Everything the planner knows; its methods keep the books consistent."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.nodes = NodeBook()
        self.workers = WorkerBook()
        self.accounts = Accounts()
        self.chunks: dict[tuple[str, str], Wanted] = {}
        self.jobs: dict[str, Job] = {}
        self._of_session: dict[str, dict[str, Wanted]] = {}
        self._by_lease: dict[str, Wanted] = {}
        self._jobs_at: dict[str, list[Job]] = {}
        # How many chunks of each session are being read.
        self._reading: Counter[str] = Counter()
        # What changed since the last planning: sessions whose chunks are others, or wait for other times;
        self.touched: dict[str, None] = {}
        # chunks of which bytes came back, or ranges can be compared by now;
        self.changed: dict[Wanted, None] = {}
        # nodes with other ranges, or news of them.
        self.stirred: dict[str, None] = {}
        # Leases and ranges of chunks that were dropped, until their workers have had the last word.
        self.afterwards: dict[str, Wanted] = {}
        self._ids = itertools.count(1)
        # Ids of an earlier life of the scheduler may still be reported by workers.
        self._prefix = f"{rng.getrandbits(32):08x}"

    def of_session(self, session_id: str) -> list[Wanted]:
        """Return a session's chunks."""
        return list(self._of_session.get(session_id, {}).values())

    def add(self, chunk: Wanted) -> None:
        """Take a chunk in."""
        self.chunks[chunk.key] = chunk
        self._of_session.setdefault(chunk.session_id, {})[chunk.spec.chunk_id] = chunk
        self.touched[chunk.session_id] = None

    def by_lease(self, lease_id: str) -> Wanted | None:
        """Return the chunk behind a lease."""
        return self._by_lease.get(lease_id)

    def jobs_at(self, node_url: str) -> Sequence[Job]:
        """Return the ranges a node is sending."""
        return self._jobs_at.get(node_url, ())

    def reading(self, session_id: str | None) -> int:
        """Return how many chunks of a session are being read, of all sessions for None."""
        return self._reading.total() if session_id is None else self._reading[session_id]

    def start(self, chunk: Wanted, choice: Choice, now_sec: float, commands: list[Command]) -> bool:
        """Give a range to the chunk's home; False when no worker can take it."""
        node = self.nodes.node(choice.source.node_url)
        if not chunk.lease_id:
            # Where connections begin slowly, those in use are worth more than an idle worker.
            worker = self.workers.freest(
                {c.worker_id for c in self.of_session(chunk.session_id)}
                if node.ramp.begins_slowly
                else frozenset()
            )
            if worker is None:
                return False
            chunk.attempt += 1
            chunk.worker_id = worker.worker_id
            chunk.lease_id = f"{self._prefix}.{next(self._ids)}"
            worker.leases.add(chunk.lease_id)
            self._by_lease[chunk.lease_id] = chunk
            self.send(
                chunk,
                OpenChunk(
                    lease_id=chunk.lease_id,
                    session_id=chunk.session_id,
                    chunk=chunk.spec,
                    deliver_to=chunk.deliver_to,
                ),
                commands,
            )
        job = Job(
            job_id=f"{self._prefix}.{next(self._ids)}",
            chunk=chunk,
            part=choice.source.part,
            node_url=node.node_url,
            start=choice.start,
            end=choice.end,
            received_until=choice.start,
            begun_sec=now_sec,
            progress_sec=now_sec,
            silence_sec=node.silence_sec(),
            measured_until=choice.start,
            whole_body=node.accepts_ranges is False,
            lanes=choice.lanes,
        )
        if job.whole_body:
            chunk.tangled = True
        if not chunk.jobs:
            self._reading[chunk.session_id] += 1
        chunk.jobs[job.job_id] = self.jobs[job.job_id] = job
        self._jobs_at.setdefault(node.node_url, []).append(job)
        node.active += 1
        failed_at, chunk.failed_at = chunk.failed_at, ""
        if failed_at not in ("", node.node_url):
            self.accounts.failover(chunk.session_id)
            commands.append(
                Announce(
                    chunk.session_id,
                    "failover",
                    f"chunk {chunk.spec.sequence_num} continues at byte {choice.start} "
                    f"from {short_node(node.node_url)}",
                )
            )
        self.send(
            chunk,
            FetchRange(
                job_id=job.job_id,
                lease_id=chunk.lease_id,
                part=job.part,
                replica=choice.source.replica,
                start_bytes=job.start,
                end_bytes=job.end,
                silence_sec=job.silence_sec,
                accepts_ranges=node.accepts_ranges,
            ),
            commands,
        )
        return True

    def resize(self, job: Job, end: int, commands: list[Command]) -> None:
        """Move the end of a running range; its claim ends there at once."""
        job.end = end
        self.changed[job.chunk] = self.stirred[job.node_url] = None
        self.send(job.chunk, ResizeRange(job_id=job.job_id, end_bytes=end), commands)

    def cancel(self, job: Job, commands: list[Command]) -> None:
        """End a running range; its claim ends at once, its node is free when the worker has ended it."""
        job.cancelled, job.end = True, job.received_until
        self.changed[job.chunk] = None
        self.send(job.chunk, CancelRange(job_id=job.job_id), commands)

    def send(
        self,
        chunk: Wanted,
        msg: JobMessage,
        commands: list[Command],
    ) -> None:
        endpoint = self.workers.endpoint_of(chunk.worker_id)
        if endpoint is not None:
            commands.append(SendJob(endpoint, msg))

    def drop(self, chunk: Wanted, commands: list[Command]) -> None:
        """Forget a chunk nobody wants any more; what its worker still reports is only counted."""
        if chunk.lease_id:
            self.send(chunk, CloseChunk(lease_id=chunk.lease_id), commands)
            self.afterwards[chunk.lease_id] = chunk
        self._expect_last_words(chunk)
        self.release(chunk)
        self.chunks.pop(chunk.key, None)
        mine = self._of_session.get(chunk.session_id, {})
        mine.pop(chunk.spec.chunk_id, None)
        if not mine:
            self._of_session.pop(chunk.session_id, None)

    def deliver(self, chunk: Wanted, now_sec: float, commands: list[Command]) -> None:
        """Note that a chunk is where it belongs, and end what is still read for it: bodies that others overtook."""
        chunk.delivered_sec = now_sec
        if chunk.jobs:
            self.send(chunk, CloseChunk(lease_id=chunk.lease_id), commands)
            self._expect_last_words(chunk)
        self.release(chunk)

    def _expect_last_words(self, chunk: Wanted) -> None:
        for job in chunk.jobs.values():
            self.afterwards[job.job_id] = chunk
        while len(self.afterwards) > KEPT_AFTERWARDS:
            del self.afterwards[next(iter(self.afterwards))]

    def release(self, chunk: Wanted) -> None:
        self.touched[chunk.session_id] = None
        for job in list(chunk.jobs.values()):
            self.end_job(job)
        self.workers.release(chunk.worker_id, chunk.lease_id)
        self._by_lease.pop(chunk.lease_id, None)
        chunk.lease_id, chunk.worker_id = "", ""

    def end_job(self, job: Job) -> None:
        chunk = job.chunk
        if self.jobs.pop(job.job_id, None) is None:
            return
        del chunk.jobs[job.job_id]
        if not chunk.jobs:
            self._reading[chunk.session_id] -= 1
            if not self._reading[chunk.session_id]:
                del self._reading[chunk.session_id]
        node = self.nodes.node(job.node_url)
        node.active -= 1
        at_node = self._jobs_at[job.node_url]
        at_node.remove(job)
        if not at_node:
            del self._jobs_at[job.node_url]
        if not any(other.flowing for other in at_node):
            node.forget_flow()
        self.changed[chunk] = self.stirred[job.node_url] = None

    def break_lease(self, chunk: Wanted, now_sec: float, commands: list[Command], why: str) -> None:
        """Take a chunk away from its home; its bytes went with it."""
        if chunk.lease_id:
            self.send(chunk, CloseChunk(lease_id=chunk.lease_id), commands)
        self.release(chunk)
        chunk.reset_parts()
        chunk.retry_at_sec = min(chunk.retry_at_sec, now_sec)
        commands.append(
            Announce(chunk.session_id, "worker", f"chunk {chunk.spec.sequence_num} moves: {why}")
        )

    def lose_worker(self, worker: Worker, now_sec: float, commands: list[Command]) -> None:
        commands.append(Announce("", "worker", f"worker {worker.worker_id} left"))
        for chunk in list(self.chunks.values()):
            if chunk.worker_id == worker.worker_id and chunk.delivered_sec is None:
                self.break_lease(chunk, now_sec, commands, f"worker {worker.worker_id} left")
        commands.append(ForgetWorker(worker.jobs_endpoint))
