"""Builders of the messages that describe a stack: valid by default, each field may be set."""

from __future__ import annotations

from typing import Any

from common.messages import (
    ChunkMap,
    ChunkRecord,
    ChunkVerdict,
    InFlight,
    LogEvent,
    NodeLoad,
    NodeScore,
    NodeScores,
    RangeSource,
    SchedulerStatus,
    SessionStatus,
    SessionTraffic,
    SourceShare,
    Transfer,
    WorkerStatus,
)

NODE_A = "http://node-a:8081"
NODE_B = "http://node-b:8082"
NODE_C = "http://node-c:8083"


def a_session(**changed: Any) -> SessionStatus:
    """Return a session that plays well."""
    fields: dict[str, Any] = {
        "session_id": "s1",
        "video_id": "test-video-001",
        "title": "Test video",
        "state": "playing",
        "outcome": "",
        "exit_code": 0,
        "message": "",
        "output": "none",
        "node_urls": (NODE_A, NODE_B, NODE_C),
        "total_chunks": 12,
        "duration_sec": 120.0,
        "duration_known": True,
        "playhead_sec": 12.0,
        "current_sequence_num": 1,
        "buffer_level_sec": 20.0,
        "buffer_level_chunks": 2,
        "buffered_bytes": 4_000_000,
        "spilled_bytes": 0,
        "target_buffer_sec": 30.0,
        "low_water_mark_sec": 15.0,
        "startup_latency_sec": 0.8,
        "manifest_sec": 0.1,
        "first_chunk_sec": 0.6,
        "rebuffering_events": 0,
        "stalled_sec": 0.0,
        "longest_stall_sec": 0.0,
        "average_buffer_sec": 22.0,
        "played_sec": 12.0,
        "wall_sec": 13.0,
        "chunks_buffered": 3,
        "chunks_played": 1,
        "missing_chunks": 0,
        "started_unix_sec": 1000.0,
    }
    return SessionStatus(**(fields | changed))


def a_score(node_url: str = NODE_A, **changed: Any) -> NodeScore:
    """Return a healthy node."""
    fields: dict[str, Any] = {
        "score": 6.5,
        "healthy": True,
        "latency_ms": 20.0,
        "latency_average_ms": 21.0,
        "latency_min_ms": 18.0,
        "latency_max_ms": 25.0,
        "bandwidth_mbps": 19.5,
        "bandwidth_average_mbps": 19.0,
        "success_rate_ratio": 1.0,
        "measurements_count": 4,
        "last_update_unix_sec": 1000.0,
        "accepts_ranges": True,
    }
    return NodeScore(node_url=node_url, **(fields | changed))


def scores(*nodes: NodeScore) -> NodeScores:
    """Return a snapshot of the monitor."""
    return NodeScores(published_unix_sec=1000.0, nodes=nodes)


def a_load(node_url: str = NODE_A, **changed: Any) -> NodeLoad:
    """Return a node with one range under way."""
    fields: dict[str, Any] = {
        "active_ranges": 1,
        "completed_ranges": 7,
        "failed_ranges": 0,
        "received_bytes": 5_000_000,
        "breaker": "closed",
        "suspended_for_sec": 0.0,
        "rate_mbps": 19.0,
    }
    return NodeLoad(node_url=node_url, **(fields | changed))


def a_range(**changed: Any) -> InFlight:
    """Return a range half read."""
    fields: dict[str, Any] = {
        "session_id": "s1",
        "chunk_id": "c3",
        "sequence_num": 3,
        "part": -1,
        "node_url": NODE_A,
        "worker_id": "w1",
        "start_bytes": 0,
        "end_bytes": 1_000_000,
        "received_until_bytes": 500_000,
        "age_sec": 0.2,
    }
    return InFlight(**(fields | changed))


def traffic(**changed: Any) -> SessionTraffic:
    """Return what a session with one failure has cost."""
    fields: dict[str, Any] = {
        "session_id": "s1",
        "total_downloads": 4,
        "failed_downloads": 1,
        "failover_count": 2,
        "received_bytes": 8_100_000,
        "needed_bytes": 8_000_000,
        "active_downloads": 1,
    }
    return SessionTraffic(**(fields | changed))


def a_worker(worker_id: str = "w1", **changed: Any) -> WorkerStatus:
    """Return a worker with one chunk."""
    fields: dict[str, Any] = {
        "pid": 4711,
        "slots": 8,
        "busy": 1,
        "received_bytes": 8_100_000,
        "silent_sec": 0.1,
    }
    return WorkerStatus(worker_id=worker_id, **(fields | changed))


def scheduler_status(**changed: Any) -> SchedulerStatus:
    """Return a scheduler with one worker and one range in flight."""
    fields: dict[str, Any] = {
        "published_unix_sec": 1000.0,
        "in_flight": (a_range(),),
        "workers": (a_worker(),),
        "nodes": (a_load(NODE_A), a_load(NODE_B, active_ranges=0)),
        "sessions": (traffic(),),
    }
    return SchedulerStatus(**(fields | changed))


def a_chunk(sequence_num: int, shares: dict[str, int] | None = None, **changed: Any) -> ChunkRecord:
    """Return a chunk, held and from node A unless told otherwise."""
    shares = {NODE_A: 2_000_000} if shares is None else shares
    fields: dict[str, Any] = {
        "chunk_id": f"c{sequence_num}",
        "state": "held",
        "size_bytes": 2_000_000,
        "duration_sec": 10.0,
        "sources": tuple(SourceShare(node_url=n, size_bytes=b) for n, b in shares.items()),
    }
    return ChunkRecord(sequence_num=sequence_num, **(fields | changed))


def chunk_map(*chunks: ChunkRecord, session_id: str = "s1") -> ChunkMap:
    """Return the chunk map of a session of twelve chunks."""
    return ChunkMap(session_id=session_id, total_chunks=12, chunks=chunks)


def an_event(text: str = "node-b is silent", **changed: Any) -> LogEvent:
    """Return something that happened."""
    fields: dict[str, Any] = {"at_unix_sec": 1000.0, "session_id": "s1", "kind": "failover"}
    return LogEvent(text=text, **(fields | changed))


def a_transfer(node_url: str = NODE_A, **changed: Any) -> Transfer:
    """Return a range that went well."""
    fields: dict[str, Any] = {
        "session_id": "s1",
        "chunk_id": "c1",
        "outcome": "complete",
        "size_bytes": 1_000_000,
        "first_byte_sec": 0.03,
        "busy_sec": 0.4,
        "goodput_mbps": 20.0,
        "range_honoured": True,
        "sequence_num": 1,
        "part": -1,
        "start_bytes": 0,
        "received_until_bytes": 1_000_000,
        "end_bytes": 1_000_000,
        "worker_id": "w1",
    }
    return Transfer(node_url=node_url, **(fields | changed))


def a_verdict(*ranges: RangeSource, **changed: Any) -> ChunkVerdict:
    """Return a chunk that was right."""
    fields: dict[str, Any] = {
        "session_id": "s1",
        "chunk_id": "c1",
        "sequence_num": 1,
        "worker_id": "w1",
        "verdict": "delivered",
        "corrupt_part": -1,
        "suspect_url": "",
        "certain": False,
    }
    return ChunkVerdict(ranges=ranges, **(fields | changed))
