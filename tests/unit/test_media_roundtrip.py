"""A film cut into chunks and remuxed is the film: pictures, sound, times, in every container."""

from __future__ import annotations

import io
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Literal

import av
import pytest

from buffer.media import MediaError, TimelineRemuxer, probe_chunk
from cluster.ingest import MediaChunk, cut_video
from tests.media_fixtures import (
    Film,
    Reading,
    audio_payload_digest,
    make_film,
    read_film,
    rotate_quarter_turn,
    unshared_samples,
)

ContainerName = Literal["mp4", "matroska", "mpegts"]
SUFFIXES: dict[ContainerName, str] = {"mp4": ".mp4", "matroska": ".mkv", "mpegts": ".ts"}
MAX_CHUNK_BYTES = 2 << 20

FILMS: dict[str, tuple[str, Film]] = {
    "b_frames": ("a.mp4", Film()),
    "open_gop": ("a.mp4", Film(open_gop=True, gop_frames=26)),
    "open_gop_hevc": (
        "a.mp4",
        Film(video_codec="libx265", open_gop=True, gop_frames=26, b_frames=3),
    ),
    "open_gop_mpeg2": (
        "a.ts",
        Film(video_codec="mpeg2video", gop_frames=24, audio_codec="mp2"),
    ),
    "ntsc_44100": ("a.mp4", Film(fps=Fraction(30000, 1001), sample_rate_hz=44100)),
    "odd_time_base": (
        "a.mp4",
        Film(fps=Fraction(24000, 1001), time_base=Fraction(1001, 24000)),
    ),
    "variable_rate": ("a.mp4", Film(variable_rate=True, time_base=Fraction(1, 90000))),
    "variable_rate_matroska": ("a.mkv", Film(variable_rate=True)),
    "fifty_fps": ("a.mp4", Film(fps=Fraction(50), gop_frames=50, duration_sec=3)),
    "matroska": ("a.mkv", Film()),
    "mpegts": ("a.ts", Film()),
    "avi_mpeg4_mp3": ("a.avi", Film(video_codec="mpeg4", audio_codec="libmp3lame")),
    "mp3": ("a.mp4", Film(audio_codec="libmp3lame")),
    "ac3": ("a.ts", Film(audio_codec="ac3")),
    "opus": ("a.mkv", Film(audio_codec="libopus")),
    "flac": ("a.mkv", Film(audio_codec="flac")),
    "pcm": ("a.mov", Film(audio_codec="pcm_s16le")),
    "vp9_opus": ("a.webm", Film(video_codec="libvpx-vp9", audio_codec="libopus", b_frames=0)),
    "no_audio": ("a.mp4", Film(audio_codec=None)),
    "late_audio": ("a.mp4", Film(audio_delay_sec=0.5)),
    "late_video": ("a.mp4", Film(video_delay_sec=0.48)),
    "short_audio": ("a.mp4", Film(audio_sec=1.7)),
    "long_audio": ("a.mp4", Film(audio_sec=5.5)),
}
NOT_IN_MPEGTS = {"flac": "flac", "pcm": "pcm_s16le", "vp9_opus": "vp9"}


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Reading]]:
    return {}


def the_film(
    films: dict[str, tuple[Path, Reading]],
    tmp_path_factory: pytest.TempPathFactory,
    name: str,
) -> tuple[Path, Reading]:
    if name not in films:
        file_name, film = FILMS[name]
        path = make_film(tmp_path_factory.mktemp(name) / file_name, film)
        films[name] = (path, read_film(path))
    return films[name]


def chunks_of(path: Path, *, chunk_duration_sec: float = 1.0) -> list[MediaChunk]:
    return list(
        cut_video(path, chunk_duration_sec=chunk_duration_sec, max_chunk_bytes=MAX_CHUNK_BYTES)
    )


def remux(chunks: list[MediaChunk], target: Path, container: ContainerName) -> list[float]:
    remuxer = TimelineRemuxer(target, container)
    added = [remuxer.add_chunk(chunk.data) for chunk in chunks]
    remuxer.close()
    return added


@pytest.mark.parametrize("container", list(SUFFIXES))
@pytest.mark.parametrize("name", list(FILMS))
def test_cut_and_remuxed_film_equals_its_source(
    name: str,
    container: ContainerName,
    films: dict[str, tuple[Path, Reading]],
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path, source = the_film(films, tmp_path_factory, name)
    chunks = chunks_of(path)
    assert len(chunks) > 2
    target = tmp_path / f"out{SUFFIXES[container]}"
    if container == "mpegts" and name in NOT_IN_MPEGTS:
        with pytest.raises(MediaError, match=NOT_IN_MPEGTS[name]):
            remux(chunks, target, container)
        return

    added = remux(chunks, target, container)
    result = read_film(target)

    assert result.dts_rise
    assert result.picture_digests == source.picture_digests
    # Matroska counts milliseconds, and so does a Matroska source.
    assert result.picture_times_sec == pytest.approx(source.picture_times_sec, abs=0.0011)
    if name == "open_gop_mpeg2":  # MP4 has one id for MPEG audio, and libav one decoder per layer
        assert audio_payload_digest(target) == audio_payload_digest(path)
    else:  # at most one frame of priming and one of padding, which not every container records
        assert unshared_samples(source, result) <= 2 * 1152
    if name != "pcm":  # demuxers group its samples as they like
        assert result.audio_times_sec == pytest.approx(source.audio_times_sec, abs=0.0021)
    frame_sec = 1 / float(FILMS[name][1].fps)
    # Players without a record of the codec's priming count it: an audio frame at each end.
    priming_sec = 0.0 if container == "mp4" or not source.audio_times_sec else 2 * 1024 / 44100
    assert result.duration_sec == pytest.approx(source.duration_sec, abs=frame_sec + priming_sec)
    assert sum(added) == pytest.approx(sum(c.duration_sec for c in chunks), abs=1e-6)
    assert [probe_chunk(c.data).duration_sec for c in chunks] == pytest.approx(
        [c.duration_sec for c in chunks], abs=1e-9
    )


@pytest.mark.parametrize("name", ["b_frames", "ntsc_44100", "odd_time_base", "variable_rate"])
def test_mp4_to_mp4_keeps_every_time_and_duration_exactly(
    name: str,
    films: dict[str, tuple[Path, Reading]],
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path, source = the_film(films, tmp_path_factory, name)
    remux(chunks_of(path), tmp_path / "out.mp4", "mp4")
    result = read_film(tmp_path / "out.mp4")
    assert result.picture_times_sec == source.picture_times_sec
    assert result.audio_times_sec == source.audio_times_sec
    assert result.audio_ends_sec == source.audio_ends_sec
    assert result.audio_samples == source.audio_samples
    assert result.duration_sec == source.duration_sec
    assert audio_payload_digest(tmp_path / "out.mp4") == audio_payload_digest(path)


@pytest.mark.parametrize("name", ["b_frames", "mpegts", "mp3", "opus", "matroska", "ac3"])
def test_audio_has_no_gap_and_no_overlap_at_chunk_borders(
    name: str,
    films: dict[str, tuple[Path, Reading]],
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path, _ = the_film(films, tmp_path_factory, name)
    remux(chunks_of(path), tmp_path / "out.mp4", "mp4")
    result = read_film(tmp_path / "out.mp4")
    gaps = [
        start - end
        for end, start in zip(result.audio_ends_sec, result.audio_times_sec[1:], strict=False)
    ]
    assert max(map(abs, gaps)) < 0.0011


@pytest.mark.parametrize("container", list(SUFFIXES))
def test_display_rotation_survives(container: ContainerName, tmp_path: Path) -> None:
    path = make_film(tmp_path / "turned.mp4", Film(duration_sec=2))
    rotate_quarter_turn(path)
    with av.open(str(path)) as source:
        turned = next(source.decode(video=0)).rotation
    assert turned in (90, -90)
    target = tmp_path / f"out{SUFFIXES[container]}"
    remux(chunks_of(path), target, container)
    with av.open(str(target)) as result:
        expected = 0 if container == "mpegts" else turned  # MPEG-TS has no place for it
        assert next(result.decode(video=0)).rotation == expected


def test_every_chunk_decodes_alone_and_starts_at_zero(tmp_path: Path) -> None:
    path = make_film(tmp_path / "a.mp4")
    source = read_film(path)
    digests: list[str] = []
    for chunk in chunks_of(path):
        with av.open(io.BytesIO(chunk.data), "r") as container:
            assert container.streams.video[0].start_time == 0
        reading = read_film(chunk.data)
        digests += reading.picture_digests
        steps = {round(b - a, 9) for a, b in pairwise(reading.picture_times_sec)}
        assert steps == {0.04}
    assert digests == source.picture_digests


def test_ten_hours_of_ntsc_chunks_do_not_drift(tmp_path: Path) -> None:
    film = Film(fps=Fraction(30000, 1001), audio_codec=None, duration_sec=2, gop_frames=30)
    chunks = chunks_of(make_film(tmp_path / "a.mp4", film))
    remuxer = TimelineRemuxer(tmp_path / "out.mp4", "mp4")
    for chunk in chunks:
        remuxer.add_chunk(chunk.data)
    # Ten hours further on, the next chunk still stands on a whole tick of the film's clock.
    for _ in range(3600):
        remuxer.add_gap(10.01)
    position_sec = remuxer.position_sec
    remuxer.add_chunk(chunks[0].data)
    remuxer.close()
    ticks = position_sec * 30000
    assert ticks == pytest.approx(60 * 1001 + 3600 * 300300, abs=1e-3)
    with av.open(str(tmp_path / "out.mp4")) as result:
        times = sorted(p.pts for p in result.demux(video=0) if p.pts is not None)
    assert times[60] == 60 * 1001 + 3600 * 300300
