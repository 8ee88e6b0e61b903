"""The monitor process: learns the nodes, pings them, publishes their scores.

Nodes come from the sessions, and from the metadata service before there are any.
"""

from __future__ import annotations

import logging
import random
import time

from common.config import Settings
from common.messages import NodeScores, SessionStatus, Transfer
from common.service import Service
from monitor.board import ScoreBoard
from monitor.book import NodeBook, answer_age_limit_sec
from monitor.directory import Directory
from monitor.pinger import Pinger
from monitor.probe import OVERDUE_TIMEOUTS, Probe, RangeCheck, probe_timeout_sec
from monitor.range_checks import RangeChecks
from monitor.roster import Roster
from monitor.schedule import PingSchedule

logger = logging.getLogger(__name__)

# While nodes are being measured for the first time every answer matters to the startup; later five
# times a second do.
STARTING_GAP_SEC = 0.05
STEADY_GAP_SEC = 0.2
# A subscriber takes some 6 us to read a node's score: with a thousand nodes hearing of them must not eat the scheduler.
# Newcomers are worth more.
STARTING_GAP_PER_NODE_SEC = 0.0002
GAP_PER_NODE_SEC = 0.001
MAX_GAP_SEC = 0.9
# Who hears nothing for a few seconds may take the monitor for dead: it speaks at least once a
# second.
HEARTBEAT_CHECK_SEC = 0.25
HEARTBEAT_AGE_SEC = 0.7
# Nodes leave and probes overrun so seldom that looking each half second is enough.
SWEEP_SEC = 0.5
# Pings due within this leave together: a wake-up of the loop costs as much as a ping.
PING_SLACK_SEC = 0.01
# The first answer on a connection often takes longer than the next ones; a new node's second ping does not wait for its
# turn.
SECOND_PING_SEC = 0.3
# Threads get this long to end at stop, of the three seconds that stopping may take.
JOIN_SEC = 2.0
# Files that are no kept connections: queues, libraries, connections being made.
SPARE_FILES = 400


class MonitorService:
    """The shell around book, roster and schedule; lives in the loop of `service`."""

    def __init__(
        self, service: Service, settings: Settings, *, rng: random.Random, max_files: int = 1024
    ) -> None:
        """`max_files` is how many the process may have open."""
        self._service = service
        self._roster = Roster()
        self._book = NodeBook(
            history_size=settings.history_size,
            timeout_sec=answer_age_limit_sec(settings.ping_interval_sec),
        )
        self._board = ScoreBoard(self._book)
        self._checks = RangeChecks()
        self._schedule = PingSchedule(
            interval_sec=settings.ping_interval_sec, rng=rng, second_after_sec=SECOND_PING_SEC
        )
        timeout_sec = probe_timeout_sec(settings.ping_interval_sec)
        self._overdue_sec = timeout_sec * OVERDUE_TIMEOUTS
        self._pinger = Pinger(timeout_sec=timeout_sec, max_kept=max(0, max_files - SPARE_FILES))
        self._unmeasured: set[str] = set()
        self._published_sec = 0.0
        self._publish_at_sec: float | None = None
        self._wake_at_sec: float | None = None
        self._publisher = service.publisher("monitor.events")
        service.subscribe(
            ("buffer.events", "scheduler.events"),
            {SessionStatus: self._on_session, Transfer: self._on_transfer},
        )
        service.watch(self._pinger.fileno(), self._on_answers)
        # A late answer is noticed by the clock alone.
        service.every(min(SWEEP_SEC, timeout_sec / 2), self._on_answers)
        service.every(SWEEP_SEC, self._sweep)
        service.every(HEARTBEAT_CHECK_SEC, self._publish_heartbeat)
        self._directory = Directory(
            settings.metadata_service_url,
            timeout_sec=settings.request_timeout_sec,
            rng=random.Random(rng.getrandbits(64)),
            on_nodes=lambda urls: service.call_soon(lambda: self._on_nodes(urls)),
            on_samples=lambda urls: service.call_soon(lambda: self._checks.learn(urls)),
        )
        self._directory.start()
        service.on_close(self._close)
        self._publish()

    # ------------------------------------------------------------ nodes

    def _on_session(self, status: SessionStatus) -> None:
        self._roster.sessions.update(
            status.session_id,
            status.node_urls,
            live=status.outcome == "",
            now_sec=time.monotonic(),
        )
        self._follow_roster()

    def _on_nodes(self, node_urls: tuple[str, ...]) -> None:
        self._roster.list_standing(node_urls)
        self._follow_roster()

    def _follow_roster(self) -> None:
        now_sec = time.monotonic()
        wanted = dict.fromkeys(self._roster.node_urls(now_sec))
        known = set(self._book.added_urls())
        if known == wanted.keys():
            return
        for node_url in wanted:
            if node_url not in known:
                logger.info("node added node=%s", node_url)
                self._book.add_node(node_url)
                self._schedule.add(node_url, now_sec)
                self._unmeasured.add(node_url)
        for node_url in known.difference(wanted):
            logger.info("node removed node=%s", node_url)
            self._schedule.remove(node_url)
            self._pinger.forget(node_url)
            self._book.remove_node(node_url)
            self._board.touch(node_url)
            self._checks.forget(node_url)
            self._unmeasured.discard(node_url)
        self._ping_due()
        self._publish_soon()

    def _sweep(self) -> None:
        self._follow_roster()
        for node_url in self._schedule.overdue(time.monotonic(), self._overdue_sec):
            self._pinger.abort(node_url)

    # ------------------------------------------------------------ pings

    def _ping_due(self) -> None:
        now_sec = time.monotonic()
        for node_url in self._schedule.due(now_sec):
            self._pinger.submit(node_url)
        next_sec = self._schedule.next_due_sec()
        if next_sec is None:
            return
        next_sec = max(next_sec, now_sec + PING_SLACK_SEC)
        armed_sec = self._wake_at_sec
        if armed_sec is None or next_sec < armed_sec:
            self._wake_at_sec = next_sec
            self._service.after(max(0.0, next_sec - now_sec), self._on_timer)

    def _on_timer(self) -> None:
        self._wake_at_sec = None
        self._ping_due()

    def _on_answers(self) -> None:
        outcomes = self._pinger.turn()
        if not outcomes:
            return
        for outcome in outcomes:
            if isinstance(outcome, Probe):
                self._on_probe(outcome)
            else:
                self._on_check(outcome)
        self._publish_soon()
        # The gap was chosen before the last newcomer leaves the set: its answer is urgent too.
        self._unmeasured.difference_update(outcome.node_url for outcome in outcomes)
        self._ping_due()

    def _on_probe(self, probe: Probe) -> None:
        now_sec = time.monotonic()
        node_url, answered = probe.node_url, probe.latency_ms is not None
        self._schedule.finished(node_url, answered=answered, now_sec=now_sec)
        if not self._book.knows(node_url):
            return
        if not answered:
            logger.debug("ping failed node=%s detail=%s", node_url, probe.detail)
        self._book.record_ping(
            node_url,
            probe.latency_ms,
            accepts_ranges=probe.accepts_ranges,
            now_sec=now_sec,
            now_unix_sec=time.time(),
        )
        self._board.touch(node_url)
        chunk_url = self._checks.on_ping(node_url, answered=answered, now_sec=now_sec)
        if chunk_url is not None:
            self._pinger.check_ranges(node_url, chunk_url)

    def _on_check(self, check: RangeCheck) -> None:
        node_url, honoured = check.node_url, check.honoured
        self._checks.finished(node_url, honoured=honoured, now_sec=time.monotonic())
        if honoured is None or not self._book.knows(node_url):
            logger.debug("range check told nothing node=%s detail=%s", node_url, check.detail)
            return
        self._book.record_range_check(node_url, honoured=honoured)
        self._board.touch(node_url)

    def _on_transfer(self, transfer: Transfer) -> None:
        node_url, now_sec = transfer.node_url, time.monotonic()
        if not self._book.knows(node_url):
            return
        self._book.record_transfer(
            node_url,
            transfer.outcome,
            size_bytes=transfer.size_bytes,
            goodput_mbps=transfer.goodput_mbps,
            range_honoured=transfer.range_honoured,
            now_sec=now_sec,
            now_unix_sec=time.time(),
        )
        self._checks.note_data(node_url, told=transfer.range_honoured is not None, now_sec=now_sec)
        self._board.touch(node_url)
        self._publish_soon()

    # ------------------------------------------------------------ publishing

    def _publish_soon(self) -> None:
        now_sec, nodes = time.monotonic(), len(self._book)
        if self._unmeasured:
            gap_sec = max(STARTING_GAP_SEC, STARTING_GAP_PER_NODE_SEC * nodes)
        else:
            gap_sec = min(max(STEADY_GAP_SEC, GAP_PER_NODE_SEC * nodes), MAX_GAP_SEC)
        at_sec = max(now_sec, self._published_sec + gap_sec)
        if self._publish_at_sec is None or at_sec < self._publish_at_sec:
            self._publish_at_sec = at_sec
            self._service.after(at_sec - now_sec, self._publish_if_due)

    def _publish_if_due(self) -> None:
        if self._publish_at_sec is not None and time.monotonic() >= self._publish_at_sec:
            self._publish()

    def _publish_heartbeat(self) -> None:
        # What is due anyway comes in time.
        pending = self._publish_at_sec is not None
        if not pending and time.monotonic() - self._published_sec >= HEARTBEAT_AGE_SEC:
            self._publish()

    def _publish(self) -> None:
        now_sec = time.monotonic()
        self._publish_at_sec, self._published_sec = None, now_sec
        frames = self._board.frames(now_sec=now_sec, now_unix_sec=time.time())
        self._publisher.publish_encoded(NodeScores, frames)

    def _close(self) -> None:
        self._directory.request_stop()
        self._pinger.request_stop()
        until_sec = time.monotonic() + JOIN_SEC
        if not self._pinger.join(JOIN_SEC):
            logger.warning("probes still hang in the network; leaving them")
        if not self._directory.join(max(0.0, until_sec - time.monotonic())):
            logger.info("the metadata service has not answered; leaving it")
