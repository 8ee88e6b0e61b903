"""Builders of chunks, demands and the reports of workers: valid by default, each field may be set."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from buffer.store import HeldChunk
from common.manifest import Manifest, parse_manifest
from common.messages import (
    ChunkSpec,
    ChunkTrouble,
    Demand,
    FragmentSpec,
    JobProgress,
    NodeScore,
    NodeScores,
    Replica,
    WantedChunk,
    WorkerHeartbeat,
)
from scheduler.selection import Node
from scheduler.wanted import WHOLE, Job, Wanted

A = "http://node-a:8081"
B = "http://node-b:8082"
C = "http://node-c:8083"
FIVE_NODES = tuple(f"http://node-{i}:80" for i in range(5))
MB = 1_000_000


def replica(node_url: str, name: str) -> Replica:
    """Return the place of a chunk or fragment on a V-Stack node."""
    return Replica(url=f"{node_url}/chunk/{name}")


def a_chunk(
    number: int = 0,
    nodes: Sequence[str] = (A, B, C),
    *,
    size_bytes: int = 2 * MB,
    data: bytes | None = None,
    **changed: Any,
) -> ChunkSpec:
    """Return a replicated chunk; with `data` its size and checksum are those of the bytes."""
    name = f"video-chunk-{number:03}"
    fields: dict[str, Any] = {
        "chunk_id": name,
        "sequence_num": number,
        "size_bytes": size_bytes if data is None else len(data),
        "checksum_sha256": "0" * 64 if data is None else hashlib.sha256(data).hexdigest(),
        "replicas": tuple(replica(node, name) for node in nodes),
    }
    return ChunkSpec(**(fields | changed))


def a_coded_chunk(
    number: int = 0,
    nodes: Sequence[str] = FIVE_NODES,
    *,
    size_bytes: int = 3 * MB,
    checksums: Sequence[str] = ("",) * 5,
    **changed: Any,
) -> ChunkSpec:
    """Return a chunk of which node i holds fragment i."""
    name = f"video-chunk-{number:03}"
    fields: dict[str, Any] = {
        "size_bytes": size_bytes,
        "replicas": (),
        "fragments": tuple(
            FragmentSpec(
                fragment_index=index,
                size_bytes=-(-size_bytes // 3),
                checksum_sha256=checksums[index],
                replicas=(replica(node, f"{name}-f{index}"),),
            )
            for index, node in enumerate(nodes)
        ),
    }
    return a_chunk(number, **(fields | changed))


def a_demand(*wanted: ChunkSpec | WantedChunk, due_sec: float = 0.0, **changed: Any) -> Demand:
    """Return a demand; bare chunks are due 10 s after one another, the first in `due_sec`."""
    items = tuple(
        item
        if isinstance(item, WantedChunk)
        else WantedChunk(chunk=item, deadline_in_sec=due_sec + 10.0 * index)
        for index, item in enumerate(wanted)
    )
    fields: dict[str, Any] = {
        "session_id": "s1",
        "deliver_to": "inproc://buffer",
        "low_water_mark_sec": 15.0,
    }
    return Demand(wanted=items, **(fields | changed))


def a_score(
    node_url: str = A, mbps: float | None = 20.0, latency_ms: float = 20.0, **changed: Any
) -> NodeScore:
    """Return what the monitor says of a healthy node that answers ranges."""
    rate = mbps or 0.0
    fields: dict[str, Any] = {
        "score": rate / (1 + 0.1 * latency_ms),
        "healthy": True,
        "latency_ms": latency_ms,
        "latency_average_ms": latency_ms,
        "latency_min_ms": latency_ms,
        "latency_max_ms": latency_ms,
        "bandwidth_mbps": mbps,
        "bandwidth_average_mbps": mbps,
        "success_rate_ratio": 1.0,
        "measurements_count": 3,
        "last_update_unix_sec": 1000.0,
        "accepts_ranges": True,
    }
    return NodeScore(node_url=node_url, **(fields | changed))


def a_node(node_url: str = A, mbps: float | None = 20.0, **changed: Any) -> Node:
    """Return a node as the scheduler knows it from the monitor alone."""
    node = Node(node_url)
    node.note_report(a_score(node_url, mbps, **changed))
    return node


def a_wanted(spec: ChunkSpec | None = None, **changed: Any) -> Wanted:
    """Return a chunk as the planner keeps it, due at once."""
    fields: dict[str, Any] = {
        "session_id": "s1",
        "spec": spec or a_chunk(),
        "deadline_sec": 0.0,
        "seen_sec": 0.0,
        "deliver_to": "inproc://buffer",
    }
    return Wanted(**(fields | changed))


def a_job(chunk: Wanted, node_url: str = A, **changed: Any) -> Job:
    """Return a range of a chunk, to its end unless told otherwise, entered in the chunk's books."""
    part = changed.get("part", WHOLE)
    start = changed.get("start", 0)
    fields: dict[str, Any] = {
        "job_id": f"{node_url} {part} {start}",
        "chunk": chunk,
        "part": part,
        "node_url": node_url,
        "start": start,
        "end": next(iter(chunk.parts.values())).size,
        "received_until": start,
        "begun_sec": 0.0,
        "progress_sec": 0.0,
        "silence_sec": 1.0,
    }
    job = Job(**(fields | changed))
    chunk.jobs[job.job_id] = job
    return job


def scores(*nodes: NodeScore) -> NodeScores:
    """Return a snapshot of the monitor."""
    return NodeScores(published_unix_sec=1000.0, nodes=nodes)


def a_beat(
    worker_id: str = "w1",
    *,
    leases: Sequence[str] = (),
    running: Sequence[JobProgress] = (),
    **changed: Any,
) -> WorkerHeartbeat:
    """Return the heartbeat of a worker with room for eight chunks."""
    fields: dict[str, Any] = {
        "jobs_endpoint": f"inproc://{worker_id}",
        "pid": 4711,
        "slots": 8,
        "received_bytes": 0,
        "draining": False,
    }
    return WorkerHeartbeat(
        worker_id=worker_id, leases=tuple(leases), running=tuple(running), **(fields | changed)
    )


def trouble(number: int = 0, **changed: Any) -> ChunkTrouble:
    """Return the news that no replica of a chunk can be reached."""
    fields: dict[str, Any] = {
        "session_id": "s1",
        "chunk_id": f"video-chunk-{number:03}",
        "fault": "unreachable",
        "rounds": 1,
        "detail": "node-a:8081: is silent",
    }
    return ChunkTrouble(**(fields | changed))


# ---------------------------------------------------------------- manifests and chunks held


def manifest_fields(
    count: int = 3, nodes: Sequence[str] = (A, B), **changed: Any
) -> dict[str, Any]:
    """Return the fields of a manifest as the metadata service sends it."""
    fields: dict[str, Any] = {
        "video_id": "video",
        "title": "A film",
        "duration_sec": 10 * count,
        "total_chunks": count,
        "chunk_duration_sec": 10,
        "chunk_size_bytes": 2 * 1024 * 1024,
        "created_at": "2025-01-01T00:00:00",
        "status": "active",
        "chunks": [
            {
                "chunk_id": f"video-chunk-{number:03}",
                "sequence_num": number,
                "size_bytes": 1000 + number,
                "checksum": f"{number:064x}",
                "replicas": list(nodes),
                "redundancy_mode": "replication",
                "fragments": None,
            }
            for number in range(count)
        ],
    }
    return fields | changed


def a_manifest(count: int = 3, nodes: Sequence[str] = (A, B), **changed: Any) -> Manifest:
    """Return a manifest of `count` chunks of nominally 10 s."""
    raw = json.dumps(manifest_fields(count, nodes, **changed)).encode()
    return parse_manifest(raw, video_id="video")


def held(number: int, duration_sec: float = 10.0, size_bytes: int = 1000) -> HeldChunk:
    """Return a verified chunk of the builders' video."""
    return HeldChunk(
        chunk_id=f"video-chunk-{number:03}",
        sequence_num=number,
        data=bytes(size_bytes),
        size_bytes=size_bytes,
        duration_sec=duration_sec,
    )
