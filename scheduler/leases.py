"""The workers, what each of them holds, and when one counts as gone. No I/O, no clock, no randomness."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, field

from common.messages import WorkerHeartbeat

# Workers beat each second; three missed beats and its chunks move.
WORKER_SILENT_SEC = 3.0


@dataclass(slots=True)
class Worker:
    """One worker process; `leases` are the chunks it is the home of."""

    worker_id: str
    jobs_endpoint: str
    pid: int
    slots: int
    seen_sec: float
    received_bytes: int = 0
    busy: int = 0
    leases: set[str] = field(default_factory=set)


class WorkerBook:
    """Registered workers; registration is nothing but a heartbeat."""

    def __init__(self) -> None:
        self._workers: dict[str, Worker] = {}

    @property
    def workers(self) -> list[Worker]:
        return list(self._workers.values())

    def seen(self, beat: WorkerHeartbeat, now_sec: float) -> tuple[Worker, bool]:
        """Note a heartbeat; return the worker and whether it is new."""
        worker = self._workers.get(beat.worker_id)
        is_new = worker is None
        if worker is None:
            worker = Worker(beat.worker_id, beat.jobs_endpoint, beat.pid, beat.slots, now_sec)
            self._workers[beat.worker_id] = worker
        worker.jobs_endpoint, worker.slots = beat.jobs_endpoint, beat.slots
        worker.seen_sec, worker.received_bytes = now_sec, beat.received_bytes
        worker.busy = len(beat.running)
        return worker, is_new

    def take(self, worker_id: str) -> Worker | None:
        """Remove and return a worker."""
        return self._workers.pop(worker_id, None)

    def take_silent(self, now_sec: float) -> list[Worker]:
        """Remove and return the workers that no longer beat."""
        gone = [w for w in self._workers.values() if now_sec - w.seen_sec > WORKER_SILENT_SEC]
        for worker in gone:
            del self._workers[worker.worker_id]
        return gone

    def freest(self, preferred: Set[str] = frozenset()) -> Worker | None:
        """Return the worker with the most room for another chunk, a preferred one if any has room; None for none."""
        free = [w for w in self._workers.values() if len(w.leases) < w.slots]
        return min(
            free,
            key=lambda w: (w.worker_id not in preferred, len(w.leases) / w.slots, w.worker_id),
            default=None,
        )

    def release(self, worker_id: str, lease_id: str) -> None:
        """Give the room of a lease back."""
        worker = self._workers.get(worker_id)
        if worker is not None:
            worker.leases.discard(lease_id)

    def endpoint_of(self, worker_id: str) -> str | None:
        """Return where a worker takes jobs, None when it is not registered."""
        worker = self._workers.get(worker_id)
        return worker.jobs_endpoint if worker is not None else None
