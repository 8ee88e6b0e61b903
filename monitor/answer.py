"""The head of an HTTP answer, taken in as it arrives. No I/O, no clock, no randomness.

Only what a ping has to know is read: the status, `Accept-Ranges`, and whether the connection may be used again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# A node's head has some hundred bytes, with cookies a few thousand. What is longer is no answer to a ping.
MAX_HEAD_BYTES = 16 * 1024
_END = re.compile(rb"\r?\n\r?\n")
_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?:[ \r\n]|$)")
_RANGES = re.compile(rb"\naccept-ranges:[ \t]*([a-z]+)[ \t]*(?:\r|\n|$)")
_CONNECTION = re.compile(rb"\nconnection:([^\r\n]*)")
_RANGES_MEANING = {b"bytes": True, b"none": False}


class MalformedAnswerError(ValueError):
    """What came is no head of an HTTP answer."""


@dataclass(frozen=True, slots=True)
class AnswerHead:
    """What an answer's head says; `reusable` is for answers without a body, as those to HEAD."""

    status: int
    accepts_ranges: bool | None
    reusable: bool


class HeadReader:
    """Collects bytes until the head of one final answer is complete; interim answers (1xx) are passed over."""

    __slots__ = ("_pending", "_total_bytes")

    def __init__(self) -> None:
        self._pending = b""
        self._total_bytes = 0

    def feed(self, received: bytes) -> AnswerHead | None:
        """Take in what was received; None while the head is not complete.

        Raises MalformedAnswerError as soon as it can be none, or grows too long.
        """
        # The end may have begun in what came before.
        begin = max(0, len(self._pending) - 3)
        self._pending += received
        self._total_bytes += len(received)
        while (end := _END.search(self._pending, begin)) is not None:
            head, rest = self._pending[: end.start()], self._pending[end.end() :]
            if end.start() > MAX_HEAD_BYTES:
                break
            status = _status_of(head)
            if status >= 200:
                return _read(head, status, alone=not rest)
            self._pending, begin = rest, 0
        if self._total_bytes > MAX_HEAD_BYTES:
            raise MalformedAnswerError(f"no head within {MAX_HEAD_BYTES} bytes")
        if len(self._pending) >= len(b"HTTP/1.1 200 "):
            _status_of(self._pending)
        return None


def _status_of(head: bytes) -> int:
    found = _STATUS.match(head)
    if found is None:
        raise MalformedAnswerError(f"no HTTP answer: {head[:40]!r}")
    return int(found.group(2))


def _read(head: bytes, status: int, *, alone: bool) -> AnswerHead:
    lower = head.lower()
    ranges = _RANGES.search(lower)
    tokens = {t.strip() for found in _CONNECTION.findall(lower) for t in found.split(b",")}
    by_default = lower.startswith(b"http/1.1")
    keeps = b"close" not in tokens and (by_default or b"keep-alive" in tokens)
    return AnswerHead(
        status=status,
        accepts_ranges=_RANGES_MEANING.get(ranges.group(1)) if ranges else None,
        # Bytes after the head of an answer without a body belong to no answer.
        reusable=keeps and alone,
    )
