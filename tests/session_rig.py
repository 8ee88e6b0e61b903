"""A session driven by hand: its commands collected, its output answered."""

from __future__ import annotations

from typing import Any

from buffer.commands import (
    Ask,
    Command,
    HandOver,
    SessionOptions,
    SkipInOutput,
    Tell,
)
from buffer.playback import Playback
from buffer.session import Session
from common.manifest import Manifest
from tests.builders import a_manifest, held, trouble

TICK_SEC = 0.05


class Viewing:
    """A session with its clock; chunks handed over are taken by the output at once unless told otherwise."""

    def __init__(self, manifest: Manifest | None = None, **options: Any) -> None:
        self.now_sec = 100.0
        self.core = Session(
            manifest=manifest or a_manifest(),
            options=SessionOptions(**options),
            playback=Playback(command_sec=99.5, paced=options.get("paced", True)),
        )
        self.output_is_quick = True
        self.in_output: list[int] = []
        self.handed: list[int] = []
        self.commands: list[Command] = []
        self.note(self.core.begin(self.now_sec))

    def note(self, commands: list[Command]) -> None:
        self.commands += commands
        for command in commands:
            if isinstance(command, HandOver):
                self.in_output.append(command.chunk.sequence_num)
                self.handed.append(command.chunk.sequence_num)
            elif isinstance(command, SkipInOutput):
                self.in_output.append(command.sequence_num)
        while self.output_is_quick and self.in_output:
            self.take()

    def take(self) -> None:
        """Let the output take what it was given first."""
        self.note(self.core.output_took(self.in_output.pop(0), self.now_sec))

    def arrive(self, number: int, duration_sec: float = 10.0, *, measured: bool = True) -> None:
        chunk = held(number, duration_sec)
        self.note(self.core.chunk_arrived(chunk, measured=measured, now_sec=self.now_sec))

    def pass_time(self, duration_sec: float) -> None:
        for _ in range(round(duration_sec / TICK_SEC)):
            self.now_sec += TICK_SEC
            self.note(self.core.tick(self.now_sec))

    def trouble(self, number: int, **changed: Any) -> None:
        self.note(self.core.trouble(trouble(number, **changed), self.now_sec))

    def closed(self, text: str = "") -> None:
        self.note(self.core.output_closed(text, self.now_sec))

    def count(self, kind: type[Command]) -> int:
        return sum(isinstance(command, kind) for command in self.commands)

    def told(self, kind: str) -> list[str]:
        return [c.text for c in self.commands if isinstance(c, Tell) and c.kind == kind]

    def asked(self) -> list[int]:
        """Return the chunks named in the latest demand."""
        last = [c for c in self.commands if isinstance(c, Ask)][-1]
        return [item.chunk.sequence_num for item in last.wanted]


def playing(count: int = 3, **options: Any) -> Viewing:
    """Return a viewing whose first chunk plays."""
    viewing = Viewing(a_manifest(count), **options)
    viewing.arrive(0)
    return viewing
