"""What a comparison of policies is made from, and what was measured beside it: the conditions of one session as JSON.

No I/O, no clock, no randomness. A long session is cut to its last minutes, and to so many chunks.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

from common.messages import ChunkMap, ChunkRecord, SessionStatus
from common.stack_state import Json
from dashboard.conditions import MAX_NODES, Conditions, NodeTrail, Sight
from dashboard.fields import object_of, text_of

MAX_SPAN_SEC = 600.0
MAX_CHUNKS = 400
MAX_ID_CHARS = 64
_BROKEN_PLAY = ("paused", "seeking")


class NothingToCompare(ValueError):
    """Too little is known of a session; the text says what is missing."""


def session_from(body: Any) -> str | None:
    """Return the session a page asks for, None for the one it shows by itself; raise BadRequest."""
    body = object_of(body)
    return text_of(body, "session_id", MAX_ID_CHARS) if "session_id" in body else None


def request_of(conditions: Conditions, session: SessionStatus, chunks: ChunkMap | None) -> Json:
    """Return what the simulation needs, times in seconds since the command or since the part that is looked at."""
    trail = conditions.sessions.get(session.session_id)
    records = [r for r in chunks.chunks if r.state != "missing"] if chunks else []
    if trail is None or not trail.sights or not any(r.state != "wanted" for r in records):
        raise NothingToCompare("no chunk of this session has come yet")
    if trail.first_request_sec is None:
        raise NothingToCompare("nothing was heard of this session's transfers")
    end_sec = trail.sights[-1].at_sec
    whole = end_sec - session.started_unix_sec <= MAX_SPAN_SEC and len(records) <= MAX_CHUNKS
    start_sec, begin_sec = session.started_unix_sec, 0.0
    if whole:
        begin_sec = max(session.manifest_sec, trail.first_request_sec - start_sec)
        if session.first_chunk_sec is not None and begin_sec >= session.first_chunk_sec:
            # The dashboard came late and did not hear of the first requests.
            begin_sec = session.manifest_sec
    else:
        start_sec, records = _last_part(trail.sights, records, end_sec)
    nodes = _nodes_of(session, records)
    if len(nodes) > MAX_NODES:
        raise NothingToCompare(f"its chunks lie on {len(nodes)} nodes, more than {MAX_NODES}")
    return {
        "span_sec": end_sec - start_sec,
        "begin_sec": max(0.0, begin_sec),
        "max_active_chunks": conditions.max_active_chunks,
        "target_buffer_sec": session.target_buffer_sec,
        "low_water_mark_sec": session.low_water_mark_sec,
        "start_playback_sec": session.start_playback_sec,
        "nodes": [
            _node_json(url, conditions.nodes.get(url), records, start_sec, end_sec) for url in nodes
        ],
        "chunks": [_chunk_json(r, session, nodes) for r in records],
    }


def measured_of(conditions: Conditions, session: SessionStatus, request: Json) -> Json:
    """Return what was measured in the same stretch; None for what a part of a session does not tell."""
    sights = conditions.sessions[session.session_id].sights
    end_sec = sights[-1].at_sec
    start_sec = end_sec - request["span_sec"]
    part = [s for s in sights if s.at_sec >= start_sec - 1e-6]
    whole = start_sec <= session.started_unix_sec + 1e-6
    before = (0, 0.0) if whole else (part[0].stalls, part[0].stalled_sec)
    states = [s.state for s in part]
    return {
        "policy": session.policy,
        "whole": whole,
        "over": bool(session.outcome),
        "startup_sec": session.startup_latency_sec if whole else None,
        "stalls": session.rebuffering_events - before[0],
        "stalled_sec": session.stalled_sec - before[1],
        "breaks": sum(
            state in _BROKEN_PLAY and state != last
            for last, state in zip(["", *states], states, strict=False)
        ),
        "at_sec": [s.at_sec - start_sec for s in part],
        "level_sec": [s.level_sec for s in part],
    }


def _last_part(
    sights: Sequence[Sight], records: list[ChunkRecord], end_sec: float
) -> tuple[float, list[ChunkRecord]]:
    """Return when the last part of a session began, and its chunks."""
    oldest_num = records[-MAX_CHUNKS:][0].sequence_num
    times = [s.at_sec for s in sights]
    first = min(bisect_left(times, end_sec - MAX_SPAN_SEC), len(sights) - 1)
    while first + 1 < len(sights) and sights[first].current_sequence_num < oldest_num:
        first += 1
    number = sights[first].current_sequence_num
    found = [r for r in records if r.sequence_num >= number][:MAX_CHUNKS]
    return sights[first].at_sec, found or records[-1:]


def _nodes_of(session: SessionStatus, records: Sequence[ChunkRecord]) -> list[str]:
    """Return the nodes that matter: the holders; where nobody named them, whoever sent anything."""
    places = sorted({place for r in records for place in r.holders})
    named = [session.node_urls[place] for place in places if place < len(session.node_urls)]
    return named or list(dict.fromkeys(s.node_url for r in records for s in r.sources))


def _chunk_json(record: ChunkRecord, session: SessionStatus, nodes: list[str]) -> Json:
    index = {url: number for number, url in enumerate(nodes)}
    urls = session.node_urls
    held = [index[urls[p]] for p in record.holders if p < len(urls) and urls[p] in index]
    return {
        "number": record.sequence_num,
        "size_bytes": record.size_bytes,
        "duration_sec": record.duration_sec,
        "holders": held or list(range(len(nodes))),
        "parts": list(record.parts) if len(record.parts) == len(held) else [],
    }


def _node_json(
    url: str,
    node: NodeTrail | None,
    records: Sequence[ChunkRecord],
    start_sec: float,
    end_sec: float,
) -> Json:
    """Return a node's time line; a second belongs to it that touches the stretch."""
    trail = node or NodeTrail()
    numbers = {r.chunk_id: r.sequence_num for r in records}
    latencies = [(at - start_sec, ms) for at, ms in trail.latencies if at <= end_sec]
    past = [pair for pair in latencies if pair[0] <= 0]
    return {
        "url": url,
        "accepts_ranges": trail.accepts_ranges,
        "bandwidth_mbps": trail.bandwidth_mbps,
        "known": bool(past),
        "latencies": past[-1:] + [pair for pair in latencies if pair[0] > 0],
        "seconds": [
            [second - start_sec, cell.size_bytes, cell.busy_sec]
            for second, cell in sorted(trail.cells.items())
            if start_sec - 1 < second <= end_sec
        ],
        "spells": [
            [
                spell.kind,
                max(0.0, spell.from_sec - start_sec),
                None if spell.until_sec == math.inf else spell.until_sec - start_sec,
            ]
            for spell in trail.spells
            if spell.until_sec > start_sec and spell.from_sec < end_sec
        ],
        "lacks": [
            [numbers[chunk_id], None if until_sec == math.inf else max(0.0, until_sec - start_sec)]
            for chunk_id, (_, until_sec) in trail.lacks.items()
            if chunk_id in numbers
        ],
    }
