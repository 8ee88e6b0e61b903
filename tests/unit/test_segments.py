"""Chunks as segments of one fragmented MP4: the film is whole, wherever a player begins, and no border shows."""

from __future__ import annotations

import io
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import pytest

from buffer.media import MediaError, probe_chunk
from buffer.segments import FILM_START_SEC, Segmenter
from cluster.ingest import MediaChunk, cut_video
from tests.media_fixtures import Film, make_film, read_film, unshared_samples

FILMS = {
    "b_frames": Film(),
    "open_gop": Film(open_gop=True, gop_frames=26),
    "no_b_frames": Film(b_frames=0),
    "ntsc_44100": Film(fps=Fraction(30000, 1001), sample_rate_hz=44100, gop_frames=30),
    "variable_rate": Film(variable_rate=True, time_base=Fraction(1, 90000)),
    "no_audio": Film(audio_codec=None),
    "late_audio": Film(audio_delay_sec=0.3),
    "late_video": Film(video_delay_sec=0.32),
    "hevc": Film(video_codec="libx265", b_frames=3),
    "opus": Film(audio_codec="libopus"),
}


def chunks_of(path: Path) -> list[MediaChunk]:
    return list(cut_video(path, chunk_duration_sec=1.0, max_chunk_bytes=2 << 20))


def starts_of(chunks: list[MediaChunk]) -> list[float]:
    """Return where each chunk begins when they are played one after the other."""
    starts = [0.0]
    for chunk in chunks:
        starts.append(starts[-1] + probe_chunk(chunk.data).duration_sec)
    return starts


@pytest.fixture(params=FILMS)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return make_film(tmp_path / "a.mp4", FILMS[request.param])


def packets(data: bytes, kind: str) -> list[tuple[Fraction, Fraction]]:
    """Return begin and end of each packet of a stream, in the order of their beginning."""
    found = []
    with av.open(io.BytesIO(data), "r") as container:
        for packet in container.demux():
            if packet.size and packet.stream.type == kind:
                assert packet.pts is not None
                begin = packet.pts * packet.time_base
                found.append((begin, begin + (packet.duration or 0) * packet.time_base))
    return sorted(found)


def test_segments_one_after_the_other_are_the_film(path: Path) -> None:
    chunks, segmenter = chunks_of(path), Segmenter()
    assert len(chunks) >= 3
    segments = [
        segmenter.segment(number, chunk.data, start)
        for number, (chunk, start) in enumerate(zip(chunks, starts_of(chunks), strict=False))
    ]
    assert {segment.init for segment in segments} == {segmenter.init}
    whole = segmenter.init + b"".join(segment.media for segment in segments)
    source, found = read_film(path), read_film(whole)
    assert found.picture_digests == source.picture_digests
    assert found.picture_times_sec == pytest.approx(source.picture_times_sec, abs=0.001)
    assert found.dts_rise
    assert min(packets(whole, "video"))[0] == FILM_START_SEC
    unshared_samples(source, found)
    for one, other in pairwise(packets(whole, "audio")):
        assert abs(other[0] - one[1]) < Fraction(1, 1000), "a gap or an overlap in the sound"


def test_a_segment_alone_lies_at_its_place(path: Path) -> None:
    chunks = chunks_of(path)
    for number, start in enumerate(starts_of(chunks)[:-1]):
        segment = Segmenter().segment(number, chunks[number].data, start)
        pictures = packets(segment.init + segment.media, "video")
        assert float(pictures[0][0]) == pytest.approx(FILM_START_SEC + start, abs=0.001)


def test_whatever_came_first_every_segment_has_all_its_pictures(path: Path) -> None:
    chunks, segmenter = chunks_of(path), Segmenter()
    starts = starts_of(chunks)
    for number in (2, 0, 1, 2):
        segment = segmenter.segment(number, chunks[number].data, starts[number])
        pictures = packets(segment.init + segment.media, "video")
        assert len(pictures) == probe_chunk(chunks[number].data).frame_count


def test_after_a_change_of_the_timeline_a_segment_is_where_it_is_wanted(tmp_path: Path) -> None:
    chunks, segmenter = chunks_of(make_film(tmp_path / "a.mp4")), Segmenter()
    segmenter.segment(0, chunks[0].data, 0.0)
    segment = segmenter.segment(1, chunks[1].data, 7.5)
    assert min(packets(segment.init + segment.media, "video"))[0] == FILM_START_SEC + Fraction(
        15, 2
    )


def test_what_is_coded_otherwise_is_refused_and_named(tmp_path: Path) -> None:
    small = chunks_of(make_film(tmp_path / "a.mp4"))
    large = chunks_of(make_film(tmp_path / "b.mp4", Film(width=320, height=240)))
    segmenter = Segmenter()
    segmenter.segment(0, small[0].data, 0.0)
    with pytest.raises(MediaError, match=r"160x120.* to .*320x240"):
        segmenter.segment(1, large[1].data, 1.0)
    assert segmenter.segment(1, small[1].data, 1.0).media, "it goes on with what fits"


def test_what_is_no_media_is_refused() -> None:
    segmenter = Segmenter()
    with pytest.raises(MediaError):
        segmenter.segment(0, b"no film", 0.0)
    assert segmenter.init == b""
