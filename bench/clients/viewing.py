"""What all comparison clients share: the film, the viewer's clock for several threads, and the closing report."""

from __future__ import annotations

import hashlib
import threading
import time
from typing import Any

from bench.clients.playout import Playout
from common.catalog import Catalog
from common.manifest import Manifest, parse_manifest
from common.messages import ChunkSpec

# A player asks again after this when nobody can give it a chunk.
ROUND_PAUSE_SEC = 1.0


class Viewing:
    """One film being watched; clock zero is the request for the manifest."""

    def __init__(self, client: str, metadata_url: str, video_id: str) -> None:
        self.client = client
        self.failed_fetches = 0
        self._wrong_chunks = 0
        self._bytes = 0
        self._zero_sec = time.monotonic()
        catalog = Catalog(metadata_url)
        try:
            self.manifest: Manifest = parse_manifest(
                catalog.manifest_json(video_id), video_id=video_id
            )
        finally:
            catalog.close()
        self.chunks = self.manifest.chunks
        self._playout = Playout(len(self.chunks), self.manifest.chunk_duration_sec)
        # Re-entrant: the report is also made by a signal handler.
        self._changed = threading.Condition(threading.RLock())

    @property
    def coded(self) -> bool:
        """Whether any chunk exists only as fragments."""
        return any(chunk.fragments for chunk in self.chunks)

    def now_sec(self) -> float:
        """Return the time since the request for the manifest."""
        return time.monotonic() - self._zero_sec

    def may_fetch(self, index: int) -> bool:
        """Tell whether a chunk lies within what a player holds ahead."""
        with self._changed:
            return self._playout.wait_sec(index, self.now_sec()) == 0

    def wait_turn(self, index: int) -> None:
        """Wait until a chunk may be fetched."""
        with self._changed:
            while (wait_sec := self._playout.wait_sec(index, self.now_sec())) != 0:
                self._changed.wait(wait_sec)

    def arrive(self, chunk: ChunkSpec, data: bytes | bytearray) -> None:
        """Take a chunk for playback; what is wrong is played too, and counted."""
        with self._changed:
            self._playout.arrive(chunk.sequence_num, self.now_sec())
            self._bytes += len(data)
            self._changed.notify_all()
        # A client that verifies has done so; for the others this says what their viewer saw.
        right = matches(data, chunk.checksum_sha256)
        with self._changed:
            self._wrong_chunks += not right

    def note_failure(self) -> None:
        """Count a fetch that came to nothing."""
        with self._changed:
            self.failed_fetches += 1

    def held_sec(self) -> float:
        """Return what has arrived and is not played."""
        with self._changed:
            return self._playout.held_sec(self.now_sec())

    def highest(self) -> int:
        """Return the largest index that has arrived, -1 before the first."""
        with self._changed:
            return self._playout.highest

    @property
    def complete(self) -> bool:
        with self._changed:
            return self._playout.complete

    def report(self) -> dict[str, Any]:
        """Return how it went, as the client saw it."""
        with self._changed:
            now_sec = self.now_sec()
            return {
                "client": self.client,
                "video_id": self.manifest.video_id,
                "finished": self._playout.complete,
                "startup_sec": self._playout.started_sec,
                "stalls": self._playout.stalls(now_sec),
                "stalled_sec": self._playout.stalled_sec(now_sec),
                "received_bytes": self._bytes,
                "wrong_chunks": self._wrong_chunks,
                "failed_fetches": self.failed_fetches,
                "wall_sec": now_sec,
            }


def matches(data: bytes | bytearray, checksum_sha256: str) -> bool:
    """Tell whether bytes have the checksum."""
    return hashlib.sha256(data).hexdigest() == checksum_sha256
