"""Manifests of films that are only simulated, as a metadata service would tell of them.

No I/O, no clock, no randomness.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from common.manifest import Manifest, parse_manifest

VIDEO_ID = "film"
_DATA_FRAGMENTS = 3
_NO_CHECKSUM = "0" * 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """A chunk: the addresses of its holders, and which fragment each has; no `parts` for whole copies."""

    size_bytes: int
    holders: Sequence[str]
    parts: Sequence[int] = ()


def manifest_of(chunks: Sequence[Outline], film_sec: float) -> Manifest:
    """Return the manifest of a film of such chunks, all of the same nominal length."""
    fields = {
        "video_id": VIDEO_ID,
        "duration_sec": film_sec,
        "chunk_duration_sec": film_sec / len(chunks),
        "total_chunks": len(chunks),
        "chunks": [_chunk(number, outline) for number, outline in enumerate(chunks)],
    }
    return parse_manifest(json.dumps(fields).encode(), video_id=VIDEO_ID)


def _chunk(number: int, outline: Outline) -> dict[str, object]:
    name = f"{VIDEO_ID}-{number:05}"
    told: dict[str, object] = {
        "chunk_id": name,
        "sequence_num": number,
        "size_bytes": outline.size_bytes,
        "checksum": _NO_CHECKSUM,
    }
    if not outline.parts:
        return told | {"replicas": list(outline.holders)}
    fragments = [
        {
            "fragment_id": f"{name}-{part}",
            "fragment_index": part,
            "node_url": url,
            "size_bytes": -(-outline.size_bytes // _DATA_FRAGMENTS),
            "checksum": _NO_CHECKSUM,
        }
        for url, part in zip(outline.holders, outline.parts, strict=True)
    ]
    return told | {"redundancy_mode": "erasure_coding", "fragments": fragments}
