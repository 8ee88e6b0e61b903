"""Which sessions players find on the process's web server, and the server's life."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from buffer.live import LiveSession
from buffer.playlist import PLAYLIST_NAME
from buffer.stream_server import StreamServer
from common.config import Settings
from common.errors import ConfigError
from common.service import Service

if TYPE_CHECKING:
    from buffer.watch import Watch

logger = logging.getLogger(__name__)

UNASKED_DELAY_SEC = 2.0


class Streams:
    """Offers sessions to players; the server starts with the first one, in a thread: that takes a quarter of a second.

    `offer`, `withdraw` and `stop` belong to the loop.
    """

    def __init__(
        self, service: Service, submit: Callable[[Callable[[], None]], None], settings: Settings
    ) -> None:
        """`submit` runs blocking work in a thread."""
        self._service = service
        self._submit = submit
        self._watches: dict[str, Watch] = {}
        self._server = StreamServer(
            self._watches.get, host=settings.stream_host, port=settings.stream_port
        )
        self._failed = False

    def offer(self, session: LiveSession) -> None:
        """Let players find a session, once the server listens."""
        if not session.can_be_watched or self._failed:
            return
        # What nobody waits for must not keep the first chunk waiting.
        delay_sec = 0.0 if session.core.options.awaits_viewer else UNASKED_DELAY_SEC
        self._service.after(delay_sec, lambda: self._submit(lambda: self._start(session)))

    def withdraw(self, session: LiveSession) -> None:
        """Forget a session."""
        self._watches.pop(session.session_id, None)

    def stop(self) -> None:
        """Close the server."""
        self._server.stop()

    def _start(self, session: LiveSession) -> None:
        from buffer.watch import Watch

        watch = Watch(session, self._service.call_soon)
        try:
            self._server.start()
        except ConfigError as error:
            self._failed = True
            logger.error("no player can be served: %s", error)
            return

        def listed() -> None:
            self._watches[session.session_id] = watch
            path = f"/stream/{session.session_id}/{PLAYLIST_NAME}"
            session.stream_url = self._server.url + path

        self._service.call_soon(listed)
