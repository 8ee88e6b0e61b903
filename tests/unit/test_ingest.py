"""Cutting: where, how large, how exact, and what is refused."""

from __future__ import annotations

import io
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.audio.stream import AudioStream
from av.packet import Packet
from av.stream import Stream

from cluster.canvas import Canvas
from cluster.ingest import IngestError, cut_video
from cluster.packet_times import AudioGrid, complete_video_times, fit_track_duration
from cluster.sample import make_sample_film, read_frame_number
from cluster.scenery import Scenery
from tests.media_fixtures import Film, make_film, read_film, rotate_quarter_turn

MAX_CHUNK_BYTES = 2 << 20


def durations_of(path: Path, chunk_duration_sec: float) -> list[float]:
    return [
        chunk.duration_sec
        for chunk in cut_video(
            path, chunk_duration_sec=chunk_duration_sec, max_chunk_bytes=MAX_CHUNK_BYTES
        )
    ]


def a_packet(*, pts: int | None, dts: int | None, duration: int = 1) -> Packet[Stream]:
    packet: Packet[Stream] = Packet(b"x")
    packet.pts, packet.dts, packet.duration = pts, dts, duration
    packet.time_base = Fraction(1, 25)
    return packet


def test_cuts_at_the_key_frame_nearest_to_the_duration(tmp_path: Path) -> None:
    path = make_film(tmp_path / "a.mp4", Film(duration_sec=6, gop_frames=15, audio_codec=None))
    assert durations_of(path, 1.0) == pytest.approx([1.2] * 5)  # 0.6 and 1.2 s are possible
    assert durations_of(path, 2.0) == pytest.approx([1.8, 1.8, 1.8, 0.6])


def test_never_cuts_inside_a_group_of_pictures(tmp_path: Path) -> None:
    path = make_film(tmp_path / "a.mp4", Film(duration_sec=4, gop_frames=60))
    assert durations_of(path, 1.0) == pytest.approx([2.4, 1.6])


def test_sequence_numbers_count_from_zero(tmp_path: Path) -> None:
    path = make_film(tmp_path / "a.mp4", Film(duration_sec=3))
    chunks = cut_video(path, chunk_duration_sec=1.0, max_chunk_bytes=MAX_CHUNK_BYTES)
    assert [chunk.sequence_num for chunk in chunks] == [0, 1, 2]


def test_an_earlier_key_frame_ends_a_chunk_that_would_grow_too_large(tmp_path: Path) -> None:
    path = make_film(tmp_path / "a.mp4", Film(duration_sec=4, gop_frames=10))
    whole = next(iter(cut_video(path, max_chunk_bytes=MAX_CHUNK_BYTES)))
    limit = len(whole.data) // 3
    chunks = list(cut_video(path, max_chunk_bytes=limit))
    assert len(chunks) >= 3
    assert all(len(chunk.data) <= limit for chunk in chunks)
    assert sum(chunk.duration_sec for chunk in chunks) == pytest.approx(4.0)


def test_a_group_over_the_limit_is_refused_by_name_and_size(tmp_path: Path) -> None:
    path = make_film(tmp_path / "a.mp4", Film(duration_sec=2))
    with pytest.raises(IngestError, match=r"chunk 0 would have \d+ bytes.*9000.*--reencode"):
        list(cut_video(path, chunk_duration_sec=1.0, max_chunk_bytes=9000))


def test_a_single_chunk_when_the_film_is_short(tmp_path: Path) -> None:
    path = make_film(tmp_path / "a.mp4", Film(duration_sec=2))
    assert durations_of(path, 10.0) == [2.0]


def test_audio_beyond_the_last_picture_stays_in_the_last_chunk(tmp_path: Path) -> None:
    path = make_film(tmp_path / "a.mp4", Film(duration_sec=2, audio_sec=3.5))
    *_, last = cut_video(path, chunk_duration_sec=1.0, max_chunk_bytes=MAX_CHUNK_BYTES)
    assert last.duration_sec == 1.0
    assert read_film(last.data).audio_ends_sec[-1] == pytest.approx(2.5, abs=0.03)


def test_works_while_iterated(tmp_path: Path) -> None:
    path = make_film(tmp_path / "a.mp4", Film(duration_sec=4))
    chunks = cut_video(path, chunk_duration_sec=1.0, max_chunk_bytes=MAX_CHUNK_BYTES)
    assert next(chunks).duration_sec == 1.0
    chunks.close()  # type: ignore[attr-defined]  # a generator underneath


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"just a text, nothing more\n" * 50, "not a video|cannot be read"),
        ("a.mp4", b"", "cannot be read"),
        ("a.mp4", bytes(range(256)) * 64, "cannot be read|not a video"),
        ("a.mp4", b"\x00\x00\x00\x18ftypisom" + bytes(500), "cannot be read|not a video"),
    ],
)
def test_no_media_is_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(IngestError, match=message) as caught:
        list(cut_video(path, max_chunk_bytes=MAX_CHUNK_BYTES))
    assert str(path) in str(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IngestError, match="no such file"):
        list(cut_video(tmp_path / "none.mp4", max_chunk_bytes=MAX_CHUNK_BYTES))


def test_a_picture_is_no_video(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (64, 64), (10, 90, 200)).save(tmp_path / "a.png")
    with pytest.raises(IngestError, match="not a video"):
        list(cut_video(tmp_path / "a.png", max_chunk_bytes=MAX_CHUNK_BYTES))


def test_sound_alone_has_no_video(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mp3"), "w") as out:
        audio = out.add_stream("libmp3lame", rate=48000)
        assert isinstance(audio, AudioStream)
        samples = np.zeros((2, 48000), dtype=np.float32)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="stereo")
        frame.sample_rate = 48000
        out.mux(audio.encode(frame))
        out.mux(audio.encode(None))
    with pytest.raises(IngestError, match="no video stream"):
        list(cut_video(tmp_path / "a.mp3", max_chunk_bytes=MAX_CHUNK_BYTES))


def test_a_codec_without_a_place_in_mp4_is_refused(tmp_path: Path) -> None:
    film = Film(duration_sec=1, video_codec="libvpx", audio_codec="libopus", b_frames=0)
    path = make_film(tmp_path / "a.webm", film)
    with pytest.raises(IngestError, match=r"MP4 cannot hold video coded as vp8.*--reencode"):
        list(cut_video(path, max_chunk_bytes=MAX_CHUNK_BYTES))
    chunks = list(cut_video(path, max_chunk_bytes=MAX_CHUNK_BYTES, reencode=True))
    assert [chunk.duration_sec for chunk in chunks] == pytest.approx([1.0], abs=0.001)


@pytest.mark.parametrize("limit", [200_000, 40_000])
def test_reencoding_fits_the_limit_and_cuts_on_the_second(tmp_path: Path, limit: int) -> None:
    film = Film(duration_sec=4, noise=True, gop_frames=250, bitrate_bps=4_000_000)
    path = make_film(tmp_path / "a.mp4", film)
    with pytest.raises(IngestError, match="--reencode"):
        list(cut_video(path, chunk_duration_sec=1.0, max_chunk_bytes=limit))
    chunks = list(cut_video(path, chunk_duration_sec=1.0, max_chunk_bytes=limit, reencode=True))
    assert [chunk.duration_sec for chunk in chunks] == pytest.approx([1.0] * 4)
    assert all(len(chunk.data) <= limit for chunk in chunks)
    frames = [len(read_film(chunk.data).picture_digests) for chunk in chunks]
    assert frames == [25] * 4


def test_reencoded_sound_is_complete(tmp_path: Path) -> None:
    path = make_film(tmp_path / "a.mkv", Film(duration_sec=3, audio_codec="flac"))
    chunks = cut_video(path, chunk_duration_sec=1.0, max_chunk_bytes=1 << 20, reencode=True)
    lengths = []
    for chunk in chunks:
        with av.open(io.BytesIO(chunk.data), "r") as container:
            lengths.append(sum(packet.duration or 0 for packet in container.demux(audio=0)))
    assert sum(lengths) == pytest.approx(3 * 48000, abs=2048)


def test_reencoding_turns_the_pictures_of_a_turned_film(tmp_path: Path) -> None:
    path = make_film(tmp_path / "a.mp4", Film(duration_sec=1))
    rotate_quarter_turn(path)
    (chunk,) = cut_video(path, max_chunk_bytes=1 << 20, reencode=True)
    with av.open(str(path)) as source, av.open(io.BytesIO(chunk.data), "r") as result:
        upright = next(source.decode(video=0)).to_ndarray(format="rgb24")
        turned = next(result.decode(video=0)).to_ndarray(format="rgb24")
    assert turned.shape == (160, 120, 3)
    difference = np.abs(turned.astype(int) - np.rot90(upright, -1).astype(int))
    assert difference.mean() < 12


def test_missing_decode_times_are_filled_in_before_the_known_ones() -> None:
    packets = [
        a_packet(pts=0, dts=None),
        a_packet(pts=3, dts=None),
        a_packet(pts=1, dts=0),
        a_packet(pts=2, dts=1),
    ]
    complete_video_times(packets, last_dts=None, frame_ticks=1)
    assert [packet.dts for packet in packets] == [-2, -1, 0, 1]


def test_decode_times_are_derived_when_there_are_none() -> None:
    packets = [a_packet(pts=pts, dts=None) for pts in (0, 3, 1, 2)]
    complete_video_times(packets, last_dts=None, frame_ticks=1)
    assert [packet.dts for packet in packets] == [-1, 0, 1, 2]


def test_decode_times_rise_over_the_border_of_groups() -> None:
    packets = [a_packet(pts=10, dts=7), a_packet(pts=11, dts=8)]
    complete_video_times(packets, last_dts=7, frame_ticks=1)
    assert [packet.dts for packet in packets] == [8, 9]


def test_track_duration_is_exact_even_when_decode_reaches_far_back() -> None:
    packets = [a_packet(pts=0, dts=-9), a_packet(pts=3, dts=-1), a_packet(pts=1, dts=1)]
    fit_track_duration(packets, 4)
    times = [packet.dts or 0 for packet in packets]
    assert times == sorted(set(times))
    assert all((packet.dts or 0) <= (packet.pts or 0) for packet in packets)
    assert times[-1] + (packets[-1].duration or 0) - times[0] == 4


def test_audio_in_milliseconds_returns_to_the_sample_grid(tmp_path: Path) -> None:
    path = make_film(tmp_path / "a.mkv", Film(duration_sec=2))
    with av.open(str(path)) as container:
        grid = AudioGrid(container.streams.audio[0])
        starts = []
        packets: Iterator[Packet[Stream]] = container.demux(*container.streams.audio)
        for packet in packets:
            if packet.size:
                grid.place(packet, shift_sec=Fraction(0))
                starts.append(packet.pts or 0)
    assert starts == [1024 * (index - 1) for index in range(len(starts))]


def test_sample_film_is_complete_and_numbered(tmp_path: Path) -> None:
    path = tmp_path / "sample.mp4"
    seen: list[float] = []
    make_sample_film(path, duration_sec=5, width=320, height=180, progress=seen.append)
    assert seen[-1] == 1.0
    assert [entry.name for entry in tmp_path.iterdir()] == ["sample.mp4"]
    with av.open(str(path)) as container:
        numbers = [
            read_frame_number(frame.to_ndarray(format="rgb24").astype(np.uint8))
            for frame in container.decode(video=0)
        ]
        assert container.streams.video[0].codec_context.profile == "High"
    assert numbers == list(range(125))
    assert durations_of(path, 2.0) == pytest.approx([2.0, 2.0, 1.0])


def test_ten_seconds_of_the_sample_stay_below_the_chunk_limit(tmp_path: Path) -> None:
    path = tmp_path / "sample.mp4"
    make_sample_film(path, duration_sec=11, width=480, height=272)
    first, second = cut_video(path, max_chunk_bytes=MAX_CHUNK_BYTES)
    assert first.duration_sec == 10.0
    assert 1_600_000 < len(first.data) < MAX_CHUNK_BYTES
    assert second.duration_sec == pytest.approx(1.0)


def test_the_seed_decides_the_landscape() -> None:
    def picture(seed: int) -> bytes:
        canvas = Canvas(160, 120)
        Scenery(160, 120, seed).draw(canvas, 10, 0.25, 4.0)
        return canvas.planes.tobytes()

    assert picture(1) == picture(1)
    assert picture(1) != picture(2)


def test_an_interrupted_sample_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(part: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_sample_film(
            tmp_path / "a.mp4", duration_sec=1, width=160, height=120, progress=interrupt
        )
    assert list(tmp_path.iterdir()) == []


def test_a_picture_without_bar_code_has_no_number() -> None:
    with pytest.raises(ValueError, match="no frame number"):
        read_frame_number(np.full((90, 160, 3), 128, dtype=np.uint8))
