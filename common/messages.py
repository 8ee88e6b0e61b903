"""Every message that crosses a process border, with who sends it to whom.

No I/O, no clock, no randomness. `docs/messages.md` is generated from this module.

PUB carries state that may be lost; PUSH carries work that may be repeated. Durations travel, deadlines do
not: two processes share no clock. A replica is a full URL; its node is the URL's origin.
"""

from __future__ import annotations

from typing import Literal

from common.codec import message
from common.command_messages import (
    KeepAlive as KeepAlive,
    PlayVideo as PlayVideo,
    SeekTo as SeekTo,
    SetPaused as SetPaused,
    StopSession as StopSession,
    ViewerReport as ViewerReport,
)

# Whoever needs a message mostly needs its values too: they are exported from here as well.
from common.values import (
    BreakerState as BreakerState,
    ChunkRecord as ChunkRecord,
    ChunkSpec as ChunkSpec,
    ChunkState as ChunkState,
    Container as Container,
    EventKind as EventKind,
    FragmentSpec as FragmentSpec,
    InFlight as InFlight,
    JobProgress as JobProgress,
    NodeLoad as NodeLoad,
    NodeScore as NodeScore,
    OnMissing as OnMissing,
    OutputKind as OutputKind,
    PlaybackState as PlaybackState,
    Policy as Policy,
    RangeOutcome as RangeOutcome,
    RangeSource as RangeSource,
    Replica as Replica,
    SessionTraffic as SessionTraffic,
    SourceShare as SourceShare,
    ViewerState as ViewerState,
    WantedChunk as WantedChunk,
    WorkerStatus as WorkerStatus,
)

# ---------------------------------------------------------------- monitor


@message("monitor.scores")
class NodeScores:
    """Scores of all nodes that are pinged; snapshot (monitor PUB -> scheduler, dashboard, main)."""

    published_unix_sec: float
    nodes: tuple[NodeScore, ...]


# ---------------------------------------------------------------- demand and work


@message("demand")
class Demand:
    """All that one session wants now, most urgent first; replaces what it wanted before.

    Sent on every change and each second; `closed` says the session is over
    (buffer PUSH -> scheduler.requests).
    """

    session_id: str
    deliver_to: str
    wanted: tuple[WantedChunk, ...]
    low_water_mark_sec: float
    closed: bool = False
    policy: Policy = "deadline"


@message("worker.open")
class OpenChunk:
    """Become the home of a chunk: assemble, verify and deliver it (scheduler PUSH -> worker.<id>.jobs)."""

    lease_id: str
    session_id: str
    chunk: ChunkSpec
    deliver_to: str


@message("worker.fetch")
class FetchRange:
    """Read bytes [start_bytes, end_bytes) of a part from a replica (scheduler PUSH -> worker.<id>.jobs)."""

    job_id: str
    lease_id: str
    part: int
    replica: Replica
    start_bytes: int
    end_bytes: int
    silence_sec: float
    accepts_ranges: bool | None


@message("worker.resize")
class ResizeRange:
    """Move the end of a running range (scheduler PUSH -> worker.<id>.jobs).

    The worker decides where it really ends: what has come beyond a nearer end is kept and reported. A farther end is
    only for nodes without `Range`, whose body goes on to its end anyway.
    """

    job_id: str
    end_bytes: int


@message("worker.cancel")
class CancelRange:
    """Stop reading a range; what was read is kept (scheduler PUSH -> worker.<id>.jobs)."""

    job_id: str


@message("worker.discard")
class DiscardRange:
    """Forget bytes that cannot be trusted; they are fetched again (scheduler PUSH -> worker.<id>.jobs)."""

    lease_id: str
    part: int
    start_bytes: int
    end_bytes: int


@message("worker.close")
class CloseChunk:
    """The chunk is no longer wanted: cancel its ranges, forget its bytes (scheduler PUSH -> worker.<id>.jobs)."""

    lease_id: str


@message("worker.warm")
class WarmNodes:
    """Keep so many connections open to each of these nodes, none to others (scheduler PUSH -> worker.<id>.jobs)."""

    node_urls: tuple[str, ...]
    per_node_count: int


@message("worker.heartbeat")
class WorkerHeartbeat:
    """A worker's complete registration, each second and on change (worker PUSH -> scheduler.reports)."""

    worker_id: str
    jobs_endpoint: str
    pid: int
    slots: int
    leases: tuple[str, ...]
    running: tuple[JobProgress, ...]
    received_bytes: int
    draining: bool


@message("worker.progress")
class RangeProgress:
    """Bytes of running ranges, every 50 ms while any arrive (worker PUSH -> scheduler.reports)."""

    worker_id: str
    running: tuple[JobProgress, ...]


@message("worker.range")
class RangeFinished:
    """How a range ended and what it brought (worker PUSH -> scheduler.reports).

    Bytes [start_bytes, received_until_bytes) are held by the worker whatever the outcome. `received_bytes` counts
    what crossed the network, skipped prefixes included. `range_honoured` is None when no answer told.
    """

    worker_id: str
    job_id: str
    outcome: RangeOutcome
    start_bytes: int
    received_until_bytes: int
    received_bytes: int
    first_byte_sec: float | None
    duration_sec: float
    range_honoured: bool | None
    retry_after_sec: float | None
    detail: str


@message("worker.chunk")
class ChunkFinished:
    """A home's verdict on its chunk: delivered, or the bytes do not match (worker PUSH -> scheduler.reports).

    For a corrupt chunk `corrupt_part` names the fragment whose own checksum failed, -1 the whole. `ranges` are
    the bytes that were judged.
    """

    worker_id: str
    lease_id: str
    verdict: Literal["delivered", "corrupt"]
    corrupt_part: int
    detail: str
    ranges: tuple[RangeSource, ...] = ()


@message("chunk")
class ChunkDelivery:
    """A verified chunk; its bytes follow as one raw frame (worker PUSH -> buffer.chunks)."""

    session_id: str
    chunk_id: str
    sequence_num: int
    size_bytes: int
    worker_id: str
    sources: tuple[SourceShare, ...]
    ranges: tuple[RangeSource, ...]


@message("chunk.trouble")
class ChunkTrouble:
    """All replicas of a wanted chunk have failed `rounds` times over (scheduler PUSH -> buffer.commands)."""

    session_id: str
    chunk_id: str
    fault: Literal["missing", "unreachable", "integrity"]
    rounds: int
    detail: str


# ---------------------------------------------------------------- scheduler's state


@message("scheduler.status")
class SchedulerStatus:
    """Snapshot of work in flight, workers and nodes (scheduler PUB -> monitor, dashboard, main, buffer)."""

    published_unix_sec: float
    in_flight: tuple[InFlight, ...]
    workers: tuple[WorkerStatus, ...]
    nodes: tuple[NodeLoad, ...]
    sessions: tuple[SessionTraffic, ...]
    max_active_chunks: int = 4


@message("scheduler.transfer")
class Transfer:
    """One ended range, as evidence about its node (scheduler PUB -> monitor, dashboard).

    `busy_sec` is the time the node spent sending it, all workers together; `goodput_mbps` is None when the range
    was too small to tell. It brought bytes [start_bytes, received_until_bytes) of `part` (-1: the chunk itself, 0-4: a
    fragment) of what it was asked for, [start_bytes, end_bytes); `sequence_num` is -1 where the sender did not say.
    """

    node_url: str
    session_id: str
    chunk_id: str
    outcome: RangeOutcome
    size_bytes: int
    first_byte_sec: float | None
    busy_sec: float
    goodput_mbps: float | None
    range_honoured: bool | None
    sequence_num: int = -1
    part: int = -1
    start_bytes: int = 0
    received_until_bytes: int = 0
    end_bytes: int = 0
    worker_id: str = ""


@message("scheduler.verdict")
class ChunkVerdict:
    """A chunk was delivered, or does not match; and whose bytes it is made of (scheduler PUB -> dashboard, main).

    `corrupt_part` is as in ChunkFinished. `suspect_url` is the node whose bytes are fetched elsewhere, empty when
    nobody is left to suspect; `certain` says that it is proven.
    """

    session_id: str
    chunk_id: str
    sequence_num: int
    worker_id: str
    verdict: Literal["delivered", "corrupt"]
    corrupt_part: int
    suspect_url: str
    certain: bool
    ranges: tuple[RangeSource, ...]


@message("scheduler.verdicts")
class RecentVerdicts:
    """The last verdicts, for who joins late; snapshot (scheduler PUB -> dashboard)."""

    verdicts: tuple[ChunkVerdict, ...]


@message("event")
class LogEvent:
    """Something a viewer wants to read, in plain words (any PUB -> dashboard, main)."""

    at_unix_sec: float
    session_id: str
    kind: EventKind
    text: str


@message("events")
class RecentEvents:
    """What one process has said lately, for who joins late; snapshot (any PUB -> dashboard)."""

    events: tuple[LogEvent, ...]


# ---------------------------------------------------------------- sessions and playback


@message("buffer.session")
class SessionStatus:
    """Snapshot of one session; replayed to new subscribers (buffer PUB -> everybody).

    `startup_latency_sec` runs from the viewer's command to the first byte the output took, or until a player showed the
    film. `outcome` is empty while the session lives, then `played`, `stopped`, `failed` or `holes`. `stream_url` is
    where players find the film (HLS), empty for nowhere; `followed` says that a player moves the playhead,
    `viewer_id` which one told of it last. `wish_serial` rises with every command that players are to obey: to pause or
    to play, and, unless None, to jump. `start_playback_sec` is the media needed to start, 0 for a first chunk;
    `policy` is how chunks are fetched.
    """

    session_id: str
    video_id: str
    title: str
    state: PlaybackState
    outcome: str
    exit_code: int
    message: str
    output: str
    node_urls: tuple[str, ...]
    total_chunks: int
    duration_sec: float
    duration_known: bool
    playhead_sec: float
    current_sequence_num: int
    buffer_level_sec: float
    buffer_level_chunks: int
    buffered_bytes: int
    spilled_bytes: int
    target_buffer_sec: float
    low_water_mark_sec: float
    startup_latency_sec: float | None
    manifest_sec: float
    first_chunk_sec: float | None
    rebuffering_events: int
    stalled_sec: float
    longest_stall_sec: float
    average_buffer_sec: float
    played_sec: float
    wall_sec: float
    chunks_buffered: int
    chunks_played: int
    missing_chunks: int
    started_unix_sec: float
    stream_url: str = ""
    followed: bool = False
    rate_ratio: float = 1.0
    player_stalls: int = 0
    dropped_frames: int = 0
    player_error: str = ""
    wish_serial: int = 0
    wish_paused: bool = False
    wish_position_sec: float | None = None
    start_playback_sec: float = 0.0
    policy: Policy = "deadline"
    viewer_id: str = ""


@message("buffer.chunks")
class ChunkMap:
    """All chunks of a session that are no longer untouched; snapshot (buffer PUB -> dashboard, main)."""

    session_id: str
    total_chunks: int
    chunks: tuple[ChunkRecord, ...]


@message("buffer.result")
class CommandResult:
    """Outcome of a command; `exit_code` is what main.py would end with (buffer PUB -> who asked)."""

    command_id: str
    session_id: str
    ok: bool
    exit_code: int
    text: str
