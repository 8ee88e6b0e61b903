"""`python -m cluster add` and `sample`: cut a file and upload it."""

import argparse
import itertools
import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import cast

from cluster.shared import MAX_NODES, checked_id, data_dir, fetch_videos, say, service_url
from cluster.state import UsageError
from cluster.upload import (
    Redundancy,
    UploadChunk,
    UploadRequest,
    UploadResult,
    cut_raw,
    interruptible,
    upload,
)

SAMPLE_ID = "test-video-001"
_SAMPLE_TITLE = "Sample film with a running clock"


def add(arguments: argparse.Namespace) -> int:
    """Upload a file."""
    path = Path(arguments.file)
    if not path.is_file():
        raise UsageError(f"{path} is no file")
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    title = arguments.title or path.stem
    result = _add_file(arguments, path, title=title, video_id=arguments.id)
    _say_added(result)
    return 0


def sample(arguments: argparse.Namespace) -> int:
    """Make the sample film once and upload it."""
    base_url = service_url(arguments)
    if SAMPLE_ID in {str(video["video_id"]) for video in fetch_videos(base_url)}:
        say(f"{SAMPLE_ID} is there already")
        return 0
    if not 1 <= arguments.seconds <= 7200:
        raise UsageError(f"--seconds must be 1 to 7200, got {arguments.seconds:g}")
    from cluster.sample import make_sample_film

    folder = data_dir(arguments)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--data {folder} cannot be made: {error.strerror}") from error
    path = folder / f"sample-{arguments.seconds:g}s.mp4"
    if not path.exists():
        say(f"making a film of {arguments.seconds:g} s, this happens once ...")
        # The suffix stays: it tells the muxer which container to write.
        temporary = path.with_name(f".{os.getpid()}-{path.name}")
        try:
            with interruptible():
                make_sample_film(temporary, duration_sec=arguments.seconds)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    _say_added(_add_file(arguments, path, title=_SAMPLE_TITLE, video_id=SAMPLE_ID))
    return 0


def _add_file(
    arguments: argparse.Namespace, path: Path, *, title: str, video_id: str | None
) -> UploadResult:
    base_url = service_url(arguments)
    chunk_duration_sec = arguments.chunk_duration
    if not 0.1 <= chunk_duration_sec <= 600:
        raise UsageError(f"--chunk-duration must be 0.1 to 600, got {chunk_duration_sec:g}")
    if not 1 <= arguments.replicas <= MAX_NODES:
        raise UsageError(f"--replicas must be 1 to {MAX_NODES}, got {arguments.replicas}")
    if arguments.raw and not 1 <= arguments.chunk_bytes <= arguments.max_chunk_bytes:
        raise UsageError(f"--chunk-bytes must be 1 to {arguments.max_chunk_bytes}")
    if path.stat().st_size == 0:
        raise UsageError(f"{path} is empty")

    def run(chunks: Iterable[UploadChunk], expected_duration_sec: float) -> UploadResult:
        request = UploadRequest(
            metadata_url=base_url,
            video_id=None if video_id is None else checked_id(video_id),
            title=title,
            redundancy=cast(Redundancy, arguments.redundancy),  # argparse checked the choice
            replicas=arguments.replicas,
            chunk_duration_sec=chunk_duration_sec,
            expected_duration_sec=expected_duration_sec,
        )
        with interruptible():
            return upload(request, chunks)

    if arguments.raw:
        count = -(-path.stat().st_size // arguments.chunk_bytes)
        raw = cut_raw(
            path, chunk_bytes=arguments.chunk_bytes, chunk_duration_sec=chunk_duration_sec
        )
        return run(raw, count * chunk_duration_sec)
    # Cutting media needs PyAV, which is slow to import.
    from cluster.ingest import IngestError, cut_video

    try:
        chunks = cut_video(
            path,
            chunk_duration_sec=chunk_duration_sec,
            max_chunk_bytes=arguments.max_chunk_bytes,
            reencode=arguments.reencode,
        )
        # The first chunk is cut before the service is asked: a bad file leaves no trace there.
        first = list(itertools.islice(chunks, 1))
        return run(itertools.chain(first, chunks), _probed_duration_sec(path))
    except IngestError as error:
        raise UsageError(str(error)) from error


def _probed_duration_sec(path: Path) -> float:
    """Return the duration that the container claims, 0 when it claims none.

    The true one is told to the service at the end; one that does not listen keeps this.
    """
    import av

    try:
        with av.open(str(path)) as container:
            return max(0.0, (container.duration or 0) / 1e6)
    except av.error.FFmpegError:
        logging.getLogger(__name__).debug("duration unknown path=%s", path)
        return 0.0


def _say_added(result: UploadResult) -> None:
    say(
        f"added {result.video_id}: {result.chunks} chunks, {result.size_bytes} bytes, "
        f"{result.duration_sec:.1f} s"
    )
