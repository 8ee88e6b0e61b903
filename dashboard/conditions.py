"""The network conditions that sessions met: each node's rate, latency and bad spells, second by second.

No I/O, no clock: time is an argument. Memory is bounded whatever arrives. Only what was seen is kept: a second in which
nobody asked a node has no rate, and is left to whoever reads this to fill (`simulation.estimate`).
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from common.messages import (
    ChunkVerdict,
    InFlight,
    NodeScore,
    NodeScores,
    RangeOutcome,
    SchedulerStatus,
    SessionStatus,
    Transfer,
)

KEPT_SEC = 3600
MAX_NODES = 64
# Of all nodes together, some six megabytes; an hour of eleven nodes that always work.
MAX_CELLS = 40_000
MAX_SPELLS = 256
MAX_SESSIONS = 8
MAX_TRACKS = 4096
# A second is looked at in slots this long: ranges in flight together keep a node busy once.
SLOTS = 50
# Before its first byte a range waits for the round trip; only what is longer than this says that a node is slow.
PATIENCE_RATIO = 1.5
PATIENCE_SEC = 0.1
ASSUMED_LATENCY_SEC = 0.05
# While bytes flow, pings without an answer say nothing.
RECENT_SEC = 1.0
# A ping is due every 3 s unless that is set otherwise; an answer this old says that one stayed away.
UNANSWERED_SEC = 4.0

SpellKind = Literal["down", "silent", "silent_data", "503", "truncate", "corrupt"]
_KINDS: dict[RangeOutcome, SpellKind] = {
    "refused": "down",
    "broken": "down",
    "silent": "silent_data",
    "unavailable": "503",
    "short": "truncate",
}
_ENDED_BY_BYTES: tuple[SpellKind, ...] = ("down", "silent", "silent_data", "503")
_ENDED_BY_PINGS: tuple[SpellKind, ...] = ("down", "silent")


@dataclass(slots=True)
class Spell:
    """Something was wrong with a node from a time on; its end lies between the last bad and the first good sign."""

    kind: SpellKind
    from_sec: float
    bad_sec: float
    until_sec: float = math.inf


@dataclass(slots=True)
class Cell:
    """What a node sent in one second, and a bit for each slot in which it was sending or should have been."""

    size_bytes: float = 0.0
    slots: int = 0

    @property
    def busy_sec(self) -> float:
        return self.slots.bit_count() / SLOTS


@dataclass(slots=True)
class NodeTrail:
    """What was seen of one node; seconds are whole ones of the caller's clock. One that works was asked for bytes."""

    works: bool = False
    cells: dict[int, Cell] = field(default_factory=dict)
    latencies: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=KEPT_SEC))
    spells: deque[Spell] = field(default_factory=lambda: deque(maxlen=MAX_SPELLS))
    # Chunks it said not to have: when last, and until when.
    lacks: dict[str, tuple[float, float]] = field(default_factory=dict)
    accepts_ranges: bool | None = None
    bandwidth_mbps: float | None = None
    good_sec: float = -math.inf
    bytes_sec: float = -math.inf
    right_sec: float = -math.inf

    @property
    def latency_sec(self) -> float:
        return self.latencies[-1][1] / 1000 if self.latencies else ASSUMED_LATENCY_SEC

    def open_spell(self, kind: SpellKind) -> Spell | None:
        """Return the spell of a kind that goes on."""
        return next((s for s in self.spells if s.kind == kind and s.until_sec == math.inf), None)

    def bad(self, kind: SpellKind, from_sec: float, now_sec: float) -> None:
        """Note a sign that something is wrong."""
        spell = self.open_spell(kind)
        if spell is None:
            spell = Spell(kind, from_sec, now_sec)
            self.spells.append(spell)
        spell.bad_sec = now_sec

    def good(self, kinds: tuple[SpellKind, ...], now_sec: float) -> None:
        """Note a sign that these spells are over; nobody knows since when, so half the time in between counts."""
        self.good_sec = max(self.good_sec, now_sec)
        for spell in self.spells:
            if spell.until_sec == math.inf and spell.kind in kinds and now_sec >= spell.bad_sec:
                spell.until_sec = (spell.bad_sec + now_sec) / 2

    def sent(self, from_sec: float, until_sec: float, size_bytes: float) -> None:
        """Note bytes, or that none came though they should have."""
        first = round(from_sec * SLOTS)
        last = max(first + 1, round(until_sec * SLOTS))
        share = size_bytes / (last - first)
        for second in range(first // SLOTS, (last - 1) // SLOTS + 1):
            start = max(first, second * SLOTS) - second * SLOTS
            end = min(last, (second + 1) * SLOTS) - second * SLOTS
            cell = self.cells.setdefault(second, Cell())
            cell.size_bytes += share * (end - start)
            cell.slots |= (1 << end) - (1 << start)
        if size_bytes > 0:
            self.bytes_sec = until_sec
            self.good(_ENDED_BY_BYTES, until_sec)


class _RangeKey(NamedTuple):
    session_id: str
    chunk_id: str
    part: int
    node_url: str
    worker_id: str
    start_bytes: int


@dataclass(slots=True)
class _Track:
    """A range in flight: when and up to where it was seen, and about when its last bytes came."""

    seen_sec: float
    seen_bytes: int
    progress_sec: float
    flowing: bool = False


class Sight(NamedTuple):
    """A session as it was seen in one second."""

    at_sec: float
    state: str
    current_sequence_num: int
    level_sec: float
    stalls: int
    stalled_sec: float


@dataclass(slots=True)
class SessionTrail:
    """What was seen of one session."""

    sights: deque[Sight] = field(default_factory=lambda: deque(maxlen=KEPT_SEC))
    first_request_sec: float | None = None


class Conditions:
    """Folds what the dashboard hears; times are `now_unix_sec` of whoever calls."""

    def __init__(self) -> None:
        self.nodes: dict[str, NodeTrail] = {}
        self.sessions: dict[str, SessionTrail] = {}
        self.max_active_chunks = 4
        self._tracks: dict[_RangeKey, _Track] = {}
        self._swept_sec = -math.inf

    def apply(self, msg: object, now_sec: float) -> None:
        """Take what a message says of nodes or of a session; others say nothing here."""
        match msg:
            case SchedulerStatus():
                self.max_active_chunks = msg.max_active_chunks
                self._on_ranges(msg.in_flight, now_sec)
            case Transfer():
                self._on_transfer(msg, now_sec)
            case NodeScores():
                for score in msg.nodes:
                    self._on_score(score, now_sec)
            case ChunkVerdict():
                self._on_verdict(msg, now_sec)
            case SessionStatus():
                self._on_session(msg, now_sec)
            case _:
                pass

    # ------------------------------------------------------------ ranges

    def _on_ranges(self, in_flight: tuple[InFlight, ...], now_sec: float) -> None:
        known, self._tracks = self._tracks, {}
        for seen in in_flight[:MAX_TRACKS]:
            node = self._node(seen.node_url, works=True)
            if node is None:
                continue
            begun_sec = now_sec - seen.age_sec
            self._note_request(seen.session_id, begun_sec)
            key = _RangeKey(
                *(seen.session_id, seen.chunk_id, seen.part, seen.node_url, seen.worker_id),
                seen.start_bytes,
            )
            track = known.get(key) or _Track(
                begun_sec + node.latency_sec, seen.start_bytes, begun_sec
            )
            self._tracks[key] = track
            self._advance(node, track, seen.received_until_bytes, now_sec)
        self._forget_old(now_sec)

    def _advance(self, node: NodeTrail, track: _Track, until_bytes: int, now_sec: float) -> None:
        """Note what a range brought since it was last looked at."""
        fresh_bytes = max(0, until_bytes - track.seen_bytes)
        patience_sec = 0.0
        if not track.flowing and not fresh_bytes:
            patience_sec = PATIENCE_SEC + (PATIENCE_RATIO - 1) * node.latency_sec
        if now_sec > track.seen_sec + patience_sec or fresh_bytes:
            node.sent(min(track.seen_sec, now_sec), now_sec, fresh_bytes)
            if fresh_bytes:
                # They came somewhere in between.
                track.progress_sec = (min(track.seen_sec, now_sec) + now_sec) / 2
            track.seen_sec, track.seen_bytes = now_sec, max(track.seen_bytes, until_bytes)
            track.flowing = track.flowing or fresh_bytes > 0

    def _on_transfer(self, msg: Transfer, now_sec: float) -> None:
        node = self._node(msg.node_url, works=True)
        if node is None:
            return
        begun_sec = now_sec - msg.busy_sec - (msg.first_byte_sec or 0.0)
        self._note_request(msg.session_id, begun_sec)
        key = _RangeKey(
            *(msg.session_id, msg.chunk_id, msg.part, msg.node_url, msg.worker_id), msg.start_bytes
        )
        track = self._tracks.pop(key, None)
        if track is not None:
            self._advance(node, track, msg.received_until_bytes, now_sec)
            silent_since_sec = track.progress_sec
        else:
            silent_since_sec = now_sec - msg.busy_sec
            if msg.size_bytes:
                node.sent(now_sec - msg.busy_sec, now_sec, msg.size_bytes)
        if msg.range_honoured is not None:
            node.accepts_ranges = msg.range_honoured
        if not node.latencies and msg.first_byte_sec is not None:
            node.latencies.append((begun_sec, msg.first_byte_sec * 1000))
        kind = _KINDS.get(msg.outcome)
        if kind is not None:
            half_way_sec = (node.good_sec + now_sec) / 2
            from_sec = {"refused": half_way_sec, "silent": silent_since_sec}.get(
                msg.outcome, now_sec
            )
            node.bad(kind, from_sec, now_sec)
        elif msg.outcome == "missing" and len(node.lacks) < MAX_SPELLS:
            node.lacks[msg.chunk_id] = (now_sec, math.inf)
        elif msg.outcome == "complete":
            node.good(("truncate",), now_sec)
        if msg.size_bytes and msg.chunk_id in node.lacks:
            bad_sec, until_sec = node.lacks[msg.chunk_id]
            node.lacks[msg.chunk_id] = (bad_sec, min(until_sec, (bad_sec + now_sec) / 2))

    def _on_verdict(self, msg: ChunkVerdict, now_sec: float) -> None:
        if msg.verdict == "delivered":
            for url in {source.node_url for source in msg.ranges}:
                if url in self.nodes:
                    self.nodes[url].good(("corrupt",), now_sec)
                    self.nodes[url].right_sec = now_sec
        elif msg.suspect_url and (node := self._node(msg.suspect_url, works=True)):
            node.bad("corrupt", (node.right_sec + now_sec) / 2, now_sec)

    # ------------------------------------------------------------ pings and sessions

    def _on_score(self, score: NodeScore, now_sec: float) -> None:
        node = self._node(score.node_url)
        if node is None:
            return
        if score.accepts_ranges is not None:
            node.accepts_ranges = score.accepts_ranges
        if score.bandwidth_mbps is not None:
            node.bandwidth_mbps = score.bandwidth_mbps
        answered_sec = score.last_update_unix_sec
        if score.healthy and score.latency_ms is not None:
            if not node.latencies or node.latencies[-1][1] != score.latency_ms:
                node.latencies.append((now_sec, score.latency_ms))
            if answered_sec is not None:
                node.good(_ENDED_BY_PINGS, min(answered_sec, now_sec))
            return
        # One that answers pings may be unhealthy for what it sends.
        silent = answered_sec is None or now_sec - answered_sec > UNANSWERED_SEC
        if score.measurements_count and silent and now_sec - node.bytes_sec > RECENT_SEC:
            node.bad("silent", (node.good_sec + now_sec) / 2, now_sec)

    def _on_session(self, msg: SessionStatus, now_sec: float) -> None:
        trail = self._session(msg.session_id)
        last = trail.sights[-1] if trail.sights else None
        if last is not None and now_sec - last.at_sec < 1.0 and last.state == msg.state:
            return
        if msg.outcome and last is not None and last.state == msg.state:
            # It is over, and said again.
            return
        trail.sights.append(
            Sight(
                at_sec=now_sec,
                state=msg.state,
                current_sequence_num=msg.current_sequence_num,
                level_sec=msg.buffer_level_sec,
                stalls=msg.rebuffering_events,
                stalled_sec=msg.stalled_sec,
            )
        )

    def _note_request(self, session_id: str, begun_sec: float) -> None:
        trail = self._session(session_id)
        if trail.first_request_sec is None:
            trail.first_request_sec = begun_sec

    # ------------------------------------------------------------ bounds

    def _session(self, session_id: str) -> SessionTrail:
        trail = self.sessions.get(session_id)
        if trail is None:
            while len(self.sessions) >= MAX_SESSIONS:
                del self.sessions[next(iter(self.sessions))]
            trail = self.sessions[session_id] = SessionTrail()
        return trail

    def _node(self, node_url: str, *, works: bool = False) -> NodeTrail | None:
        """Return a node's trail; None for one too many. One that works takes the place of one that is only pinged."""
        node = self.nodes.get(node_url)
        if node is not None:
            node.works = node.works or works
            return node
        if len(self.nodes) >= MAX_NODES:
            idle = next((url for url, other in self.nodes.items() if not other.works), None)
            if idle is None or not works:
                return None
            del self.nodes[idle]
        node = self.nodes[node_url] = NodeTrail(works=works)
        return node

    def _forget_old(self, now_sec: float) -> None:
        """Forget cells beyond the bounds, once a second."""
        if now_sec - self._swept_sec < 1.0:
            return
        self._swept_sec = now_sec
        kept_sec = min(KEPT_SEC, MAX_CELLS // max(1, len(self.nodes)))
        for node in self.nodes.values():
            while node.cells and (first := next(iter(node.cells))) < now_sec - kept_sec:
                del node.cells[first]
