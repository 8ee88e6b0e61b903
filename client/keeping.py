"""`--record` and `--report`: what is kept of a session beside the film."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from client.recording.files import RecordingFile
from client.recording.recorder import Recorder
from client.recording.values import End, Header, Item
from client.report.builder import ReportBuilder
from client.report.files import check_report_path, write_report
from common.errors import ExitCode, VideoClientError


class Keeping:
    """What is kept of one run of the command: a recording, a report, or both.

    Raises ConfigError, before anything is played, for a file that cannot be written or must not be.
    """

    def __init__(
        self,
        arguments: argparse.Namespace,
        *,
        command_sec: float,
        session_id: Callable[[], str | None],
    ) -> None:
        self._report_path: Path | None = arguments.report
        self._builder: ReportBuilder | None = None
        self._closed = False
        if self._report_path is not None:
            check_report_path(self._report_path)
        header = Header(
            started_unix_sec=time.time() - (time.monotonic() - command_sec),
            video_id=_in_unicode(arguments.video_id),
            output="pipe" if arguments.output == "-" else "file" if arguments.output else "none",
            paced=not arguments.no_pace,
            policy=arguments.policy,
            on_missing=arguments.on_missing,
        )
        if self._report_path is not None:
            self._builder = ReportBuilder(header)
        self._recorder = Recorder(
            header,
            zero_sec=command_sec,
            session_id=session_id,
            file=RecordingFile(arguments.record) if arguments.record is not None else None,
            listen=self._listen if self._builder is not None else None,
            warn=_warn,
        )

    def hear(self, msg: object) -> None:
        """Take a message that has just arrived; callable from any thread."""
        self._recorder.hear(msg)

    def _listen(self, at_sec: float, item: Item) -> None:
        if self._builder is not None:
            self._builder.add(at_sec, item)

    def close(self, summary: dict[str, Any]) -> Path | None:
        """End the recording and write the report, whose path is returned; raise VideoClientError if it cannot be."""
        self._end(
            End(
                session_id=summary["session_id"],
                outcome=summary["outcome"],
                exit_code=summary["exit_code"],
                error=_in_unicode(summary.get("error", "")),
            )
        )
        if self._report_path is None or self._builder is None:
            return None
        if not self._recorder.listening:
            raise VideoClientError("the report could not be made; VSTACK_LOG_LEVEL=ERROR tells why")
        write_report(self._report_path, self._builder.figures())
        return self._report_path

    def abandon(self) -> None:
        """End the recording of a run that ended by a bug; does nothing after `close`."""
        code = int(ExitCode.INTERNAL)
        self._end(End(session_id="", outcome="failed", exit_code=code, error="internal error"))

    def _end(self, end: End) -> None:
        if not self._closed:
            self._closed = True
            self._recorder.close(end)


def _in_unicode(text: str) -> str:
    """Return what can be written anywhere: arguments may hold bytes that are no text."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _warn(text: str) -> None:
    # A terminal without errors has no place for warnings either.
    with contextlib.suppress(OSError, ValueError):
        print(f"main.py: {text}", file=sys.stderr, flush=True)
