"""The web server of the buffer process, in threads of its own; Flask is loaded when it is first needed."""

from __future__ import annotations

import errno
import logging
import socket
import threading
from typing import TYPE_CHECKING, Any

from common.errors import ConfigError

if TYPE_CHECKING:
    from buffer.stream_app import FindWatch

logger = logging.getLogger(__name__)

# Each player that waits for a segment holds one.
_THREADS = 24
_POLL_SEC = 0.5
_END_SEC = 2.0


class StreamServer:
    """Serves the sessions that `find` knows; nothing is bound before `start`."""

    def __init__(self, find: FindWatch, *, host: str, port: int) -> None:
        self._find = find
        self._host, self._port = host, port
        self._server: Any = None
        self._channels: dict[int, Any] = {}
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._starting = threading.Lock()

    @property
    def url(self) -> str:
        """Return the address without a path, empty before `start`."""
        if self._server is None:
            return ""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._server.effective_port}"

    def start(self) -> None:
        """Bind and serve, once; blocks for the imports. Raises ConfigError when the address cannot be had."""
        with self._starting:
            if self._server is None and not self._stopping.is_set():
                self._listen()

    def _listen(self) -> None:
        import waitress
        from waitress import wasyncore

        from buffer.stream_app import create_stream_app

        app = create_stream_app(self._find, bound_host=self._host)
        try:
            # One address of a name: waitress would listen on each, with port 0 on another port each time.
            address = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)[0][4][0]
        except OSError as error:
            raise ConfigError(
                f"STREAM_HOST: {self._host!r} is no address: {error.strerror}"
            ) from error
        try:
            self._server = waitress.create_server(
                app,
                map=self._channels,
                host=address,
                port=self._port,
                threads=_THREADS,
                ident="",
                clear_untrusted_proxy_headers=True,
                max_request_body_size=64 * 1024,
                channel_request_lookahead=1,
            )
        except OSError as error:
            wasyncore.close_all(self._channels, ignore_all=True)
            used = error.errno == errno.EADDRINUSE
            reason = "is in use" if used else f"cannot be had: {error.strerror or error}"
            raise ConfigError(f"STREAM_PORT: port {self._port} on {self._host} {reason}") from error
        self._thread = threading.Thread(target=self._serve, name="stream-server")
        self._thread.start()
        logger.info("stream server listens url=%s", self.url)

    def stop(self) -> None:
        """Close all connections and wait for the thread; idempotent."""
        self._stopping.set()
        with self._starting:
            pass
        if self._server is not None:
            self._server.trigger.pull_trigger()
        if self._thread is not None:
            self._thread.join()

    def _serve(self) -> None:
        from waitress import wasyncore

        while not self._stopping.is_set():
            wasyncore.loop(timeout=_POLL_SEC, use_poll=True, map=self._channels, count=1)
        self._server.task_dispatcher.shutdown(cancel_pending=True, timeout=_END_SEC)
        wasyncore.close_all(self._channels, ignore_all=True)
