"""The pictures of a film, as numbers that can be compared."""

from __future__ import annotations

import zlib
from pathlib import Path

import av


def picture_sums(path: Path) -> list[int]:
    """Return a checksum of each decoded picture, in order of presentation; raise av.FFmpegError for no film."""
    with av.open(str(path), "r") as container:
        container.streams.video[0].thread_type = "AUTO"
        return [
            zlib.crc32(frame.reformat(format="gray").to_ndarray().tobytes())
            for frame in container.decode(video=0)
        ]
