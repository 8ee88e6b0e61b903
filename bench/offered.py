"""What the nodes could really have sent, from their links and the faults they had. No I/O, no clock, no randomness."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.optimum import Film, Optimum, Part, Step, Supply, optimum, whole_bodies
from cluster.faults import SLOW_RATE_RATIO, FaultKind
from cluster.profiles import LinkProfile
from cluster.shaping import RateSchedule

# Faults under which nothing useful comes; `stall` and `truncate` keep the capacity: half a body is good bytes.
_USELESS: frozenset[FaultKind] = frozenset(
    {"down", "silent", "silent_data", "503", "corrupt", "missing"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """A fault of a node from one time to another (infinity: to the end); `chunk` where it concerns only one."""

    node: int
    kind: FaultKind
    from_sec: float
    until_sec: float = math.inf
    chunk: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedLink:
    """A node's link: its schedule, and at which time of ours the schedule was at its beginning."""

    profile: LinkProfile
    schedule: RateSchedule
    origin_sec: float = 0.0

    def supply(self, troubles: Sequence[Trouble], until_sec: float) -> Supply:
        """Return what it could carry of use, the first round trip apart."""
        origin_sec = self.origin_sec
        steps = self.schedule.steps_between(-origin_sec, until_sec - origin_sec)
        rates = [(at + origin_sec, step.bytes_per_sec) for at, step in steps]
        rtt_ms = self.profile.rtt_ms
        ready_ms = steps[0][1].latency_ms if rtt_ms is None else rtt_ms
        edges = {at for at, _ in rates}
        edges |= {t for trouble in troubles for t in (trouble.from_sec, trouble.until_sec)}
        offered: list[Step] = []
        for at_sec in sorted(t for t in edges if 0 <= t < until_sec) or [0.0]:
            rate = next(r for begin, r in reversed(rates) if begin <= at_sec)
            offered.append((at_sec, rate * _kept_ratio(troubles, at_sec)))
        return Supply(offered, ready_sec=ready_ms / 1000)


def _kept_ratio(troubles: Sequence[Trouble], at_sec: float) -> float:
    kinds = {t.kind for t in troubles if t.from_sec <= at_sec < t.until_sec and t.chunk is None}
    if kinds & _USELESS:
        return 0.0
    return SLOW_RATE_RATIO if "slow" in kinds else 1.0


def stored_film(
    manifest: Mapping[str, Any], node_urls: Sequence[str], troubles: Sequence[Trouble]
) -> Film:
    """Return where each chunk lies, and when it was missing there."""
    absent: dict[int, dict[int, tuple[tuple[float, float], ...]]] = {}
    for trouble in troubles:
        if trouble.kind == "missing" and trouble.chunk is not None:
            spans = absent.setdefault(trouble.chunk, {})
            span = (max(0.0, trouble.from_sec), trouble.until_sec)
            spans[trouble.node] = (*spans.get(trouble.node, ()), span)
    index = {url.rstrip("/"): number for number, url in enumerate(node_urls)}
    rows = sorted(manifest["chunks"], key=lambda row: row["sequence_num"])
    parts = []
    for number, row in enumerate(rows):
        gone = absent.get(number, {})
        fragments = row.get("fragments") or ()
        places = [((f["node_url"],), f["size_bytes"]) for f in fragments]
        places = places or [(tuple(row["replicas"]), row["size_bytes"])]
        parts.append(
            tuple(
                Part(
                    nodes=tuple(index[url.rstrip("/")] for url in urls),
                    max_bytes=float(size),
                    absent=gone,
                )
                for urls, size in places
            )
        )
    return Film(
        size_bytes=float(rows[0]["size_bytes"]),
        chunk_sec=float(manifest["chunk_duration_sec"]),
        parts=tuple(parts),
    )


def best_possible(
    links: Sequence[OfferedLink], film: Film, troubles: Sequence[Trouble], until_sec: float
) -> Optimum:
    """Return the physical optimum on these links; the floor of whole bodies where no node answers ranges."""
    supplies = [
        link.supply([t for t in troubles if t.node == number], until_sec)
        for number, link in enumerate(links)
    ]
    if all(link.profile.no_range for link in links):
        cuts = [link.profile.cut_response_after_sec for link in links]
        return whole_bodies(supplies, film, cut_after_sec=cuts)
    return optimum(supplies, film)
