"""What the metrics say of sessions: buffer, playback, and what fetching cost. No I/O, no clock."""

from __future__ import annotations

from typing import get_args

from common.messages import PlaybackState, SessionStatus, SessionTraffic
from dashboard.figures import Figure, Group, Split, one_of

SESSION: Group[SessionStatus] = Group(
    ("session_id", "video_id"),
    (
        Split(
            "vstack_session_state",
            "1 for the state the session is in, 0 for the others.",
            "state",
            lambda s: one_of(get_args(PlaybackState), s.state),
        ),
        Figure(
            "vstack_session_start_timestamp_seconds",
            "When the session began, in seconds since 1970.",
            lambda s: s.started_unix_sec,
        ),
        Figure(
            "vstack_session_buffer_level_seconds",
            "Verified media without a gap ahead of the playhead.",
            lambda s: s.buffer_level_sec,
        ),
        Figure(
            "vstack_session_buffer_target_seconds",
            "Media that the buffer tries to hold ahead of the playhead.",
            lambda s: s.target_buffer_sec,
        ),
        Figure(
            "vstack_session_buffer_low_water_seconds",
            "Below this level the next chunk is urgent.",
            lambda s: s.low_water_mark_sec,
        ),
        Figure(
            "vstack_session_buffer_average_seconds",
            "Mean buffer level since playback started, weighted by time.",
            lambda s: s.average_buffer_sec if s.startup_latency_sec is not None else None,
        ),
        Figure(
            "vstack_session_buffer_chunks",
            "Chunks in the buffer now.",
            lambda s: s.buffer_level_chunks,
        ),
        Figure(
            "vstack_session_buffer_bytes",
            "Bytes of the chunks in the buffer now.",
            lambda s: s.buffered_bytes,
        ),
        Figure(
            "vstack_session_buffer_spilled_bytes",
            "Bytes of those chunks that lie on disk.",
            lambda s: s.spilled_bytes,
        ),
        Figure(
            "vstack_session_playhead_seconds",
            "Where in the film playback is; moves back when the viewer does.",
            lambda s: s.playhead_sec,
        ),
        Figure(
            "vstack_session_duration_seconds",
            "Duration of the film; an estimate until every chunk was measured.",
            lambda s: s.duration_sec,
        ),
        Figure(
            "vstack_session_startup_latency_seconds",
            "From the viewer's command until the output took its first chunk; absent before that.",
            lambda s: s.startup_latency_sec,
        ),
        Figure(
            "vstack_session_first_chunk_seconds",
            "From the viewer's command until the first verified chunk; absent before that.",
            lambda s: s.first_chunk_sec,
        ),
        Figure(
            "vstack_session_rebuffering_events_total",
            "Times that playback stopped for want of media.",
            lambda s: s.rebuffering_events,
        ),
        Figure(
            "vstack_session_stalled_seconds_total",
            "Time that playback stood still for want of media, a stall under way included.",
            lambda s: s.stalled_sec,
        ),
        Figure(
            "vstack_session_longest_stall_seconds",
            "The longest stall that has ended.",
            lambda s: s.longest_stall_sec,
        ),
        Figure(
            "vstack_session_played_seconds_total",
            "Media played.",
            lambda s: s.played_sec,
        ),
        Figure(
            "vstack_session_chunks",
            "Chunks that the film has.",
            lambda s: s.total_chunks,
        ),
        Figure(
            "vstack_session_chunks_buffered_total",
            "Verified chunks that the buffer took.",
            lambda s: s.chunks_buffered,
        ),
        Figure(
            "vstack_session_chunks_played_total",
            "Chunks given to the output.",
            lambda s: s.chunks_played,
        ),
        Figure(
            "vstack_session_chunks_missing_total",
            "Chunks skipped because they could not be had.",
            lambda s: s.missing_chunks,
        ),
    ),
)

TRAFFIC: Group[SessionTraffic] = Group(
    SESSION.labels,
    (
        Figure(
            "vstack_session_downloads_total",
            "Chunks fetched and verified.",
            lambda t: t.total_downloads,
        ),
        Figure(
            "vstack_session_failed_downloads_total",
            "Attempts that failed: ranges that broke off, chunks that did not match.",
            lambda t: t.failed_downloads,
        ),
        Figure(
            "vstack_session_failovers_total",
            "Chunks that went on at another node.",
            lambda t: t.failover_count,
        ),
        Figure(
            "vstack_session_active_downloads",
            "Chunks being fetched now.",
            lambda t: t.active_downloads,
        ),
        Figure(
            "vstack_session_received_bytes_total",
            "Bytes read from nodes for this session.",
            lambda t: t.received_bytes,
        ),
        Figure(
            "vstack_session_needed_bytes_total",
            "Bytes of the chunks fetched and verified; what was received beyond them was wasted or is under way.",
            lambda t: t.needed_bytes,
        ),
    ),
)
