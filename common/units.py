"""Conversions and short texts for numbers that people read. No I/O, no clock, no randomness."""

from __future__ import annotations

import functools
from urllib.parse import urlsplit


def megabits_per_sec(size_bytes: int, duration_sec: float) -> float:
    """Return Mbit/s; the duration is taken as at least a microsecond."""
    return size_bytes * 8 / 1e6 / max(duration_sec, 1e-6)


def transfer_sec(size_bytes: int, rate_mbps: float) -> float:
    """Return how long `size_bytes` take at `rate_mbps`."""
    return size_bytes * 8 / 1e6 / max(rate_mbps, 1e-9)


def bytes_text(size_bytes: float) -> str:
    """Return `1.5 MB` and the like (decimal units)."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(size_bytes) < 1000 or unit == "GB":
            return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1000
    raise AssertionError("unreachable")


def clock_text(position_sec: float) -> str:
    """Return `1:23` or `1:02:03`."""
    whole = max(0, int(position_sec))
    hours, minutes, seconds = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


# Taking a URL apart costs microseconds; a film's URLs come again with every word of its session.
@functools.lru_cache(maxsize=16_384)
def node_of(url: str) -> str:
    """Return the node of a replica URL: its origin, lower case, without a trailing slash."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()


def short_node(node_url: str) -> str:
    """Return the host and port of a node for narrow places."""
    return urlsplit(node_url).netloc or node_url
