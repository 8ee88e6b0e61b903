"""Snapshots of a live session for whoever watches. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

from common.messages import ChunkMap, ChunkRecord, ChunkState, SessionStatus

if TYPE_CHECKING:
    from buffer.live import LiveSession
    from buffer.session import Session


def session_status(live: LiveSession, now_sec: float) -> SessionStatus:
    """Return the session's state."""
    core = live.core
    playback, options = core.playback, core.options
    return SessionStatus(
        session_id=live.session_id,
        video_id=core.manifest.video_id,
        title=core.manifest.title,
        state=playback.state,
        outcome=core.outcome,
        exit_code=core.exit_code,
        message=core.message,
        output=live.output_text,
        node_urls=core.manifest.node_urls(),
        total_chunks=len(core.manifest.chunks),
        duration_sec=core.timeline.end_sec,
        duration_known=core.timeline.known,
        playhead_sec=playback.position_sec,
        current_sequence_num=core.current_sequence,
        buffer_level_sec=core.buffer_level_sec,
        buffer_level_chunks=len(core.store),
        buffered_bytes=core.store.size_bytes,
        spilled_bytes=core.store.spilled_bytes,
        target_buffer_sec=options.target_buffer_sec,
        low_water_mark_sec=options.low_water_mark_sec,
        startup_latency_sec=playback.startup_latency_sec,
        manifest_sec=live.manifest_sec,
        first_chunk_sec=core.first_chunk_sec,
        rebuffering_events=playback.rebuffering_events,
        stalled_sec=playback.stalled_sec(now_sec),
        longest_stall_sec=playback.longest_stall_sec,
        average_buffer_sec=playback.average_buffer_sec,
        played_sec=playback.played_sec,
        wall_sec=(live.ended_sec or now_sec) - playback.command_sec,
        chunks_buffered=core.chunks_buffered,
        chunks_played=core.chunks_played,
        missing_chunks=len(core.missing),
        started_unix_sec=live.started_unix_sec,
        stream_url=live.stream_url,
        followed=playback.followed(now_sec),
        rate_ratio=playback.rate_ratio,
        viewer_id=live.following.leader_id,
        player_stalls=playback.player_stalls,
        dropped_frames=live.following.dropped_frames,
        player_error=live.following.error,
        wish_serial=live.wish.serial,
        wish_paused=live.wish.paused,
        wish_position_sec=live.wish.position_sec,
        start_playback_sec=core.needed_to_start_sec,
        policy=options.policy,
    )


def chunk_map(live: LiveSession) -> ChunkMap:
    """Return what became of every chunk that was asked for."""
    return ChunkMap(
        session_id=live.session_id,
        total_chunks=len(live.core.manifest.chunks),
        chunks=chunk_records(live.core),
    )


def chunk_records(core: Session) -> tuple[ChunkRecord, ...]:
    """Return what became of every chunk a session asked for, in the film's order."""
    chunks = core.manifest.chunks
    records = []
    for number, record in core.records.items():
        state: ChunkState = "played" if record.played else "held"
        records.append(
            ChunkRecord(
                sequence_num=number,
                chunk_id=chunks[number].chunk_id,
                state=state,
                size_bytes=record.size_bytes,
                duration_sec=record.duration_sec,
                sources=record.sources,
                holders=core.manifest.holders(number),
                parts=core.manifest.holders_parts(number),
            )
        )
    open_ends: list[tuple[int, ChunkState]] = [(n, "missing") for n in core.missing]
    open_ends += [(item.chunk.sequence_num, "wanted") for item in core.wanted]
    for number, state in open_ends:
        records.append(
            ChunkRecord(
                sequence_num=number,
                chunk_id=chunks[number].chunk_id,
                state=state,
                size_bytes=chunks[number].size_bytes,
                duration_sec=core.timeline.duration_sec(number),
                sources=(),
                holders=core.manifest.holders(number),
                parts=core.manifest.holders_parts(number),
            )
        )
    records.sort(key=lambda r: r.sequence_num)
    return tuple(records)
