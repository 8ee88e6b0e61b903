"""The messages of one stack, folded into what is known of its sessions, nodes and workers.

No I/O, no clock, no randomness: time is an argument. Memory is bounded whatever arrives.
`common.status` turns this state into what people and programs read.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from common.messages import (
    ChunkMap,
    ChunkVerdict,
    LogEvent,
    NodeLoad,
    NodeScore,
    NodeScores,
    RecentEvents,
    RecentVerdicts,
    SchedulerStatus,
    SessionStatus,
    SessionTraffic,
    Transfer,
)

Folded = (
    NodeScores
    | SchedulerStatus
    | Transfer
    | ChunkVerdict
    | RecentVerdicts
    | LogEvent
    | RecentEvents
    | SessionStatus
    | ChunkMap
)
Json = dict[str, Any]
Role = Literal["monitor", "scheduler", "buffer"]

MAX_EVENTS = 500
MAX_EVENT_TEXT = 1000
MAX_ENDED_SESSIONS = 20
# A stack plays a handful of sessions; more live ones are leftovers of processes that died.
MAX_LIVE_SESSIONS = 100
# Transfers may name nodes of which no snapshot speaks; they are kept for this many at most.
MAX_TRANSFER_NODES = 256
UPDATES_KEPT = 10

# Stands for a session of which nothing is known.
NOTHING = SessionStatus(
    session_id="",
    video_id="",
    title="",
    state="idle",
    outcome="",
    exit_code=0,
    message="",
    output="",
    node_urls=(),
    total_chunks=0,
    duration_sec=0.0,
    duration_known=False,
    playhead_sec=0.0,
    current_sequence_num=0,
    buffer_level_sec=0.0,
    buffer_level_chunks=0,
    buffered_bytes=0,
    spilled_bytes=0,
    target_buffer_sec=30.0,
    low_water_mark_sec=15.0,
    startup_latency_sec=None,
    manifest_sec=0.0,
    first_chunk_sec=None,
    rebuffering_events=0,
    stalled_sec=0.0,
    longest_stall_sec=0.0,
    average_buffer_sec=0.0,
    played_sec=0.0,
    wall_sec=0.0,
    chunks_buffered=0,
    chunks_played=0,
    missing_chunks=0,
    started_unix_sec=0.0,
)


@dataclass(slots=True)
class Record:
    """All that is known of one session."""

    status: SessionStatus = NOTHING
    chunks: ChunkMap | None = None
    traffic: SessionTraffic | None = None
    max_concurrent_chunks: int = 0
    abandoned: bool = False
    touched: int = 0

    @property
    def live(self) -> bool:
        return bool(self.status.session_id) and not self.status.outcome and not self.abandoned


@dataclass(slots=True)
class Evidence:
    """What transfers and score updates told about a node."""

    outcomes: dict[str, int] = field(default_factory=dict)
    updates_unix_sec: deque[float] = field(default_factory=lambda: deque(maxlen=UPDATES_KEPT + 1))


class KnownNode(NamedTuple):
    """What each of the three sources told about a node, None where one said nothing."""

    score: NodeScore | None
    load: NodeLoad | None
    evidence: Evidence | None


class StackState:
    """The state of one stack as its messages tell it."""

    def __init__(self) -> None:
        self.events: deque[Json] = deque(maxlen=MAX_EVENTS)
        self.revision = 0
        self.updated_unix_sec: float | None = None
        # When a message that only this role sends came last.
        self.heard_unix_sec: dict[Role, float] = {}
        self._records: dict[str, Record] = {}
        self._scores: dict[str, NodeScore] = {}
        self._evidence: dict[str, Evidence] = {}
        self._scheduler: SchedulerStatus | None = None
        self._loads: dict[str, NodeLoad] = {}
        self._event_id = 0

    # ------------------------------------------------------------ folding

    def apply(self, msg: Folded, now_unix_sec: float) -> None:
        """Fold one message; `now_unix_sec` is when it arrived."""
        self.revision += 1
        self.updated_unix_sec = now_unix_sec
        match msg:
            case SessionStatus():
                self.heard_unix_sec["buffer"] = now_unix_sec
                record = self._record(msg.session_id)
                record.status = msg
                record.abandoned = False
                self._prune()
            case ChunkMap():
                self._record(msg.session_id).chunks = msg
                self._prune()
            case SchedulerStatus():
                self.heard_unix_sec["scheduler"] = now_unix_sec
                self._apply_scheduler(msg)
            case NodeScores():
                self.heard_unix_sec["monitor"] = now_unix_sec
                self._apply_scores(msg)
            case Transfer():
                outcomes = self._node_evidence(msg.node_url).outcomes
                outcomes[msg.outcome] = outcomes.get(msg.outcome, 0) + 1
            case ChunkVerdict() | RecentVerdicts():
                # Who shows the stories of single chunks keeps them.
                pass
            case LogEvent():
                self._note_event(msg)
            case RecentEvents():
                self._note_missed(msg.events)

    def _note_event(self, event: LogEvent) -> None:
        self._event_id += 1
        plain = dataclasses.asdict(event) | {"text": event.text[:MAX_EVENT_TEXT]}
        self.events.append({"id": self._event_id, **plain})

    def _note_missed(self, events: tuple[LogEvent, ...]) -> None:
        """Take the events that came before we listened, those we know left out."""
        known = {(e["at_unix_sec"], e["text"]) for e in self.events}
        for event in events[-MAX_EVENTS:]:
            if (event.at_unix_sec, event.text[:MAX_EVENT_TEXT]) not in known:
                self._note_event(event)

    def abandon_sessions(self) -> None:
        """Take every session for over and all work for ended: the process that served them is gone.

        A session whose status comes again lives again.
        """
        self.revision += 1
        self._scheduler = None
        for record in self._records.values():
            record.abandoned = True

    def _record(self, session_id: str) -> Record:
        record = self._records.get(session_id)
        if record is None:
            record = self._records[session_id] = Record()
            self._take_traffic(session_id, record)
        record.touched = self.revision
        return record

    def _prune(self) -> None:
        for live, kept in ((False, MAX_ENDED_SESSIONS), (True, MAX_LIVE_SESSIONS)):
            found = [(r.touched, name) for name, r in self._records.items() if r.live is live]
            for _, name in sorted(found)[: max(0, len(found) - kept)]:
                del self._records[name]

    def _apply_scheduler(self, msg: SchedulerStatus) -> None:
        self._scheduler = msg
        self._loads = {load.node_url: load for load in msg.nodes}
        for session_id, record in self._records.items():
            self._take_traffic(session_id, record)

    def _take_traffic(self, session_id: str, record: Record) -> None:
        if self._scheduler is None:
            return
        for traffic in self._scheduler.sessions:
            if traffic.session_id == session_id:
                record.traffic = traffic
        chunks = {f.chunk_id for f in self._scheduler.in_flight if f.session_id == session_id}
        record.max_concurrent_chunks = max(record.max_concurrent_chunks, len(chunks))

    def _apply_scores(self, msg: NodeScores) -> None:
        self._scores = {node.node_url: node for node in msg.nodes}
        known = self._scores.keys() | self._loads.keys()
        self._evidence = {url: kept for url, kept in self._evidence.items() if url in known}
        for node in msg.nodes:
            updates = self._node_evidence(node.node_url).updates_unix_sec
            updated = node.last_update_unix_sec
            if updated is not None and (not updates or updated > updates[-1]):
                updates.append(updated)

    def _node_evidence(self, node_url: str) -> Evidence:
        evidence = self._evidence.get(node_url)
        if evidence is None:
            while len(self._evidence) >= MAX_TRANSFER_NODES and node_url not in self._scores:
                del self._evidence[next(iter(self._evidence))]
            evidence = self._evidence[node_url] = Evidence()
        return evidence

    # ------------------------------------------------------------ nodes and workers

    @property
    def scheduler(self) -> SchedulerStatus | None:
        """The scheduler's last snapshot, None when it has sent none since the stack was lost."""
        return self._scheduler

    def nodes(self) -> dict[str, KnownNode]:
        """Return every node that monitor or scheduler speak of, by its URL."""
        return {
            url: KnownNode(self._scores.get(url), self._loads.get(url), self._evidence.get(url))
            for url in dict.fromkeys((*self._scores, *self._loads))
        }

    # ------------------------------------------------------------ sessions

    def session(self, session_id: str | None = None) -> SessionStatus | None:
        """Return the last status of a session."""
        record = self._find(session_id)
        return record.status if record.status.session_id else None

    def sessions(self) -> list[SessionStatus]:
        """Return every session still remembered, newest first."""
        found = [r.status for r in self._records.values() if r.status.session_id]
        return sorted(found, key=lambda s: s.started_unix_sec, reverse=True)

    def is_live(self, session_id: str | None = None) -> bool:
        """Tell whether a session is going on."""
        return self._find(session_id).live

    def traffic(self, session_id: str) -> SessionTraffic | None:
        """Return what fetching for a session has cost; None when the scheduler has not said."""
        return self._find(session_id).traffic

    def chunk_map(self, session_id: str | None = None) -> ChunkMap | None:
        """Return the last chunk map of a session."""
        return self._find(session_id).chunks

    def _find(self, session_id: str | None) -> Record:
        if session_id is not None:
            return self._records.get(session_id) or Record()
        with_status = [r for r in self._records.values() if r.status.session_id]
        return max(with_status, key=lambda r: (r.live, r.status.started_unix_sec), default=Record())
