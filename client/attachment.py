"""A viewer's hold on a stack: joined or started, listened to, watched over, and let go.

Everything here belongs to one event loop; the sockets run in the link's thread.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TypeVar

from client.link import Command, StackLink
from client.stack import PrivateStack
from common.config import Settings
from common.endpoints import Endpoints, endpoints_from_environment, is_stack_running, shared_run_dir
from common.errors import StackError
from common.messages import CommandResult, LogEvent, SessionStatus, ViewerReport
from common.status import StatusModel

logger = logging.getLogger(__name__)

T = TypeVar("T")
# Processes of a private stack start within a second or two, on a busy machine within several.
ANSWER_SEC = 30.0
WATCH_SEC = 0.5


class Attachment:
    """One stack, from `open` to `close`; what it told last stays readable."""

    def __init__(
        self,
        settings: Settings,
        *,
        dashboard: bool,
        private: bool | None,
        heard: Callable[[object], None],
        tap: Callable[[object], None] | None = None,
    ) -> None:
        """`heard` is called in the event loop for every message, and for words about the stack itself.

        `tap` is called for the same and for every ended range, at once and in whatever thread hears of it.
        """
        self.joined = False
        self._settings = settings
        self._dashboard = dashboard
        self._private = private
        self._heard = heard
        self._tap = tap
        self._stack: PrivateStack | None = None
        self._link: StackLink | None = None
        self._model = StatusModel()
        self._changed: asyncio.Event | None = None
        self._watch: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        return self._link is not None

    def open(self) -> None:
        """Join the standing stack or start a private one; returns at once. Raises StackError."""
        if self._link is not None:
            return
        loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self.joined = self._private is not True and is_stack_running(shared_run_dir())
        if self._private is False and not self.joined:
            raise StackError(f"no stack runs in {shared_run_dir()}")
        endpoints: Endpoints
        if self.joined:
            endpoints = endpoints_from_environment()
            self._say(f"joins the stack that runs in {endpoints.run_dir}")
        else:
            self._stack = PrivateStack(self._settings, dashboard=self._dashboard)
            endpoints = self._stack.endpoints

        def deliver(msg: object) -> None:
            try:
                loop.call_soon_threadsafe(self._note, msg)
            except RuntimeError:
                logger.debug("message after the loop's end dropped")

        self._link = StackLink(endpoints, changed=deliver, tap=self._tap)
        self._watch = asyncio.create_task(self._watch_over())

    def read(self, look: Callable[[StatusModel], T]) -> T:
        """Return what `look` finds in the state of the stack."""
        return self._link.read(look) if self._link is not None else look(self._model)

    def require_alive(self) -> None:
        """Raise StackError when a private stack has failed for good."""
        if self._stack is not None and self._stack.failed:
            raise StackError(self._stack.failed)

    async def ask(self, command: Command, limit_sec: float = ANSWER_SEC) -> CommandResult:
        """Send a command and return its outcome; raise StackError when none comes."""
        if self._link is None:
            raise StackError("no stack is running")
        answer = asyncio.wrap_future(self._link.ask(command))
        deadline_sec = time.monotonic() + limit_sec
        while time.monotonic() < deadline_sec:
            done, _ = await asyncio.wait({answer}, timeout=WATCH_SEC)
            if done:
                return answer.result()
            self.require_alive()
        raise StackError(f"the buffer process did not answer within {limit_sec:g} s")

    def tell(self, report: ViewerReport) -> None:
        """Pass on what a player shows; nothing happens when there is no stack."""
        if self._link is not None:
            self._link.tell(report)

    async def next_change(self, timeout_sec: float) -> None:
        """Wait for the next message, at most `timeout_sec`."""
        if self._changed is None:
            return
        self._changed.clear()
        try:
            await asyncio.wait_for(self._changed.wait(), timeout_sec)
        except TimeoutError:
            return

    async def close(self) -> None:
        """Let go of the stack, and end it when it is ours; idempotent."""
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
        await asyncio.to_thread(self._let_go)

    def _let_go(self) -> None:
        self._model = self.read(lambda model: model)
        if self._link is not None:
            self._link.close()
            self._link = None
        if self._stack is not None:
            self._stack.stop()
            self._stack = None

    def _note(self, msg: object) -> None:
        if self._changed is not None:
            self._changed.set()
        self._heard(msg)

    def _say(self, text: str) -> None:
        logger.info("%s", text)
        event = LogEvent(at_unix_sec=time.time(), session_id="", kind="session", text=text)
        if self._tap is not None:
            self._tap(event)
        self._heard(event)

    async def _watch_over(self) -> None:
        try:
            if self._stack is not None:
                await self._watch_stack(self._stack)
            await asyncio.get_running_loop().create_future()
        finally:
            if self._watch is not None:
                # The event loop ends without `close`: asyncio.run cancels what still runs. Nothing may outlive it.
                self._watch = None
                self._let_go()

    async def _watch_stack(self, stack: PrivateStack) -> None:
        while stack.failed is None:
            await asyncio.sleep(WATCH_SEC)
            session = self.read(lambda model: model.session())
            if session is not None and _needs_the_rest(session):
                stack.start_the_rest()
            for text in stack.watch():
                self._say(text)
        if self._changed is not None:
            self._changed.set()


def _needs_the_rest(session: SessionStatus) -> bool:
    """Whether the first chunk, which is to come before all else, is done with; a browser waits for the dashboard."""
    shown = session.startup_latency_sec is not None
    return shown or (session.output == "stream" and session.first_chunk_sec is not None)
