"""The error tree and the exit codes of every program of this project.

VideoClientError
├── ConfigError            a setting or argument is wrong                 exit 2
├── ProtocolError          a message that does not fit its definition     (dropped and counted)
├── StackError             the processes could not be started or reached  exit 1
├── CatalogError           the metadata service or its manifest           exit 3 or 4
├── FetchError             a chunk could not be had                       exit 5 or 6
└── RecordingError         a recording that cannot be read                exit 2
"""

from __future__ import annotations

from enum import IntEnum
from typing import Literal


class ExitCode(IntEnum):
    """Exit codes of `main.py`; documented in docs/operations.md."""

    PLAYED = 0
    INTERNAL = 1
    USAGE = 2
    METADATA_UNREACHABLE = 3
    NO_SUCH_VIDEO = 4
    CHUNK_UNRECOVERABLE = 5
    INTEGRITY = 6
    OUTPUT = 7
    PLAYER = 8
    HOLES = 9
    BUG = 70
    CONFIGURATION = 78
    INTERRUPTED = 130


class VideoClientError(Exception):
    """Base of every error this project raises on purpose."""

    exit_code: ExitCode = ExitCode.INTERNAL


class ConfigError(VideoClientError):
    """A setting is wrong; the message names it and the accepted range."""

    exit_code = ExitCode.USAGE


class ProtocolError(VideoClientError):
    """A message does not fit its definition; the message names the field."""


class StackError(VideoClientError):
    """The processes of the stack could not be started, reached or locked."""


class PlayerError(VideoClientError):
    """A player is not there, did not start, or ended before the film did and nobody wished it."""

    exit_code = ExitCode.PLAYER


CatalogFault = Literal["unreachable", "not_found", "invalid"]


class CatalogError(VideoClientError):
    """The metadata service does not answer, knows no such video, or sends a manifest we refuse."""

    def __init__(self, message: str, *, fault: CatalogFault) -> None:
        super().__init__(message)
        self.fault: CatalogFault = fault
        self.exit_code = (
            ExitCode.NO_SUCH_VIDEO if fault == "not_found" else ExitCode.METADATA_UNREACHABLE
        )


FetchFault = Literal["unreachable", "missing", "integrity"]


class FetchError(VideoClientError):
    """A chunk could not be had from any of its replicas."""

    def __init__(self, message: str, *, fault: FetchFault, retryable: bool) -> None:
        super().__init__(message)
        self.fault: FetchFault = fault
        self.retryable = retryable
        self.exit_code = (
            ExitCode.INTEGRITY if fault == "integrity" else ExitCode.CHUNK_UNRECOVERABLE
        )


class RecordingError(VideoClientError):
    """A file is no recording, or a damaged one; the message names the file, the place and the reason."""

    exit_code = ExitCode.USAGE
