"""What pings are and what they bring. No I/O, no clock, no randomness."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from common.node_urls import check_node_url

# A node that needs longer than this for an empty answer is of no use to a player.
MAX_TIMEOUT_SEC = 2.0
# A timeout of `requests` bounds each wait; a node that drips its headers byte by byte is cut off after this many.
OVERDUE_TIMEOUTS = 2.0
USER_AGENT = "vstack-client"
# One byte tells whether a node answers ranges: 206, or 200 and the whole body, which is not read.
RANGE_HEADER = "bytes=0-0"
_RANGES_BY_STATUS = {206: True, 200: False}


@dataclass(frozen=True, slots=True)
class Probe:
    """Outcome of one ping; `latency_ms` is None when it failed, and then `detail` says why."""

    node_url: str
    latency_ms: float | None
    accepts_ranges: bool | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class RangeCheck:
    """Outcome of asking a node for one byte of a chunk; None when the answer says nothing about ranges."""

    node_url: str
    honoured: bool | None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes over plain TCP, and the request as it is sent."""

    host: str
    port: int
    request: bytes


def probe_timeout_sec(ping_interval_sec: float) -> float:
    """Return how long a ping may take: a node is not asked again before it answered or failed."""
    return min(MAX_TIMEOUT_SEC, ping_interval_sec)


def range_honoured(status: int) -> bool | None:
    """Return what the status of the answer to a range of one byte says."""
    return _RANGES_BY_STATUS.get(status)


def ping_target(node_url: str) -> Target:
    """Return the ping of an http node; raise ValueError when its URL is no such."""
    return _target("HEAD", f"{node_url}/ping", "")


def range_target(url: str) -> Target:
    """Return the request for the first byte of a chunk on an http node; raise ValueError for another URL."""
    return _target("GET", url, f"Range: {RANGE_HEADER}\r\nConnection: close\r\n")


def _target(method: str, url: str, headers: str) -> Target:
    parts = urlsplit(check_node_url(url))
    host = parts.hostname
    if parts.scheme != "http" or not host:
        raise ValueError(f"{url[:120]!r} is no http URL")
    # Names of other alphabets travel in their ASCII form; UnicodeError is a ValueError.
    named = parts.netloc
    if not host.isascii():
        named = host.encode("idna").decode("ascii") + (f":{parts.port}" if parts.port else "")
    head = (
        f"{method} {parts.path} HTTP/1.1\r\nHost: {named}\r\nUser-Agent: {USER_AGENT}\r\n"
        f"Accept: */*\r\nAccept-Encoding: identity\r\n{headers}\r\n"
    )
    return Target(host, parts.port or 80, head.encode("ascii"))
