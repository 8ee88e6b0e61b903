"""The monitor process: learns the nodes from the sessions, pings them, publishes their scores."""

from __future__ import annotations

import logging
import random
import time

from common.config import Settings
from common.messages import NodeScores, SessionStatus, Transfer
from common.service import Service
from monitor.book import NodeBook, answer_age_limit_sec
from monitor.prober import OVERDUE_TIMEOUTS, Probe, ProbePool, probe_timeout_sec
from monitor.roster import SessionNodes
from monitor.schedule import PingSchedule

logger = logging.getLogger(__name__)

# While nodes are being measured for the first time every answer matters to the startup; later five
# times a second do.
STARTING_GAP_SEC = 0.05
STEADY_GAP_SEC = 0.2
# Scoring a node takes some 50 us; with a thousand nodes publishing must not eat the process.
GAP_PER_NODE_SEC = 0.0005
# Who hears nothing for a few seconds may take the monitor for dead: it speaks at least once a
# second.
HEARTBEAT_CHECK_SEC = 0.25
HEARTBEAT_AGE_SEC = 0.7
# Nodes leave and probes overrun so seldom that looking each half second is enough.
SWEEP_SEC = 0.5
# Threads get this long to end at stop, of the three seconds that stopping may take.
JOIN_SEC = 2.0


class MonitorService:
    """The shell around book and schedule; lives in the loop of `service`."""

    def __init__(self, service: Service, settings: Settings, *, rng: random.Random) -> None:
        self._service = service
        self._sessions = SessionNodes()
        self._book = NodeBook(
            history_size=settings.history_size,
            timeout_sec=answer_age_limit_sec(settings.ping_interval_sec),
        )
        self._schedule = PingSchedule(interval_sec=settings.ping_interval_sec, rng=rng)
        timeout_sec = probe_timeout_sec(settings.ping_interval_sec)
        self._overdue_sec = timeout_sec * OVERDUE_TIMEOUTS
        self._pool = ProbePool(self._on_probe_thread, timeout_sec=timeout_sec)
        self._unmeasured: set[str] = set()
        self._published_sec = 0.0
        self._publish_at_sec: float | None = None
        self._wake_at_sec: float | None = None
        self._publisher = service.publisher("monitor.events")
        service.subscribe(
            ("buffer.events", "scheduler.events"),
            {SessionStatus: self._on_session, Transfer: self._on_transfer},
        )
        service.every(SWEEP_SEC, self._sweep)
        service.every(HEARTBEAT_CHECK_SEC, self._publish_heartbeat)
        service.on_close(self._close)
        self._publish()

    # ------------------------------------------------------------ nodes

    def _on_session(self, status: SessionStatus) -> None:
        self._sessions.update(
            status.session_id,
            status.node_urls,
            live=status.outcome == "",
            now_sec=time.monotonic(),
        )
        self._follow_sessions()

    def _follow_sessions(self) -> None:
        now_sec = time.monotonic()
        wanted = self._sessions.node_urls(now_sec)
        known = set(self._book.node_urls())
        for node_url in wanted:
            if node_url not in known:
                logger.info("node added node=%s", node_url)
                self._book.add_node(node_url)
                self._schedule.add(node_url, now_sec)
                self._unmeasured.add(node_url)
        for node_url in known.difference(wanted):
            logger.info("node removed node=%s", node_url)
            self._schedule.remove(node_url)
            self._pool.forget(node_url)
            self._book.remove_node(node_url)
            self._unmeasured.discard(node_url)
        if known != set(wanted):
            self._ping_due()
            self._publish_soon()

    def _sweep(self) -> None:
        self._follow_sessions()
        for node_url in self._schedule.overdue(time.monotonic(), self._overdue_sec):
            self._pool.abort(node_url)

    # ------------------------------------------------------------ pings

    def _ping_due(self) -> None:
        now_sec = time.monotonic()
        for node_url in self._schedule.due(now_sec):
            self._pool.submit(node_url)
        next_sec = self._schedule.next_due_sec()
        armed_sec = self._wake_at_sec
        if next_sec is not None and (armed_sec is None or next_sec < armed_sec):
            self._wake_at_sec = next_sec
            self._service.after(max(0.0, next_sec - now_sec), self._on_timer)

    def _on_timer(self) -> None:
        self._wake_at_sec = None
        self._ping_due()

    def _on_probe_thread(self, probe: Probe) -> None:
        self._service.call_soon(lambda: self._on_probe(probe))

    def _on_probe(self, probe: Probe) -> None:
        now_sec = time.monotonic()
        answered = probe.latency_ms is not None
        self._schedule.finished(probe.node_url, answered=answered, now_sec=now_sec)
        if self._book.knows(probe.node_url):
            if not answered:
                logger.debug("ping failed node=%s detail=%s", probe.node_url, probe.detail)
            self._book.record_ping(
                probe.node_url,
                probe.latency_ms,
                accepts_ranges=probe.accepts_ranges,
                now_sec=now_sec,
                now_unix_sec=time.time(),
            )
            # The gap is chosen before the last newcomer leaves the set: its answer is urgent too.
            self._publish_soon()
            self._unmeasured.discard(probe.node_url)
        self._ping_due()

    def _on_transfer(self, transfer: Transfer) -> None:
        if not self._book.knows(transfer.node_url):
            return
        self._book.record_transfer(
            transfer.node_url,
            transfer.outcome,
            size_bytes=transfer.size_bytes,
            goodput_mbps=transfer.goodput_mbps,
            range_honoured=transfer.range_honoured,
            now_sec=time.monotonic(),
            now_unix_sec=time.time(),
        )
        self._publish_soon()

    # ------------------------------------------------------------ publishing

    def _publish_soon(self) -> None:
        now_sec = time.monotonic()
        gap_sec = STARTING_GAP_SEC if self._unmeasured else STEADY_GAP_SEC
        gap_sec = max(gap_sec, GAP_PER_NODE_SEC * len(self._book.node_urls()))
        at_sec = max(now_sec, self._published_sec + gap_sec)
        if self._publish_at_sec is None or at_sec < self._publish_at_sec:
            self._publish_at_sec = at_sec
            self._service.after(at_sec - now_sec, self._publish_if_due)

    def _publish_if_due(self) -> None:
        if self._publish_at_sec is not None and time.monotonic() >= self._publish_at_sec:
            self._publish()

    def _publish_heartbeat(self) -> None:
        if time.monotonic() - self._published_sec >= HEARTBEAT_AGE_SEC:
            self._publish()

    def _publish(self) -> None:
        now_sec = time.monotonic()
        self._publish_at_sec, self._published_sec = None, now_sec
        self._publisher.publish(
            NodeScores(
                published_unix_sec=time.time(),
                nodes=tuple(
                    self._book.node_score(node_url, now_sec=now_sec)
                    for node_url in self._book.node_urls()
                ),
            )
        )

    def _close(self) -> None:
        self._pool.request_stop()
        if not self._pool.join(JOIN_SEC):
            logger.warning("probes still hang in the network; leaving them")
