"""Outputs: what arrives, what is left behind, and which error tells what."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from buffer.outputs import Container, Output, OutputError, OutputSpec, open_output
from buffer.outputs.file import PartFile
from cluster.ingest import cut_video
from tests.media_fixtures import make_film, read_film


@cache
def the_chunks() -> tuple[bytes, ...]:
    with TemporaryDirectory() as directory:
        path = make_film(Path(directory) / "a.mp4")
        chunks = cut_video(path, chunk_duration_sec=1.0, max_chunk_bytes=2 << 20)
        return tuple(chunk.data for chunk in chunks)


def a_file(path: Path, container: Container = "auto") -> OutputSpec:
    return OutputSpec(kind="file", path=str(path), container=container)


class Reader(threading.Thread):
    """Reads a descriptor to its end."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self.received = b""
        self.start()

    def run(self) -> None:
        with os.fdopen(self._descriptor, "rb") as stream:
            self.received = stream.read()


def test_none_takes_everything_and_loads_no_libav() -> None:
    code = (
        "import sys; from buffer.outputs import *; o = open_output(OutputSpec());"
        "o.accept(b'x', 1.0); o.skip(1.0); o.finish(); o.abort(); o.interrupt();"
        "sys.exit('av' in sys.modules)"
    )
    root = str(Path(__file__).parents[2])
    # Only the outputs: the package's own module may load more.
    result = subprocess.run([sys.executable, "-c", code], cwd=root, timeout=30, check=False)
    assert result.returncode == 0


@pytest.mark.parametrize("name", ["a.mp4", "a.m4v", "a.mkv", "a.ts", "A.MP4"])
def test_a_file_gets_its_name_when_it_is_complete(tmp_path: Path, name: str) -> None:
    target = tmp_path / name
    output = open_output(a_file(target))
    assert output.name == str(target)
    for chunk in the_chunks():
        output.accept(chunk, 1.0)
    assert not target.exists()
    output.finish()
    output.finish()
    output.abort()
    assert [entry.name for entry in tmp_path.iterdir()] == [name]
    result = read_film(target)
    assert len(result.picture_digests) == 100
    assert result.dts_rise


def test_raw_is_the_chunks_one_behind_the_other(tmp_path: Path) -> None:
    output = open_output(a_file(tmp_path / "a.bin", "raw"))
    for data in (b"one", b"two"):
        output.accept(data, 1.0)
    output.skip(5.0)
    output.accept(b"three", 1.0)
    output.finish()
    assert (tmp_path / "a.bin").read_bytes() == b"onetwothree"


def test_skip_leaves_a_hole(tmp_path: Path) -> None:
    chunks = the_chunks()
    output = open_output(a_file(tmp_path / "a.mkv"))
    output.accept(chunks[0], 1.0)
    output.skip(1.0)
    output.accept(chunks[2], 1.0)
    output.finish()
    times = read_film(tmp_path / "a.mkv").picture_times_sec
    assert times[24:26] == pytest.approx([0.96, 2.0], abs=0.001)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_an_aborted_recording_is_a_valid_file(tmp_path: Path, name: str) -> None:
    output = open_output(a_file(tmp_path / name))
    for chunk in the_chunks()[:2]:
        output.accept(chunk, 1.0)
    output.abort()
    output.abort()
    assert [entry.name for entry in tmp_path.iterdir()] == [name]
    assert len(read_film(tmp_path / name).picture_digests) == 50


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
@pytest.mark.parametrize("end", ["finish", "abort"])
def test_nothing_written_leaves_nothing_behind(tmp_path: Path, name: str, end: str) -> None:
    getattr(open_output(a_file(tmp_path / name)), end)()
    assert list(tmp_path.iterdir()) == []


def test_an_older_file_stays_until_the_new_one_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "a.ts"
    target.write_bytes(b"older")
    output = open_output(a_file(target))
    output.accept(the_chunks()[0], 1.0)
    assert target.read_bytes() == b"older"
    output.finish()
    assert len(read_film(target).picture_digests) == 25


@pytest.mark.parametrize("name", ["a.avi", "a", "mp4"])
def test_an_unknown_extension_names_the_known_ones(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match=r"\.mp4, \.m4v, \.mkv, \.ts") as caught:
        open_output(a_file(tmp_path / name))
    assert caught.value.kind == "unwritable"
    assert list(tmp_path.iterdir()) == []


def test_targets_that_cannot_be_written_are_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "folder.mp4").mkdir()
    os.mkfifo(tmp_path / "fifo.mp4")
    for path in (
        tmp_path / "folder.mp4",
        tmp_path / "fifo.mp4",
        tmp_path / "nowhere" / "a.mp4",
        Path("/proc/a.mp4"),
    ):
        with pytest.raises(OutputError) as caught:
            open_output(a_file(path))
        assert caught.value.kind == "unwritable"
        assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_a_chunk_that_is_no_media_is_named(tmp_path: Path, name: str) -> None:
    output = open_output(a_file(tmp_path / name))
    output.accept(the_chunks()[0], 1.0)
    with pytest.raises(OutputError, match=r"chunk number 2 .*--raw") as caught:
        output.accept(b"no media", 1.0)
    assert caught.value.kind == "media"
    output.accept(the_chunks()[1], 1.0)
    output.finish()
    assert len(read_film(tmp_path / name).picture_digests) == 50


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_a_full_disk_keeps_what_was_written(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class SmallDisk:
        def __init__(self, path: Path) -> None:
            self.raw = path.open("wb", buffering=0)

        def write(self, data: memoryview) -> int:
            room = 100_000 - self.raw.tell()
            if room <= 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            return self.raw.write(data[:room]) or 0

        def __getattr__(self, attribute: str) -> object:
            return getattr(self.raw, attribute)

    def open_small(self: PartFile, path: Path) -> None:
        self._raw = SmallDisk(path)  # type: ignore[assignment]  # a disk of 100 kB
        self.failure = None

    monkeypatch.setattr(PartFile, "__init__", open_small)
    output = open_output(a_file(tmp_path / name))
    with pytest.raises(OutputError) as caught:
        play(output)
    assert caught.value.kind == "disk_full"
    with pytest.raises(OutputError) as again:
        output.accept(the_chunks()[0], 1.0)
    assert again.value.kind in ("disk_full", "closed")
    output.abort()
    assert [entry.name for entry in tmp_path.iterdir()] == [name]
    assert count_of_pictures(tmp_path / name) > 25


def play(output: Output) -> None:
    for chunk in the_chunks():
        output.accept(chunk, 1.0)
    output.finish()


def count_of_pictures(path: Path) -> int:
    import av

    count = 0
    with av.open(str(path)) as container:
        try:
            for _ in container.decode(video=0):
                count += 1
        except av.error.InvalidDataError:  # the last, torn packet
            pass
    return count


@pytest.mark.parametrize("container", ["auto", "mpegts"])
def test_a_pipe_gets_a_transport_stream(container: Container) -> None:
    read_end, write_end = os.pipe()
    reader = Reader(read_end)
    output = open_output(OutputSpec(kind="pipe", path=f"fd:{write_end}", container=container))
    for chunk in the_chunks():
        output.accept(chunk, 1.0)
    output.finish()
    reader.join()
    result = read_film(reader.received)
    assert len(result.picture_digests) == 100
    assert result.dts_rise


def test_each_chunk_goes_out_before_the_next_one_comes() -> None:
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    received = bytearray()
    output = open_output(OutputSpec(kind="pipe", path=f"fd:{write_end}"))
    for chunk in the_chunks()[:3]:
        before = len(received)
        worker = threading.Thread(target=output.accept, args=(chunk, 1.0))
        worker.start()
        while worker.is_alive() or drained(read_end, received):
            drained(read_end, received)
        assert len(received) - before > 0.8 * len(chunk)
    output.abort()
    os.close(read_end)


def drained(descriptor: int, received: bytearray) -> bool:
    try:
        data = os.read(descriptor, 65536)
    except BlockingIOError:
        return False
    received += data
    return bool(data)


def test_raw_into_a_pipe() -> None:
    read_end, write_end = os.pipe()
    reader = Reader(read_end)
    output = open_output(OutputSpec(kind="pipe", path=f"fd:{write_end}", container="raw"))
    output.accept(b"any" * 100_000, 1.0)
    output.accept(memoryview(b"bytes"), 1.0)
    output.finish()
    reader.join()
    assert reader.received == b"any" * 100_000 + b"bytes"


def test_a_fifo_waits_for_its_reader(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    output = open_output(OutputSpec(kind="pipe", path=str(fifo), container="raw"))
    worker = threading.Thread(target=output.accept, args=(b"data", 1.0))
    worker.start()
    reader = Reader(os.open(fifo, os.O_RDONLY))
    worker.join()
    output.finish()
    reader.join()
    assert reader.received == b"data"


@pytest.mark.parametrize("container", ["mpegts", "raw"])
def test_a_reader_that_leaves_closes_the_output(container: Container) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    output = open_output(OutputSpec(kind="pipe", path=f"fd:{write_end}", container=container))
    for _ in range(2):
        with pytest.raises(OutputError, match="closed the pipe") as caught:
            output.accept(the_chunks()[0], 1.0)
        assert caught.value.kind == "closed"
    output.abort()


@pytest.mark.parametrize("container", ["mpegts", "raw"])
def test_interrupt_ends_a_wait_for_a_slow_reader(container: Container) -> None:
    read_end, write_end = os.pipe()
    output = open_output(OutputSpec(kind="pipe", path=f"fd:{write_end}", container=container))
    errors: list[OutputError] = []

    def play() -> None:
        try:
            for _ in range(100):
                output.accept(the_chunks()[0], 1.0)
        except OutputError as error:
            errors.append(error)

    worker = threading.Thread(target=play)
    worker.start()
    output.interrupt()
    output.interrupt()
    worker.join()
    output.abort()
    output.interrupt()
    os.close(read_end)
    assert [error.kind for error in errors] == ["closed"]


def test_interrupt_ends_the_wait_for_a_reader_of_a_fifo(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    output = open_output(OutputSpec(kind="pipe", path=str(fifo), container="raw"))
    output.interrupt()
    with pytest.raises(OutputError) as caught:
        output.accept(b"data", 1.0)
    assert caught.value.kind == "closed"
    output.abort()


def test_abort_does_not_wait_for_a_reader_that_does_not_read() -> None:
    read_end, write_end = os.pipe()
    output = open_output(OutputSpec(kind="pipe", path=f"fd:{write_end}"))
    assert len(the_chunks()[0]) < 48_000  # less than a pipe holds
    output.accept(the_chunks()[0], 1.0)
    output.abort()
    os.close(read_end)


def test_pipes_that_cannot_be_written_are_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    specs = [
        OutputSpec(kind="pipe", path=str(tmp_path / "none")),
        OutputSpec(kind="pipe", path=str(tmp_path / "file")),
        OutputSpec(kind="pipe", path="fd:9999"),
        OutputSpec(kind="pipe", path="fd:x"),
        OutputSpec(kind="pipe", path="fd:1", container="mp4"),
    ]
    for spec in specs:
        with pytest.raises(OutputError) as caught:
            open_output(spec)
        assert caught.value.kind == "unwritable"


def test_no_media_into_a_pipe_says_what_helps() -> None:
    read_end, write_end = os.pipe()
    output = open_output(OutputSpec(kind="pipe", path=f"fd:{write_end}"))
    with pytest.raises(OutputError, match="--raw") as caught:
        output.accept(b"no media", 1.0)
    assert caught.value.kind == "media"
    output.abort()
    os.close(read_end)
