"""NetworkMonitor: the monitor as a class, in one process, without message queues."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
import time
from collections.abc import Iterable, Iterator, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from common.config import require_http_url
from common.errors import ConfigError
from common.units import megabits_per_sec
from monitor.book import MIN_TRANSFER_BYTES, NodeBook, answer_age_limit_sec
from monitor.histories import Histories, node_key
from monitor.pinger import Pinger
from monitor.probe import OVERDUE_TIMEOUTS, Probe, probe_timeout_sec
from monitor.schedule import PingSchedule

logger = logging.getLogger(__name__)

# The ranges of PING_INTERVAL and HISTORY_SIZE, but any positive interval: tests and simulations
# want short ones.
MAX_PING_INTERVAL_SEC = 3600.0
MAX_HISTORY_SIZE = 10_000
# Threads get this long to end at stop.
JOIN_SEC = 2.5


class LastUpdates(MutableMapping[str, float]):
    """When each node answered last, in unix seconds; writing makes the node that fresh."""

    def __init__(self, book: NodeBook) -> None:
        self._book = book

    def __getitem__(self, node_url: str) -> float:
        found = self._book.last_update_unix_sec(node_url)
        if found is None:
            raise KeyError(node_url)
        return found

    def __setitem__(self, node_url: str, unix_sec: float) -> None:
        age_sec = time.time() - unix_sec
        self._book.record_answer(
            node_url, now_sec=time.monotonic() - age_sec, now_unix_sec=unix_sec
        )

    def __delitem__(self, node_url: str) -> None:
        if node_url not in self:
            raise KeyError(node_url)
        self._book.forget_answer(node_url)

    def __iter__(self) -> Iterator[str]:
        known = self._book.node_urls()
        return iter([url for url in known if self._book.last_update_unix_sec(url) is not None])

    def __len__(self) -> int:
        return sum(1 for _ in self)


class NetworkMonitor:
    """Pings storage nodes and scores them.

    The score is (bandwidth x reliability) / (1 + latency x 0.1), made of moving averages over the
    last `history_size` samples, which may be read and filled directly (`latencies` in ms,
    `bandwidths` in Mbit/s, `success_rates` 0-1). Node URLs are taken with and without a
    trailing slash.
    """

    def __init__(self, ping_interval: float = 3.0, history_size: int = 10) -> None:
        """Take seconds between pings of a node, and measurements kept per node."""
        if not (math.isfinite(ping_interval) and 0 < ping_interval <= MAX_PING_INTERVAL_SEC):
            raise ConfigError(
                f"ping_interval: {ping_interval!r} is not a number of seconds above 0 and up to "
                f"{MAX_PING_INTERVAL_SEC:g}"
            )
        if not 1 <= history_size <= MAX_HISTORY_SIZE or history_size != int(history_size):
            raise ConfigError(
                f"history_size: {history_size!r} is not a whole number of 1 to {MAX_HISTORY_SIZE}"
            )
        self.ping_interval = ping_interval
        self.history_size = history_size
        self.monitoring = False
        self.node_urls: list[str] = []
        self._book = NodeBook(
            history_size=int(history_size), timeout_sec=answer_age_limit_sec(ping_interval)
        )
        self.latencies: Histories = self._book.latencies_ms
        self.bandwidths: Histories = self._book.bandwidths_mbps
        self.success_rates: Histories = self._book.success_ratios
        self.last_update = LastUpdates(self._book)
        self._change = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._pinger: Pinger | None = None

    # ------------------------------------------------------------ monitoring

    async def start_monitoring(
        self, node_urls: Iterable[str], *, wait_for_answers_sec: float = 0.0
    ) -> None:
        """Ping the nodes from now on, all at once first, then each on its own timer.

        Returns at once, or waits up to `wait_for_answers_sec` until every node has answered or
        failed once. Called again it goes on with the new set of nodes; what was measured is kept.
        """
        chosen = list(dict.fromkeys(node_urls))
        for node_url in chosen:
            require_http_url("node_urls", node_url)
        async with self._change:
            await self._stop()
            self.node_urls = chosen
            probed = asyncio.Event()
            self._task = asyncio.create_task(
                self._ping_all([node_key(u) for u in chosen], probed), name="network-monitor"
            )
            self.monitoring = True
        if wait_for_answers_sec > 0 and chosen:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_for_answers_sec):
                    await probed.wait()

    async def stop_monitoring(self) -> None:
        """Stop pinging; idempotent. What was measured stays readable."""
        async with self._change:
            await self._stop()

    async def _stop(self) -> None:
        task, self._task = self._task, None
        self.monitoring = False
        # A task of an event loop that has ended is done already.
        if task is not None and not task.done():
            task.cancel()
            await asyncio.wait({task})
        pinger, self._pinger = self._pinger, None
        if pinger is not None:
            pinger.request_stop()
            with ThreadPoolExecutor(1) as joiner:
                loop = asyncio.get_running_loop()
                if not await loop.run_in_executor(joiner, pinger.join, JOIN_SEC):
                    logger.warning("probes still hang in the network; leaving them")

    async def _ping_all(self, keys: list[str], probed: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        wake = asyncio.Event()
        unmeasured = set(keys)
        timeout_sec = probe_timeout_sec(self.ping_interval)
        schedule = PingSchedule(interval_sec=self.ping_interval, rng=random.Random())

        def on_probe(probe: Probe) -> None:
            answered = probe.latency_ms is not None
            schedule.finished(probe.node_url, answered=answered, now_sec=time.monotonic())
            if not answered:
                logger.debug("ping failed node=%s detail=%s", probe.node_url, probe.detail)
            self._book.record_ping(
                probe.node_url,
                probe.latency_ms,
                accepts_ranges=probe.accepts_ranges,
                now_sec=time.monotonic(),
                now_unix_sec=time.time(),
            )
            unmeasured.discard(probe.node_url)
            if not unmeasured:
                probed.set()

        pinger = self._pinger = Pinger(timeout_sec=timeout_sec)
        descriptor = pinger.fileno()
        loop.add_reader(descriptor, wake.set)
        try:
            for key in keys:
                self._book.add_node(key)
                schedule.add(key, time.monotonic())
            while True:
                wake.clear()
                for outcome in pinger.turn():
                    if isinstance(outcome, Probe):
                        on_probe(outcome)
                now_sec = time.monotonic()
                for key in schedule.overdue(now_sec, timeout_sec * OVERDUE_TIMEOUTS):
                    pinger.abort(key)
                for key in schedule.due(now_sec):
                    pinger.submit(key)
                next_sec = schedule.next_due_sec()
                # With all probes in flight the next look is for those that overrun.
                wait_sec = timeout_sec if next_sec is None else max(0.0, next_sec - now_sec)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(min(wait_sec, timeout_sec / 2)):
                        await wake.wait()
        finally:
            loop.remove_reader(descriptor)
            pinger.request_stop()

    # ------------------------------------------------------------ evidence from downloads

    def update_bandwidth(self, node_url: str, bandwidth_mbps: float) -> None:
        """Take in a bandwidth measurement in Mbit/s."""
        if not (math.isfinite(bandwidth_mbps) and bandwidth_mbps >= 0):
            raise ConfigError(
                f"bandwidth_mbps: {bandwidth_mbps!r} is not a finite number of at least 0"
            )
        self._book.record_bandwidth(node_url, bandwidth_mbps)

    def record_result(self, node_url: str, success: bool) -> None:
        """Take in whether a request for data went well."""
        self._book.record_result(
            node_url, success=success, now_sec=time.monotonic(), now_unix_sec=time.time()
        )

    def record_transfer(self, node_url: str, *, size_bytes: int, transfer_sec: float) -> None:
        """Take in a finished download; small ones tell nothing about bandwidth."""
        if size_bytes >= MIN_TRANSFER_BYTES:
            self._book.record_bandwidth(node_url, megabits_per_sec(size_bytes, transfer_sec))
        self.record_result(node_url, True)

    def record_failure(self, node_url: str) -> None:
        """Take in a failed download."""
        self.record_result(node_url, False)

    # ------------------------------------------------------------ what is known

    def get_node_score(self, node_url: str) -> float:
        """Return the node's score, higher is better; 0 for a node nothing is known of."""
        return self._book.score(node_url)

    def get_all_node_scores(self) -> dict[str, float]:
        """Return the scores of all monitored and measured nodes."""
        return {node_url: self._book.score(node_url) for node_url in self._known()}

    def is_node_healthy(self, node_url: str, timeout_sec: float | None = None) -> bool:
        """Tell whether the node answered within `timeout_sec` and mostly answers.

        Without `timeout_sec` three ping intervals count, at least 10 s.
        """
        return self._book.healthy(node_url, now_sec=time.monotonic(), timeout_sec=timeout_sec)

    def get_healthy_nodes(self) -> list[str]:
        """Return the healthy nodes, the best first."""
        healthy = [node_url for node_url in self._known() if self.is_node_healthy(node_url)]
        return sorted(healthy, key=self.get_node_score, reverse=True)

    def get_node_stats(self, node_url: str) -> dict[str, Any]:
        """Return what is known of a node; what was not measured is None.

        `current` is the newest sample, `average` the moving average that the score is made of.
        """
        known = self._book.node_score(node_url, now_sec=time.monotonic())
        return {
            "node_url": node_url,
            "latency_ms": {
                "current": known.latency_ms,
                "average": known.latency_average_ms,
                "min": known.latency_min_ms,
                "max": known.latency_max_ms,
            },
            "bandwidth_mbps": {
                "current": known.bandwidth_mbps,
                "average": known.bandwidth_average_mbps,
            },
            "success_rate": known.success_rate_ratio,
            "score": known.score,
            "last_update": known.last_update_unix_sec,
            "measurements_count": known.measurements_count,
            "healthy": known.healthy,
            "accepts_ranges": known.accepts_ranges,
        }

    def get_all_stats(self) -> dict[str, dict[str, Any]]:
        """Return `get_node_stats` of all monitored and measured nodes."""
        return {node_url: self.get_node_stats(node_url) for node_url in self._known()}

    def _known(self) -> list[str]:
        given = {node_key(node_url): node_url for node_url in self.node_urls}
        measured = [given.get(key, key) for key in self._book.node_urls()]
        return list(dict.fromkeys([*self.node_urls, *measured]))
