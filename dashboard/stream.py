"""Server-sent events: what one viewer has seen, and what it has to be told next.

Events: `status` when it changed, `chunks` (those that changed; `reset` with all), `history` (the hour
that was, then new samples, as columns), `log` (numbered, so that a viewer that comes back misses none).
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from common.messages import ChunkMap, ChunkRecord
from common.status import chunk_json
from dashboard.feed import Feed, json_text

TICK_SEC = 0.5
HEARTBEAT_SEC = 10.0
RETRY_MS = 1000


class Viewer:
    """What one event stream was sent so far; owns no resources. `now_sec` is any rising clock."""

    def __init__(self, feed: Feed, *, session_id: str | None, last_event_id: str) -> None:
        self._feed = feed
        self._session_id = session_id
        self._log_id = _resume_after(last_event_id, feed.boot_id)
        self._status = ""
        self._map: ChunkMap | None = None
        self._chunks: dict[int, ChunkRecord] = {}
        self._sample = 0
        self._sent_sec: float | None = None

    def next_text(self, now_sec: float) -> str:
        """Return what is new, or a comment when nothing was for HEARTBEAT_SEC, or an empty text."""
        parts = []
        if self._sent_sec is None:
            parts.append(f"retry: {RETRY_MS}\n\n")
        status = json_text(self._feed.status(self._session_id))
        if status != self._status:
            self._status = status
            parts.append(_event("status", status))
        parts += self._new_chunks()
        parts += self._new_samples()
        for entry in self._feed.events(self._log_id):
            self._log_id = entry["id"]
            parts.append(_event("log", json_text(entry), f"{self._feed.boot_id}-{entry['id']}"))
        if not parts and self._sent_sec is not None and now_sec - self._sent_sec >= HEARTBEAT_SEC:
            parts.append(": still here\n\n")
        if parts:
            self._sent_sec = now_sec
        return "".join(parts)

    def _new_chunks(self) -> list[str]:
        found = self._feed.chunk_map(self._session_id)
        if found is self._map:
            return []
        other = found is None or self._map is None or found.session_id != self._map.session_id
        known = {c.sequence_num: c for c in found.chunks} if found else {}
        gone = bool(self._chunks.keys() - known.keys())
        reset = other or gone
        changed = [chunk_json(c) for n, c in known.items() if reset or self._chunks.get(n) != c]
        if found:
            numbers = [c["sequence_num"] for c in changed]
            failures = self._feed.failures(found.session_id, numbers)
            changed = [c | {"failures": n} for c, n in zip(changed, failures, strict=True)]
        self._map, self._chunks = found, known
        if not changed and not reset:
            return []
        body: dict[str, Any] = {
            "session_id": found.session_id if found else None,
            "total_chunks": found.total_chunks if found else 0,
            "reset": reset,
            "chunks": changed,
        }
        return [_event("chunks", json_text(body))]

    def _new_samples(self) -> list[str]:
        found = self._feed.history_columns(after_number=self._sample, session_id=self._session_id)
        if found is None:
            return []
        first, self._sample = self._sample == 0, found.last_number
        return [_event("history", json_text({"reset": first, **found.body}))]


def event_stream(
    feed: Feed, *, session_id: str | None, last_event_id: str, gone: Callable[[], bool]
) -> Iterator[str]:
    """Yield event texts until the process stops or `gone` says that nobody reads them."""
    viewer = Viewer(feed, session_id=session_id, last_event_id=last_event_id)
    while True:
        text = viewer.next_text(time.monotonic())
        if text:
            yield text
        if feed.stopping.wait(TICK_SEC) or gone():
            return


def compressed(texts: Iterator[str]) -> Iterator[bytes]:
    """Compress a stream with gzip, each text whole in what is yielded for it.

    A status is much like the one before: of its kilobytes some hundred bytes are left.
    """
    packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    for text in texts:
        yield packer.compress(text.encode()) + packer.flush(zlib.Z_SYNC_FLUSH)
    yield packer.flush()


def _event(name: str, data: str, event_id: str = "") -> str:
    number = f"id: {event_id}\n" if event_id else ""
    return f"{number}event: {name}\ndata: {data}\n\n"


def _resume_after(last_event_id: str, boot_id: str) -> int:
    """Return the number in `BOOT-NUMBER`; 0 when it was given by an earlier process or is none."""
    boot, _, number = last_event_id.rpartition("-")
    return int(number) if boot == boot_id and number.isascii() and number.isdigit() else 0
