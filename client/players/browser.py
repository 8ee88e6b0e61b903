"""The dashboard's page as the player: opened in the viewer's browser, where it takes over the session."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
import urllib.request
import webbrowser
from collections.abc import Callable
from urllib.parse import quote

from client.players.choosing import has_display
from common.errors import PlayerError
from common.messages import SessionStatus

# In a private stack it starts after the first chunk has come.
_DASHBOARD_SEC = 30.0
_LOOK_SEC = 0.1
_REQUEST_SEC = 2.0


class Browser:
    """One page; see `client.players.show` for who calls what, and when. The browser is the viewer's and stays."""

    def __init__(self, port: int, say: Callable[[str], None]) -> None:
        self._url = f"http://localhost:{port}"
        self._say = say
        self._status: SessionStatus | None = None
        self._listed = asyncio.Event()
        self._over = asyncio.Event()
        self.ended = False

    async def play(self) -> None:
        """Open the page and leave the film to it; raises PlayerError when there is no dashboard."""
        await self._listed.wait()
        assert self._status is not None
        session_id = quote(self._status.session_id)
        # Another stack's dashboard may hold the port.
        await self._until_known(f"{self._url}/api/status?session_id={session_id}")
        url = f"{self._url}/?session={session_id}"
        self._say(f"Watch: {url}")
        if has_display(os.environ, sys.platform):
            with contextlib.suppress(webbrowser.Error):
                await asyncio.to_thread(webbrowser.open, url)
        await self._over.wait()

    def heard(self, status: SessionStatus) -> None:
        """Take what is known of the session."""
        self._status = status
        if status.stream_url and not status.outcome:
            self._listed.set()

    async def finish(self) -> None:
        """The page has shown the film to its end."""
        self._over.set()

    async def stop(self) -> None:
        """The page sees by itself that the session is over."""
        self._over.set()

    async def end(self) -> None:
        """There is nothing of ours to leave behind."""

    async def _until_known(self, address: str) -> None:
        deadline_sec = time.monotonic() + _DASHBOARD_SEC
        while time.monotonic() < deadline_sec:
            if await asyncio.to_thread(_answers, address):
                return
            await asyncio.sleep(_LOOK_SEC)
        raise PlayerError(
            f"--player browser: this stack has no dashboard at {self._url} "
            "(python dashboard_server.py starts one, DASHBOARD_PORT names a free port)"
        )


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=_REQUEST_SEC) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError):
        return False
