"""The dashboard's ZeroMQ side: hear the stack, carry commands to it and their results back."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, TimeoutError as FutureTimeoutError
from typing import Any

from common.endpoints import Endpoints, find_run_dir, is_running
from common.messages import (
    ChunkMap,
    ChunkVerdict,
    CommandResult,
    LogEvent,
    NodeScores,
    RecentEvents,
    RecentVerdicts,
    SchedulerStatus,
    SessionStatus,
    Transfer,
    ViewerReport,
)
from common.service import Service
from dashboard.control import Command, NoAnswer, StackAbsent
from dashboard.feed import Feed, StackSight

logger = logging.getLogger(__name__)

_TICK_SEC = 1.0
_FOLDED = (
    NodeScores,
    SchedulerStatus,
    Transfer,
    ChunkVerdict,
    RecentVerdicts,
    LogEvent,
    RecentEvents,
    SessionStatus,
    ChunkMap,
)


class NewestStack:
    """Says which stack to watch: the standing one, else the newest private one; makes no directory.

    While the one watched lives, only a stack that was not there before takes its place: the age of
    a run directory changes with every socket made in it.
    """

    def __init__(self) -> None:
        self._tcp_base = os.environ.get("VSTACK_TCP_BASE") or None
        self._watched = Endpoints(find_run_dir(), self._tcp_base)
        self._seen = {self._watched.run_dir}

    def __call__(self) -> Endpoints:
        """Return the endpoints of the stack worth watching now."""
        watched, found = self._watched.run_dir, find_run_dir()
        if found != watched and (found not in self._seen or not is_running(watched, "buffer")):
            self._watched = Endpoints(found, self._tcp_base)
        self._seen = {path for path in self._seen if path.exists()} | {found, watched}
        return self._watched


class StackLink:
    """A thread that watches one stack at a time and follows when another is to be watched.

    `locate` says where that stack lives and is asked every second. `on_end` is called from the
    thread when it ends, whatever the reason.
    """

    def __init__(
        self, feed: Feed, locate: Callable[[], Endpoints], *, on_end: Callable[[], None]
    ) -> None:
        self._feed = feed
        self._locate = locate
        self._on_end = on_end
        self._lock = threading.Lock()
        self._pending: dict[str, Future[CommandResult]] = {}
        self._service: Service | None = None
        self._stopping = False
        self._moved = False
        self.failed = False
        self._thread = threading.Thread(target=self._run, name="stack-link")

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Close all sockets and wait for the thread; idempotent."""
        with self._lock:
            self._stopping = True
            if self._service is not None:
                self._service.stop()
        if self._thread.is_alive():
            self._thread.join()

    def ask(self, command: Command, timeout_sec: float) -> CommandResult:
        """Send a command to the buffer and return its outcome; callable from any thread."""
        answer: Future[CommandResult] = Future()
        with self._lock:
            service = self._running_service()
            self._pending[command.command_id] = answer
            address = service.endpoints.address("buffer.commands")
            service.call_soon(lambda: _send(service, address, command))
        try:
            return answer.result(timeout_sec)
        except FutureTimeoutError:
            # A command nobody took must not reach a buffer that is started later.
            with self._lock:
                if self._service is service:
                    service.call_soon(lambda: service.forget_push(address))
            raise NoAnswer(f"the stack did not answer within {timeout_sec:g} s") from None
        finally:
            with self._lock:
                self._pending.pop(command.command_id, None)

    def tell(self, report: ViewerReport) -> None:
        """Pass on what a player shows; callable from any thread."""
        with self._lock:
            service = self._running_service()
            address = service.endpoints.address("buffer.commands")
            service.call_soon(lambda: _send(service, address, report))

    def _running_service(self) -> Service:
        service = self._service
        if service is None or not is_running(service.endpoints.run_dir, "buffer"):
            raise StackAbsent("no stack is running; start one with: python main.py VIDEO_ID")
        return service

    def _run(self) -> None:
        try:
            while self._watch_one():
                pass
        except Exception:
            self.failed = True
            logger.exception("watching the stack failed")
        finally:
            self._on_end()

    def _watch_one(self) -> bool:
        """Watch until told to stop or another stack is to be watched; True in the latter case."""
        endpoints = self._locate()
        with self._lock:
            if self._stopping:
                return False
            self._moved = False
            service = self._service = Service(endpoints)
        logger.info("watching run_dir=%s", endpoints.run_dir)
        handlers: dict[type, Callable[[Any], None]] = dict.fromkeys(_FOLDED, self._fold)
        handlers[CommandResult] = self._resolve
        service.subscribe(("monitor.events", "scheduler.events", "buffer.events"), handlers)
        service.every(_TICK_SEC, lambda: self._tick(service))
        service.on_close(self._forget_service)
        self._tick(service)
        service.run()
        return self._moved

    def _forget_service(self) -> None:
        with self._lock:
            self._service = None

    def _fold(self, msg: Any) -> None:
        self._feed.apply(msg, time.time())

    def _resolve(self, result: CommandResult) -> None:
        with self._lock:
            answer = self._pending.pop(result.command_id, None)
        if answer is not None:
            answer.set_result(result)

    def _tick(self, service: Service) -> None:
        run_dir = service.endpoints.run_dir
        sight = StackSight(
            run_dir=str(run_dir),
            monitor=is_running(run_dir, "monitor"),
            scheduler=is_running(run_dir, "scheduler"),
            buffer=is_running(run_dir, "buffer"),
        )
        self._feed.tick(sight, time.time(), dropped_messages=service.dropped_messages)
        if self._locate() != service.endpoints:
            self._moved = True
            service.stop()


def _send(service: Service, address: str, msg: Command | ViewerReport) -> None:
    if not service.push(address, msg):
        logger.warning("not taken by the buffer kind=%s", type(msg).__name__)
