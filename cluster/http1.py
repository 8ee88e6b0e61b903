"""HTTP/1.1 as the storage node speaks it: request heads, single ranges, response heads.

No I/O, no clock, no randomness: time and rng are arguments.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from urllib.parse import unquote, urlsplit

# A request head above this is refused; real ones are a few hundred bytes.
MAX_HEAD_BYTES = 16 * 1024

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VERSION = re.compile(r"HTTP/1\.[01]")
_RANGE = re.compile(r"\s*bytes\s*=\s*(\d*)\s*-\s*(\d*)\s*", re.IGNORECASE | re.ASCII)


class BadRequestError(ValueError):
    """A request head that is no HTTP/1.x."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestHead:
    """The first line and the header fields (names in lower case) of one request."""

    method: str
    path: str
    headers: Mapping[str, str]
    keep_alive: bool

    def body_length_bytes(self) -> int | None:
        """Return the announced body length, None when it is not announced as a plain number."""
        text = self.headers.get("content-length", "")
        if "transfer-encoding" in self.headers or not (text.isascii() and text.isdigit()):
            return None
        return int(text) if len(text) < 19 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ByteRange:
    """The part of a body that is wanted: `length_bytes` from `offset_bytes` on."""

    offset_bytes: int
    length_bytes: int


class RangeVerdict(Enum):
    """The answer to a range of which no byte exists."""

    UNSATISFIABLE = "unsatisfiable"


UNSATISFIABLE = RangeVerdict.UNSATISFIABLE


def parse_head(raw: bytes) -> RequestHead:
    """Parse a request head without its closing empty line."""
    lines = raw.decode("latin-1").split("\r\n")
    first = lines[0].split(" ")
    if len(first) != 3 or not _TOKEN.fullmatch(first[0]) or not _VERSION.fullmatch(first[2]):
        raise BadRequestError("malformed request line")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, text = line.partition(":")
        if not colon or not _TOKEN.fullmatch(name):
            raise BadRequestError("malformed header field")
        headers[name.lower()] = text.strip(" \t")
    try:
        path = unquote(urlsplit(first[1]).path)
    except ValueError as error:
        raise BadRequestError("malformed request target") from error
    connection = headers.get("connection", "").lower()
    keep_alive = "keep-alive" in connection if first[2] == "HTTP/1.0" else "close" not in connection
    return RequestHead(method=first[0], path=path, headers=headers, keep_alive=keep_alive)


def parse_range(text: str | None, size_bytes: int) -> ByteRange | RangeVerdict | None:
    """Return the range asked for; None means the whole body, UNSATISFIABLE an answer of 416.

    A malformed header, another unit and several ranges are ignored, as RFC 9110 allows.
    """
    match = _RANGE.fullmatch(text) if text is not None else None
    if match is None:
        return None
    first, last = match.groups()
    if len(first) > 18 or len(last) > 18 or not (first or last):
        return None
    if not first:
        length = min(int(last), size_bytes)
        if length == 0:
            return UNSATISFIABLE
        return ByteRange(offset_bytes=size_bytes - length, length_bytes=length)
    offset = int(first)
    if last and int(last) < offset:
        return None
    if offset >= size_bytes:
        return UNSATISFIABLE
    end = min(int(last) + 1, size_bytes) if last else size_bytes
    return ByteRange(offset_bytes=offset, length_bytes=end - offset)


def response_head(status: int, headers: Mapping[str, str | int], *, keep_alive: bool) -> bytes:
    """Return the status line, the header fields and the empty line of a response."""
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    lines += [f"{name}: {text}" for name, text in headers.items()]
    lines.append("Connection: keep-alive" if keep_alive else "Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
