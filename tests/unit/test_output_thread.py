"""The output's thread: order, reports, spill files, and ends."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from buffer.live import OutputThread, spill_path
from buffer.outputs import OutputError
from tests.builders import held


class Recorder:
    """An output that notes what it is told, and may be made to wait or to fail."""

    name = "recorder"
    begun = True

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.data: list[bytes] = []
        self.gate = threading.Event()
        self.gate.set()
        self.error: Exception | None = None

    def accept(self, data: bytes | memoryview, duration_sec: float) -> None:
        self._do(f"accept {duration_sec:g}")
        self.data.append(bytes(data))

    def skip(self, duration_sec: float) -> None:
        self._do(f"skip {duration_sec:g}")

    def finish(self) -> None:
        self._do("finish")

    def abort(self) -> None:
        self._do("abort")

    def interrupt(self) -> None:
        self.calls.append("interrupt")
        self.error = OutputError("interrupted", kind="closed")
        self.gate.set()

    def _do(self, call: str) -> None:
        assert self.gate.wait(20)
        self.calls.append(call)
        if self.error is not None:
            error, self.error = self.error, None
            raise error


class Loop:
    """Stands for the service's loop: calls are run by the test's own thread."""

    def __init__(self) -> None:
        self.calls: queue.Queue[Callable[[], None]] = queue.Queue()
        self.events: list[str] = []

    def turn(self) -> str:
        """Run the next call and return what it reported."""
        self.calls.get(timeout=20)()
        return self.events[-1]

    def note(self, event: str) -> Callable[[], None]:
        return lambda: self.events.append(event)

    def note_text(self, event: str) -> Callable[[str], None]:
        return lambda text: self.events.append(f"{event}: {text}")


@pytest.fixture
def output() -> Recorder:
    return Recorder()


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def thread(output: Recorder, loop: Loop, tmp_path: Path) -> Iterator[OutputThread]:
    made = OutputThread(output, tmp_path / "spill", loop.calls.put)
    yield made
    output.gate.set()
    made.close(complete=False, closed=loop.note_text("closed at the end"))
    made.join(20)


def test_calls_are_carried_out_in_order_and_reported_in_the_loop(
    thread: OutputThread, output: Recorder, loop: Loop
) -> None:
    output.gate.clear()
    thread.accept(held(0), loop.note("took 0"), loop.note_text("failed"))
    thread.skip(7.5, loop.note("took hole"), loop.note_text("failed"))
    thread.close(complete=True, closed=loop.note_text("closed"))
    assert output.calls == [], "the loop does not wait for the output"
    output.gate.set()
    assert [loop.turn() for _ in range(3)] == ["took 0", "took hole", "closed: "]
    assert output.calls == ["accept 10", "skip 7.5", "finish"]
    thread.join(20)
    assert not thread._thread.is_alive()


def test_an_output_that_refuses_is_reported(
    thread: OutputThread, output: Recorder, loop: Loop
) -> None:
    output.error = OutputError("no space left on device", kind="unwritable")
    thread.accept(held(0), loop.note("took"), loop.note_text("failed"))
    assert loop.turn() == "failed: no space left on device"


@pytest.mark.parametrize("error", [OSError(28, "No space left"), ValueError("a bug of ours")])
def test_whatever_goes_wrong_is_reported_and_the_thread_lives_on(
    thread: OutputThread, output: Recorder, loop: Loop, error: Exception
) -> None:
    output.error = error
    thread.accept(held(0), loop.note("took"), loop.note_text("failed"))
    assert loop.turn().startswith("failed: ")
    thread.skip(1, loop.note("took"), loop.note_text("failed"))
    assert loop.turn() == "took"


def test_closing_early_interrupts_what_waits(
    thread: OutputThread, output: Recorder, loop: Loop
) -> None:
    output.gate.clear()
    thread.accept(held(0), loop.note("took"), loop.note_text("failed"))
    thread.close(complete=False, closed=loop.note_text("closed"))
    assert [loop.turn(), loop.turn()] == ["failed: interrupted", "closed: "]
    assert output.calls == ["interrupt", "accept 10", "abort"]


def test_an_output_that_cannot_be_finished_says_why(
    thread: OutputThread, output: Recorder, loop: Loop
) -> None:
    output.error = OutputError("disk full", kind="unwritable")
    thread.close(complete=True, closed=loop.note_text("closed"))
    assert loop.turn() == "closed: disk full"


def test_a_spilled_chunk_is_read_back_and_its_file_removed(
    thread: OutputThread, output: Recorder, loop: Loop, tmp_path: Path
) -> None:
    chunk = held(3)
    path = spill_path(tmp_path / "spill", chunk)
    path.parent.mkdir()
    path.write_bytes(b"from disk")
    chunk.data = None
    thread.accept(chunk, loop.note("took"), loop.note_text("failed"))
    assert loop.turn() == "took"
    assert output.data == [b"from disk"]
    assert not path.exists()


def test_a_spill_file_that_is_gone_is_a_failure(thread: OutputThread, loop: Loop) -> None:
    chunk = held(3)
    chunk.data = None
    thread.accept(chunk, loop.note("took"), loop.note_text("failed"))
    assert loop.turn().startswith("failed: ")
