"""mpv's JSON IPC: its events and the commands for it. No I/O, no clock, no randomness."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal, get_args

Property = Literal[
    "time-pos",
    "pause",
    "paused-for-cache",
    "speed",
    "seeking",
    "eof-reached",
    "frame-drop-count",
]
PROPERTIES: tuple[Property, ...] = get_args(Property)
Value = str | float | bool


@dataclass(frozen=True, slots=True)
class PropertyChanged:
    """A property that was observed has a new value, None for none."""

    name: Property
    value: float | bool | None


@dataclass(frozen=True, slots=True)
class SeekBegan:
    """A jump was begun."""


@dataclass(frozen=True, slots=True)
class PlaybackRestarted:
    """The first picture after the start or a jump is shown."""


@dataclass(frozen=True, slots=True)
class FileEnded:
    """The film is over: `reason` is eof, quit, stop, error or redirect."""

    reason: str
    error: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A command failed."""

    request_id: int


MpvEvent = PropertyChanged | SeekBegan | PlaybackRestarted | FileEnded | Refused


def event_from(line: bytes) -> MpvEvent | None:
    """Return what a line tells; None for what is of no interest or no line of mpv's."""
    try:
        told = json.loads(line)
    except ValueError:
        return None
    if not isinstance(told, dict):
        return None
    match told.get("event"):
        case "property-change":
            return _property(told.get("name"), told.get("data"))
        case "seek":
            return SeekBegan()
        case "playback-restart":
            return PlaybackRestarted()
        case "end-file":
            return FileEnded(str(told.get("reason", "")), str(told.get("file_error", "")))
        case None:
            number = told.get("request_id")
            if isinstance(number, int) and told.get("error") != "success":
                return Refused(number)
    return None


def _property(name: object, value: object) -> PropertyChanged | None:
    for known in PROPERTIES:
        if name == known:
            plain = isinstance(value, int | float | bool)
            return PropertyChanged(known, value if plain else None)  # type: ignore[arg-type]
    return None


def command_line(words: tuple[Value, ...], request_id: int = 0) -> bytes:
    """Return a command as mpv takes it."""
    return json.dumps({"command": list(words), "request_id": request_id}).encode() + b"\n"
