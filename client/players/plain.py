"""VLC and ffplay beside a session: players that tell nothing; what they ask for says where they are."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable

from client.players.command_lines import ffplay_command, program_url, verdict, vlc_command
from client.players.program import Program
from common.messages import SessionStatus, ViewerReport

_COMMANDS = {"vlc": vlc_command, "ffplay": ffplay_command}


class PlainPlayer:
    """One player that is fed by URL; see `client.players.show` for who calls what, and when."""

    def __init__(
        self,
        name: str,
        path: str,
        arguments: tuple[str, ...],
        tell: Callable[[ViewerReport], None],
    ) -> None:
        self._name = name
        self._path = path
        self._arguments = arguments
        self._tell = tell
        self._program: Program | None = None
        self._status: SessionStatus | None = None
        self._listed = asyncio.Event()
        self.ended = False

    async def play(self) -> None:
        """Show the film until the player is gone; raises PlayerError when nobody wished that."""
        await self._listed.wait()
        status = self._status
        assert status is not None
        command = _COMMANDS[self._name](
            self._path,
            program_url(status.stream_url),
            status.title or status.video_id,
            self._arguments,
        )
        self._program = program = await Program.start(self._name, command)
        code = await program.ended()
        status = self._status or status
        match verdict(code, status):
            case "failed":
                raise program.error(
                    f"ended with {f'signal {-code}' if code < 0 else f'code {code}'}"
                )
            case "nothing":
                raise program.error("showed nothing")
            case "ended":
                self.ended = True
                self._tell_end(status)
            case "quit":
                pass

    def heard(self, status: SessionStatus) -> None:
        """Take what is known of the session."""
        self._status = status
        if status.stream_url and not status.outcome:
            self._listed.set()

    async def finish(self) -> None:
        """The session is through, but the player is a little behind: it ends by itself."""
        if self._program is not None:
            await self._program.ended()

    async def stop(self) -> None:
        """Tell the player to end; `end` sees to it."""
        if self._program is not None:
            self._program.terminate()

    async def end(self) -> None:
        """Leave nothing behind; idempotent."""
        if self._program is not None:
            await self._program.end()

    def _tell_end(self, status: SessionStatus) -> None:
        self._tell(
            ViewerReport(
                session_id=status.session_id,
                viewer_id=f"{self._name}-{uuid.uuid4().hex[:8]}",
                state="ended",
                position_sec=status.duration_sec,
                rate_ratio=1.0,
                dropped_frames=0,
                error="",
            )
        )
