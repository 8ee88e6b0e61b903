"""Reading hostile chunks, and remuxing chunks that do not fit together smoothly."""

from __future__ import annotations

import io
from fractions import Fraction
from functools import cache
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import pytest
from hypothesis import given, settings, strategies as st

from buffer.media import MediaError, TimelineRemuxer, probe_chunk
from cluster.ingest import cut_video
from tests.media_fixtures import Film, make_film, read_film, unshared_samples


@cache
def small_chunks(film: Film | None = None, suffix: str = ".mp4") -> tuple[bytes, ...]:
    with TemporaryDirectory() as directory:
        path = make_film(Path(directory) / f"a{suffix}", film or Film(duration_sec=2))
        chunks = cut_video(path, chunk_duration_sec=1.0, max_chunk_bytes=2 << 20)
        return tuple(chunk.data for chunk in chunks)


def a_reset_chunk(data: bytes, directory: Path) -> bytes:
    """Rewrite a chunk the way a simple cutter would: each stream's first dts becomes zero."""
    path = directory / "reset.mp4"
    with av.open(io.BytesIO(data), "r") as source, av.open(str(path), "w") as out:
        copies = {s.index: out.add_stream_from_template(s, opaque=True) for s in source.streams}
        first: dict[int, int] = {}
        for packet in source.demux():
            if packet.dts is None or packet.pts is None or not packet.size:
                continue
            zero = first.setdefault(packet.stream_index, packet.dts)
            packet.pts, packet.dts = packet.pts - zero, packet.dts - zero
            packet.stream = copies[packet.stream_index]
            out.mux(packet)
    return path.read_bytes()


def test_probe_names_what_the_chunk_holds() -> None:
    media = probe_chunk(memoryview(small_chunks()[0]))
    assert media.duration_sec == 1.0
    assert (media.video_codec, media.audio_codec) == ("h264", "aac")
    assert (media.width, media.height, media.frame_count) == (160, 120, 25)


def test_probe_of_a_chunk_without_audio() -> None:
    chunks = small_chunks(Film(duration_sec=2, audio_codec=None))
    assert probe_chunk(chunks[0]).audio_codec is None


@pytest.mark.parametrize("suffix", [".mkv", ".ts"])
def test_probe_reads_other_containers(suffix: str, tmp_path: Path) -> None:
    path = make_film(tmp_path / f"a{suffix}", Film(duration_sec=2))
    assert probe_chunk(path.read_bytes()).duration_sec == pytest.approx(2.0, abs=0.001)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x",
        b"not a film at all" * 100,
        b"#EXTM3U\n#EXTINF:10,\nfile:///etc/hostname\n",
        b"ffconcat version 1.0\nfile /etc/hostname\n",
        b"\x89PNG\r\n\x1a\n" + bytes(64),
        b"\x00\x00\x00\x18ftypisom" + bytes(100),
        b"G" * 2000,
    ],
)
def test_no_media_is_a_media_error(data: bytes) -> None:
    with pytest.raises(MediaError):
        probe_chunk(data)


def test_audio_alone_is_a_media_error(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as out:
        audio = out.add_stream("flac", rate=48000)
        frame = av.AudioFrame(format="s16", layout="stereo", samples=4608)
        frame.sample_rate, frame.pts = 48000, 0
        out.mux(audio.encode(frame))
        out.mux(audio.encode(None))
    with pytest.raises(MediaError, match="no video"):
        probe_chunk(path.read_bytes())


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.binary(max_size=4096))
def test_random_bytes_give_a_media_error(data: bytes) -> None:
    for head in (b"", b"\x00\x00\x00\x18ftypisom", b"\x1a\x45\xdf\xa3"):
        with pytest.raises(MediaError):
            probe_chunk(head + data)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    cut=st.integers(min_value=0, max_value=40_000),
    edits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=30),
    tail=st.booleans(),
)
def test_damaged_chunk_gives_a_result_or_a_media_error(
    cut: int, edits: list[tuple[float, int]], tail: bool
) -> None:
    data = bytearray(small_chunks()[0])
    index_at = data.rindex(b"moov") - 4
    for place, value in edits:
        # The index, where damage does most, gets most of it.
        first = index_at if tail else 0
        data[min(len(data) - 1, first + int(place * (len(data) - first)))] = value
    if cut < len(data) and not tail:
        del data[cut:]
    try:
        media = probe_chunk(bytes(data))
    except MediaError:
        return
    assert media.frame_count > 0


def test_a_gap_moves_what_follows(tmp_path: Path) -> None:
    first, second = small_chunks()
    remuxer = TimelineRemuxer(tmp_path / "a.mp4", "mp4")
    assert remuxer.add_chunk(first) == 1.0
    remuxer.add_gap(10.0)
    assert remuxer.add_chunk(second) == 1.0
    assert remuxer.position_sec == 12.0
    remuxer.close()
    result = read_film(tmp_path / "a.mp4")
    assert result.dts_rise
    assert result.picture_times_sec[25] == 11.0
    assert any(start == pytest.approx(11.0, abs=0.022) for start in result.audio_times_sec)
    assert result.duration_sec == pytest.approx(12.0, abs=0.04)


def test_a_gap_before_the_first_chunk(tmp_path: Path) -> None:
    remuxer = TimelineRemuxer(tmp_path / "a.mp4", "mp4")
    remuxer.add_gap(2.0)
    assert remuxer.add_chunk(small_chunks()[1]) == 1.0
    assert remuxer.position_sec == 3.0
    remuxer.close()
    assert len(read_film(tmp_path / "a.mp4").picture_digests) == 25


@pytest.mark.parametrize("container", ["mp4", "matroska", "mpegts"])
def test_chunks_with_clocks_reset_per_stream_join_without_loss(
    container: str, tmp_path: Path
) -> None:
    film = Film(duration_sec=4)
    path = make_film(tmp_path / "a.mp4", film)
    source = read_film(path)
    chunks = list(cut_video(path, chunk_duration_sec=1.0, max_chunk_bytes=2 << 20))
    remuxer = TimelineRemuxer(tmp_path / "out", container)  # type: ignore[arg-type]  # parametrised
    for chunk in chunks:
        assert remuxer.add_chunk(a_reset_chunk(chunk.data, tmp_path)) == 1.0
    remuxer.close()
    result = read_film(tmp_path / "out")
    assert result.dts_rise
    assert result.picture_digests == source.picture_digests
    assert result.picture_times_sec == pytest.approx(source.picture_times_sec, abs=0.001)
    assert unshared_samples(source, result) <= 2 * 1024
    steps = [b - a for a, b in pairwise(result.audio_times_sec)]
    assert max(steps) < 1.1 * 1024 / 48000


@pytest.mark.parametrize("container", ["mp4", "matroska"])
def test_a_change_of_size_is_refused_in_words(container: str, tmp_path: Path) -> None:
    remuxer = TimelineRemuxer(tmp_path / "out", container)  # type: ignore[arg-type]  # parametrised
    remuxer.add_chunk(small_chunks()[0])
    with pytest.raises(MediaError, match=r"160x120.*to.*192x144"):
        remuxer.add_chunk(small_chunks(Film(duration_sec=1, width=192, height=144))[0])
    remuxer.add_chunk(small_chunks()[1])
    remuxer.close()
    assert len(read_film(tmp_path / "out").picture_digests) == 50


def test_mpegts_carries_a_change_of_size(tmp_path: Path) -> None:
    other = small_chunks(Film(duration_sec=2, width=192, height=144))
    remuxer = TimelineRemuxer(tmp_path / "out.ts", "mpegts")
    remuxer.add_chunk(small_chunks()[0])
    remuxer.add_chunk(other[0])
    remuxer.close()
    with av.open(str(tmp_path / "out.ts")) as result:
        sizes = [(frame.width, frame.height) for frame in result.decode(video=0)]
    assert sizes == [(160, 120)] * 25 + [(192, 144)] * 25


def test_a_chunk_that_is_no_media_leaves_the_film_as_it_was(tmp_path: Path) -> None:
    first, second = small_chunks()
    remuxer = TimelineRemuxer(tmp_path / "out.mp4", "mp4")
    with pytest.raises(MediaError):
        remuxer.add_chunk(b"garbage")
    remuxer.add_chunk(first)
    with pytest.raises(MediaError):
        remuxer.add_chunk(second[: len(second) // 2])
    remuxer.add_chunk(second)
    remuxer.close()
    remuxer.close()
    result = read_film(tmp_path / "out.mp4")
    assert len(result.picture_digests) == 50
    assert result.dts_rise


def test_a_chunk_without_audio_leaves_a_pause(tmp_path: Path) -> None:
    silent = small_chunks(Film(duration_sec=2, audio_codec=None))
    first, second = small_chunks()
    remuxer = TimelineRemuxer(tmp_path / "out.mp4", "mp4")
    for chunk in (first, silent[1], second):
        assert remuxer.add_chunk(chunk) == 1.0
    remuxer.close()
    result = read_film(tmp_path / "out.mp4")
    assert result.picture_times_sec[-1] == pytest.approx(2.96)
    assert result.audio_times_sec[-1] > 2.9


def test_mpegts_needs_no_seeking() -> None:
    class Pipe:
        def __init__(self) -> None:
            self.received = bytearray()

        def write(self, data: bytes, /) -> int:
            self.received += data
            return len(data)

    pipe = Pipe()
    remuxer = TimelineRemuxer(pipe, "mpegts")
    for chunk in small_chunks():
        remuxer.add_chunk(chunk)
    remuxer.close()
    assert len(read_film(bytes(pipe.received)).picture_digests) == 50


def test_fragments_can_be_asked_for(tmp_path: Path) -> None:
    options = {"movflags": "frag_keyframe+delay_moov+default_base_moof"}
    remuxer = TimelineRemuxer(tmp_path / "out.mp4", "mp4", options=options)
    for chunk in small_chunks():
        remuxer.add_chunk(chunk)
    remuxer.close()
    assert (tmp_path / "out.mp4").read_bytes().count(b"moof") >= 2
    assert len(read_film(tmp_path / "out.mp4").picture_digests) == 50


def test_target_errors_come_out_as_they_are() -> None:
    class Full:
        def write(self, data: bytes, /) -> int:
            raise OSError(28, "No space left on device")

    remuxer = TimelineRemuxer(Full(), "mpegts", options={"flush_packets": "1"})
    with pytest.raises(OSError, match="No space left"):
        remuxer.add_chunk(small_chunks()[0])


def test_times_of_thirds_of_a_tick_stay_nearest() -> None:
    film = Film(duration_sec=2, fps=Fraction(24), gop_frames=24, time_base=Fraction(1, 1000))
    assert sum(probe_chunk(chunk).duration_sec for chunk in small_chunks(film)) == pytest.approx(2)
