"""Put a video into a V-Stack over its HTTP interface: all of it, or nothing of it."""

import hashlib
import logging
import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Literal, Protocol

from cluster.client import Answer, CallError, call
from cluster.removal import delete_objects, must_call
from cluster.state import ClusterError, UsageError

logger = logging.getLogger(__name__)

FRAGMENTS = 5
_CLEAN_LIMIT_SEC = 5.0
# Disk use that differs by less than this many percent counts as the same.
_USAGE_STEP_PERCENT = 1.0

Redundancy = Literal["replication", "erasure_coding"]


class UploadChunk(Protocol):
    """A chunk as `cluster.ingest` cuts it."""

    @property
    def sequence_num(self) -> int:
        """Return its place in the video."""

    @property
    def duration_sec(self) -> float:
        """Return its length in time."""

    @property
    def data(self) -> bytes:
        """Return its bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RawChunk:
    """A piece of any file."""

    sequence_num: int
    duration_sec: float
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadRequest:
    """What to upload and how. `video_id` of None lets the service choose."""

    metadata_url: str
    video_id: str | None
    title: str
    redundancy: Redundancy
    replicas: int
    chunk_duration_sec: float
    expected_duration_sec: float


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadResult:
    """What was uploaded."""

    video_id: str
    chunks: int
    size_bytes: int
    duration_sec: float


def cut_raw(path: Path, *, chunk_bytes: int, chunk_duration_sec: float) -> Iterator[RawChunk]:
    """Cut any file into equal pieces that are no media."""
    with path.open("rb") as file:
        sequence_num = 0
        while data := file.read(chunk_bytes):
            yield RawChunk(sequence_num=sequence_num, duration_sec=chunk_duration_sec, data=data)
            sequence_num += 1


def upload(request: UploadRequest, chunks: Iterable[UploadChunk]) -> UploadResult:
    """Upload all chunks and make the video active.

    On any failure or interruption everything stored so far is deleted and the video removed.
    """
    return _Upload(request).run(chunks)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGINT and SIGTERM interrupt the block, also where the caller had SIGINT ignored."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    previous = {
        number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


class _Upload:
    """The state of one upload."""

    def __init__(self, request: UploadRequest) -> None:
        self._request = request
        self._video_id: str | None = None
        self._stored: list[tuple[str, str]] = []
        self._chunk_counts: dict[str, int] = {}
        self._usage_steps: dict[str, int] = {}

    def run(self, chunks: Iterable[UploadChunk]) -> UploadResult:
        request = self._request
        wanted_nodes = FRAGMENTS if request.redundancy == "erasure_coding" else request.replicas
        self._load_nodes(wanted_nodes)
        count = 0
        size_bytes = 0
        duration_sec = 0.0
        try:
            video_id = self._create()
            for chunk in chunks:
                chunk_id = f"{video_id}-chunk-{chunk.sequence_num:03d}"
                urls = self._choose_nodes(wanted_nodes)
                if request.redundancy == "erasure_coding":
                    self._store_fragments(video_id, chunk_id, chunk, urls)
                else:
                    self._store_replicas(video_id, chunk_id, chunk, urls)
                count += 1
                size_bytes += len(chunk.data)
                duration_sec += chunk.duration_sec
            if not count:
                raise ClusterError("the file holds nothing to upload")
            body = {"status": "active", "duration_sec": round(duration_sec, 3)}
            self._expect("PATCH", f"/video/{video_id}/status", body)
        except BaseException:
            self._undo()
            raise
        return UploadResult(
            video_id=video_id, chunks=count, size_bytes=size_bytes, duration_sec=duration_sec
        )

    def _load_nodes(self, wanted_nodes: int) -> None:
        nodes = self._expect("GET", "/nodes/healthy", None).json() or []
        for node in nodes:
            url = str(node["node_url"]).rstrip("/")
            usage_percent = float(node.get("disk_usage_percent") or 0)
            self._usage_steps[url] = int(usage_percent // _USAGE_STEP_PERCENT)
            self._chunk_counts[url] = int(node.get("chunk_count") or 0)
        if len(self._chunk_counts) < wanted_nodes:
            what = (
                f"erasure coding needs {wanted_nodes} nodes"
                if self._request.redundancy == "erasure_coding"
                else f"{wanted_nodes} replicas need {wanted_nodes} nodes"
            )
            raise UsageError(f"{what}, {len(self._chunk_counts)} are healthy")

    def _choose_nodes(self, wanted_nodes: int) -> list[str]:
        """Return the emptiest nodes; those alike take turns by the number of their chunks."""
        order = sorted(
            self._chunk_counts, key=lambda url: (self._usage_steps[url], self._chunk_counts[url])
        )
        chosen = order[:wanted_nodes]
        for url in chosen:
            self._chunk_counts[url] += 1
        return chosen

    def _create(self) -> str:
        request = self._request
        body: dict[str, object] = {
            "title": request.title,
            "duration_sec": round(request.expected_duration_sec, 3),
            "chunk_duration_sec": request.chunk_duration_sec,
        }
        if request.video_id is not None:
            body["video_id"] = request.video_id
        answer = must_call("POST", f"{request.metadata_url}/video", json_body=body)
        if answer.status == 409:
            raise UsageError(
                f"video {request.video_id!r} exists already "
                f"(remove it with: python -m cluster rm {request.video_id})"
            )
        fields = answer.json()
        if answer.status >= 300 or not isinstance(fields, dict) or "video_id" not in fields:
            raise ClusterError(f"the video cannot be created: {answer.detail()}")
        self._video_id = str(fields["video_id"])
        if request.video_id not in (None, self._video_id):
            logger.warning("the service chose another id video_id=%s", self._video_id)
        return self._video_id

    def _store_replicas(
        self, video_id: str, chunk_id: str, chunk: UploadChunk, urls: list[str]
    ) -> None:
        checksum = hashlib.sha256(chunk.data).hexdigest()
        for url in urls:
            self._put(url, chunk_id, chunk.data, checksum)
        self._commit(video_id, chunk_id, chunk, checksum, {"node_urls": urls})

    def _store_fragments(
        self, video_id: str, chunk_id: str, chunk: UploadChunk, urls: list[str]
    ) -> None:
        # Only coded uploads need numpy.
        from scheduler.erasure import encode_fragments

        rows = []
        for index, (url, data) in enumerate(zip(urls, encode_fragments(chunk.data), strict=True)):
            fragment_id = f"{chunk_id}-f{index}"
            checksum = hashlib.sha256(data).hexdigest()
            self._put(url, fragment_id, data, checksum)
            rows.append(
                {
                    "fragment_id": fragment_id,
                    "fragment_index": index,
                    "node_url": url,
                    "size_bytes": len(data),
                    "checksum": checksum,
                }
            )
        checksum = hashlib.sha256(chunk.data).hexdigest()
        self._commit(video_id, chunk_id, chunk, checksum, {"fragments_metadata": rows})

    def _put(self, url: str, object_id: str, data: bytes, checksum: str) -> None:
        # Noted before it is sent: an interrupted PUT may have been stored.
        self._stored.append((url, object_id))
        headers = {
            "X-Chunk-Checksum": checksum,
            "Content-Type": "application/octet-stream",
        }
        answer = must_call("PUT", f"{url}/chunk/{object_id}", data=data, headers=headers)
        if answer.status not in (200, 201):
            # It said no, so there is nothing to delete.
            self._stored.pop()
            raise ClusterError(f"{url} does not take {object_id}: {answer.detail()}")

    def _commit(
        self,
        video_id: str,
        chunk_id: str,
        chunk: UploadChunk,
        checksum: str,
        places: dict[str, object],
    ) -> None:
        body = {
            "node_urls": [],
            "checksum": checksum,
            "size_bytes": len(chunk.data),
            "video_id": video_id,
            "sequence_num": chunk.sequence_num,
            "redundancy_mode": self._request.redundancy,
            "fragments_metadata": None,
            **places,
        }
        self._expect("POST", f"/chunk/{chunk_id}/commit", body)

    def _expect(self, method: str, path: str, body: object) -> Answer:
        answer = must_call(method, self._request.metadata_url + path, json_body=body)
        if answer.status >= 300:
            raise ClusterError(f"{method} {path}: {answer.detail()}")
        return answer

    def _undo(self) -> None:
        """Remove the video and all bytes stored; a second interruption has to wait."""
        previous = {
            number: signal.signal(number, signal.SIG_IGN) for number in _signals_if_main_thread()
        }
        try:
            if self._video_id is not None:
                base = f"{self._request.metadata_url}/video/{self._video_id}"
                with suppress(CallError):
                    answer = call("DELETE", base, timeout_sec=_CLEAN_LIMIT_SEC)
                    if answer.status >= 300:
                        status = {"status": "deleted"}
                        call(
                            "PATCH",
                            f"{base}/status",
                            json_body=status,
                            timeout_sec=_CLEAN_LIMIT_SEC,
                        )
            for line in delete_objects(self._stored):
                logger.warning("left behind: %s", line)
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


def _signals_if_main_thread() -> tuple[signal.Signals, ...]:
    if threading.current_thread() is threading.main_thread():
        return signal.SIGINT, signal.SIGTERM
    return ()
