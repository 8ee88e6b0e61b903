"""One run of the command: a client, what is shown and kept of it, and how it ends."""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from client.arguments import player_arguments, plays_for_a_viewer, settings_from
from client.players.choosing import choose, has_display
from client.printable import printable
from client.recording_flags import keeping_of
from client.reporter import Reporter
from client.smart_client import PlayOptions, SmartClient
from client.stdout import StdoutPipe
from common.errors import ExitCode, VideoClientError
from common.messages import LogEvent, OutputKind, SessionStatus

if TYPE_CHECKING:
    from client.players.show import Show


class Run:
    """One run of the command: a client, what is shown of it, and how it ends."""

    def __init__(self, arguments: argparse.Namespace, command_sec: float) -> None:
        self.arguments = arguments
        self.pipe: StdoutPipe | None = None
        self.show: Show | None = None
        self._choice = choose(
            arguments.player,
            free=plays_for_a_viewer(arguments),
            display=has_display(os.environ, sys.platform),
            find=shutil.which,
        )
        # A viewer who chose nothing may not know what there is to choose.
        self._unseen = (
            self._choice.player == "none"
            and arguments.player == "auto"
            and plays_for_a_viewer(arguments)
        )
        self._interrupted = False
        self._playing: asyncio.Task[bool] | None = None
        self._ending: asyncio.Future[bool] | None = None
        self.reporter = Reporter(
            sys.stderr if arguments.output == "-" else sys.stdout,
            json_lines=arguments.json,
            quiet=arguments.quiet,
            plain=arguments.plain,
        )
        keeps = arguments.record is not None or arguments.report is not None
        self.client = SmartClient(
            settings=settings_from(arguments),
            dashboard=arguments.dashboard or self._choice.player == "browser",
            private=True if arguments.private else None,
            on_message=self._heard,
            tap=self._overhear if keeps else None,
            command_sec=command_sec,
        )
        # Last: it makes files and a thread.
        self.keeping = keeping_of(arguments, command_sec, self.client) if keeps else None

    async def play(self) -> int:
        """Play, show, clean up; return the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._interrupt)
        # Under nohup the end of the terminal is to be ignored.
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            loop.add_signal_handler(signal.SIGHUP, self._interrupt)
        options, screen = self._options(), self.reporter.screen
        if screen.wants_view:
            for number in (signal.SIGTSTP, signal.SIGQUIT):
                loop.add_signal_handler(number, self._step_aside, number)
        screen.open()
        try:
            self._start_player()
            self._playing = asyncio.create_task(
                self.client.play_video(self.arguments.video_id, options)
            )
            drawing = asyncio.create_task(self.reporter.redraw(self.client.get_status))
            if self.arguments.stop_after is not None:
                loop.call_later(self.arguments.stop_after, self._end)
            await self._until_over(self._playing, drawing)
        finally:
            screen.close()
        if self.show is not None and self.show.failure is not None:
            self.client.blame(self.show.failure)
        summary = self.client.summary()
        if self._interrupted:
            summary["exit_code"] = int(ExitCode.INTERRUPTED)
        await self._keep(summary)
        self.reporter.summary(summary)
        # The summary line carries the reason itself.
        told = "" if self.arguments.json or not summary["exit_code"] else summary["message"]
        reason = self.client.error or told
        if reason and not self._interrupted:
            print(f"main.py: {printable(str(reason))}", file=sys.stderr)
        return int(summary["exit_code"])

    async def _keep(self, summary: dict[str, Any]) -> None:
        """Write what is kept of the session; `summary` tells when that fails and nothing else did."""
        if self.keeping is None:
            return
        try:
            report = await asyncio.to_thread(self.keeping.close, summary)
        except VideoClientError as error:
            print(f"main.py: {printable(str(error))}", file=sys.stderr)
            summary["exit_code"] = summary["exit_code"] or int(error.exit_code)
        else:
            if report is not None and not self.arguments.json:
                self.reporter.screen.say(f"report: {report}")

    def close(self) -> None:
        """Let go of what is kept, however the run ended; idempotent."""
        if self.keeping is not None:
            self.keeping.abandon()

    def _heard(self, msg: object) -> None:
        self.reporter.heard(msg, self.client.session_id)
        if (
            not isinstance(msg, SessionStatus | LogEvent)
            or msg.session_id != self.client.session_id
        ):
            return
        if isinstance(msg, SessionStatus):
            if self.show is not None:
                self.show.heard(msg)
        elif self._unseen:
            # After its first words, which are that it starts.
            self._unseen = False
            self.reporter.word("plays without a picture; --player browser shows it in a page")

    def _start_player(self) -> None:
        """Start what shows the film while the stack starts: both take their time."""
        if self._choice.player != "none":
            # Only then: a film to nowhere starts sooner without.
            from client.players.show import Show

            words = player_arguments(self.arguments)
            self.show = Show(self._choice, words, self.client, self.reporter.word)

    def _overhear(self, msg: object) -> None:
        if self.keeping is not None:
            self.keeping.hear(msg)

    async def _until_over(self, playing: asyncio.Task[bool], drawing: asyncio.Task[None]) -> None:
        """Wait for the end of the film, then end everything that was started for it."""
        try:
            await playing
        except asyncio.CancelledError:
            if not self._interrupted:
                raise
        finally:
            if self.show is not None:
                await self.show.close()
            await self.client.stop()
            if self.pipe is not None:
                await asyncio.to_thread(self.pipe.close)
            drawing.cancel()
            await asyncio.gather(drawing, return_exceptions=True)

    def _options(self) -> PlayOptions:
        arguments = self.arguments
        common: dict[str, Any] = {
            "paced": not arguments.no_pace,
            "on_missing": arguments.on_missing,
            "policy": arguments.policy,
            "container": "raw" if arguments.raw else "auto",
        }
        if arguments.output == "-":
            self.pipe = StdoutPipe(sys.stdout.fileno())
            return PlayOptions(output="pipe", output_path=str(self.pipe.path), **common)
        if arguments.output:
            path = Path(arguments.output).absolute()
            return PlayOptions(output="file", output_path=str(path), **common)
        output: OutputKind = "none" if self._choice.player == "none" else "stream"
        return PlayOptions(output=output, **common)

    def _interrupt(self) -> None:
        if self._interrupted:
            return
        self._interrupted = True
        self._end()

    def _step_aside(self, number: signal.Signals) -> None:
        """Give the terminal back for as long as we are suspended (or for good), as the signal does by default."""
        loop = asyncio.get_running_loop()
        with self.reporter.screen.put_aside():
            loop.remove_signal_handler(number)
            os.kill(os.getpid(), number)
        loop.add_signal_handler(number, self._step_aside, number)

    def _end(self) -> None:
        """End the session, or whatever comes before there is one."""
        if self.client.playing:
            self._ending = asyncio.ensure_future(self.client.end_session())
        elif self.show is not None and self._playing is not None and self._playing.done():
            self.show.cut()
        else:
            self._interrupted = True
            if self._playing is not None:
                self._playing.cancel()
