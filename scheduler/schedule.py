"""The state of all work: chunks wanted, ranges in flight, nodes, workers, and the moves between them.

No I/O, no clock, no randomness but the `rng` handed in. Moves append the commands they need.
"""

from __future__ import annotations

import itertools
import random

from common.messages import CloseChunk, FetchRange, OpenChunk
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
        # Leases and ranges of chunks that were dropped, until their workers have had the last word.
        self.afterwards: dict[str, Wanted] = {}
        self._ids = itertools.count(1)
        # Ids of an earlier life of the scheduler may still be reported by workers.
        self._prefix = f"{rng.getrandbits(32):08x}"

    def of_session(self, session_id: str) -> list[Wanted]:
        """Return a session's chunks."""
        return [c for c in self.chunks.values() if c.session_id == session_id]

    def by_lease(self, lease_id: str) -> Wanted | None:
        """Return the chunk behind a lease."""
        return next((c for c in self.chunks.values() if c.lease_id == lease_id), None)

    def start(self, chunk: Wanted, choice: Choice, now_sec: float, commands: list[Command]) -> bool:
        """Give a range to the chunk's home; False when no worker can take it."""
        if not chunk.lease_id:
            worker = self.workers.freest()
            if worker is None:
                return False
            chunk.attempt += 1
            chunk.worker_id = worker.worker_id
            chunk.lease_id = f"{self._prefix}.{next(self._ids)}"
            worker.leases.add(chunk.lease_id)
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
        node = self.nodes.node(choice.source.node_url)
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
        )
        chunk.jobs[job.job_id] = self.jobs[job.job_id] = job
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
        for job in chunk.jobs.values():
            self.afterwards[job.job_id] = chunk
        while len(self.afterwards) > KEPT_AFTERWARDS:
            del self.afterwards[next(iter(self.afterwards))]
        self.release(chunk)
        self.chunks.pop(chunk.key, None)

    def release(self, chunk: Wanted) -> None:
        for job in list(chunk.jobs.values()):
            self.end_job(job)
        self.workers.release(chunk.worker_id, chunk.lease_id)
        chunk.lease_id, chunk.worker_id = "", ""

    def end_job(self, job: Job) -> None:
        job.chunk.jobs.pop(job.job_id, None)
        if self.jobs.pop(job.job_id, None) is not None:
            self.nodes.node(job.node_url).active -= 1

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
