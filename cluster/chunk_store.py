"""The chunks of one storage node on its disk.

A chunk is one file named `<chunk_id>.<sha256>`: the checksum lies beside the bytes and both appear
in the one rename. Safe to use from several threads.
"""

import hashlib
import logging
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

logger = logging.getLogger(__name__)

CHUNK_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_FILE_NAME = re.compile(r"([A-Za-z0-9_-]{1,64})\.([0-9a-f]{64})")
_TEMPORARY_PREFIX = ".incoming-"


class StoreFullError(Exception):
    """The quota or the free-space floor leaves no room."""


class ChunkConflictError(Exception):
    """The id is taken by other bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredChunk:
    """Where a chunk lies and what it should be."""

    path: Path
    size_bytes: int
    sha256: str


class ChunkStore:
    """Keep chunks under one directory within a quota and above a free-space floor."""

    def __init__(self, folder: Path, *, quota_bytes: int | None, free_floor_bytes: int) -> None:
        self._folder = folder
        self._quota_bytes = quota_bytes
        self._free_floor_bytes = free_floor_bytes
        self._lock = threading.Lock()
        self._chunks: dict[str, StoredChunk] = {}
        self._used_bytes = 0
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.iterdir():
            match = _FILE_NAME.fullmatch(path.name)
            if match:
                self._index(match[1], path, path.stat().st_size, match[2])
            elif path.name.startswith(_TEMPORARY_PREFIX):
                path.unlink()

    def __len__(self) -> int:
        return len(self._chunks)

    @property
    def used_bytes(self) -> int:
        """Return the sum of all chunk sizes."""
        return self._used_bytes

    def find(self, chunk_id: str) -> StoredChunk | None:
        """Return a chunk's place, None when it is not here."""
        return self._chunks.get(chunk_id)

    def put(
        self,
        chunk_id: str,
        data: bytes | bytearray,
        *,
        expected_sha256: str | None,
        check_wanted: Callable[[], None],
    ) -> tuple[StoredChunk, bool]:
        """Store a chunk durably; the flag says whether it is new.

        `check_wanted` raises when the client has left. It is asked at the last moment and under the
        lock that `delete` takes: a client that hangs up and then deletes leaves no chunk behind,
        however late its PUT is carried out. Raises ValueError when the bytes are not the expected
        ones, StoreFullError, and ChunkConflictError when the id is taken by other bytes.
        """
        sha256 = hashlib.sha256(data).hexdigest()
        if expected_sha256 is not None and expected_sha256 != sha256:
            raise ValueError("X-Chunk-Checksum does not match the body")
        existing = self._existing(chunk_id, sha256)
        if existing is not None:
            return existing, False
        self._check_room(len(data))
        handle, name = tempfile.mkstemp(prefix=_TEMPORARY_PREFIX, dir=self._folder)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            with self._lock:
                existing = self._existing(chunk_id, sha256)
                if existing is not None:
                    Path(name).unlink()
                    return existing, False
                check_wanted()
                path = self._folder / f"{chunk_id}.{sha256}"
                Path(name).rename(path)
                self._index(chunk_id, path, len(data), sha256)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        self._sync_folder()
        return self._chunks[chunk_id], True

    def delete(self, chunk_id: str) -> bool:
        """Remove a chunk; False when it was not here."""
        with self._lock:
            chunk = self._chunks.pop(chunk_id, None)
            if chunk is None:
                return False
            self._used_bytes -= chunk.size_bytes
            chunk.path.unlink(missing_ok=True)
            return True

    def disk_usage_percent(self) -> float:
        """Return how full the quota is, or the disk where there is no quota."""
        if self._quota_bytes is not None:
            return min(100.0, 100.0 * self._used_bytes / max(1, self._quota_bytes))
        usage = shutil.disk_usage(self._folder)
        return 100.0 * usage.used / max(1, usage.total)

    def has_room(self) -> bool:
        """Say whether one more small chunk would be taken."""
        try:
            self._check_room(1)
        except StoreFullError:
            return False
        return True

    def _existing(self, chunk_id: str, sha256: str) -> StoredChunk | None:
        chunk = self._chunks.get(chunk_id)
        if chunk is not None and chunk.sha256 != sha256:
            raise ChunkConflictError(chunk_id)
        return chunk

    def _check_room(self, size_bytes: int) -> None:
        if self._quota_bytes is not None and self._used_bytes + size_bytes > self._quota_bytes:
            raise StoreFullError(f"quota of {self._quota_bytes} bytes reached")
        if shutil.disk_usage(self._folder).free - size_bytes < self._free_floor_bytes:
            raise StoreFullError(f"less than {self._free_floor_bytes} bytes would stay free")

    def _index(self, chunk_id: str, path: Path, size_bytes: int, sha256: str) -> None:
        if chunk_id in self._chunks:
            logger.warning("two files for one chunk chunk_id=%s ignored=%s", chunk_id, path.name)
            return
        self._chunks[chunk_id] = StoredChunk(path=path, size_bytes=size_bytes, sha256=sha256)
        self._used_bytes += size_bytes

    def _sync_folder(self) -> None:
        handle = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
