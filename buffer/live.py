"""One session between its pure core and the world: the output's thread, spill files, messages."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import assert_never

from buffer.commands import (
    Ask,
    CloseOutput,
    Command,
    CountView,
    HandOver,
    RefreshManifest,
    SkipInOutput,
    Spill,
    Tell,
)
from buffer.following import Following
from buffer.outputs import Output, OutputError
from buffer.session import Session
from buffer.store import HeldChunk

logger = logging.getLogger(__name__)

# What is wanted changes when a chunk comes and when the output has taken one: in fast sessions that is all the time.
ASK_SPACING_SEC = 0.01

CallSoon = Callable[[Callable[[], None]], None]
# A chunk's bytes, and where it begins in the film.
Found = Future[tuple[bytes | memoryview, float]]


class OutputThread:
    """Runs one output's blocking methods in order, and reports each to the loop."""

    def __init__(self, output: Output, spill_dir: Path, call_soon: CallSoon) -> None:
        self.output = output
        self._spill_dir = spill_dir
        self._call_soon = call_soon
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="output", daemon=False)
        self._thread.start()

    def accept(
        self, chunk: HeldChunk, took: Callable[[], None], failed: Callable[[str], None]
    ) -> None:
        """Write a chunk, from memory or from its spill file."""

        def work() -> None:
            data = chunk.data
            path = spill_path(self._spill_dir, chunk)
            if data is None:
                data = path.read_bytes()
                path.unlink(missing_ok=True)
            self.output.accept(data, chunk.duration_sec)

        self._submit(work, took, failed)

    def skip(
        self, duration_sec: float, took: Callable[[], None], failed: Callable[[str], None]
    ) -> None:
        """Write a hole."""
        self._submit(lambda: self.output.skip(duration_sec), took, failed)

    def close(self, *, complete: bool, closed: Callable[[str], None]) -> None:
        """End the output after what it was given; early when the film is not complete."""
        if not complete:
            self.output.interrupt()
        finish = self.output.finish if complete else self.output.abort
        self._submit(finish, lambda: closed(""), closed)
        self._work.put(None)

    def join(self, timeout_sec: float) -> None:
        """Wait for the thread, which ends after `close`."""
        self._thread.join(timeout_sec)

    def _submit(
        self, work: Callable[[], None], done: Callable[[], None], failed: Callable[[str], None]
    ) -> None:
        def run() -> None:
            try:
                work()
            except (OutputError, OSError) as error:
                text = str(error)
                self._call_soon(lambda: failed(text))
            except Exception as error:
                logger.exception("output failed output=%s", self.output.name)
                text = f"{self.output.name}: {error}"
                self._call_soon(lambda: failed(text))
            else:
                self._call_soon(done)

        self._work.put(run)

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            work()


def spill_path(spill_dir: Path, chunk: HeldChunk) -> Path:
    """Return where a chunk lies while memory is short."""
    return spill_dir / f"{chunk.sequence_num}.chunk"


@dataclass(frozen=True, slots=True)
class Wish:
    """What the players of a session were told last: a new `serial` each time."""

    serial: int = 0
    paused: bool = False
    position_sec: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """What a session needs of the process it lives in."""

    send_demand: Callable[[Ask], None]
    after: Callable[[float, Callable[[], None]], None]
    tell: Callable[[Tell], None]
    refresh: Callable[[], None]
    count_view: Callable[[], None]


@dataclass(slots=True)
class LiveSession:
    """A session, its output and its files."""

    session_id: str
    core: Session
    thread: OutputThread
    spill_dir: Path
    metadata_url: str
    output_text: str
    manifest_sec: float
    owner_lease_sec: float
    started_unix_sec: float
    owner_seen_sec: float
    hooks: Hooks
    can_be_watched: bool = False
    stream_url: str = ""
    ended_sec: float | None = None
    chunks_changed: bool = True
    following: Following = field(init=False)
    wish: Wish = Wish()
    _asked_sec: float = 0.0
    _to_ask: Ask | None = None
    # Players that wait for chunks.
    _waiting: dict[int, list[Found]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.following = Following(self.core)

    def pause(self, paused: bool, now_sec: float) -> None:
        """Pause or go on, players included."""
        self.wish = Wish(self.wish.serial + 1, paused)
        self.execute(self.core.pause(paused, now_sec))

    def seek(self, position_sec: float, now_sec: float) -> None:
        """Move the playhead, and the players."""
        self.execute(self.core.seek(position_sec, now_sec))
        playback = self.core.playback
        self.wish = Wish(self.wish.serial + 1, playback.state == "paused", playback.position_sec)

    def want(self, number: int, found: Found) -> None:
        """Give a player a chunk as soon as it is here; LookupError where that will never be."""
        if not 0 <= number < len(self.core.manifest.chunks):
            found.set_exception(LookupError(f"the film has no segment {number}"))
            return
        self._waiting.setdefault(number, []).append(found)
        self.execute(self.following.asked(number, time.monotonic()))

    def want_no_more(self, number: int, found: Found) -> None:
        """A player waits no longer."""
        waiting = self._waiting.get(number, [])
        if found in waiting:
            waiting.remove(found)
        if not waiting and self._waiting.pop(number, None) is not None:
            self.execute(self.core.want_no_more(number, time.monotonic()))

    def execute(self, commands: list[Command]) -> None:
        """Carry out what the core decided."""
        for command in commands:
            match command:
                case Ask():
                    self._ask(command)
                case HandOver():
                    self._hand_over(command.chunk)
                case SkipInOutput():
                    self._skip(command)
                case Spill():
                    self._spill(command.chunk)
                case CloseOutput():
                    self.thread.close(complete=command.complete, closed=self._closed)
                case RefreshManifest():
                    self.hooks.refresh()
                case CountView():
                    self.hooks.count_view()
                case Tell():
                    self.hooks.tell(command)
                case _:
                    assert_never(command)
        self.chunks_changed = self.chunks_changed or bool(commands)
        if self._waiting:
            self._serve_waiting()

    def _serve_waiting(self) -> None:
        for number in list(self._waiting):
            chunk = self.core.store.find(number)
            over = self.core.closing or number in self.core.missing
            if chunk is None and not over:
                continue
            data = None if chunk is None else self._bytes_of(chunk)
            for found in self._waiting.pop(number, []):
                if data is None:
                    found.set_exception(LookupError(f"segment {number} is not to be had any more"))
                else:
                    found.set_result((data, self.core.timeline.start_sec(number)))
            if data is not None:
                self.execute(self.following.served(number, time.monotonic()))

    def _bytes_of(self, chunk: HeldChunk) -> bytes | memoryview | None:
        if chunk.data is not None:
            return chunk.data
        with contextlib.suppress(OSError):
            return spill_path(self.spill_dir, chunk).read_bytes()
        return None

    def _ask(self, ask: Ask) -> None:
        """Say what is wanted now; a second word within a moment waits for the moment's end, the last one counts."""
        if self.core.closing or time.monotonic() - self._asked_sec >= ASK_SPACING_SEC:
            self._to_ask, self._asked_sec = None, time.monotonic()
            self.hooks.send_demand(ask)
            return
        if self._to_ask is None:
            self.hooks.after(ASK_SPACING_SEC, self._ask_what_waited)
        self._to_ask = ask

    def _ask_what_waited(self) -> None:
        if self._to_ask is not None:
            self._ask(self._to_ask)

    def _hand_over(self, chunk: HeldChunk) -> None:
        number = chunk.sequence_num
        self.thread.accept(chunk, lambda: self._took(number), self._failed)

    def _skip(self, command: SkipInOutput) -> None:
        number = command.sequence_num
        self.thread.skip(command.duration_sec, lambda: self._took(number), self._failed)

    def _took(self, number: int) -> None:
        self.execute(self.core.output_took(number, time.monotonic()))

    def _failed(self, text: str) -> None:
        self.execute(self.core.output_failed(text))

    def _closed(self, text: str) -> None:
        self.execute(self.core.output_closed(text, time.monotonic()))
        self.ended_sec = time.monotonic()
        self.core.store.clear()
        self.clear_spill()

    def _spill(self, chunk: HeldChunk) -> None:
        """Write a chunk out; a disk that refuses costs memory, not the film."""
        if chunk.data is None:
            return
        try:
            self.spill_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            spill_path(self.spill_dir, chunk).write_bytes(chunk.data)
        except OSError as error:
            logger.warning("chunk stays in memory seq=%d error=%s", chunk.sequence_num, error)
            return
        chunk.data = None

    def clear_spill(self) -> None:
        """Remove the spill files."""
        with contextlib.suppress(OSError):
            for path in self.spill_dir.glob("*.chunk"):
                path.unlink(missing_ok=True)
            self.spill_dir.rmdir()
