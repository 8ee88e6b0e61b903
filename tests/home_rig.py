"""A home of chunks for tests, and everything it has said."""

from __future__ import annotations

import itertools
import random
from typing import Any

from common.messages import (
    ChunkDelivery,
    ChunkFinished,
    ChunkSpec,
    FetchRange,
    OpenChunk,
    RangeFinished,
)
from scheduler.home import ChunkHome, Delivery, Report
from tests.builders import a_chunk
from tests.ping_nodes import PingNode
from tests.waiting import wait_until

DATA = random.Random(1).randbytes(300_001)
WRONG = bytes(b ^ 1 for b in DATA)
WHOLE = -1
PATIENT_SEC = 50.0


class Home:
    """A ChunkHome and everything it has said."""

    def __init__(self) -> None:
        self.said: list[Report] = []
        self.delivered: list[tuple[ChunkDelivery, bytes, str]] = []
        self.raw: list[memoryview] = []
        self.real = ChunkHome("w1", self._tell)
        self.verdicts_before_delivery: list[str] = []
        self._ids = itertools.count(1)

    def _tell(self, reports: list[Report], delivery: Delivery | None) -> None:
        self.said += reports
        if delivery is not None:
            self.verdicts_before_delivery += [m.verdict for m in self.verdicts()]
            self.raw.append(delivery.data)
            self.delivered.append((delivery.msg, bytes(delivery.data), delivery.deliver_to))

    def open(self, chunk: ChunkSpec, lease_id: str = "L") -> None:
        self.real.handle(
            OpenChunk(lease_id=lease_id, session_id="s1", chunk=chunk, deliver_to="inproc://buffer")
        )

    def fetch(
        self,
        node: PingNode,
        start: int = 0,
        end: int = len(DATA),
        *,
        part: int = WHOLE,
        lease_id: str = "L",
        **changed: Any,
    ) -> str:
        job_id = f"J{next(self._ids)}"
        fields: dict[str, Any] = {"silence_sec": 5.0, "accepts_ranges": None}
        chunk = a_chunk(0, [node.url])
        self.real.handle(
            FetchRange(
                job_id=job_id,
                lease_id=lease_id,
                part=part,
                replica=chunk.replicas[0],
                start_bytes=start,
                end_bytes=end,
                **(fields | changed),
            )
        )
        return job_id

    def ended(self, job_id: str) -> RangeFinished:
        """Wait for the end of a range."""

        def found() -> list[RangeFinished]:
            return [m for m in self.said if isinstance(m, RangeFinished) and m.job_id == job_id]

        wait_until(found)
        return found()[0]

    def verdicts(self) -> list[ChunkFinished]:
        return [m for m in self.said if isinstance(m, ChunkFinished)]

    def verdict(self, count: int = 1) -> ChunkFinished:
        """Wait for the verdict that is the `count`th."""
        wait_until(lambda: len(self.verdicts()) >= count)
        return self.verdicts()[count - 1]
