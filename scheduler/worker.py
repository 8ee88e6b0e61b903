"""`python -m scheduler.worker`: a process that fetches what the scheduler tells it to.

Registers by heartbeat, takes jobs at its own inbox, delivers verified chunks straight to the buffer.
"""

from __future__ import annotations

import os
import socket
import sys

from common import sockets
from common.endpoints import Endpoints, endpoints_from_environment
from common.memory import keep_freed_memory
from common.messages import (
    CancelRange,
    CloseChunk,
    DiscardRange,
    FetchRange,
    OpenChunk,
    RangeProgress,
    ResizeRange,
    WarmNodes,
    WorkerHeartbeat,
)
from common.process import serve
from common.service import Service
from scheduler.home import ChunkHome, Delivery, Report
from scheduler.timing import PROGRESS_SEC

HEARTBEAT_SEC = 1.0
# Chunks one worker is the home of at the same time. Two workers can hold the default of 4 chunks with room for the
# next ones, and 8 chunks waiting for the buffer stay below its queue's limit.
SLOTS = 8


class WorkerProcess:
    """Wires a ChunkHome to the sockets."""

    def __init__(self, endpoints: Endpoints, worker_id: str) -> None:
        self.service = Service(endpoints)
        self.worker_id = worker_id
        self._reports = endpoints.address("scheduler.reports")
        self._home = ChunkHome(worker_id, self._tell_soon)
        handle = self._home.handle
        self._inbox = self.service.pull(
            endpoints.worker_inbox(worker_id),
            {
                OpenChunk: handle,
                FetchRange: handle,
                ResizeRange: handle,
                CancelRange: handle,
                DiscardRange: handle,
                CloseChunk: handle,
                WarmNodes: handle,
            },
        )
        self.service.every(HEARTBEAT_SEC, self._beat)
        self.service.every(HEARTBEAT_SEC, self._home.keep_warm)
        self.service.every(PROGRESS_SEC, self._send_progress)
        self.service.after(HEARTBEAT_SEC, keep_freed_memory)
        self.service.on_close(self._say_goodbye)
        self._beat()

    def _tell_soon(self, reports: list[Report], delivery: Delivery | None) -> None:
        self.service.call_soon(lambda: self._tell(reports, delivery))

    def _tell(self, reports: list[Report], delivery: Delivery | None) -> None:
        for report in reports:
            self._push(report)
        if delivery is not None:
            # A full queue means the buffer is gone or stuck; it asks again for what it misses.
            self.service.push_payload(delivery.deliver_to, delivery.msg, delivery.data)

    def _push(self, msg: object) -> None:
        self.service.push(self._reports, msg)

    def _beat(self, *, draining: bool = False) -> None:
        self._push(
            WorkerHeartbeat(
                worker_id=self.worker_id,
                jobs_endpoint=self._inbox,
                pid=os.getpid(),
                slots=SLOTS,
                leases=self._home.leases(),
                running=self._home.progress(only_new=False),
                received_bytes=self._home.received_bytes,
                draining=draining,
            )
        )

    def _send_progress(self) -> None:
        running = self._home.progress(only_new=True)
        if running:
            self._push(RangeProgress(worker_id=self.worker_id, running=running))

    def _say_goodbye(self) -> None:
        self._home.stop()
        self._beat(draining=True)
        sockets.unlink_ipc(self._inbox)


def worker_name() -> str:
    """Return an id no other worker of the stack has, led by the name its supervisor gave it.

    The host is part of it: in containers that share a run directory, process ids repeat.
    """
    name = os.environ.get("HONCHO_PROCESS_NAME") or os.environ.get("SUPERVISOR_PROCESS_NAME")
    return f"{(name or 'worker')[:20]}-{socket.gethostname()[:12]}-{os.getpid()}"


def build() -> Service:
    """Return the process's service, ready to run."""
    return WorkerProcess(endpoints_from_environment(), worker_name()).service


if __name__ == "__main__":
    sys.exit(serve("worker", build, __doc__ or ""))
