"""The command line of `main.py`."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, get_args

from client.printable import printable
from client.recording_flags import add_flags, check_flags, keeping_of
from client.reporter import Reporter
from client.smart_client import PlayOptions, SmartClient
from client.stdout import StdoutPipe
from client.terminal import open_closed_streams
from common.config import Settings, load_settings
from common.errors import ConfigError, ExitCode, VideoClientError
from common.log import configure_logging
from common.messages import Policy
from common.units import clock_text

PLAYERS = ("auto", "none")
POLICIES = get_args(Policy)
FILE_ENDINGS = (".mp4", ".m4v", ".mkv", ".ts")
EXIT_CODES = """exit codes:
  0 played to the end    1 internal error      2 wrong arguments or settings
  3 metadata service     4 no such video       5 a chunk cannot be had
  6 wrong bytes          7 output or disk      8 player did not start
  9 played with holes    130 interrupted
A --replay ends with 0, and with 2 when the file is no recording or damaged."""


def parser() -> argparse.ArgumentParser:
    """Return the argument parser."""
    made = argparse.ArgumentParser(
        prog="main.py",
        description="Play a video from a V-Stack store of unreliable nodes, without a stall.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = made.add_argument
    add("video_id", nargs="?", help="which video to play")
    add("--list", action="store_true", help="list the videos and leave")
    add("--metadata-url", help="base URL of the metadata service (METADATA_SERVICE_URL)")
    add("--player", default="auto", help=f"what shows the film: {', '.join(PLAYERS)}")
    add("--output", metavar="FILE|-", help="write the film to FILE (.mp4, .mkv, .ts) or to stdout")
    add("--raw", action="store_true", help="with --output: the chunks' bytes as they are")
    add("--no-pace", action="store_true", help="as fast as possible instead of at the film's pace")
    add("--on-missing", default="wait", help="a chunk that cannot be had: wait, skip or fail")
    add(
        "--policy", default="deadline", help="how chunks are fetched: deadline, or score to compare"
    )
    add("--workers", type=int, help="worker processes of a private stack")
    add("--give-up-after", type=float, metavar="SEC", help="fail after so long without a byte")
    add("--stop-after", type=float, metavar="SEC", help="stop after SEC seconds, with exit code 0")
    add("--dashboard", action="store_true", help="start the dashboard with the private stack")
    add("--private", action="store_true", help="do not join a running stack")
    add("--config", type=Path, metavar="FILE", help="settings in TOML")
    add("--json", action="store_true", help="one JSON object a line; the last one is the summary")
    add("--plain", action="store_true", help="plain lines on a terminal, too, and no live view")
    add("--quiet", action="store_true", help="say nothing but errors")
    add_flags(made)
    return made


def settings_from(arguments: argparse.Namespace) -> Settings:
    """Return the settings; raise ConfigError naming what is wrong."""
    return load_settings(
        {
            "metadata_service_url": arguments.metadata_url,
            "workers": arguments.workers,
            "give_up_sec": arguments.give_up_after,
        },
        config_file=arguments.config,
    )


def check_arguments(arguments: argparse.Namespace) -> None:
    """Raise ConfigError for arguments that do not go together or name nothing we know."""
    check_flags(arguments)
    if not arguments.video_id and not arguments.list and not arguments.replay:
        raise ConfigError("VIDEO_ID: name a video, or use --list to see what there is")
    if arguments.player not in PLAYERS:
        raise ConfigError(f"--player: {arguments.player!r} is none of {', '.join(PLAYERS)}")
    if arguments.on_missing not in ("wait", "skip", "fail"):
        raise ConfigError(f"--on-missing: {arguments.on_missing!r} is none of wait, skip, fail")
    if arguments.policy not in POLICIES:
        raise ConfigError(f"--policy: {arguments.policy!r} is none of {', '.join(POLICIES)}")
    if arguments.stop_after is not None and not 0 < arguments.stop_after < 1e9:
        raise ConfigError(f"--stop-after: {arguments.stop_after:g} is not a number above 0")
    if arguments.raw and not arguments.output:
        raise ConfigError("--raw: says how to write an --output, and there is none")
    output = arguments.output
    if output == "-" and arguments.json:
        raise ConfigError("--json: standard output cannot carry the film and JSON")
    if output and output != "-" and not arguments.raw:
        ending = Path(output).suffix.lower()
        if ending not in FILE_ENDINGS:
            raise ConfigError(
                f"--output: {output!r} ends with none of {', '.join(FILE_ENDINGS)} (or use --raw)"
            )


class Run:
    """One run of the command: a client, what is shown of it, and how it ends."""

    def __init__(self, arguments: argparse.Namespace, command_sec: float) -> None:
        self.arguments = arguments
        self.pipe: StdoutPipe | None = None
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
            dashboard=arguments.dashboard,
            private=True if arguments.private else None,
            on_message=lambda msg: self.reporter.heard(msg, self.client.session_id),
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
            self._playing = asyncio.create_task(
                self.client.play_video(self.arguments.video_id, options)
            )
            drawing = asyncio.create_task(self.reporter.redraw(self.client.get_status))
            if self.arguments.stop_after is not None:
                loop.call_later(self.arguments.stop_after, self._end)
            await self._until_over(self._playing, drawing)
        finally:
            screen.close()
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
        return PlayOptions(**common)

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
        else:
            self._interrupted = True
            if self._playing is not None:
                self._playing.cancel()


def list_videos(settings: Settings) -> int:
    """Print the videos of the store; return the exit code."""
    from common.catalog import Catalog

    catalog = Catalog(settings.metadata_service_url, timeout_sec=settings.request_timeout_sec)
    videos = catalog.videos(limit=1000)
    for video in videos:
        length = clock_text(video.duration_sec)
        title = printable(video.title)
        print(f"{video.video_id:<32} {length:>8} {video.total_chunks:>5} chunks  {title}")
    if not videos:
        print("no videos")
    return ExitCode.PLAYED


def main(argv: list[str] | None = None, *, command_sec: float | None = None) -> int:
    """Run the command line; return the exit code. Errors are said on stderr."""
    command_sec = command_sec or time.monotonic()
    open_closed_streams()
    configure_logging("main", level=os.environ.get("VSTACK_LOG_LEVEL") or "CRITICAL")
    arguments = parser().parse_args(argv)
    try:
        check_arguments(arguments)
        if arguments.list:
            return list_videos(settings_from(arguments))
        if arguments.replay:
            from client.replay import replay

            return replay(arguments, settings_from(arguments))
        run = Run(arguments, command_sec)
        try:
            return asyncio.run(run.play())
        finally:
            run.close()
    except VideoClientError as error:
        print(f"main.py: {printable(str(error))}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
