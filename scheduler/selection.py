"""What the scheduler knows of each node: rate, latency, trust, and whether it may be given work.

No I/O, no clock: time is an argument; randomness comes from the `rng` handed in.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from common.estimators import Goodput, RoundTrip, node_score
from common.messages import BreakerState, NodeScore, RangeOutcome
from common.units import transfer_sec
from scheduler.ramp import Ramp

# A node of which no byte was seen yet: ranked by latency, and given work.
ASSUMED_RATE_MBPS = 10.0
ASSUMED_LATENCY_MS = 50.0
# Shorter transfers say more about set-up than about the link.
MIN_RATE_SAMPLE_BYTES = 16 * 1024
# Silence below this is ordinary jitter on a mobile link.
SILENCE_FLOOR_SEC = 0.5
# A node never heard from may sit behind a long round trip and needs two of them for its first byte.
UNKNOWN_SILENCE_SEC = 1.0
# Bytes of a silent node are asked for elsewhere within a second, unless its round trips take half of that.
SILENCE_MAX_SEC = 0.85
# A ping that took this many times the usual is still an answer.
SILENCE_PER_LATENCY = 4.0
# Half of that raises doubts; the first answer over a new connection takes two round trips.
DOUBT_RATIO = 0.5
FAILURES_TO_OPEN = 3
OPEN_BASE_SEC = 1.0
# With its jitter, and the wait for the next chunk, a node that is back works again within 35 s.
OPEN_MAX_SEC = 20.0
OPEN_JITTER_RATIO = 0.2
# Wrong bytes twice: not an accident of one disk block.
OFFENCES_TO_BAN = 2
# That its answers were cut off so early is believed for so long: it may have been an accident.
CUT_MEMORY_SEC = 30.0
# An estimate older than this says little; the node gets a small range to prove itself.
STALE_AFTER_SEC = 20.0

NODE_FAULTS: frozenset[RangeOutcome] = frozenset(
    {"refused", "silent", "broken", "unavailable", "short", "malformed"}
)


@dataclass(slots=True)
class Breaker:
    """Circuit breaker: closed, open for a growing time, then half-open for one small data range.

    Opens at the first silence (it costs half a second each) or the third failure in a row; a good ping does not
    close it, data does.
    """

    failures: int = 0
    openings: int = 0
    open_until_sec: float | None = None

    def state(self, now_sec: float) -> BreakerState:
        if self.open_until_sec is None:
            return "closed"
        return "open" if now_sec < self.open_until_sec else "half_open"

    def success(self) -> bool:
        """Note good data; True when this closed the breaker."""
        recovered = self.open_until_sec is not None
        self.failures, self.openings, self.open_until_sec = 0, 0, None
        return recovered

    def failure(
        self,
        outcome: RangeOutcome,
        now_sec: float,
        rng: random.Random,
        retry_after_sec: float | None,
    ) -> bool:
        """Note a failure; True when this opened the breaker."""
        was = self.state(now_sec)
        self.failures += 1
        at_once = outcome in ("silent", "unavailable", "refused") or was == "half_open"
        if was == "open" or not (at_once or self.failures >= FAILURES_TO_OPEN):
            return False
        length_sec = min(OPEN_MAX_SEC, OPEN_BASE_SEC * 2.0**self.openings)
        length_sec *= 1 + OPEN_JITTER_RATIO * (2 * rng.random() - 1)
        if retry_after_sec is not None:
            length_sec = max(length_sec, min(retry_after_sec, OPEN_MAX_SEC))
        self.openings += 1
        self.open_until_sec = now_sec + length_sec
        return was == "closed"


@dataclass(slots=True, eq=False)
class Node:
    """One node as the scheduler sees it."""

    node_url: str
    breaker: Breaker = field(default_factory=Breaker)
    rate: Goodput = field(default_factory=Goodput)
    first_byte: RoundTrip = field(default_factory=RoundTrip)
    reported: NodeScore | None = None
    # The monitor's figure, else what its own answers took. Asked for many times at every decision.
    latency_sec: float = ASSUMED_LATENCY_MS / 1000
    accepts_ranges: bool | None = None
    active: int = 0
    offences: int = 0
    last_data_sec: float | None = None
    # Since when at least one of its ranges flows, and what came since the last sample of its rate.
    flow_since_sec: float | None = None
    flow_bytes: int = 0
    ramp: Ramp = field(default_factory=Ramp)
    # Whether its rate is a first figure, from few bytes.
    provisional: bool = False
    # After how long it cut off a body that it would have to send again from the beginning, and when.
    cut_after_sec: float | None = None
    cut_sec: float = 0.0
    # How long it has brought nothing, over ranges that others took over meanwhile; up to when that is counted.
    silent_sec: float = 0.0
    silent_until_sec: float = 0.0
    completed_ranges: int = 0
    failed_ranges: int = 0
    received_bytes: int = 0

    @property
    def banned(self) -> bool:
        return self.offences >= OFFENCES_TO_BAN

    @property
    def blameless(self) -> bool:
        """Whether nothing at all speaks against it: neither wrong bytes nor breaks nor its pings."""
        if self.offences or self.breaker.open_until_sec is not None:
            return False
        if self.cut_after_sec is not None or (self.silent_sec and not self.answered):
            return False
        return self.last_data_sec is not None or not self.unanswering

    @property
    def rate_mbps(self) -> float:
        """Own goodput, else the monitor's figure, else the assumption."""
        value_mbps = self.rate.value_mbps
        if value_mbps is not None:
            return value_mbps
        if self.reported is not None and self.reported.bandwidth_mbps is not None:
            return self.reported.bandwidth_mbps
        return ASSUMED_RATE_MBPS

    @property
    def known(self) -> bool:
        """Whether anything at all was measured."""
        return (
            self.rate.value_mbps is not None
            or self.first_byte.srtt_sec is not None
            or (self.reported is not None and self.reported.measurements_count > 0)
        )

    @property
    def answered(self) -> bool:
        """Whether it ever answered a ping or a request."""
        if self.last_data_sec is not None or self.first_byte.srtt_sec is not None:
            return True
        return self.reported is not None and self.reported.latency_ms is not None

    @property
    def measured(self) -> bool:
        """Whether data has come from it, so that its rate is more than an assumption."""
        return self.rate.value_mbps is not None

    def doubtful(self, now_sec: float) -> bool:
        """Whether a small range must come first: it failed lately, or owes an answer for long."""
        if self.breaker.state(now_sec) != "closed":
            return True
        # Asked for every node at every decision: few owe anything.
        return self.silent_sec > 0 and self.silent_sec > DOUBT_RATIO * self.silence_sec()

    def on_probation(self, now_sec: float) -> bool:
        """Whether a small range should come first where there is time: its rate is old, if nothing worse."""
        return self.doubtful(now_sec) or self.stale(now_sec)

    def owes_first_word(self, now_sec: float) -> bool:
        """Whether nobody ever heard of it, and others just took over a range that it did not answer."""
        if self.answered or not self.silent_sec:
            return False
        return now_sec - self.silent_until_sec < UNKNOWN_SILENCE_SEC

    def heard(self) -> None:
        """Note a sign of life on one of its ranges."""
        self.silent_sec = 0.0

    def brought_nothing(self, since_sec: float, now_sec: float) -> bool:
        """Note a range that ended without news since then; True when its silence is no pause any more."""
        since_sec = max(since_sec, self.silent_until_sec)
        self.silent_sec += max(0.0, now_sec - since_sec)
        self.silent_until_sec = now_sec
        return self.silent_sec >= self.silence_sec()

    @property
    def score(self) -> float:
        """The seed's score, from the monitor's reliability and our own freshest rate."""
        reliability = self.reported.success_rate_ratio if self.reported is not None else 1.0
        return node_score(
            bandwidth_mbps=self.rate_mbps,
            reliability_ratio=reliability,
            latency_ms=self.latency_sec * 1000,
        )

    def loaded_score(self) -> float:
        """The score divided among the ranges the node already sends and this one."""
        return self.score / (1 + self.active)

    def expected_sec(self, size_bytes: int) -> float:
        """Return how long `size_bytes` would take on the idle node."""
        return self.latency_sec + transfer_sec(size_bytes, self.rate_mbps)

    def note_body(self, duration_sec: float, now_sec: float, *, cut: bool) -> None:
        """Note how long it sent a whole body, and whether it cut that off."""
        if cut:
            self.cut_after_sec, self.cut_sec = duration_sec, now_sec
        elif self.cut_after_sec is not None and duration_sec > self.cut_after_sec:
            self.cut_after_sec = None

    def cuts(self, size_bytes: int, now_sec: float) -> bool:
        """Whether it would cut off a body before its end, as it did lately."""
        limit_sec = self.cut_after_sec
        if limit_sec is None or self.accepts_ranges is not False:
            return False
        return now_sec - self.cut_sec < CUT_MEMORY_SEC and self.expected_sec(size_bytes) > limit_sec

    @property
    def unanswering(self) -> bool:
        """Whether it answers no pings and never sent a byte; later the breaker knows better than pings."""
        return (
            self.last_data_sec is None
            and self.reported is not None
            and self.reported.measurements_count > 0
            and not self.reported.healthy
        )

    def silence_sec(self) -> float:
        """Return how long to wait for a byte before giving the range to another node."""
        if not self.known:
            return UNKNOWN_SILENCE_SEC
        patience_sec = max(
            self.first_byte.silence_sec(SILENCE_FLOOR_SEC), SILENCE_PER_LATENCY * self.latency_sec
        )
        return max(min(patience_sec, SILENCE_MAX_SEC), 2 * self.latency_sec)

    def stale(self, now_sec: float) -> bool:
        """Whether the rate was measured so long ago that it may be wrong."""
        return self.last_data_sec is not None and now_sec - self.last_data_sec > STALE_AFTER_SEC

    def note_report(self, score: NodeScore) -> None:
        """Take over what the monitor says of it."""
        self.reported = score
        self._note_latency()
        if self.accepts_ranges is None:
            self.accepts_ranges = score.accepts_ranges

    def note_first_byte(self, first_byte_sec: float) -> None:
        """Fold in how long the first byte of a range took."""
        self.first_byte.add(first_byte_sec)
        self._note_latency()

    def _note_latency(self) -> None:
        reported, own_sec = self.reported, self.first_byte.srtt_sec
        if reported is not None and reported.latency_ms is not None:
            self.latency_sec = reported.latency_ms / 1000
        else:
            self.latency_sec = ASSUMED_LATENCY_MS / 1000 if own_sec is None else own_sec

    def note_progress(self, sample_mbps: float, now_sec: float) -> None:
        """Fold the rate of its running ranges in."""
        self.last_data_sec = now_sec
        if self.provisional:
            self.rate, self.provisional = Goodput(), False
        self.ramp.sampled(sample_mbps, now_sec, self.latency_sec)
        if self.ramp.begins_slowly and self.ramp.is_young(now_sec, self.latency_sec):
            # Until its windows are open it says nothing against the link.
            self.rate.raise_to(sample_mbps)
        else:
            self.rate.add(sample_mbps)

    def forget_flow(self) -> None:
        """Note that nothing flows any more."""
        self.flow_since_sec = None
        self.ramp.ended()

    def note_first(self, sample_mbps: float, now_sec: float) -> None:
        """Take a first figure for the rate, to be replaced by the next."""
        self.last_data_sec = now_sec
        self.rate.add(sample_mbps)
        self.provisional = True


class _Nodes(dict[str, Node]):
    def __missing__(self, node_url: str) -> Node:
        node = self[node_url] = Node(node_url)
        return node


class NodeBook:
    """All nodes ever named, by URL."""

    def __init__(self) -> None:
        self._nodes = _Nodes()
        # Return the node's record, new if need be. Every decision asks some dozens of times: the dictionary answers
        # itself.
        self.node: Callable[[str], Node] = self._nodes.__getitem__

    def __iter__(self) -> Iterator[Node]:
        return iter(self._nodes.values())

    def forget_except(self, node_urls: set[str]) -> None:
        """Drop nodes nobody names any more, unless they are at work."""
        for url in [u for u, n in self._nodes.items() if u not in node_urls and not n.active]:
            del self._nodes[url]

    def update(self, scores: tuple[NodeScore, ...]) -> None:
        """Take over what the monitor published."""
        for score in scores:
            self.node(score.node_url).note_report(score)
