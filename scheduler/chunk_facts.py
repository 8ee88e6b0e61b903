"""What a replica tells of a chunk before it is fetched: size, checksum, whether it can send ranges.

Small requests in the event loop, so that they can be cancelled at any moment and need no threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import io
import logging
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from email.message import Message
from urllib.parse import quote, urlsplit

from common.manifest import MAX_CHUNK_BYTES, parse_checksum

logger = logging.getLogger(__name__)

# More is no answer to a question about one chunk.
MAX_HEAD_BYTES = 16 * 1024
_METHOD_UNKNOWN = (405, 501)
_FAILURES = (
    OSError,
    EOFError,
    ValueError,
    http.client.HTTPException,
    asyncio.LimitOverrunError,
)
_TOTAL = re.compile(r"bytes 0-0/(\d+)")


@dataclass(frozen=True, slots=True)
class ChunkFacts:
    """Size and checksum of a chunk; the checksum is empty where nobody knows it."""

    size_bytes: int
    checksum_sha256: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What one replica said; `accepts_ranges` is None when it did not say."""

    url: str
    facts: ChunkFacts
    accepts_ranges: bool | None


async def first_answer(
    urls: Sequence[str], *, timeout_sec: float, unlike: Collection[ChunkFacts] = ()
) -> Answer | None:
    """Ask all replicas at once and return the first usable answer; None when there is none.

    Answers with facts in `unlike` do not count: they turned out wrong.
    """
    asking = [asyncio.create_task(_ask(url, timeout_sec)) for url in urls]
    try:
        for done in asyncio.as_completed(asking):
            answer = await done
            if answer is not None and answer.facts not in unlike:
                return answer
        return None
    finally:
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)


async def _ask(url: str, timeout_sec: float) -> Answer | None:
    try:
        async with asyncio.timeout(timeout_sec):
            status, headers = await _head_of(url, "HEAD")
            if status in _METHOD_UNKNOWN:
                status, headers = await _head_of(url, "GET")
    except _FAILURES as error:
        logger.debug("no facts url=%s reason=%r", url, error)
        return None
    return _understand(url, status, headers)


async def _head_of(url: str, method: str) -> tuple[int, Message]:
    """Return status and headers of an answer; its body is not read."""
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    reader, writer = await asyncio.open_connection(
        parts.hostname,
        parts.port or (443 if secure else 80),
        ssl=secure or None,
        limit=MAX_HEAD_BYTES,
    )
    try:
        lines = [
            f"{method} {quote(parts.path, safe='/%')} HTTP/1.1",
            f"Host: {parts.netloc.rpartition('@')[2]}",
            "Accept-Encoding: identity",
            "Connection: close",
            *(["Range: bytes=0-0"] if method == "GET" else []),
        ]
        writer.write("".join(f"{line}\r\n" for line in [*lines, ""]).encode("ascii"))
        head = await reader.readuntil(b"\r\n\r\n")
    finally:
        writer.transport.abort()
    first_line, _, rest = head.partition(b"\r\n")
    words = first_line.split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/1."):
        raise ValueError(f"{first_line[:40]!r} is no HTTP answer")
    return int(words[1]), http.client.parse_headers(io.BytesIO(rest))


def _understand(url: str, status: int, headers: Message) -> Answer | None:
    accepts_ranges = {"bytes": True, "none": False}.get(
        (headers.get("Accept-Ranges") or "").strip().lower()
    )
    text = (headers.get("Content-Length") or "").strip()
    if status == 206:
        found = _TOTAL.fullmatch((headers.get("Content-Range") or "").strip())
        text, accepts_ranges = found.group(1) if found else "", True
    if status not in (200, 206) or not text.isdecimal() or not 0 < int(text) <= MAX_CHUNK_BYTES:
        logger.debug("no facts url=%s status=%d length=%s", url, status, text[:20])
        return None
    checksum = ""
    with contextlib.suppress(ValueError):
        # An ETag is a checksum only where it looks like one.
        checksum = parse_checksum((headers.get("ETag") or "").strip().removeprefix("W/").strip('"'))
    return Answer(url, ChunkFacts(int(text), checksum), accepts_ranges)
