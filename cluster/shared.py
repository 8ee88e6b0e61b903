"""What several subcommands of `python -m cluster` share."""

import argparse
import os
import re
import sys
from pathlib import Path

from cluster.client import CallError, origin_of
from cluster.removal import must_call
from cluster.state import ClusterError, UsageError, default_data_dir, read_state

# Chunk and fragment ids add up to 16 characters to a video's id and may have 64.
_VIDEO_ID = re.compile(r"[A-Za-z0-9_-]{1,48}")
_PAGE = 1000
# More storage nodes than this, or copies of a chunk, are taken for a mistake.
MAX_NODES = 100


def fetch_videos(metadata_url: str) -> list[dict[str, object]]:
    """Return all videos the service lists."""
    videos: list[dict[str, object]] = []
    while True:
        url = f"{metadata_url}/videos?limit={_PAGE}&offset={len(videos)}"
        answer = must_call("GET", url)
        page = answer.json()
        if answer.status != 200 or not isinstance(page, list):
            raise ClusterError(f"{url}: {answer.detail()}")
        videos += page
        if len(page) < _PAGE:
            return videos


def checked_id(video_id: str) -> str:
    """Return a video id that is safe to use; raises UsageError."""
    if not _VIDEO_ID.fullmatch(video_id):
        raise UsageError(f"video id must match [A-Za-z0-9_-]{{1,48}}, got {video_id!r}")
    return video_id


def data_dir(arguments: argparse.Namespace) -> Path:
    """Return the data directory the user means."""
    return Path(arguments.data) if arguments.data is not None else default_data_dir()


def service_url(arguments: argparse.Namespace) -> str:
    """Return the service meant: --metadata-url, the one on --data, $METADATA_SERVICE_URL, or the default cluster."""
    named, source = arguments.metadata_url, "--metadata-url"
    if named is None and arguments.data is None:
        named, source = os.environ.get("METADATA_SERVICE_URL") or None, "METADATA_SERVICE_URL"
    if named is not None:
        try:
            origin_of(named)
        except CallError as error:
            raise UsageError(f"{source} {error}") from error
        return str(named).rstrip("/")
    return read_state(data_dir(arguments)).metadata_url


def say(text: str) -> None:
    """Print one line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
