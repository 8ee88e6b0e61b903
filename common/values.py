"""The values that messages are made of: chunks and where they lie, scores, progress, states.

No I/O, no clock, no randomness.
"""

from __future__ import annotations

from typing import Literal

from common.codec import value


@value
class Replica:
    """Where one copy of a chunk or fragment lies: a URL, and the offset of its first byte there."""

    url: str
    offset_bytes: int = 0


@value
class FragmentSpec:
    """One of the five fragments of an erasure-coded chunk (index 0-2 data, 3-4 parity)."""

    fragment_index: int
    size_bytes: int
    checksum_sha256: str
    replicas: tuple[Replica, ...]


@value
class ChunkSpec:
    """What is needed to fetch and verify a chunk; `fragments` is empty for replicated chunks."""

    chunk_id: str
    sequence_num: int
    size_bytes: int
    checksum_sha256: str
    replicas: tuple[Replica, ...]
    fragments: tuple[FragmentSpec, ...] = ()


@value
class WantedChunk:
    """A chunk the buffer wants, and how soon: seconds from now until the playhead needs it."""

    chunk: ChunkSpec
    deadline_in_sec: float


@value
class SourceShare:
    """How many bytes of a delivered chunk came from one node."""

    node_url: str
    size_bytes: int


@value
class RangeSource:
    """Which node delivered bytes [start_bytes, end_bytes) of part `part` (-1: the chunk itself, 0-4: a fragment)."""

    part: int
    start_bytes: int
    end_bytes: int
    node_url: str


@value
class NodeScore:
    """What the monitor knows of one node; `score` is (bandwidth x reliability) / (1 + latency x 0.1)."""

    node_url: str
    score: float
    healthy: bool
    latency_ms: float | None
    latency_average_ms: float | None
    latency_min_ms: float | None
    latency_max_ms: float | None
    bandwidth_mbps: float | None
    bandwidth_average_mbps: float | None
    success_rate_ratio: float
    measurements_count: int
    last_update_unix_sec: float | None
    accepts_ranges: bool | None


@value
class JobProgress:
    """A running range as its worker sees it; `received_until_bytes` is the offset in the part.

    `range_honoured` is None until the answer's head has come; False says that the body began at byte 0.

    `received_bytes` counts what crossed the network, a prefix read through included; 0 when the worker does not say.
    """

    job_id: str
    received_until_bytes: int
    received_bytes: int = 0
    range_honoured: bool | None = None


RangeOutcome = Literal[
    "complete",
    "cancelled",
    "refused",
    "silent",
    "broken",
    "missing",
    "unavailable",
    "short",
    "malformed",
    "lost",
]


@value
class InFlight:
    """A range that is being read now."""

    session_id: str
    chunk_id: str
    sequence_num: int
    part: int
    node_url: str
    worker_id: str
    start_bytes: int
    end_bytes: int
    received_until_bytes: int
    age_sec: float


@value
class WorkerStatus:
    """A worker as the scheduler sees it."""

    worker_id: str
    pid: int
    slots: int
    busy: int
    received_bytes: int
    silent_sec: float


BreakerState = Literal["closed", "open", "half_open"]


@value
class NodeLoad:
    """Work given to a node and how it went, over all sessions."""

    node_url: str
    active_ranges: int
    completed_ranges: int
    failed_ranges: int
    received_bytes: int
    breaker: BreakerState
    suspended_for_sec: float
    rate_mbps: float | None


@value
class SessionTraffic:
    """What fetching for one session has cost so far."""

    session_id: str
    total_downloads: int
    failed_downloads: int
    failover_count: int
    received_bytes: int
    needed_bytes: int
    active_downloads: int


EventKind = Literal[
    "session",
    "playing",
    "rebuffering",
    "paused",
    "seek",
    "ended",
    "failed",
    "failover",
    "suspended",
    "recovered",
    "corrupt",
    "worker",
    "trouble",
    "hole",
]


PlaybackState = Literal[
    "idle", "startup", "playing", "rebuffering", "paused", "seeking", "ended", "failed"
]


ChunkState = Literal["wanted", "held", "played", "missing"]


@value
class ChunkRecord:
    """What became of one chunk and who delivered it.

    `holders` are the nodes that have it, as places in the session's `node_urls`; for a coded chunk `parts` names the
    fragment that each of them has.
    """

    sequence_num: int
    chunk_id: str
    state: ChunkState
    size_bytes: int
    duration_sec: float
    sources: tuple[SourceShare, ...]
    holders: tuple[int, ...] = ()
    parts: tuple[int, ...] = ()


OnMissing = Literal["wait", "skip", "fail"]
# How chunks are fetched: ranges by deadline from all nodes, or whole chunks from the best-scored node, to compare.
Policy = Literal["deadline", "score"]


OutputKind = Literal["none", "file", "pipe", "stream"]
# What a player shows.
ViewerState = Literal["playing", "paused", "waiting", "seeking", "ended"]


Container = Literal["auto", "mp4", "matroska", "mpegts", "raw"]
