"""A session's recording as it is written: a file of its own, never more than a moment behind, in nobody's way."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from client.recording import open_recording, recorder
from client.recording.files import RecordingFile
from client.recording.recorder import Recorder
from client.recording.values import Header, Item
from common.errors import ConfigError, RecordingError
from tests.recordings import a_header, a_recording, an_end
from tests.status_builders import a_chunk, a_session, an_event, chunk_map, scheduler_status
from tests.waiting import wait_until


def a_recorder(**changed: Any) -> Recorder:
    fields: dict[str, Any] = {
        "zero_sec": time.monotonic(),
        "session_id": lambda: "s1",
        "warn": pytest.fail,
    }
    return Recorder(a_header(started_unix_sec=0.0), **(fields | changed))


def items_of(path: Path) -> list[Item]:
    with open_recording(path) as reader:
        return [item for _, item, _ in reader]


def size_of(path: Path) -> int:
    return path.stat().st_size


# ---------------------------------------------------------------- writing


def test_what_was_heard_is_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "session.vsrec"
    made = a_recorder(file=RecordingFile(path))
    made.hear(a_session())
    made.hear(an_event())
    made.close(an_end())
    made.close(an_end(exit_code=1))
    made.hear(an_event("too late"))
    assert items_of(path) == [a_session(), an_event(), an_end()]


def test_a_listener_is_told_what_the_file_holds(tmp_path: Path) -> None:
    path = tmp_path / "session.vsrec"
    told: list[tuple[float, Item]] = []
    made = a_recorder(
        file=RecordingFile(path), listen=lambda at_sec, item: told.append((at_sec, item))
    )
    for number in range(100):
        made.hear(an_event(f"event {number}"))
    made.hear(chunk_map(a_chunk(0)))
    made.close(an_end())
    assert made.listening
    assert isinstance(told[0][1], Header)
    assert [item for _, item in told[1:]] == items_of(path)
    times = [at_sec for at_sec, _ in told]
    assert times == sorted(times)


def test_a_listener_needs_no_file() -> None:
    told: list[Item] = []
    made = a_recorder(listen=lambda _, item: told.append(item))
    made.hear(an_event())
    made.close(an_end())
    assert told[1:] == [an_event(), an_end()]


def test_what_was_heard_can_be_read_soon_after_though_nobody_closes(tmp_path: Path) -> None:
    path = tmp_path / "session.vsrec"
    made = a_recorder(file=RecordingFile(path))
    try:
        made.hear(an_event())
        wait_until(lambda: size_of(path) and items_of(path) == [an_event()])
        before = size_of(path)
        made.hear(an_event("another"))
        wait_until(lambda: size_of(path) > before)
        assert items_of(path) == [an_event(), an_event("another")]
    finally:
        made.close(an_end())


def test_times_count_from_the_command_and_never_fall(tmp_path: Path) -> None:
    path = tmp_path / "session.vsrec"
    made = a_recorder(file=RecordingFile(path), zero_sec=time.monotonic() - 100)

    def talk(number: int) -> None:
        for count in range(50):
            made.hear(an_event(f"{number} {count}"))

    threads = [threading.Thread(target=talk, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    made.close(an_end())
    with open_recording(path) as reader:
        times = [at_sec for at_sec, _, _ in reader]
    assert len(times) == 201
    assert times == sorted(times)
    assert times[0] >= 100


def test_a_listener_that_fails_is_told_no_more_and_the_file_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "session.vsrec"

    def fail(_at_sec: float, _item: Item) -> None:
        raise ValueError("a bug")

    made = a_recorder(file=RecordingFile(path), listen=fail)
    made.hear(an_event())
    made.close(an_end())
    assert not made.listening
    assert items_of(path) == [an_event(), an_end()]


# ---------------------------------------------------------------- a disk that is slow or full


class UnreliableFile(RecordingFile):
    """A file whose disk can be told to be full, or to hang."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.full = False
        self.may_write = threading.Event()
        self.may_write.set()

    def append(self, data: bytes) -> None:
        self.may_write.wait()
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super().append(data)


def test_a_full_disk_ends_the_recording_with_a_warning_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "session.vsrec"
    file = UnreliableFile(path)
    warnings: list[str] = []
    told: list[Item] = []
    made = a_recorder(file=file, warn=warnings.append, listen=lambda _, item: told.append(item))
    made.hear(an_event("first"))
    wait_until(lambda: size_of(path))
    file.full = True
    made.hear(an_event("second"))
    wait_until(lambda: warnings)
    made.hear(an_event("third"))
    made.close(an_end())
    assert len(warnings) == 1
    assert str(path) in warnings[0]
    assert "No space left on device" in warnings[0]
    with open_recording(path) as reader:
        assert [item for _, item, _ in reader] == [an_event("first")]
        assert reader.end is None
        assert not reader.torn
    assert told[1:] == [an_event("first"), an_event("second"), an_event("third"), an_end()]


def test_a_block_that_did_not_fit_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "session.vsrec"
    file = RecordingFile(path)
    data = a_recording((0.0, an_event()))
    file.append(data)
    write = os.write

    def half(descriptor: int, piece: memoryview) -> int:
        if len(piece) > 100:
            return write(descriptor, piece[:100])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(OSError, match="No space"):
        file.append(bytes(150))
    monkeypatch.undo()
    file.close()
    assert path.read_bytes() == data


def test_a_disk_that_hangs_costs_records_and_not_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "session.vsrec"
    monkeypatch.setattr(recorder, "MAX_WAITING_BYTES", 100_000)
    file = UnreliableFile(path)
    file.may_write.clear()
    made = a_recorder(file=file)
    for number in range(500):
        made.hear(an_event(f"{number} {'x' * 1000}"))
    made.hear(scheduler_status())
    file.may_write.set()
    made.close(an_end())
    found = items_of(path)
    texts = [item for item in found if getattr(item, "text", "")]
    lost = sum(getattr(item, "count", 0) for item in found)
    assert 50 <= len(texts) <= 110
    assert len(texts) + lost == 500
    # What is superseded is not lost: the last state is written when the disk takes it.
    assert scheduler_status() in found
    assert found[-1] == an_end()


# ---------------------------------------------------------------- the file


def test_an_empty_file_may_be_recorded_to(tmp_path: Path) -> None:
    path = tmp_path / "session.vsrec"
    path.touch()
    a_recorder(file=RecordingFile(path)).close(an_end())
    assert items_of(path) == [an_end()]


def in_nowhere(folder: Path) -> Path:
    return folder / "missing" / "session.vsrec"


def with_something_in_it(folder: Path) -> Path:
    (folder / "notes.txt").write_text("mine")
    return folder / "notes.txt"


def a_fifo(folder: Path) -> Path:
    os.mkfifo(folder / "pipe")
    return folder / "pipe"


@pytest.mark.parametrize(
    ("place", "reason", "code"),
    [
        (with_something_in_it, "exists and is not empty", 2),
        (in_nowhere, "No such file or directory", 7),
        (lambda folder: folder, "Is a directory", 7),
        (lambda _: Path("/dev/null"), "is not a regular file", 7),
        (a_fifo, "No such device", 7),
    ],
)
def test_what_is_no_place_for_a_recording_is_refused(
    tmp_path: Path, place: Callable[[Path], Path], reason: str, code: int
) -> None:
    path = place(tmp_path)
    with pytest.raises(ConfigError) as caught:
        RecordingFile(path)
    assert str(caught.value).startswith("--record: ")
    assert reason in str(caught.value)
    assert str(path) in str(caught.value)
    assert caught.value.exit_code == code
    assert not (tmp_path / "notes.txt").exists() or (tmp_path / "notes.txt").read_text() == "mine"


def test_two_recordings_do_not_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "session.vsrec"
    first = RecordingFile(path)
    with pytest.raises(ConfigError, match="being recorded to already"):
        RecordingFile(path)
    first.close()
    first.close()
    RecordingFile(path).close()


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path, reason in (
        (tmp_path / "missing", "no such file"),
        (tmp_path, "is not a regular file"),
    ):
        with pytest.raises(RecordingError) as caught:
            open_recording(path)
        assert str(caught.value) == f"{path}: {reason}"


def test_a_disk_that_fails_while_it_is_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "session.vsrec"
    path.write_bytes(a_recording((0.0, an_event())))
    with open_recording(path) as reader:

        class Failing:
            def read(self, _size: int) -> bytes:
                raise OSError(errno.EIO, os.strerror(errno.EIO))

        guarded: Any = reader._blocks._source
        guarded._file = Failing()
        with pytest.raises(RecordingError, match=rf"{path}: cannot be read: Input/output error"):
            list(reader)
