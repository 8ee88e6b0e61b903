"""Where played media goes: nowhere, into a file, or into a pipe.

An output's methods block, are called from one thread, and raise OutputError; only `interrupt` may
be called from another one. The modules behind `open_output` are imported when they are asked for,
so that playing to nowhere does not load libav.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal, Protocol, assert_never

from common.messages import OutputKind

OutputErrorKind = Literal["unwritable", "disk_full", "closed", "media"]
Container = Literal["auto", "mp4", "matroska", "mpegts", "raw"]

FILE_CONTAINERS: dict[str, Literal["mp4", "matroska", "mpegts"]] = {
    ".mp4": "mp4",
    ".m4v": "mp4",
    ".mkv": "matroska",
    ".ts": "mpegts",
}


class OutputError(Exception):
    """An output cannot go on; `kind` decides what the caller does, the message is for people."""

    def __init__(self, message: str, *, kind: OutputErrorKind) -> None:
        super().__init__(message)
        self.kind: OutputErrorKind = kind


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputSpec:
    """What to open; `path` of a pipe is a FIFO or `fd:N`, and means nothing for `none`."""

    kind: OutputKind = "none"
    path: str = ""
    container: Container = "auto"


class Output(Protocol):
    """Takes verified chunks in playing order."""

    name: str

    @property
    def begun(self) -> bool:
        """Whether the first byte was taken, where that can be told before `accept` returns."""

    def accept(self, data: bytes | memoryview, duration_sec: float) -> None:
        """Write one chunk. `duration_sec` is its length where the bytes do not tell."""

    def skip(self, duration_sec: float) -> None:
        """Leave a hole for a chunk that could not be had."""

    def finish(self) -> None:
        """End the output properly after the last chunk. Idempotent."""

    def abort(self) -> None:
        """End it early, keeping what is there; never raises. Idempotent, also after `finish`."""

    def interrupt(self) -> None:
        """Make a blocked call raise OutputError(kind="closed"); from any thread, never blocks."""


def open_output(spec: OutputSpec) -> Output:
    """Open the output. Raises OutputError before any media is fetched for nothing."""
    match spec.kind:
        case "none" | "stream":
            # Players take what the session holds; nothing is pushed to them.
            from buffer.outputs.null import NullOutput

            return NullOutput()
        case "file":
            container = file_container(spec)
            from buffer.outputs.file import FileOutput

            return FileOutput(spec.path, container)
        case "pipe":
            if spec.container not in ("auto", "mpegts", "raw"):
                raise OutputError(
                    f"a pipe carries mpegts or raw bytes, not {spec.container}", kind="unwritable"
                )
            from buffer.outputs.pipe import PipeOutput

            return PipeOutput(spec.path, "raw" if spec.container == "raw" else "mpegts")
        case _:
            assert_never(spec.kind)


def file_container(spec: OutputSpec) -> Literal["mp4", "matroska", "mpegts", "raw"]:
    """Return the container of a file output; `auto` follows the extension."""
    if spec.container != "auto":
        return spec.container
    suffix = PurePath(spec.path).suffix.lower()
    if suffix not in FILE_CONTAINERS:
        raise OutputError(
            f"{spec.path}: unknown extension {suffix or '(none)'}; "
            f"accepted are {', '.join(FILE_CONTAINERS)}, or --raw with any name",
            kind="unwritable",
        )
    return FILE_CONTAINERS[suffix]
