"""What people and programs read about a stack: plain dictionaries, ready for JSON.

No I/O, no clock, no randomness: time is an argument. Used by the dashboard and by main.py.
Every `session_id` argument may be None: the newest live session, else the newest.
"""

from __future__ import annotations

import dataclasses

from common.messages import ChunkRecord, SourceShare
from common.stack_state import Json, KnownNode, Record, StackState
from common.targets import measure_targets

# Durations of containers are rounded: lacking no more than this, the buffer holds all that is left.
_REST_TOLERANCE_SEC = 0.05


class StatusModel(StackState):
    """The state of one stack, told with the keys that users of the original's interface read."""

    # ------------------------------------------------------------ buffer

    def buffer_status(self, session_id: str | None = None) -> Json:
        """Return the keys of `BufferManager.get_buffer_status()`."""
        record = self._find(session_id)
        s, level_sec = record.status, record.status.buffer_level_sec
        left_sec = max(0.0, s.duration_sec - s.playhead_sec) if s.duration_known else None
        holds_rest = left_sec is not None and 0 < left_sec <= level_sec + _REST_TOLERANCE_SEC
        goal_sec = s.target_buffer_sec if left_sec is None else min(s.target_buffer_sec, left_sec)
        started = s.startup_latency_sec is not None
        everything_taken = 0 < s.total_chunks <= s.chunks_buffered + s.missing_chunks
        if not started:
            state = "initializing" if record.live else "empty"
        elif level_sec <= 0:
            state = "empty"
        elif holds_rest or level_sec >= s.target_buffer_sec:
            state = "full"
        else:
            state = "low" if level_sec < s.low_water_mark_sec else "healthy"
        filled = 100.0 if holds_rest else 100.0 * level_sec / goal_sec if goal_sec > 0 else 0.0
        return {
            "buffer_level_sec": level_sec,
            "buffer_level_chunks": s.buffer_level_chunks,
            "buffer_health_percent": min(100.0, max(0.0, filled)),
            "state": state,
            "target_buffer_sec": s.target_buffer_sec,
            "low_water_mark_sec": s.low_water_mark_sec,
            "current_position": s.current_sequence_num,
            "playback_started": started,
            "needs_more_chunks": record.live
            and level_sec < s.low_water_mark_sec
            and not everything_taken,
            "can_start_playback": started or level_sec > 0,
            "is_healthy": state in ("healthy", "full"),
            "memory_usage_bytes": s.buffered_bytes,
            "spilled_bytes": s.spilled_bytes,
            "playhead_sec": s.playhead_sec,
            "duration_sec": s.duration_sec,
            "duration_known": s.duration_known,
        }

    def buffer_statistics(self, session_id: str | None = None) -> Json:
        """Return the keys of `BufferManager.get_statistics()`."""
        s = self._find(session_id).status
        return {
            "total_chunks_buffered": s.chunks_buffered,
            "total_chunks_played": s.chunks_played,
            "total_chunks": s.total_chunks,
            "missing_chunks": s.missing_chunks,
            "rebuffering_events": s.rebuffering_events,
            "stalled_sec": s.stalled_sec,
            "longest_stall_sec": s.longest_stall_sec,
            "current_buffer_level_sec": s.buffer_level_sec,
            "average_buffer_level": s.average_buffer_sec,
            "playback_started": s.startup_latency_sec is not None,
            "playback_duration_sec": s.played_sec,
            "startup_latency_sec": s.startup_latency_sec,
        }

    # ------------------------------------------------------------ downloads and nodes

    def scheduler_statistics(self, session_id: str | None = None) -> Json:
        """Return the keys of `ChunkScheduler.get_statistics()`.

        A download is a chunk: `downloads_per_node` counts those whose bytes came mostly from the
        node. `failed_downloads` counts attempts; `success_rate` is the share of attempts that brought a
        chunk, 1 before the first.
        """
        record = self._find(session_id)
        traffic = record.traffic
        total = traffic.total_downloads if traffic else 0
        failed = traffic.failed_downloads if traffic else 0
        chunks_by_node, bytes_by_node = _by_node(record)
        return {
            "total_downloads": total,
            "failed_downloads": failed,
            "failover_count": traffic.failover_count if traffic else 0,
            "success_rate": total / (total + failed) if total + failed else 1.0,
            "active_downloads": traffic.active_downloads if traffic and record.live else 0,
            "received_bytes": traffic.received_bytes if traffic else 0,
            "needed_bytes": traffic.needed_bytes if traffic else 0,
            "node_load": {url: load.active_ranges for url, load in self._loads.items()},
            "downloads_per_node": chunks_by_node,
            "bytes_per_node": bytes_by_node,
        }

    def network_statistics(self) -> dict[str, Json]:
        """Return what monitor and scheduler know of each node, by its URL."""
        return {url: _node_json(url, known) for url, known in self.nodes().items()}

    def node_scores(self) -> dict[str, float]:
        """Return the score of each node by its URL."""
        return {url: node.score for url, node in self._scores.items()}

    def workers(self) -> list[Json]:
        """Return the workers as the scheduler last saw them."""
        return [dataclasses.asdict(w) for w in self._scheduler.workers] if self._scheduler else []

    def in_flight(self, session_id: str | None = None) -> list[Json]:
        """Return the ranges being read now for one session, most urgent chunk first."""
        wanted = self._find(session_id).status.session_id
        found = self._scheduler.in_flight if self._scheduler else ()
        return [
            dataclasses.asdict(f)
            | {
                "progress_ratio": (f.received_until_bytes - f.start_bytes)
                / max(1, f.end_bytes - f.start_bytes)
            }
            for f in sorted(found, key=lambda f: (f.sequence_num, f.part, f.start_bytes))
            if f.session_id == wanted
        ]

    # ------------------------------------------------------------ chunks and their sources

    def chunk_sources(self, session_id: str | None = None) -> list[Json]:
        """Return every touched chunk with the bytes each node delivered, largest first."""
        chunks = self._find(session_id).chunks
        return [chunk_json(c) for c in chunks.chunks] if chunks else []

    def chunk_source(self, chunk_id: str) -> str | None:
        """Return the node most bytes of a chunk came from; newer sessions are asked first."""
        for record in sorted(self._records.values(), key=lambda r: -r.status.started_unix_sec):
            for chunk in record.chunks.chunks if record.chunks else ():
                if chunk.chunk_id == chunk_id and chunk.sources:
                    return _main_source(chunk.sources)
        return None

    # ------------------------------------------------------------ the whole

    def client_status(self, session_id: str | None = None) -> Json:
        """Return the keys of `SmartClient.get_status()` and more."""
        record = self._find(session_id)
        s = record.status
        return {
            "is_initialized": bool(s.session_id),
            "session_id": s.session_id or None,
            "video_id": s.video_id or None,
            "title": s.title,
            "state": s.state,
            "live": record.live,
            "playing": record.live and s.state in ("playing", "rebuffering"),
            "outcome": s.outcome,
            "exit_code": s.exit_code,
            "message": s.message,
            "output": s.output,
            "player": {
                "stream_url": s.stream_url,
                "followed": s.followed,
                "viewer_id": s.viewer_id,
                "rate_ratio": s.rate_ratio,
                "stalls": s.player_stalls,
                "dropped_frames": s.dropped_frames,
                "error": s.player_error,
                "wish": {
                    "serial": s.wish_serial,
                    "paused": s.wish_paused,
                    "position_sec": s.wish_position_sec,
                },
            },
            "node_urls": list(s.node_urls),
            "startup_latency": s.startup_latency_sec,
            "playback_duration": s.played_sec,
            "wall_sec": s.wall_sec,
            "started_unix_sec": s.started_unix_sec or None,
            "buffer": self.buffer_status(session_id),
            "buffer_stats": self.buffer_statistics(session_id),
            "scheduler_stats": self.scheduler_statistics(session_id),
            "network_stats": self.network_statistics(),
            "node_scores": self.node_scores(),
        }

    def summary(self, session_id: str | None = None) -> Json:
        """Return the closing report of a session; all keys are there for an unknown one too."""
        record = self._find(session_id)
        s, downloads = record.status, self.scheduler_statistics(session_id)
        return {
            "video_id": s.video_id,
            "session_id": s.session_id,
            "outcome": s.outcome,
            "exit_code": s.exit_code,
            "message": s.message,
            "startup_latency_sec": s.startup_latency_sec,
            "manifest_sec": s.manifest_sec,
            "first_chunk_sec": s.first_chunk_sec,
            "rebuffering_events": s.rebuffering_events,
            "stalled_sec": s.stalled_sec,
            "longest_stall_sec": s.longest_stall_sec,
            "average_buffer_sec": s.average_buffer_sec,
            "played_sec": s.played_sec,
            "duration_sec": s.duration_sec,
            "chunks_played": s.chunks_played,
            "missing_chunks": s.missing_chunks,
            "chunks_by_node": downloads["downloads_per_node"],
            "bytes_by_node": downloads["bytes_per_node"],
            "failover_count": downloads["failover_count"],
            "failed_downloads": downloads["failed_downloads"],
            "received_bytes": downloads["received_bytes"],
            "needed_bytes": downloads["needed_bytes"],
            "wall_sec": s.wall_sec,
        }

    def performance_targets(self, session_id: str | None = None) -> list[Json]:
        """Return the five targets with what was measured and whether each is met, if known."""
        record = self._find(session_id)
        return measure_targets(
            record.status,
            max_concurrent_chunks=record.max_concurrent_chunks,
            updates_unix_sec=[
                tuple(evidence.updates_unix_sec)
                for url, evidence in self._evidence.items()
                if url in self._scores
            ],
        )


def chunk_json(chunk: ChunkRecord) -> Json:
    """Return a chunk with its sources, largest first; `share` (0-1) is of the bytes delivered."""
    delivered_bytes = max(1, sum(s.size_bytes for s in chunk.sources))
    return {
        "sequence_num": chunk.sequence_num,
        "chunk_id": chunk.chunk_id,
        "state": chunk.state,
        "size_bytes": chunk.size_bytes,
        "duration_sec": chunk.duration_sec,
        "sources": [
            {
                "node_url": s.node_url,
                "size_bytes": s.size_bytes,
                "share": s.size_bytes / delivered_bytes,
            }
            for s in sorted(chunk.sources, key=lambda s: -s.size_bytes)
        ],
    }


def _main_source(sources: tuple[SourceShare, ...]) -> str:
    return max(sources, key=lambda s: s.size_bytes).node_url


def _by_node(record: Record) -> tuple[dict[str, int], dict[str, int]]:
    chunks_by_node: dict[str, int] = {}
    bytes_by_node: dict[str, int] = {}
    for chunk in record.chunks.chunks if record.chunks else ():
        for s in chunk.sources:
            bytes_by_node[s.node_url] = bytes_by_node.get(s.node_url, 0) + s.size_bytes
        if chunk.sources:
            most = _main_source(chunk.sources)
            chunks_by_node[most] = chunks_by_node.get(most, 0) + 1
    return chunks_by_node, bytes_by_node


def _node_json(node_url: str, known: KnownNode) -> Json:
    score, load, evidence = known
    return {
        "node_url": node_url,
        "score": score.score if score else None,
        "healthy": score.healthy if score else None,
        "latency_ms": {
            "current": score.latency_ms if score else None,
            "average": score.latency_average_ms if score else None,
            "min": score.latency_min_ms if score else None,
            "max": score.latency_max_ms if score else None,
        },
        "bandwidth_mbps": {
            "current": score.bandwidth_mbps if score else None,
            "average": score.bandwidth_average_mbps if score else None,
        },
        "success_rate": score.success_rate_ratio if score else None,
        "last_update": score.last_update_unix_sec if score else None,
        "measurements_count": score.measurements_count if score else 0,
        "accepts_ranges": score.accepts_ranges if score else None,
        "breaker": load.breaker if load else "closed",
        "suspended_for_sec": load.suspended_for_sec if load else 0.0,
        "active_ranges": load.active_ranges if load else 0,
        "completed_ranges": load.completed_ranges if load else 0,
        "failed_ranges": load.failed_ranges if load else 0,
        "received_bytes": load.received_bytes if load else 0,
        "rate_mbps": load.rate_mbps if load else None,
        "outcomes": dict(evidence.outcomes) if evidence else {},
    }
