"""`--replay`: a recording in the dashboard, or made into a report; nothing is played."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

from client.recording import open_recording
from client.recording.files import OpenRecording
from client.recording.playing import steps
from client.recording.records import Reader
from client.recording_flags import shows_dashboard
from client.report.builder import ReportBuilder
from client.report.figures import Figures
from client.report.files import check_report_path, write_report
from common.config import Settings
from common.errors import ConfigError, ExitCode, RecordingError
from common.messages import CommandResult, ViewerReport
from common.units import clock_text
from dashboard.control import Command, StackAbsent
from dashboard.feed import Feed, StackSight
from dashboard.service import serve

logger = logging.getLogger(__name__)


def replay(arguments: argparse.Namespace, settings: Settings) -> int:
    """Make a report of the recording, show it in the dashboard, or both; return the exit code."""
    path: Path = arguments.replay
    if arguments.report is not None:
        check_report_path(arguments.report)
        figures = read_figures(path)
        write_report(arguments.report, figures)
        if arguments.json:
            print(json.dumps({"event": "summary", **figures.summary}, allow_nan=False), flush=True)
        elif not arguments.quiet:
            print(f"report: {arguments.report}", flush=True)
    if not shows_dashboard(arguments):
        return int(ExitCode.PLAYED)
    return _show(path, settings, arguments.replay_speed or 1.0, quiet=arguments.quiet)


def read_figures(path: Path) -> Figures:
    """Return the figures of a recording; raise RecordingError where it is damaged."""
    with open_recording(path) as reader:
        builder = ReportBuilder(reader.header)
        for at_sec, item, _ in reader:
            builder.add(at_sec, item)
        return builder.figures()


def _show(path: Path, settings: Settings, speed: float, *, quiet: bool) -> int:
    made: list[ReplayLink] = []
    recording = open_recording(path)
    try:
        if not quiet:
            print(f"{name_of(recording.reader)} (Ctrl-C ends it)", flush=True)

        def link_for(feed: Feed) -> ReplayLink:
            made.append(ReplayLink(feed, recording, speed))
            return made[0]

        code = serve(settings, link_for)
    except ConfigError as error:
        # The dashboard's own command has a flag for its port.
        raise ConfigError(str(error).removesuffix(" or --port")) from error
    finally:
        recording.close()
    if code:
        return int(ExitCode.INTERNAL)
    return int(ExitCode.USAGE) if made[0].damage else int(ExitCode.PLAYED)


def name_of(reader: Reader) -> str:
    """Return what a page calls the recording."""
    moment = datetime.fromtimestamp(reader.header.started_unix_sec, tz=UTC).astimezone()
    return f"Recording of {moment:%Y-%m-%d %H:%M:%S}"


class ReplayLink:
    """Fills a feed from a recording at the pace at which it was made, or `speed` times faster.

    At the end it rests: the feed keeps what it was told last. `damage` says where a file that cannot be read to its end
    is damaged.
    """

    def __init__(self, feed: Feed, recording: OpenRecording, speed: float) -> None:
        self.failed = False
        self.damage = ""
        self._feed = feed
        self._reader = recording.reader
        self._speed = speed
        self._name = name_of(recording.reader)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="replay")

    def start(self) -> None:
        """Begin to replay."""
        pace = f", {self._speed:g} times as fast as it was" if self._speed != 1 else ""
        self._feed.name_recording(f"{self._name}{pace}")
        self._thread.start()

    def stop(self) -> None:
        """End the replay; idempotent."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def ask(self, command: Command, timeout_sec: float) -> CommandResult:  # noqa: ARG002
        """Refuse: what was, can be watched and not changed."""
        raise StackAbsent(f"{self._name}: a recording can be watched, not controlled")

    def tell(self, report: ViewerReport) -> None:  # noqa: ARG002
        """Refuse: nothing of a recording is shown by a player."""
        raise StackAbsent(f"{self._name}: a recording cannot be played")

    def _run(self) -> None:
        try:
            self._replay()
        except Exception:
            self.failed = True
            logger.exception("the replay failed")
            self._feed.stopping.set()

    def _replay(self) -> None:
        began_sec = time.monotonic()
        at_sec = 0.0
        started_unix_sec = self._reader.header.started_unix_sec
        try:
            for at_sec, msg in steps(self._reader):
                wait_sec = began_sec + at_sec / self._speed - time.monotonic()
                if self._stopping.wait(max(0.0, wait_sec)):
                    return
                if msg is not None:
                    self._feed.apply(msg, started_unix_sec + at_sec)
                else:
                    self._feed.tick(StackSight(), started_unix_sec + at_sec)
        except RecordingError as error:
            self.damage = str(error)
            print(f"main.py: {error}; shown up to there", file=sys.stderr, flush=True)
        self._feed.name_recording(f"{self._name}: {self._end_text(at_sec)}")

    def _end_text(self, at_sec: float) -> str:
        if self.damage:
            return f"the file is damaged after {clock_text(at_sec)}; this is what was known there."
        if self._reader.end is None:
            return f"it breaks off after {clock_text(at_sec)}; this is what was known there."
        return "this is its end."
