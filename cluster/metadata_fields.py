"""What the metadata service accepts in a request body, field by field.

No I/O, no clock, no randomness: time and rng are arguments.
"""

import math
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from cluster.metadata_schema import ChunkCommit, Copy

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_CHECKSUM = re.compile(r"(?:sha256:)?([0-9a-f]{64})", re.IGNORECASE)
STATUSES = ("uploading", "active", "deleted")
_MODES = ("replication", "erasure_coding")
_MAX_DURATION_SEC = 1e7
_MAX_SIZE_BYTES = 1 << 40
_MAX_COPIES = 100


class FieldError(ValueError):
    """A field that is missing or wrong; the message names it."""


def text_field(body: Mapping[str, object], name: str, *, longest: int = 500) -> str:
    """Return a text that is not empty."""
    value = body.get(name)
    if not isinstance(value, str) or not value.strip() or len(value) > longest:
        raise FieldError(f"{name} must be a text of 1 to {longest} characters")
    return value


def id_field(body: Mapping[str, object], name: str) -> str:
    """Return an id."""
    value = body.get(name)
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise FieldError(f"{name} must match [A-Za-z0-9_-]{{1,64}}")
    return value


def number_field(
    body: Mapping[str, object], name: str, *, low: float, high: float, default: float | None = None
) -> float:
    """Return a number within limits, `default` where it is missing."""
    value = body.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise FieldError(f"{name} must be a number from {low:g} to {high:g}")
    if not low <= value <= high:
        raise FieldError(f"{name} must be a number from {low:g} to {high:g}")
    return float(value)


def duration_field(body: Mapping[str, object], name: str, *, default: float | None = None) -> float:
    """Return a duration in seconds."""
    return number_field(body, name, low=0, high=_MAX_DURATION_SEC, default=default)


def count_field(body: Mapping[str, object], name: str, *, low: int = 0, high: int) -> int:
    """Return a whole number within limits."""
    value = body.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise FieldError(f"{name} must be a whole number from {low} to {high}")
    return value


def url_field(body: Mapping[str, object], name: str) -> str:
    """Return a base URL without a closing slash."""
    return _checked_url(body.get(name), name)


def status_field(body: Mapping[str, object]) -> str:
    """Return a video's status."""
    value = body.get("status")
    if value not in STATUSES:
        raise FieldError(f"status must be one of {', '.join(STATUSES)}")
    return str(value)


def commit_from(chunk_id: str, body: Mapping[str, object]) -> ChunkCommit:
    """Build a commit from the body of `POST /chunk/{chunk_id}/commit`."""
    chunk_id = id_field({"chunk_id": chunk_id}, "chunk_id")
    size_bytes = count_field(body, "size_bytes", low=1, high=_MAX_SIZE_BYTES)
    checksum = _checksum(body, "checksum")
    mode = body.get("redundancy_mode", "replication")
    if mode not in _MODES:
        raise FieldError(f"redundancy_mode must be one of {', '.join(_MODES)}")
    copies = (
        _replicas(chunk_id, body, size_bytes, checksum)
        if mode == "replication"
        else _fragments(body)
    )
    return ChunkCommit(
        chunk_id=chunk_id,
        video_id=id_field(body, "video_id"),
        sequence_num=count_field(body, "sequence_num", high=10_000_000),
        size_bytes=size_bytes,
        checksum=checksum,
        redundancy_mode=str(mode),
        copies=copies,
    )


def _replicas(
    chunk_id: str, body: Mapping[str, object], size_bytes: int, checksum: str
) -> tuple[Copy, ...]:
    urls = body.get("node_urls")
    if not isinstance(urls, list) or not 1 <= len(urls) <= _MAX_COPIES:
        raise FieldError(f"node_urls must be a list of 1 to {_MAX_COPIES} URLs")
    return tuple(
        Copy(
            object_id=chunk_id,
            fragment_index=None,
            node_url=_checked_url(url, "node_urls"),
            size_bytes=size_bytes,
            checksum=checksum,
        )
        for url in dict.fromkeys(map(str, urls))
    )


def _fragments(body: Mapping[str, object]) -> tuple[Copy, ...]:
    rows = body.get("fragments_metadata")
    if not isinstance(rows, list) or not 1 <= len(rows) <= _MAX_COPIES:
        raise FieldError(f"fragments_metadata must be a list of 1 to {_MAX_COPIES} fragments")
    copies = []
    for row in rows:
        if not isinstance(row, dict):
            raise FieldError("fragments_metadata must hold objects")
        try:
            copy = Copy(
                object_id=id_field(row, "fragment_id"),
                fragment_index=count_field(row, "fragment_index", high=4),
                node_url=url_field(row, "node_url"),
                size_bytes=count_field(row, "size_bytes", low=1, high=_MAX_SIZE_BYTES),
                checksum=_checksum(row, "checksum"),
            )
        except FieldError as error:
            raise FieldError(f"fragments_metadata: {error}") from error
        copies.append(copy)
    return tuple(copies)


def _checksum(body: Mapping[str, object], name: str) -> str:
    value = body.get(name)
    match = _CHECKSUM.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise FieldError(f"{name} must be 64 hex digits")
    return match[1].lower()


def _checked_url(value: object, name: str) -> str:
    try:
        parts = urlsplit(value if isinstance(value, str) else "")
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not isinstance(value, str) or len(value) > 2000:
        raise FieldError(f"{name} must be an http URL")
    return value.rstrip("/")
