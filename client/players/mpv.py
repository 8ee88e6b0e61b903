"""mpv beside a session: its process, its IPC socket, and between them and the session the core."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import socket
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import assert_never

from client.players.command_lines import mpv_command, program_url
from client.players.mpv_core import Action, Leave, MpvCore, Order
from client.players.mpv_words import PROPERTIES, command_line, event_from
from client.players.program import Program
from common.endpoints import base_dir, prepare_run_dir
from common.errors import PlayerError
from common.messages import SessionStatus, ViewerReport

# A cold disk and a busy machine included.
_CONNECT_SEC = 30.0
_CONNECT_RETRY_SEC = 0.02
# As often as the page does: after 5 s of silence a player is taken to be gone.
_REPORT_SEC = 1.0
# Asked to quit, it takes a fraction of a second.
_QUIT_SEC = 3.0
# 0: to the end, or as its viewer wished; 4: by a signal or Ctrl-C in its window; below: by one that asks.
_QUIT_CODES = (0, 4, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP)
# A socket is there a moment before mpv listens.
_LISTENS_SEC = 0.5
_LINE_LIMIT_BYTES = 1024 * 1024
_PREFIX = "mpv-"


class Mpv:
    """One mpv; see `client.players.show` for who calls what, and when."""

    def __init__(
        self, path: str, arguments: tuple[str, ...], tell: Callable[[ViewerReport], None]
    ) -> None:
        self._path = path
        self._arguments = arguments
        self._tell = tell
        self._core = MpvCore(session_id="", viewer_id=f"mpv-{uuid.uuid4().hex[:8]}")
        self._program: Program | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._dir: Path | None = None
        self._status: SessionStatus | None = None
        self._begun = False
        self._left: Leave | None = None
        self.ended = False

    async def play(self) -> None:
        """Show the film until mpv is gone; raises PlayerError when nobody wished that."""
        self._dir = _make_dir()
        command = mpv_command(self._path, str(self._dir / "socket"), self._arguments)
        self._program = program = await Program.start("mpv", command)
        reader = await self._connect(program, self._dir / "socket")
        for number, name in enumerate(PROPERTIES, 1):
            self._send(("observe_property", number, name))
        if self._status is not None:
            self.heard(self._status)
        ticking = asyncio.create_task(self._tick())
        try:
            while line := await reader.readline():
                event = event_from(line)
                if event is not None:
                    self._do(self._core.handle(event))
        except (ConnectionError, ValueError):
            # It is gone, or talks no language of ours: its exit code tells.
            pass
        finally:
            ticking.cancel()
            await asyncio.gather(ticking, return_exceptions=True)
        code = await program.ended()
        if self._left is not None:
            if self._left.error:
                raise program.error(f"shows nothing more: {self._left.error}")
        elif code not in _QUIT_CODES:
            raise program.error(f"ended with {f'signal {-code}' if code < 0 else f'code {code}'}")

    def heard(self, status: SessionStatus) -> None:
        """Take what is known of the session."""
        core = self._core
        core.session_id = status.session_id
        core.duration_sec, core.holes = status.duration_sec, status.missing_chunks
        if self._status is None:
            # Before anybody can find the film: the first that tells is followed.
            self._do(core.tick())
        self._status = status
        if self._writer is None or status.outcome:
            return
        if status.stream_url and not self._begun:
            self._begun = True
            self._do(core.begin(program_url(status.stream_url), status.title or status.video_id))
        self._do(
            core.wished(
                serial=status.wish_serial,
                paused=status.wish_paused,
                position_sec=status.wish_position_sec,
            )
        )

    async def finish(self) -> None:
        """The film was shown to its end: let mpv go, which shows nothing more then."""
        await self.stop()

    async def stop(self) -> None:
        """Tell mpv to quit, and wait for that."""
        if self._program is None or self._writer is None:
            return
        self._do(self._core.stopped())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._program.ended(), _QUIT_SEC)

    async def end(self) -> None:
        """Leave nothing behind; idempotent."""
        if self._writer is not None:
            self._writer.close()
        if self._program is not None:
            await self._program.end()
        if self._dir is not None:
            shutil.rmtree(self._dir, ignore_errors=True)

    async def _connect(self, program: Program, path: Path) -> asyncio.StreamReader:
        deadline_sec = time.monotonic() + _CONNECT_SEC
        while program.running and time.monotonic() < deadline_sec:
            with contextlib.suppress(OSError):
                reader, self._writer = await asyncio.open_unix_connection(
                    path, limit=_LINE_LIMIT_BYTES
                )
                return reader
            await asyncio.sleep(_CONNECT_RETRY_SEC)
        if not program.running:
            await program.ended()
            raise program.error("did not start")
        raise PlayerError(f"mpv did not answer within {_CONNECT_SEC:g} s")

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_REPORT_SEC)
            if self._status is not None:
                self._do(self._core.tick())

    def _do(self, actions: Iterable[Action]) -> None:
        for action in actions:
            match action:
                case ViewerReport():
                    self.ended = self.ended or action.state == "ended"
                    self._tell(action)
                case Order():
                    self._send(action.words, action.request_id)
                case Leave():
                    self._left = self._left or action
                case _:
                    assert_never(action)

    def _send(self, words: tuple[str | float | bool, ...], request_id: int = 0) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(command_line(words, request_id))


def _make_dir() -> Path:
    """Make a directory that only we can enter, for the socket; remove those of viewers that were killed."""
    prepare_run_dir(base_dir() / "shared")
    for path in base_dir().glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            old = time.time() - (path / "socket").stat().st_mtime > _LISTENS_SEC
            if old and not _answers(path / "socket"):
                shutil.rmtree(path, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=_PREFIX, dir=base_dir()))


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True
