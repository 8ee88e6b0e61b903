"""The HLS playlist of a film."""

from __future__ import annotations

from buffer.playlist import media_playlist


def test_every_chunk_is_a_segment_with_its_duration() -> None:
    assert media_playlist([4.0, 4.004, 1.5]).splitlines() == [
        "#EXTM3U",
        "#EXT-X-VERSION:7",
        "#EXT-X-TARGETDURATION:5",
        "#EXT-X-PLAYLIST-TYPE:VOD",
        "#EXT-X-INDEPENDENT-SEGMENTS",
        '#EXT-X-MAP:URI="init.mp4"',
        "#EXTINF:4.000000,",
        "0.m4s",
        "#EXTINF:4.004000,",
        "1.m4s",
        "#EXTINF:1.500000,",
        "2.m4s",
        "#EXT-X-ENDLIST",
    ]


def test_what_cannot_be_had_is_a_gap() -> None:
    lines = media_playlist([2.0, 2.0], missing=frozenset({1})).splitlines()
    assert "#EXT-X-VERSION:8" in lines
    assert lines[-4:] == ["#EXT-X-GAP", "#EXTINF:2.000000,", "1.m4s", "#EXT-X-ENDLIST"]


def test_a_film_without_chunks_is_a_playlist_all_the_same() -> None:
    assert "#EXT-X-TARGETDURATION:1" in media_playlist([])
