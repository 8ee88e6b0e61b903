"""A film of whole chunks below a directory, and the manifest that names them."""

from __future__ import annotations

import hashlib
import json
import random
from dataclasses import dataclass
from pathlib import Path

from cluster.sample import make_sample_film

CHUNK_BYTES = 2 * 1024 * 1024
CHUNK_DURATION_SEC = 10
_SEED = 3


@dataclass(frozen=True, slots=True)
class Film:
    """Chunks on disk as `chunk/ID`; no two are alike, so that a misplaced one is noticed."""

    video_id: str
    chunk_ids: tuple[str, ...]
    checksums: tuple[str, ...]
    folder: Path

    @property
    def size_bytes(self) -> int:
        """Sum of the chunks' sizes."""
        return len(self.chunk_ids) * CHUNK_BYTES

    def checksum_of(self, indexes: list[int]) -> str:
        """Return the sha256 of the chunks at `indexes` one behind the other."""
        digest = hashlib.sha256()
        for index in indexes:
            digest.update((self.folder / "chunk" / self.chunk_ids[index]).read_bytes())
        return digest.hexdigest()


def write_film(folder: Path, chunks: int, *, media: bytes = b"") -> Film:
    """Write `chunks` chunks of 2 MiB below `folder`.

    With `media`, a small MP4 file, each chunk is that file and a padding box with bytes of its own; else all bytes are
    noise.
    """
    # Memory is really filled: holes would all be the one page of zeros, which the caches keep.
    noise = random.Random(_SEED).randbytes(CHUNK_BYTES)
    (folder / "chunk").mkdir(parents=True)
    ids, sums = [], []
    for index in range(chunks):
        # An odd step: no two rotations are the same.
        turn = index * 4099 % CHUNK_BYTES
        data = noise[turn:] + noise[:turn]
        if media:
            room = CHUNK_BYTES - len(media)
            data = media + room.to_bytes(4, "big") + b"free" + data[: room - 8]
        chunk_id = f"bulk-chunk-{index:05d}"
        (folder / "chunk" / chunk_id).write_bytes(data)
        ids.append(chunk_id)
        sums.append(hashlib.sha256(data).hexdigest())
    return Film("bulk", tuple(ids), tuple(sums), folder)


def small_film(folder: Path) -> bytes:
    """Return an MP4 file of one chunk's duration, a tenth of a chunk large."""
    path = folder / "small.mp4"
    make_sample_film(path, width=192, height=108, duration_sec=10, bitrate_bps=150_000)
    return path.read_bytes()


def manifest_of(film: Film, node_urls: list[str]) -> bytes:
    """Return the manifest: every chunk on every node."""
    chunks = [
        {
            "chunk_id": chunk_id,
            "sequence_num": index,
            "size_bytes": CHUNK_BYTES,
            "checksum": checksum,
            "replicas": node_urls,
            "redundancy_mode": "replication",
            "fragments": None,
        }
        for index, (chunk_id, checksum) in enumerate(
            zip(film.chunk_ids, film.checksums, strict=True)
        )
    ]
    body = {
        "video_id": film.video_id,
        "title": "Bulk",
        "duration_sec": len(chunks) * CHUNK_DURATION_SEC,
        "total_chunks": len(chunks),
        "chunk_duration_sec": CHUNK_DURATION_SEC,
        "chunk_size_bytes": CHUNK_BYTES,
        "status": "active",
        "chunks": chunks,
    }
    return json.dumps(body).encode()
