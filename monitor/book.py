"""What is known of each node: samples in, score and health out.

No I/O, no clock, no randomness: time is an argument. `now_sec` is a monotonic clock and decides
about staleness, `now_unix_sec` is only shown. Every estimate is folded over the samples kept, so
the score follows from the histories alone, whoever filled them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from common.estimators import Goodput, PeakLatency, Reliability, node_score
from common.messages import NodeScore, RangeOutcome
from monitor.histories import Histories, node_key

# Mbit/s. Until a node has sent data all nodes are taken to be equal here, so that latency ranks
# them. Near what a home line gives; only its being the same for all matters.
ASSUMED_BANDWIDTH_MBPS = 10.0
# ms. A node that sent data before it answered a ping: slow enough not to beat a measured one by
# ignorance.
ASSUMED_LATENCY_MS = 100.0
# Bytes. Below this connection set-up and slow start would be measured, not the node.
MIN_TRANSFER_BYTES = 16 * 1024
# Health looks at the last five samples: 15 s of pings, or one second of busy transfers.
HEALTH_SAMPLES = 5
HEALTHY_SHARE_RATIO = 0.5
# A node may miss two pings and answer the third; with very short intervals it still gets ten
# seconds.
ANSWER_AGE_PINGS = 3
MIN_ANSWER_AGE_SEC = 10.0
# A node that answers pings and fails on data would be healed by its pings. After two failed
# transfers in a row a good ping counts a quarter, until data flows again or no failure was seen for
# a minute: longer than the longest pause (30 s + 20 %) after which the scheduler tries it again.
GREY_FAILURES = 2
GREY_PING_RATIO = 0.25
GREY_SEC = 60.0

# What an ended range says about the reliability of its node; None: nothing.
_EVIDENCE: dict[RangeOutcome, float | None] = {
    "complete": 1.0,
    "cancelled": None,  # our own wish
    "missing": None,  # this chunk is not there; the node is well
    "lost": None,  # the worker died, not the node
    "refused": 0.0,
    "silent": 0.0,
    "broken": 0.0,
    "unavailable": 0.0,
    "short": 0.0,
    "malformed": 0.0,
}


def answer_age_limit_sec(ping_interval_sec: float) -> float:
    """Return how old a node's last answer may be while it counts as healthy."""
    return max(ANSWER_AGE_PINGS * ping_interval_sec, MIN_ANSWER_AGE_SEC)


@dataclass(slots=True)
class _Marks:
    answered_sec: float | None = None
    answered_unix_sec: float | None = None
    accepts_ranges: bool | None = None
    ranges_tried: bool = False
    failed_transfers: int = 0
    last_failed_transfer_sec: float = -math.inf


class NodeBook:
    """Samples, scores and health of a set of nodes; URLs are taken in any spelling."""

    def __init__(self, *, history_size: int, timeout_sec: float) -> None:
        self.latencies_ms = Histories(history_size)
        self.bandwidths_mbps = Histories(history_size)
        self.success_ratios = Histories(history_size)
        self._timeout_sec = timeout_sec
        self._marks: dict[str, _Marks] = {}

    # ------------------------------------------------------------ nodes

    def add_node(self, node_url: str) -> None:
        """Know a node from now on; what is known of it already stays."""
        self._of(node_url)

    def remove_node(self, node_url: str) -> None:
        """Forget a node and its samples."""
        self._marks.pop(node_key(node_url), None)
        for histories in (self.latencies_ms, self.bandwidths_mbps, self.success_ratios):
            histories.pop(node_url, None)

    def knows(self, node_url: str) -> bool:
        """Tell whether the node was added or measured by a record call."""
        return node_key(node_url) in self._marks

    def node_urls(self) -> tuple[str, ...]:
        """Return all nodes added or measured, in the order they became known."""
        known = dict.fromkeys(self._marks)
        for histories in (self.latencies_ms, self.bandwidths_mbps, self.success_ratios):
            known.update(dict.fromkeys(url for url in histories if histories.samples(url)))
        return tuple(known)

    def added_urls(self) -> Iterable[str]:
        """Return the nodes that were added or measured by record calls; to be read at once."""
        return self._marks.keys()

    def __len__(self) -> int:
        return len(self._marks)

    def _of(self, node_url: str) -> _Marks:
        return self._marks.setdefault(node_key(node_url), _Marks())

    # ------------------------------------------------------------ samples

    def record_answer(self, node_url: str, *, now_sec: float, now_unix_sec: float) -> None:
        """Note that the node gave a sign of life."""
        marks = self._of(node_url)
        marks.answered_sec, marks.answered_unix_sec = now_sec, now_unix_sec

    def forget_answer(self, node_url: str) -> None:
        """Take the node for one that has not answered yet."""
        marks = self._of(node_url)
        marks.answered_sec = marks.answered_unix_sec = None

    def record_ping(
        self,
        node_url: str,
        latency_ms: float | None,
        *,
        accepts_ranges: bool | None = None,
        now_sec: float,
        now_unix_sec: float,
    ) -> None:
        """Fold in one ping; None means it failed.

        What transfers told about ranges outranks what a ping's header promises.
        """
        marks = self._of(node_url)
        if latency_ms is None:
            self.success_ratios[node_url].append(0.0)
            return
        self.latencies_ms[node_url].append(latency_ms)
        grey = (
            marks.failed_transfers >= GREY_FAILURES
            and now_sec - marks.last_failed_transfer_sec < GREY_SEC
        )
        self.success_ratios[node_url].append(GREY_PING_RATIO if grey else 1.0)
        self.record_answer(node_url, now_sec=now_sec, now_unix_sec=now_unix_sec)
        if accepts_ranges is not None and not marks.ranges_tried:
            marks.accepts_ranges = accepts_ranges

    def record_range_check(self, node_url: str, *, honoured: bool) -> None:
        """Fold in what a request for one byte told; as sure as a transfer."""
        marks = self._of(node_url)
        marks.accepts_ranges, marks.ranges_tried = honoured, True

    def record_bandwidth(self, node_url: str, bandwidth_mbps: float) -> None:
        """Fold in one bandwidth measurement; what is no finite rate is ignored."""
        self._of(node_url)
        if math.isfinite(bandwidth_mbps) and bandwidth_mbps >= 0:
            self.bandwidths_mbps[node_url].append(bandwidth_mbps)

    def record_result(
        self, node_url: str, *, success: bool, now_sec: float, now_unix_sec: float
    ) -> None:
        """Fold in whether a request for data went well."""
        marks = self._of(node_url)
        self.success_ratios[node_url].append(1.0 if success else 0.0)
        if success:
            marks.failed_transfers = 0
            self.record_answer(node_url, now_sec=now_sec, now_unix_sec=now_unix_sec)
        else:
            marks.failed_transfers += 1
            marks.last_failed_transfer_sec = now_sec

    def record_transfer(
        self,
        node_url: str,
        outcome: RangeOutcome,
        *,
        size_bytes: int,
        goodput_mbps: float | None,
        range_honoured: bool | None = None,
        now_sec: float,
        now_unix_sec: float,
    ) -> None:
        """Fold in one ended range.

        Its bandwidth counts from MIN_TRANSFER_BYTES on, its outcome is evidence of reliability.
        """
        marks = self._of(node_url)
        if goodput_mbps is not None and size_bytes >= MIN_TRANSFER_BYTES:
            self.record_bandwidth(node_url, goodput_mbps)
        if range_honoured is not None:
            marks.accepts_ranges, marks.ranges_tried = range_honoured, True
        evidence = _EVIDENCE[outcome]
        if evidence is not None:
            self.record_result(
                node_url, success=evidence > 0, now_sec=now_sec, now_unix_sec=now_unix_sec
            )
        elif outcome == "missing" or size_bytes > 0:
            self.record_answer(node_url, now_sec=now_sec, now_unix_sec=now_unix_sec)

    # ------------------------------------------------------------ estimates

    def latency_ms(self, node_url: str) -> float | None:
        """Return the peak-sensitive moving average of the kept latencies."""
        estimate = PeakLatency()
        for sample_ms in self.latencies_ms.samples(node_url):
            estimate.add(max(0.0, sample_ms))
        return estimate.value_ms

    def bandwidth_mbps(self, node_url: str) -> float | None:
        """Return the moving average of the kept bandwidths."""
        estimate = Goodput()
        for sample_mbps in self.bandwidths_mbps.samples(node_url):
            estimate.add(max(0.0, sample_mbps))
        return estimate.value_mbps

    def reliability_ratio(self, node_url: str) -> float | None:
        """Return the moving average of the kept successes."""
        estimate = Reliability()
        for sample_ratio in self.success_ratios.samples(node_url):
            estimate.add(min(max(0.0, sample_ratio), 1.0))
        return estimate.value_ratio

    def score(self, node_url: str) -> float:
        """Return the node's score; 0 for a node without any sample."""
        latency_ms, bandwidth_mbps = self.latency_ms(node_url), self.bandwidth_mbps(node_url)
        reliability_ratio = self.reliability_ratio(node_url)
        if latency_ms is None and bandwidth_mbps is None:
            return 0.0
        return node_score(
            bandwidth_mbps=ASSUMED_BANDWIDTH_MBPS if bandwidth_mbps is None else bandwidth_mbps,
            reliability_ratio=1.0 if reliability_ratio is None else reliability_ratio,
            latency_ms=ASSUMED_LATENCY_MS if latency_ms is None else latency_ms,
        )

    def healthy(self, node_url: str, *, now_sec: float, timeout_sec: float | None = None) -> bool:
        """Tell whether the node answered lately and at least half of its last samples are good."""
        marks = self._marks.get(node_key(node_url))
        recent = self.success_ratios.samples(node_url)[-HEALTH_SAMPLES:]
        if marks is None or marks.answered_sec is None or not recent:
            return False
        limit_sec = self._timeout_sec if timeout_sec is None else timeout_sec
        fresh = now_sec - marks.answered_sec <= limit_sec
        return fresh and sum(recent) / len(recent) >= HEALTHY_SHARE_RATIO

    def fresh_until_sec(self, node_url: str) -> float:
        """Return when the node's last answer will be too old for a healthy node."""
        marks = self._marks.get(node_key(node_url))
        answered_sec = marks.answered_sec if marks is not None else None
        return -math.inf if answered_sec is None else answered_sec + self._timeout_sec

    def last_update_unix_sec(self, node_url: str) -> float | None:
        """Return when the node answered last."""
        marks = self._marks.get(node_key(node_url))
        return None if marks is None else marks.answered_unix_sec

    def node_score(self, node_url: str, *, now_sec: float) -> NodeScore:
        """Return all that is known of a node.

        `latency_ms` and `bandwidth_mbps` are the newest samples; the averages are those that
        the score is made of.
        """
        latencies = self.latencies_ms.samples(node_url)
        bandwidths = self.bandwidths_mbps.samples(node_url)
        marks = self._marks.get(node_key(node_url), _Marks())
        return NodeScore(
            node_url=node_key(node_url),
            score=self.score(node_url),
            healthy=self.healthy(node_url, now_sec=now_sec),
            latency_ms=latencies[-1] if latencies else None,
            latency_average_ms=self.latency_ms(node_url),
            latency_min_ms=min(latencies, default=None),
            latency_max_ms=max(latencies, default=None),
            bandwidth_mbps=bandwidths[-1] if bandwidths else None,
            bandwidth_average_mbps=self.bandwidth_mbps(node_url),
            success_rate_ratio=self.reliability_ratio(node_url) or 0.0,
            measurements_count=max(len(latencies), len(self.success_ratios.samples(node_url))),
            last_update_unix_sec=marks.answered_unix_sec,
            accepts_ranges=marks.accepts_ranges,
        )
