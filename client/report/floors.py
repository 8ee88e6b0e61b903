"""What a session could have come to at best, as far as its recording tells. No I/O, no clock, no randomness.

Nobody knows what nodes could have sent that were not asked. Two things can be said all the same. At the best pace each
node was seen to keep, the first chunk needs a certain time from the manifest on. And a film whose bytes arrive when
these bytes arrived, in whatever order, needs a certain sum of startup and stalls. Both err on the low side: they take
every node for a holder of every chunk, and every byte for one that was needed.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """The best that was seen of a node."""

    rate_mbps: float
    first_byte_sec: float


def startup_floor_sec(chunk_bytes: int, manifest_sec: float, paces: Sequence[Pace]) -> float | None:
    """Return when the first chunk could have been complete; None when no node ever sent anything."""
    usable = sorted((p.first_byte_sec, p.rate_mbps * 1e6 / 8) for p in paces if p.rate_mbps > 0)
    rate, come, at_sec = 0.0, 0.0, 0.0
    for first_byte_sec, node_rate in usable:
        gained = rate * (first_byte_sec - at_sec)
        if rate and come + gained >= chunk_bytes:
            break
        come, at_sec = come + gained, first_byte_sec
        rate += node_rate
    return manifest_sec + at_sec + (chunk_bytes - come) / rate if rate else None


def play_floor_sec(
    chunks: Sequence[tuple[int, float]],
    arrived: Sequence[tuple[float, float]],
    *,
    unseen_bytes: float = 0.0,
) -> float | None:
    """Return the least sum of startup and stalls with which chunks (bytes, seconds) could have been played.

    `arrived` holds times, rising, with the bytes that had come soon after them at most; `unseen_bytes` more may have
    come at any time. None when fewer bytes arrived than the chunks have.
    """
    times = [at_sec for at_sec, _ in arrived]
    totals = [total + unseen_bytes for _, total in arrived]
    needed, played_sec, floor_sec = 0.0, 0.0, 0.0
    for size_bytes, duration_sec in chunks:
        needed += size_bytes
        if needed > unseen_bytes:
            # Sums of many parts are not exact to the byte.
            index = bisect.bisect_left(totals, needed - 1.0)
            if index == len(totals):
                return None
            floor_sec = max(floor_sec, times[index] - played_sec)
        played_sec += duration_sec
    return floor_sec
