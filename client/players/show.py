"""A player beside a session: begun with it, listened to, drained, and gone at its end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Protocol

from client.players.choosing import Choice
from client.smart_client import SmartClient
from common.errors import PlayerError
from common.messages import SessionStatus

logger = logging.getLogger(__name__)

# A player that runs out of film because the session fails notices a moment before we hear of that.
_REASON_SEC = 1.0
# The end that a player told of becomes the session's, unless another player leads it.
_END_SEC = 5.0
_MOMENT_SEC = 0.05


class Shower(Protocol):
    """One player."""

    # Whether it has shown the film to its end.
    ended: bool

    async def play(self) -> None:
        """Show the film until the player is gone; raises PlayerError when nobody wished that."""

    def heard(self, status: SessionStatus) -> None:
        """Take what is known of the session."""

    async def finish(self) -> None:
        """The session was played to its end: return when the player has shown all of it."""

    async def stop(self) -> None:
        """The session is over before its end."""

    async def end(self) -> None:
        """Leave nothing behind; idempotent."""


class Show:
    """The player of one run; every method belongs to the loop of the main thread."""

    def __init__(
        self,
        choice: Choice,
        arguments: tuple[str, ...],
        client: SmartClient,
        say: Callable[[str], None],
    ) -> None:
        self.failure: PlayerError | None = None
        self._client = client
        self._player = _player(choice, arguments, client, say)
        self._status: SessionStatus | None = None
        self._heard = asyncio.Event()
        self._task = asyncio.create_task(self._run())
        self._finishing: asyncio.Task[None] | None = None

    def heard(self, status: SessionStatus) -> None:
        """Take what is known of the session."""
        self._status = status
        self._heard.set()
        self._player.heard(status)

    def cut(self) -> None:
        """Wait no longer for what the player has still to show."""
        if self._finishing is not None:
            self._finishing.cancel()

    async def close(self) -> None:
        """The session is over: see the player to its end; idempotent."""
        played = self._outcome in ("played", "holes")
        try:
            if not self._task.done():
                end = self._player.finish() if played else self._player.stop()
                self._finishing = asyncio.create_task(end)
                await asyncio.wait({self._finishing})
        finally:
            if self._finishing is not None:
                self._finishing.cancel()
            await self._player.end()
            # What it has to say to its end.
            await asyncio.wait({self._task}, timeout=_REASON_SEC if played else _MOMENT_SEC)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        try:
            await self._player.play()
        except PlayerError as error:
            failure = error
        except Exception as error:
            logger.exception("player failed")
            failure = PlayerError(f"the player failed: {error}")
        else:
            await self._until_over(_END_SEC if self._player.ended else 0.0)
            await self._end_session()
            return
        finally:
            await self._player.end()
        await self._until_over(_REASON_SEC)
        if self._finishing is None or self._outcome in ("played", "holes"):
            self.failure = failure
        await self._end_session()

    @property
    def _outcome(self) -> str:
        return self._status.outcome if self._status is not None else ""

    async def _until_over(self, limit_sec: float) -> None:
        deadline_sec = time.monotonic() + limit_sec
        while not self._outcome and (left_sec := deadline_sec - time.monotonic()) > 0:
            self._heard.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._heard.wait(), left_sec)

    async def _end_session(self) -> None:
        # A player may be gone before there is a session to end.
        if self._status is None:
            await self._heard.wait()
        if not self._outcome:
            await self._client.end_session()


def _player(
    choice: Choice, arguments: tuple[str, ...], client: SmartClient, say: Callable[[str], None]
) -> Shower:
    if choice.player == "browser":
        from client.players.browser import Browser

        port = client.settings.dashboard_port
        return Browser(port, say)
    if choice.player == "mpv":
        from client.players.mpv import Mpv

        return Mpv(choice.path, arguments, client.tell)
    from client.players.plain import PlainPlayer

    return PlainPlayer(choice.player, choice.path, arguments, client.tell)
