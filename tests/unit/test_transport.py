"""Chunks as segments of MPEG-TS: the film is whole, on the clock of the other segments."""

from __future__ import annotations

import io
from pathlib import Path

import av
import pytest

from buffer.media import MediaError, probe_chunk
from buffer.playlist import media_playlist
from buffer.segments import FILM_START_SEC
from buffer.transport import TransportSegmenter
from cluster.ingest import MediaChunk, cut_video
from tests.media_fixtures import Film, make_film, read_film

FILMS = {
    "b_frames": Film(),
    "no_b_frames": Film(b_frames=0),
    "no_audio": Film(audio_codec=None),
    "hevc": Film(video_codec="libx265", b_frames=3),
}


def chunks_of(path: Path) -> list[MediaChunk]:
    return list(cut_video(path, chunk_duration_sec=1.0, max_chunk_bytes=2 << 20))


@pytest.mark.parametrize("name", FILMS)
def test_segments_one_after_the_other_are_the_film(name: str, tmp_path: Path) -> None:
    path = make_film(tmp_path / "a.mp4", FILMS[name])
    segmenter, start_sec, whole = TransportSegmenter(), 0.0, b""
    for number, chunk in enumerate(chunks_of(path)):
        whole += segmenter.segment(number, chunk.data, start_sec)
        start_sec += probe_chunk(chunk.data).duration_sec
    source, found = read_film(path), read_film(whole)
    assert found.picture_digests == source.picture_digests
    begin_sec = found.picture_times_sec[0] - source.picture_times_sec[0]
    shifted = [second + begin_sec for second in source.picture_times_sec]
    assert found.picture_times_sec == pytest.approx(shifted, abs=0.001)
    assert found.dts_rise


def test_a_segment_lies_where_its_chunk_is_in_the_film(tmp_path: Path) -> None:
    chunks = chunks_of(make_film(tmp_path / "a.mp4", Film(audio_codec=None)))
    alone = TransportSegmenter().segment(2, chunks[2].data, 2.0)
    with av.open(io.BytesIO(alone), "r") as container:
        shown = [float(picture.time or 0.0) for picture in container.decode(video=0)]
    assert min(shown) == pytest.approx(FILM_START_SEC + 2, abs=0.001)


def test_what_is_no_media_is_refused() -> None:
    with pytest.raises(MediaError):
        TransportSegmenter().segment(0, b"no film" * 100, 0.0)


def test_its_playlist_names_no_common_header() -> None:
    lines = media_playlist([4.0, 1.5], transport=True).splitlines()
    assert not any(line.startswith("#EXT-X-MAP") for line in lines)
    assert [line for line in lines if not line.startswith("#")] == ["0.ts", "1.ts"]
