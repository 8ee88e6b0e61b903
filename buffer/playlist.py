"""The HLS media playlist of a film: a segment for each chunk (RFC 8216). No I/O, no clock, no randomness."""

from __future__ import annotations

import math
from collections.abc import Sequence

INIT_NAME = "init.mp4"
PLAYLIST_NAME = "film.m3u8"
TRANSPORT_NAME = "film.ts"
TRANSPORT_PLAYLIST_NAME = "film-ts.m3u8"
SEGMENT_SUFFIX = ".m4s"
TRANSPORT_SUFFIX = ".ts"


def media_playlist(
    durations_sec: Sequence[float],
    *,
    missing: frozenset[int] = frozenset(),
    transport: bool = False,
) -> str:
    """Return a VOD playlist of segments `0.m4s`, `1.m4s`, ...; what is `missing` is marked as a gap.

    With `transport` the segments are `0.ts`, `1.ts`, ..., which need no common header.
    """
    suffix = TRANSPORT_SUFFIX if transport else SEGMENT_SUFFIX
    lines = [
        "#EXTM3U",
        "#EXT-X-VERSION:8" if missing else "#EXT-X-VERSION:7",
        f"#EXT-X-TARGETDURATION:{max(1, math.ceil(max(durations_sec, default=1)))}",
        "#EXT-X-PLAYLIST-TYPE:VOD",
        "#EXT-X-INDEPENDENT-SEGMENTS",
        *([] if transport else [f'#EXT-X-MAP:URI="{INIT_NAME}"']),
    ]
    for number, duration_sec in enumerate(durations_sec):
        if number in missing:
            lines.append("#EXT-X-GAP")
        lines += [f"#EXTINF:{duration_sec:.6f},", f"{number}{suffix}"]
    return "\n".join([*lines, "#EXT-X-ENDLIST", ""])
