"""What of a stack's messages a recording keeps: one session's, without repetition, within a budget.

No I/O, no clock, no randomness.

Events, ended ranges and changes of the chunk map are kept one by one. Snapshots (session, scheduler, scores) replace
one another: one that tells of a change of state is kept at once, one that repeats the last once a second at most,
others as often as their size allows. Whatever arrives, a recording grows by no more than BUDGET_BYTES_PER_SEC.
"""

from __future__ import annotations

import dataclasses
import math
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from client.recording import values
from client.recording.chunk_maps import ChunkFolder, pieces
from client.recording.records import MAX_RECORD_BYTES
from client.recording.values import Item, Lost, Snapshot
from common.messages import (
    ChunkMap,
    ChunkVerdict,
    CommandResult,
    LogEvent,
    NodeScores,
    RecentEvents,
    SchedulerStatus,
    SessionStatus,
    Transfer,
)

# Bytes of records before compression, which makes them some ten times fewer.
BUDGET_BYTES_PER_SEC = 32 * 1024
# What may come at once: the first snapshots of many nodes, the first map of a long film.
BURST_BYTES = MAX_RECORD_BYTES
# Snapshots leave this much of the burst for what is kept one by one.
RESERVE_BYTES = BURST_BYTES // 4
# Of each kind of snapshot: four a second while it has no more than a dozen nodes.
SHARES_BYTES_PER_SEC: dict[type, int] = {
    SessionStatus: 6 * 1024,
    SchedulerStatus: 18 * 1024,
    NodeScores: 6 * 1024,
}
# A snapshot that repeats the last one: countdowns go on, and readers see that the stack lives.
REPEAT_SEC = 1.0
# However little is left of the budget, one of each kind is kept this often while anything is.
OVERDUE_SEC = 5.0
# Events that come again, for who joined late, are known by their time and text.
EVENTS_KNOWN = 1000


class Kept(NamedTuple):
    """A record to write: the item, and what it is on the disk."""

    item: Item
    tag: str
    body: bytes

    @property
    def size_bytes(self) -> int:
        """About what it takes in a block."""
        return len(self.body) + len(self.tag) + 12


@dataclass(slots=True)
class _Stream:
    """One kind of snapshot: what was kept last, and what has come since and was not."""

    kept_sec: float = -math.inf
    size_bytes: int = 0
    told: Hashable = None
    content: object = None
    pending: Snapshot | None = None


class Thinner:
    """Decides message by message; `session_id` says which session is recorded, None before there is one."""

    def __init__(self, session_id: Callable[[], str | None], *, started_unix_sec: float) -> None:
        self._session_id = session_id
        self._started_unix_sec = started_unix_sec
        self._budget_bytes = float(BURST_BYTES)
        self._budget_sec = 0.0
        self._streams = {kind: _Stream() for kind in SHARES_BYTES_PER_SEC}
        self._folder = ChunkFolder()
        self._map: ChunkMap | None = None
        self._events: deque[tuple[float, str]] = deque(maxlen=EVENTS_KNOWN)
        self._most_chunks = 0
        self._lost = 0

    def take(self, msg: object, at_sec: float, *, room: bool = True) -> list[Kept]:
        """Return what to keep of a message that came at `at_sec`; without `room` nothing is."""
        self._earn(at_sec)
        kept: Sequence[Kept | None] = ()
        match msg:
            case LogEvent():
                kept = [self._event(msg, room)]
            case RecentEvents():
                kept = [self._event(event, room) for event in msg.events]
            case Transfer() | ChunkVerdict() | CommandResult() if self._is_ours(msg.session_id):
                kept = [self._single(msg, room)]
            case ChunkMap() if self._is_ours(msg.session_id):
                self._map = msg
                kept = self._chunks(room)
            case SessionStatus() if self._is_ours(msg.session_id):
                kept = [self._snapshot(msg, at_sec, room, _told(msg), _content(msg))]
            case SchedulerStatus():
                kept = [self._scheduler(self._ours_of(msg), at_sec, room)]
            case NodeScores():
                kept = [self._snapshot(msg, at_sec, room, None, msg.nodes)]
            case _:
                pass
        return self._with_losses([k for k in kept if k is not None])

    def rest(self) -> list[Kept]:
        """Return what a reader needs to end with the same state: the last snapshots that were not kept."""
        self._budget_bytes = math.inf
        found: list[Kept] = self._chunks(True)
        for stream in self._streams.values():
            if stream.pending is not None and self._pay(
                kept := self._packed(stream.pending), must=True
            ):
                found.append(kept)
            stream.pending = None
        return self._with_losses(found) or self._losses()

    # ------------------------------------------------------------ what is ours

    def _is_ours(self, session_id: str) -> bool:
        return session_id == self._session_id()

    def _event(self, event: LogEvent, room: bool) -> Kept | None:
        if event.session_id == "":
            # Of the stack's own words those from before we came are another session's.
            mine = event.at_unix_sec >= self._started_unix_sec
        else:
            mine = self._is_ours(event.session_id)
        if not mine:
            return None
        key = (event.at_unix_sec, event.text)
        if key in self._events:
            return None
        self._events.append(key)
        return self._single(event, room)

    def _ours_of(self, msg: SchedulerStatus) -> SchedulerStatus:
        session_id = self._session_id()
        return dataclasses.replace(
            msg,
            in_flight=tuple(f for f in msg.in_flight if f.session_id == session_id),
            sessions=tuple(s for s in msg.sessions if s.session_id == session_id),
        )

    # ------------------------------------------------------------ one by one

    def _single(self, item: Item, room: bool) -> Kept | None:
        kept = self._packed(item)
        if room and self._pay(kept, must=True):
            return kept
        self._lost += 1
        return None

    def _chunks(self, room: bool) -> list[Kept]:
        """Keep what has changed since the last change that was kept."""
        found: list[Kept] = []
        changes = self._folder.changes_to(self._map) if self._map is not None else None
        if changes is None or not room:
            return found
        for piece in pieces(changes):
            kept = self._packed(piece)
            if not self._pay(kept, must=True):
                break
            self._folder.apply(piece)
            found.append(kept)
        return found

    # ------------------------------------------------------------ snapshots

    def _scheduler(self, msg: SchedulerStatus, at_sec: float, room: bool) -> Kept | None:
        self._most_chunks = max(self._most_chunks, len({f.chunk_id for f in msg.in_flight}))
        told = (
            tuple((n.node_url, n.breaker) for n in msg.nodes),
            tuple(w.worker_id for w in msg.workers),
            tuple((s.failed_downloads, s.failover_count, s.total_downloads) for s in msg.sessions),
            self._most_chunks,
        )
        # What only counts up or down while nothing is read is the same again.
        still = None if msg.in_flight else (told, msg.sessions)
        return self._snapshot(msg, at_sec, room, told, still)

    def _snapshot(
        self, msg: Snapshot, at_sec: float, room: bool, told: Hashable, content: object
    ) -> Kept | None:
        """Keep a snapshot where it is due; `told` must not wait, `content` None says that it has changed."""
        stream = self._streams[type(msg)]
        stream.pending = msg
        since_sec = at_sec - stream.kept_sec
        telling = told != stream.told
        same = content is not None and content == stream.content
        share = SHARES_BYTES_PER_SEC[type(msg)]
        wait_sec = max(stream.size_bytes / share, REPEAT_SEC if same else 0.0)
        if not room or (since_sec < wait_sec and not telling):
            return None
        if same and isinstance(msg, NodeScores):
            stream.pending = None
            return None
        kept = self._packed(msg)
        if not self._pay(kept, must=telling or since_sec > OVERDUE_SEC):
            return None
        self._streams[type(msg)] = _Stream(
            kept_sec=at_sec, size_bytes=kept.size_bytes, told=told, content=content
        )
        return kept

    # ------------------------------------------------------------ budget

    def _packed(self, item: Item) -> Kept:
        return Kept(item, *values.encode(item))

    def _earn(self, at_sec: float) -> None:
        earned = max(0.0, at_sec - self._budget_sec) * BUDGET_BYTES_PER_SEC
        self._budget_bytes = min(float(BURST_BYTES), self._budget_bytes + earned)
        self._budget_sec = max(at_sec, self._budget_sec)

    def _pay(self, kept: Kept, *, must: bool) -> bool:
        size_bytes = kept.size_bytes
        left = self._budget_bytes - size_bytes
        if size_bytes > MAX_RECORD_BYTES or left < (0 if must else RESERVE_BYTES):
            return False
        self._budget_bytes = left
        return True

    def _with_losses(self, kept: list[Kept]) -> list[Kept]:
        return [*self._losses(), *kept] if kept else kept

    def _losses(self) -> list[Kept]:
        if not self._lost:
            return []
        told = self._packed(Lost(count=self._lost))
        # It goes with what is kept after it, and so on credit.
        self._budget_bytes -= told.size_bytes
        self._lost = 0
        return [told]


def _told(msg: SessionStatus) -> Hashable:
    """Return what must not wait for the next snapshot."""
    return (
        *(msg.session_id, msg.state, msg.outcome, msg.exit_code, msg.message, msg.total_chunks),
        *(msg.startup_latency_sec, msg.first_chunk_sec, msg.rebuffering_events),
        *(msg.chunks_buffered, msg.chunks_played, msg.missing_chunks, msg.current_sequence_num),
    )


def _content(msg: SessionStatus) -> SessionStatus:
    """Return the snapshot without the clock that runs on while nothing happens."""
    return dataclasses.replace(msg, wall_sec=0.0)
