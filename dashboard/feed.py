"""What the dashboard shows: the status model, an hour of history, and who is watching.

No I/O and no clock: time is an argument. Messages come from the loop's thread and readers from the
web server's; one lock guards all. What is returned is not shared with the model.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from common.messages import ChunkMap, ChunkVerdict, RecentVerdicts, SessionStatus, Transfer
from common.stack_state import Folded, Json
from common.status import StatusModel, chunk_json
from dashboard.comparison import NothingToCompare, measured_of, request_of
from dashboard.conditions import Conditions

# Whoever asks the feed for its history needs these too: they are exported from here as well.
from dashboard.history import HISTORY_SEC as HISTORY_SEC, Columns, History as History
from dashboard.stories import ChunkStories

MAX_VIEWERS = 12


def json_text(value: Any) -> str:
    """Return compact JSON; numbers that JSON does not know become null, others get 4 decimals."""
    return json.dumps(_finite(value), allow_nan=False, separators=(",", ":"))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class StackSight:
    """Which processes of the watched stack are alive."""

    run_dir: str = ""
    monitor: bool = False
    scheduler: bool = False
    buffer: bool = False

    @property
    def running(self) -> bool:
        return self.buffer


class Feed:
    """All that the pages and endpoints read; safe to use from any thread."""

    def __init__(self, *, boot_id: str, started_unix_sec: float) -> None:
        self.boot_id = boot_id
        self.started_unix_sec = started_unix_sec
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self._model = StatusModel()
        self._history = History()
        self._stories = ChunkStories()
        self._conditions = Conditions()
        self._sight = StackSight()
        self._recording = ""
        self._viewers = 0
        self.applied_messages = 0
        self.dropped_messages = 0

    # ------------------------------------------------------------ from the stack

    def apply(self, msg: Folded, now_unix_sec: float) -> None:
        """Fold a message that has just arrived."""
        with self._lock:
            self._model.apply(msg, now_unix_sec)
            self._conditions.apply(msg, now_unix_sec)
            if isinstance(msg, Transfer | ChunkVerdict):
                self._stories.add(msg, now_unix_sec)
            elif isinstance(msg, RecentVerdicts):
                self._stories.add_missed(msg.verdicts)
            self.applied_messages += 1

    def tick(self, sight: StackSight, now_unix_sec: float, *, dropped_messages: int = 0) -> None:
        """Take a sample and note which processes live; called once a second."""
        with self._lock:
            lost = self._sight.buffer and not sight.buffer
            moved = self._sight.run_dir not in ("", sight.run_dir)
            if lost or moved:
                self._model.abandon_sessions()
            self._sight = sight
            self.dropped_messages = dropped_messages
            self._history.sample(self._model, now_unix_sec)

    def name_recording(self, text: str) -> None:
        """Say that what is shown is a recording, and of what; a feed without these words is live."""
        with self._lock:
            self._recording = text

    # ------------------------------------------------------------ viewers

    @property
    def viewers(self) -> int:
        """How many event streams are open."""
        return self._viewers

    def enter_viewer(self) -> bool:
        """Count a new event stream; False when there are too many."""
        with self._lock:
            if self._viewers >= MAX_VIEWERS:
                return False
            self._viewers += 1
            return True

    def leave_viewer(self) -> None:
        """Count an event stream that ended."""
        with self._lock:
            self._viewers -= 1

    # ------------------------------------------------------------ what readers ask

    @contextmanager
    def lent_model(self) -> Iterator[StatusModel]:
        """Lend the model; no message changes it meanwhile, so be quick and keep nothing that changes."""
        with self._lock:
            yield self._model

    @property
    def sight(self) -> StackSight:
        """Which processes of the watched stack are alive."""
        return self._sight

    def session(self, session_id: str | None = None) -> SessionStatus | None:
        """Return a session; None means the newest live one, else the newest."""
        with self._lock:
            return self._model.session(session_id)

    def live_session_id(self) -> str | None:
        """Return the session that commands without one are meant for."""
        with self._lock:
            session = self._model.session()
            return session.session_id if session and self._model.is_live() else None

    def status(self, session_id: str | None = None) -> Json:
        """Return the client's status, ranges in flight, workers, targets and all sessions."""
        with self._lock:
            model = self._model
            in_flight = model.in_flight(session_id)
            return {
                **model.client_status(session_id),
                "stack": asdict(self._sight) | {"running": self._sight.running},
                "recording": self._recording,
                "in_flight": in_flight,
                "fetching": self._fetching(in_flight),
                "workers": model.workers(),
                "targets": model.performance_targets(session_id),
                "sessions": [
                    _session_line(s, live=model.is_live(s.session_id)) for s in model.sessions()
                ],
            }

    def _fetching(self, in_flight: list[Json]) -> list[Json]:
        """Return what is held already of the chunks that are being read."""
        chunks = dict.fromkeys((f["session_id"], f["sequence_num"]) for f in in_flight)
        return [
            {
                "sequence_num": number,
                "pieces": (story := self._stories.story(session_id, number)).pieces,
                "failures": story.failures_count,
            }
            for session_id, number in chunks
        ]

    def failures(self, session_id: str, sequence_nums: list[int]) -> list[int]:
        """Return how often each of these chunks needed another try."""
        with self._lock:
            return [self._stories.story(session_id, n).failures_count for n in sequence_nums]

    def stats(self, session_id: str | None = None) -> Json:
        """Return the statistics of buffer, scheduler and nodes."""
        with self._lock:
            model = self._model
            return {
                "buffer_stats": model.buffer_statistics(session_id),
                "scheduler_stats": model.scheduler_statistics(session_id),
                "network_stats": model.network_statistics(),
            }

    def metrics(self, now_unix_sec: float) -> Json:
        """Return figures for machines: the session's summary, nodes, workers and this process."""
        with self._lock:
            model = self._model
            updated = model.updated_unix_sec
            return {
                "session": model.summary(),
                "nodes": model.network_statistics(),
                "workers": model.workers(),
                "dashboard": {
                    "uptime_sec": now_unix_sec - self.started_unix_sec,
                    "viewers": self._viewers,
                    "applied_messages": self.applied_messages,
                    "dropped_messages": self.dropped_messages,
                    "last_message_age_sec": None if updated is None else now_unix_sec - updated,
                },
            }

    def performance(self, session_id: str | None = None) -> Json:
        """Return the targets and the summary they are taken from."""
        with self._lock:
            return {
                "targets": self._model.performance_targets(session_id),
                "summary": self._model.summary(session_id),
            }

    def chunk_map(self, session_id: str | None = None) -> ChunkMap | None:
        """Return the chunk map; never changed in place, so viewers compare it with their last."""
        with self._lock:
            return self._model.chunk_map(session_id)

    def chunks(self, session_id: str | None = None) -> Json:
        """Return every touched chunk with its sources, and the totals by node."""
        with self._lock:
            found = self._model.chunk_map(session_id)
            downloads = self._model.scheduler_statistics(session_id)
            return {
                "session_id": found.session_id if found else None,
                "total_chunks": found.total_chunks if found else 0,
                "chunks": self._model.chunk_sources(session_id),
                "chunks_by_node": downloads["downloads_per_node"],
                "bytes_by_node": downloads["bytes_per_node"],
            }

    def chunk(self, sequence_num: int, session_id: str | None = None) -> Json | None:
        """Return the story of one chunk of a film; None when the film has no such chunk."""
        with self._lock:
            session = self._model.session(session_id)
            if session is None or not 0 <= sequence_num < session.total_chunks:
                return None
            found = self._model.chunk_map(session.session_id)
            records = found.chunks if found else ()
            record = next((r for r in records if r.sequence_num == sequence_num), None)
            ranges = self._model.in_flight(session.session_id)
            untouched = {"sequence_num": sequence_num, "state": "untouched", "sources": []}
            return {
                "session_id": session.session_id,
                **(chunk_json(record) if record else untouched),
                "in_flight": [r for r in ranges if r["sequence_num"] == sequence_num],
                **self._stories.story(session.session_id, sequence_num).json(),
            }

    def conditions(self, session_id: str | None = None) -> tuple[Json, Json]:
        """Return what a simulation of a session needs, and what was measured; raise NothingToCompare."""
        with self._lock:
            session = self._model.session(session_id)
            if session is None:
                raise NothingToCompare("there is no such session")
            found = self._model.chunk_map(session.session_id)
            asked = request_of(self._conditions, session, found)
            return asked, measured_of(self._conditions, session, asked)

    def events(self, after_id: int = 0) -> list[Json]:
        """Return the log entries numbered above `after_id`, oldest first."""
        with self._lock:
            return [dict(e) for e in self._model.events if e["id"] > after_id]

    def history(
        self, *, seconds: int = HISTORY_SEC, after_number: int = 0, session_id: str | None = None
    ) -> list[Json]:
        """Return samples, oldest first."""
        with self._lock:
            return self._history.samples(
                seconds=seconds, after_number=after_number, session_id=session_id
            )

    def history_columns(
        self, *, after_number: int = 0, session_id: str | None = None
    ) -> Columns | None:
        """Return the samples after a number as columns; None when there are none."""
        with self._lock:
            return self._history.columns(after_number=after_number, session_id=session_id)


def _session_line(session: SessionStatus, *, live: bool) -> Json:
    return {
        "session_id": session.session_id,
        "video_id": session.video_id,
        "title": session.title,
        "state": session.state,
        "outcome": session.outcome,
        "live": live,
        "started_unix_sec": session.started_unix_sec,
    }
