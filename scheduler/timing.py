"""How long ranges take: where one probably is, how fast it goes, when it will be over. Pure functions.

No I/O, no clock, no randomness. Reports of running ranges are up to 50 ms old; between them their bytes are
extrapolated.
"""

from __future__ import annotations

from common.units import megabits_per_sec
from scheduler.selection import MIN_RATE_SAMPLE_BYTES, Node
from scheduler.wanted import Job

# A message to the worker and its request take this long before the node sees it.
COMMAND_SEC = 0.005
# The next request leaves when less than a round trip and this is left of the running one.
AHEAD_SEC = 0.02
# Running ranges are reported this often: so soon the first bytes of a new node tell what its rate is.
PROGRESS_SEC = 0.05
# Three times that is no silence.
REPORT_SEC = 0.15
# After the head of an answer the first one comes so soon.
FIRST_REPORT_SEC = 0.06
# The longer nothing comes, the less likely it is a pause: after 0.5 s the pace counts as a fortieth.
QUIET_POWER = 3
QUIET_SEC = 0.2
# A rate needs this much to be more than the burst at the start of a transfer.
RATE_WINDOW_SEC = 0.06
# The first figure of a node may come sooner: it only lasts until the next.
FIRST_WINDOW_SEC = 0.045
# On a slow link even that is a handful of packets; then longer is waited for.
LONG_RATE_WINDOW_SEC = 0.4
# A range's own pace is guessed from less: a wrong guess is corrected by the next report.
MIN_PACE_SEC = 0.02
# Until it says enough the pace counts as up to so many times as high, where the node was faster before.
FIRST_PACE_RATIO = 3.0
# A range without its first byte is left alone until it is this much later than expected.
OVERDUE_RATIO = 1.5
OVERDUE_SEC = 0.02


# Where a running range probably is, how fast it goes in Mbit/s, and how many seconds it still needs.
Outlook = tuple[float, float, float]


def outlook(job: Job, node: Node, now_sec: float) -> Outlook:
    """Return what can be said of a running range between two reports of it.

    Its rate is its own once it has one, else its node's. Without news for longer than reports take, it falls with the
    time that has passed.
    """
    own_mbps = job.rate_mbps
    if own_mbps is None:
        rate_mbps = node.rate_mbps / job.lanes
    elif job.paced or not node.measured:
        rate_mbps = own_mbps
    else:
        # Its first bytes may have shared the link with the end of the range before.
        rate_mbps = min(node.rate_mbps / job.lanes, FIRST_PACE_RATIO * own_mbps)
    at: float = job.received_until
    flowing = at > job.start or job.headed_sec is not None
    if flowing:
        quiet_sec = now_sec - job.progress_sec
        if quiet_sec <= QUIET_SEC and (own_mbps is not None or node.measured):
            at = min(job.end, at + rate_mbps * 125e3 * min(quiet_sec, REPORT_SEC))
        # An answer that began, and nothing came with its first report, comes from a node nobody knows.
        nothing = job.received_until == job.start and not node.measured
        usual_sec = FIRST_REPORT_SEC if nothing else REPORT_SEC
        if quiet_sec > usual_sec:
            rate_mbps *= quiet_ratio(quiet_sec, usual_sec)
    left = job.end - at
    if job.whole_body:
        # What comes before the first byte of use.
        left += max(0, job.start - job.received_bytes)
    left_sec = left * 8e-6 / max(rate_mbps, 1e-9) if left > 0 else 0.0
    if not flowing:
        waited_sec = now_sec - job.begun_sec
        first_sec = first_byte_sec(node, cold=False)
        if waited_sec > OVERDUE_RATIO * first_sec + OVERDUE_SEC:
            # It may come over a new connection, after two round trips; the later after that, the longer it may take.
            left_sec += abs(first_byte_sec(node, cold=True) - waited_sec)
        elif first_sec > waited_sec:
            left_sec += first_sec - waited_sec
    return at, rate_mbps, left_sec


def quiet_ratio(quiet_sec: float, usual_sec: float = REPORT_SEC) -> float:
    """Return what a pace counts for after so long without news, where `usual_sec` say nothing."""
    return 1.0 if quiet_sec <= usual_sec else (usual_sec / quiet_sec) ** QUIET_POWER


def position(job: Job, node: Node, now_sec: float) -> float:
    """Return where a running range probably is: reports are up to 50 ms old."""
    return outlook(job, node, now_sec)[0]


def pace_mbps(job: Job, node: Node, now_sec: float) -> float:
    """Return the rate of a running range."""
    return outlook(job, node, now_sec)[1]


def remaining_sec(job: Job, node: Node, now_sec: float) -> float:
    """Return how long a running range still needs."""
    return outlook(job, node, now_sec)[2]


def is_quiet(job: Job, now_sec: float) -> bool:
    """Whether a range that was flowing brings nothing: its node gets no more work until it does."""
    return job.flowing and now_sec - job.progress_sec > QUIET_SEC


def awaited(job: Job, now_sec: float) -> bool:
    """Whether the first report of an answer that has begun is still to come: nobody knows how fast it is."""
    return job.headed_sec is not None and now_sec - job.progress_sec < FIRST_REPORT_SEC


def first_byte_sec(node: Node, *, cold: bool) -> float:
    """Return how long after the decision the first byte comes."""
    return node.latency_sec * (2 if cold else 1) + COMMAND_SEC


def ahead_sec(node: Node, *, same_chunk: bool = True) -> float:
    """Return how long before the end of a running range the node's next request should leave.

    Bytes of a later chunk that come too early take half of the link from the urgent ones.
    """
    return node.latency_sec + (COMMAND_SEC + AHEAD_SEC if same_chunk else 0.0)


def measure(job: Job, node: Node, size_bytes: int, now_sec: float) -> None:
    """Fold fresh bytes of a running range into its pace, and keep them for a sample of its node's rate."""
    if job.measured_sec is None:
        # What came before the first bytes was the round trip.
        expected_sec = job.begun_sec + first_byte_sec(node, cold=False)
        job.measured_sec = min(job.headed_sec or expected_sec, now_sec)
        job.measured_until = job.start
    if node.flow_since_sec is None:
        node.flow_since_sec, node.flow_bytes = job.measured_sec, 0
    node.ramp.heard(node.flow_since_sec, now_sec, node.latency_sec)
    span_sec = now_sec - job.measured_sec
    size = job.received_until - job.measured_until
    if span_sec >= MIN_PACE_SEC and (job.rate_mbps is None or _says_enough(size, span_sec)):
        job.rate_mbps = megabits_per_sec(size, span_sec)
        job.paced = _says_enough(size, span_sec)
        if job.paced:
            job.measured_sec, job.measured_until = now_sec, job.received_until
    node.flow_bytes += size_bytes


def sample(node: Node, now_sec: float) -> None:
    """Fold what a node has brought into its rate once it says enough, when all that is known by now was measured.

    Its rate is its goodput over the time any of its ranges flowed, all ranges together.
    """
    if node.flow_since_sec is None:
        return
    span_sec = now_sec - node.flow_since_sec
    if _says_enough(node.flow_bytes, span_sec):
        node.note_progress(megabits_per_sec(node.flow_bytes, span_sec), now_sec)
        node.flow_since_sec, node.flow_bytes = now_sec, 0
    elif not node.measured and _may_be_first(node.flow_bytes, span_sec):
        node.note_first(megabits_per_sec(node.flow_bytes, span_sec), now_sec)


def _may_be_first(size_bytes: int, span_sec: float) -> bool:
    return span_sec >= FIRST_WINDOW_SEC and size_bytes >= MIN_RATE_SAMPLE_BYTES


def _says_enough(size_bytes: int, span_sec: float) -> bool:
    return span_sec >= RATE_WINDOW_SEC and (
        size_bytes >= MIN_RATE_SAMPLE_BYTES or span_sec >= LONG_RATE_WINDOW_SEC
    )


def is_overdue(job: Job, node: Node, now_sec: float) -> bool:
    """Whether the first byte of a range should have come long ago."""
    return now_sec - job.begun_sec > OVERDUE_RATIO * first_byte_sec(node, cold=False) + OVERDUE_SEC
