"""The viewer's ear and voice in a stack: folds its events into a StatusModel, sends commands.

A thread runs the sockets; `changed` is called in it after every message that matters.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from common.endpoints import Endpoints
from common.messages import (
    ChunkMap,
    ChunkVerdict,
    CommandResult,
    KeepAlive,
    LogEvent,
    NodeScores,
    PlayVideo,
    RecentEvents,
    SchedulerStatus,
    SeekTo,
    SessionStatus,
    SetPaused,
    StopSession,
    Transfer,
    ViewerReport,
)
from common.service import Service
from common.status import StatusModel

T = TypeVar("T")
Command = PlayVideo | SetPaused | SeekTo | StopSession
KEEPALIVE_SEC = 1.0
# As many as all processes together tell again to who joins.
_TOLD = 300
_FOLDED = (
    *(NodeScores, SchedulerStatus, Transfer, ChunkVerdict),
    *(LogEvent, SessionStatus, ChunkMap),
)


class StackLink:
    """A connection to one stack; `tap` is called in its thread with everything it hears."""

    def __init__(
        self,
        endpoints: Endpoints,
        *,
        changed: Callable[[object], None],
        tap: Callable[[object], None] | None = None,
    ) -> None:
        self._model = StatusModel()
        self._lock = threading.Lock()
        self._changed = changed
        self._tap = tap
        self._pending: dict[str, Future[CommandResult]] = {}
        self._sessions: set[str] = set()
        # Lately told, by moment and text, so that nothing is told twice.
        self._told: deque[tuple[float, str]] = deque(maxlen=_TOLD)
        self._service = Service(endpoints, watch_parent=False)
        self._commands = endpoints.address("buffer.commands")
        handlers: dict[type, Callable[[Any], None]] = dict.fromkeys(_FOLDED, self._fold)
        handlers[CommandResult] = self._resolve
        handlers[RecentEvents] = self._catch_up
        self._service.subscribe(("monitor.events", "scheduler.events", "buffer.events"), handlers)
        self._service.every(KEEPALIVE_SEC, self._keep_alive)
        self._thread = threading.Thread(target=self._service.run, name="stack-link")
        self._thread.start()

    def read(self, look: Callable[[StatusModel], T]) -> T:
        """Return what `look` finds in the model; callable from any thread."""
        with self._lock:
            return look(self._model)

    def ask(self, command: Command) -> Future[CommandResult]:
        """Send a command; its outcome comes through the future."""
        answer: Future[CommandResult] = Future()
        with self._lock:
            self._pending[command.command_id] = answer
            if isinstance(command, PlayVideo):
                self._sessions.add(command.session_id)
        self._service.call_soon(lambda: self._send(command))
        return answer

    def tell(self, report: ViewerReport) -> None:
        """Pass on what a player shows."""

        def send() -> None:
            self._service.push(self._commands, report)

        self._service.call_soon(send)

    def close(self) -> None:
        """Close the sockets; idempotent."""
        self._service.stop()
        self._thread.join()

    def _send(self, command: Command) -> None:
        self._service.push(self._commands, command)

    def _keep_alive(self) -> None:
        with self._lock:
            sessions = tuple(self._sessions)
        for session_id in sessions:
            self._service.push(self._commands, KeepAlive(session_id=session_id))

    def _catch_up(self, msg: RecentEvents) -> None:
        """Take what was said of our sessions before the connection stood: a command may be there sooner."""
        with self._lock:
            missed = [e for e in msg.events if e.session_id in self._sessions]
        for event in missed:
            if (event.at_unix_sec, event.text) not in self._told:
                self._fold(event)
        self._overheard(msg)

    def _fold(self, msg: Any) -> None:
        with self._lock:
            self._model.apply(msg, time.time())
            if isinstance(msg, LogEvent):
                self._told.append((msg.at_unix_sec, msg.text))
            if isinstance(msg, SessionStatus) and msg.outcome:
                self._sessions.discard(msg.session_id)
        if not isinstance(msg, Transfer | ChunkVerdict):
            # They come by the hundred a second, and nobody waits for one.
            self._changed(msg)
        self._overheard(msg)

    def _resolve(self, result: CommandResult) -> None:
        with self._lock:
            answer = self._pending.pop(result.command_id, None)
        if answer is not None:
            answer.set_result(result)
        self._changed(result)
        self._overheard(result)

    def _overheard(self, msg: object) -> None:
        """Last of all: whoever listens in must not hold up who waits for it."""
        if self._tap is not None:
            self._tap(msg)
