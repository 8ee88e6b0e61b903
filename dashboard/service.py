"""The dashboard process: the link to the stack in a thread, the web server in the main thread."""

from __future__ import annotations

import argparse
import errno
import http.client
import json
import logging
import signal
import socket
import sys
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import waitress
from waitress import wasyncore

from common.config import Settings, load_settings
from common.endpoints import Endpoints, RoleLock
from common.errors import ConfigError, ExitCode, VideoClientError
from common.http_guard import is_loopback
from dashboard.app import SERVICE_NAME, Commands, create_app
from dashboard.comparer import Comparer
from dashboard.feed import Feed
from dashboard.link import StackLink

logger = logging.getLogger(__name__)

# Every event stream holds a thread; MAX_VIEWERS of them leave some for everything else.
_THREADS = 16
_POLL_SEC = 0.25
_DRAIN_SEC = 1.0
# A viewer whose machine sleeps must not pile up an hour of events in memory.
_MAX_UNSENT_BYTES = 1024 * 1024


class Link(Commands, Protocol):
    """What fills the feed, and takes commands to where they belong."""

    @property
    def failed(self) -> bool:
        """Whether it ended by a bug."""

    def start(self) -> None:
        """Begin to fill the feed."""

    def stop(self) -> None:
        """Let go of everything; idempotent."""


def watching(locate: Callable[[], Endpoints]) -> Callable[[Feed], Link]:
    """Return what makes a link to the stack that `locate` says, whichever that is at the time."""
    return lambda feed: StackLink(feed, locate, on_end=feed.stopping.set)


def serve(
    settings: Settings, link_for: Callable[[Feed], Link], *, lock_run_dir: Path | None = None
) -> int:
    """Run the dashboard until a signal, or the parent's death where that is watched.

    `link_for` makes what fills the feed; `lock_run_dir` is where this is the one dashboard. Returns
    the exit code.
    """
    feed = Feed(boot_id=uuid.uuid4().hex[:8], started_unix_sec=time.time())
    link = link_for(feed)
    host, port = settings.dashboard_host, settings.dashboard_port
    names = frozenset({socket.gethostname().lower()}) if not is_loopback(host) else frozenset()
    comparer = Comparer()
    app = create_app(feed, link, settings=settings, configured_hosts=names, comparer=comparer)
    channels: dict[int, Any] = {}
    with ExitStack() as cleanup:
        server = _listen(app, host, port, channels)
        cleanup.callback(wasyncore.close_all, channels, ignore_all=True)
        if lock_run_dir is not None:
            cleanup.callback(RoleLock(lock_run_dir, "dashboard").release)
        cleanup.callback(_join_server, server, channels)
        signals = _Signals()
        cleanup.callback(link.stop)
        cleanup.callback(comparer.stop)
        link.start()
        cleanup.callback(feed.stopping.set)
        _announce(host, port)
        while not (signals.arrived or feed.stopping.is_set()):
            wasyncore.loop(timeout=_POLL_SEC, use_poll=True, map=channels, count=1)
    return int(ExitCode.BUG) if link.failed else 0


def run(build: Callable[[], int]) -> int:
    """Call `build` and turn what it raises on purpose into a message and an exit code."""
    try:
        return build()
    except VideoClientError as error:
        print(f"dashboard: {error}", file=sys.stderr)  # noqa: T201
        return int(error.exit_code)


def _listen(app: Any, host: str, port: int, channels: dict[int, Any]) -> Any:
    try:
        return waitress.create_server(
            app,
            map=channels,
            host=host,
            port=port,
            threads=_THREADS,
            ident="",
            clear_untrusted_proxy_headers=True,
            max_request_body_size=64 * 1024,
            outbuf_high_watermark=_MAX_UNSENT_BYTES,
            # Lets a stream notice that its viewer left though there is nothing to send.
            channel_request_lookahead=1,
        )
    except OSError as error:
        wasyncore.close_all(channels, ignore_all=True)
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(
                f"DASHBOARD_PORT: port {port} is in use{_who_answers(host, port)}; choose another "
                "with DASHBOARD_PORT or --port"
            ) from error
        if error.errno == errno.EACCES:
            raise ConfigError(f"DASHBOARD_PORT: port {port} needs rights we lack") from error
        raise ConfigError(
            f"DASHBOARD_HOST: cannot listen on {host!r}: {error.strerror or error}"
        ) from error
    except ValueError as error:
        raise ConfigError(f"DASHBOARD_HOST: cannot listen on {host!r}: {error}") from error


def _who_answers(host: str, port: int) -> str:
    asked = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    connection = http.client.HTTPConnection(asked, port, timeout=1)
    try:
        connection.request("GET", "/health")
        answer = json.loads(connection.getresponse().read(4096))
    except (OSError, http.client.HTTPException, ValueError):
        return ""
    finally:
        connection.close()
    known = isinstance(answer, dict) and answer.get("service") == SERVICE_NAME
    return f" by a V-Stack dashboard: http://localhost:{port}" if known else ""


def _announce(host: str, port: int) -> None:
    any_address = host in ("0.0.0.0", "::", "127.0.0.1", "::1")
    shown = "localhost" if any_address else f"[{host}]" if ":" in host else host
    print(f"Dashboard: http://{shown}:{port}", flush=True)  # noqa: T201
    if not is_loopback(host):
        text = f"dashboard: on {host} whoever reaches this port can watch and control playback"
        print(text, file=sys.stderr)  # noqa: T201


class _Signals:
    """Remembers that a signal came; sets no event, whose lock the interrupted code may hold."""

    def __init__(self) -> None:
        self.arrived = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.arrived = True


def _join_server(server: Any, channels: dict[int, Any]) -> None:
    """Let answers that are under way end, then give up the rest."""
    server.task_dispatcher.shutdown(cancel_pending=True, timeout=_DRAIN_SEC)
    wasyncore.loop(timeout=0.1, use_poll=True, map=channels, count=2)


def parse_settings(arguments: list[str], *, program: str, about: str) -> Settings:
    """Return the settings with the flags `--host` and `--port` over everything else."""
    parser = argparse.ArgumentParser(prog=program, description=about.partition("\n")[0])
    parser.add_argument("--host", help="address to listen on (DASHBOARD_HOST, 127.0.0.1)")
    parser.add_argument("--port", help="port to listen on (DASHBOARD_PORT, 8888)")
    flags = parser.parse_args(arguments)
    try:
        return load_settings({"dashboard_host": flags.host, "dashboard_port": flags.port})
    except ConfigError as error:
        # Settings are named in full; the flags here are shorter.
        raise ConfigError(str(error).replace("--dashboard-", "--")) from error
