"""ChunkScheduler: chooses nodes and downloads chunks in one process, on the cores of the scheduler process."""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Self

from common.errors import ConfigError
from common.messages import ChunkTrouble
from common.units import node_of
from scheduler.chunk_facts import Answer, ChunkFacts, first_answer
from scheduler.local import Fetched, LocalDispatcher
from scheduler.monitor_view import Monitor, MonitorView
from scheduler.orders import Order, order_from, order_of

logger = logging.getLogger(__name__)

MAX_CONCURRENT_LIMIT = 64
MAX_ROUNDS_LIMIT = 100
MAX_HEAD_TIMEOUT_SEC = 60.0
# There is no playhead to set deadlines: from this age on a chunk goes where it is finished first, even if that means
# to move it off a slow node.
PATIENCE_SEC = 5.0
# Keeps the order of asking where the clock does not tell two chunks apart.
DEADLINE_STEP_SEC = 1e-6
# Chunks whose size has to be asked for are prepared while others are being read.
PREPARED_PER_DOWNLOAD = 2
# Pause after a round in which no replica told the size; doubles each round.
ASK_AGAIN_SEC = 0.5


class ChunkScheduler:
    """Downloads chunks from the best of their replicas, with failover.

    Nodes are base URLs; a chunk lies at `BASE/chunk/ID`. Downloads belong to one event loop at a time. `close` (or
    `async with`) ends its threads and connections; it may be used again afterwards.
    """

    def __init__(
        self,
        network_monitor: Monitor | None = None,
        max_concurrent_downloads: int = 4,
        *,
        max_rounds: int = 3,
        head_timeout_sec: float = 2.0,
    ) -> None:
        """Take how many chunks are read at once and how often all replicas are tried before giving up.

        `head_timeout_sec` bounds the question for a chunk's size where the caller does not give it.
        """
        if not 1 <= max_rounds <= MAX_ROUNDS_LIMIT:
            raise ConfigError(f"max_rounds: {max_rounds!r} is not 1 to {MAX_ROUNDS_LIMIT}")
        if not 0 < head_timeout_sec <= MAX_HEAD_TIMEOUT_SEC:
            raise ConfigError(
                f"head_timeout_sec: {head_timeout_sec!r} is not above 0 and up to "
                f"{MAX_HEAD_TIMEOUT_SEC:g}"
            )
        self.max_rounds = max_rounds
        self.head_timeout_sec = head_timeout_sec
        self.total_downloads = 0
        self.failed_downloads = 0
        self.failover_count = 0
        self.chunk_sources: dict[str, str] = {}
        self.node_load: dict[str, int] = {}
        self._view = MonitorView(network_monitor)
        self._last_deadline_sec = 0.0
        self._sequence = itertools.count()
        self._dispatcher = LocalDispatcher(
            max_active_chunks=_checked_concurrency(max_concurrent_downloads),
            scores=self._view.scores,
            on_transfer=self._view.tell,
            on_failover=self._count_failover,
            on_load=self._note_load,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def network_monitor(self) -> Monitor | None:
        """The monitor that is asked for scores and told results."""
        return self._view.monitor

    @network_monitor.setter
    def network_monitor(self, monitor: Monitor | None) -> None:
        self._view.monitor = monitor

    @property
    def max_concurrent_downloads(self) -> int:
        """How many chunks are read at once."""
        return self._dispatcher.max_active_chunks

    @max_concurrent_downloads.setter
    def max_concurrent_downloads(self, count: int) -> None:
        self._dispatcher.max_active_chunks = _checked_concurrency(count)

    async def close(self) -> None:
        """Give up what is being downloaded (None) and end all threads and connections; idempotent."""
        await self._dispatcher.stop()

    # ------------------------------------------------------------ choosing

    def select_best_node(self, chunk_id: str, available_replicas: Iterable[str]) -> str | None:
        """Return the replica with the best score for its load, None when there is none.

        Unhealthy nodes are chosen only when there is no other; without scores the least loaded is taken.
        """
        replicas = list(available_replicas)
        if not replicas:
            return None
        usable = [r for r in replicas if self._view.healthy(r)] or replicas
        worth = {r: self._view.score(r) / (1 + max(0, self._load_of(r))) for r in usable}
        # Of equals the first is taken: the order in which they were given.
        chosen = max(usable, key=lambda r: (worth[r], -self._load_of(r)))
        logger.debug("node chosen chunk_id=%s node=%s", chunk_id, chosen)
        return chosen

    def _load_of(self, node_url: str) -> int:
        return self.node_load.get(node_url, self.node_load.get(self._spelling_of(node_url), 0))

    # ------------------------------------------------------------ downloading

    async def download_chunk(
        self,
        chunk_id: str,
        available_replicas: Iterable[str],
        *,
        size_bytes: int | None = None,
        checksum: str | None = None,
    ) -> bytes | None:
        """Return the chunk's bytes, or None when no replica gave them in `max_rounds` rounds.

        Without `size_bytes` or `checksum` (sha256, hex) the replicas are asked; where none of them tells a checksum
        the bytes are taken unverified. Raises ConfigError for arguments of a wrong kind. Cancelling ends the download.
        """
        return await self._download(order_of(chunk_id, available_replicas, size_bytes, checksum))

    async def download_chunks_parallel(
        self, chunks_to_download: Iterable[Mapping[str, Any]]
    ) -> dict[str, bytes | None]:
        """Download chunks, the first of the list first; return bytes or None by chunk id.

        Each has `chunk_id` and `replicas`, and `size_bytes` and `checksum` where they are known.
        """
        orders: dict[str, Order] = {}
        for chunk in chunks_to_download:
            found = order_from(chunk)
            orders.setdefault(found.chunk_id, found)
        results: dict[str, bytes | None] = dict.fromkeys(orders)
        waiting = iter(orders.values())

        async def work() -> None:
            for order in waiting:
                results[order.chunk_id] = await self._download(order)

        workers = min(len(orders), PREPARED_PER_DOWNLOAD * self.max_concurrent_downloads)
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(work())
        return results

    async def _download(self, order: Order) -> bytes | None:
        now_sec = time.monotonic()
        deadline_sec = max(now_sec + PATIENCE_SEC, self._last_deadline_sec + DEADLINE_STEP_SEC)
        self._last_deadline_sec = deadline_sec
        for node_url in order.node_urls:
            self._view.spelling.setdefault(node_of(node_url), node_url)
        fetched = await self._fetch(order, deadline_sec) if order.node_urls else None
        self.total_downloads += 1
        if fetched is None:
            self.failed_downloads += 1
            logger.warning(
                "chunk not had chunk_id=%s replicas=%d", order.chunk_id, len(order.node_urls)
            )
            return None
        given = {node_of(node_url): node_url for node_url in reversed(order.node_urls)}
        self.chunk_sources[order.chunk_id] = given[fetched.sources[0].node_url]
        return fetched.data

    async def _fetch(self, order: Order, deadline_sec: float) -> Fetched | None:
        facts = await self._facts(order)
        if facts is None:
            return None
        preferred = tuple(n for n in order.node_urls if self._view.healthy(n)) or order.node_urls
        number = next(self._sequence)
        ticket = self._dispatcher.want(
            order.spec(number, facts, preferred), deadline_sec=deadline_sec
        )
        refuted: set[ChunkFacts] = set()
        rounds = 0
        try:
            while isinstance(event := await ticket.events.get(), ChunkTrouble):
                if preferred != order.node_urls:
                    # The healthy ones could not: now the others may try, at once.
                    preferred = order.node_urls
                    self._dispatcher.change(ticket, order.spec(number, facts, preferred))
                    continue
                rounds += 1
                if rounds >= self.max_rounds:
                    return None
                if order.complete:
                    continue
                # What the first replica told may be wrong: perhaps another one tells something else.
                refuted.add(facts)
                other = await self._ask(order, refuted)
                if other is not None and not ticket.over:
                    facts = order.facts(other.facts)
                    self._dispatcher.drop(ticket)
                    spec = order.spec(number, facts, preferred)
                    ticket = self._dispatcher.want(spec, deadline_sec=deadline_sec)
            return event
        finally:
            self._dispatcher.drop(ticket)

    # ------------------------------------------------------------ size and checksum

    async def _facts(self, order: Order) -> ChunkFacts | None:
        """Return size and checksum, None when the size is known to nobody."""
        if order.complete:
            return ChunkFacts(order.size_bytes, order.checksum_sha256)
        for ended_rounds in range(self.max_rounds):
            answer = await self._ask(order, set())
            if answer is not None:
                return order.facts(answer.facts)
            if order.size_bytes:
                return ChunkFacts(order.size_bytes, order.checksum_sha256)
            if ended_rounds + 1 < self.max_rounds:
                await asyncio.sleep(ASK_AGAIN_SEC * 2.0**ended_rounds * (0.5 + random.random()))
        return None

    async def _ask(self, order: Order, refuted: set[ChunkFacts]) -> Answer | None:
        answer = await first_answer(order.urls(), timeout_sec=self.head_timeout_sec, unlike=refuted)
        if answer is not None and answer.accepts_ranges is not None:
            self._view.accepts_ranges[node_of(answer.url)] = answer.accepts_ranges
        return answer

    # ------------------------------------------------------------ figures

    def get_statistics(self) -> dict[str, Any]:
        """Return the download statistics.

        `total_downloads` counts chunks had and not had; `success_rate` (0-1) is 1 before the first.
        """
        total, failed = self.total_downloads, self.failed_downloads
        return {
            "total_downloads": total,
            "failed_downloads": failed,
            "failover_count": self.failover_count,
            "success_rate": max(0.0, (total - failed) / total) if total else 1.0,
            "active_downloads": self._dispatcher.active_chunks,
            "node_load": dict(self.node_load),
            "downloads_per_node": dict(Counter(self.chunk_sources.values())),
        }

    def get_chunk_source(self, chunk_id: str) -> str | None:
        """Return the node that sent most of a chunk, None for a chunk not downloaded."""
        return self.chunk_sources.get(chunk_id)

    def _count_failover(self) -> None:
        self.failover_count += 1

    def _note_load(self, node_url: str, change: int) -> None:
        spelling = self._view.spelling.get(node_url, node_url)
        self.node_load[spelling] = max(0, self.node_load.get(spelling, 0) + change)

    def _spelling_of(self, node_url: str) -> str:
        return self._view.spelling.get(node_of(node_url), node_url)


def _checked_concurrency(count: int) -> int:
    if count not in range(1, MAX_CONCURRENT_LIMIT + 1):
        raise ConfigError(
            f"max_concurrent_downloads: {count!r} is not a whole number of 1 to {MAX_CONCURRENT_LIMIT}"
        )
    return int(count)
