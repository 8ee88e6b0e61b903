"""What the bench and the simulation play: links, films, faults over time.

Pure data; only the scenarios on recorded traces read these traces when they are asked for. Nodes are listed in a
manifest in their order here. All nodes but those named by a fault are up and honest.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

from bench.scenario import FaultEvent as FaultEvent, Scenario as Scenario
from cluster.faults import FaultKind
from cluster.profiles import TRACES_DIR, LinkProfile, load_schedule

MIB = 1024 * 1024
# A film that fits the links of a trace needs at most this share of what they carry while it plays.
MIN_CAPACITY_RATIO = 1.3
_DRAWS = 1000


def _links(
    *rate_and_rtt: tuple[float, float], no_range: bool = False, slow_start: bool = False
) -> tuple[LinkProfile, ...]:
    return tuple(
        LinkProfile(rate_mbps=rate, rtt_ms=rtt, no_range=no_range, slow_start=slow_start)
        for rate, rtt in rate_and_rtt
    )


def _all_nodes(
    count: int, kind: FaultKind, *, at_sec: float, for_sec: float, chunk: int
) -> tuple[FaultEvent, ...]:
    return tuple(
        FaultEvent(node=node, kind=kind, at_sec=at_sec, for_sec=for_sec, chunk=chunk)
        for node in range(count)
    )


# 4.2 Mbit/s of film on 35 Mbit/s of links: what a good day looks like.
_FAST = _links((20, 20), (10, 40), (5, 80))
# 4.2 Mbit/s on 10.5: the buffer still fills while faults come.
_MODEST = _links((6, 20), (3, 40), (1.5, 80))
# 4.2 Mbit/s on 5.45: 1.3 times the bitrate.
_TIGHT = _links((3, 20), (1.6, 40), (0.85, 80))

_FIXED: tuple[Scenario, ...] = (
    Scenario(
        name="steady",
        title="unequal links, nothing happens",
        nodes=_FAST,
        chunks=8,
        chunk_bytes=2 * MIB,
        chunk_sec=4.0,
        healthy=True,
    ),
    Scenario(
        name="tight",
        title="all links together carry 1.3 times the bitrate",
        nodes=_TIGHT,
        chunks=8,
        chunk_bytes=2 * MIB,
        chunk_sec=4.0,
        healthy=True,
    ),
    Scenario(
        name="death",
        title="the best node refuses connections from 6 s on and returns at 20 s",
        nodes=_MODEST,
        chunks=9,
        chunk_bytes=2 * MIB,
        chunk_sec=4.0,
        faults=(FaultEvent(node=0, kind="down", at_sec=6.0, for_sec=14.0),),
    ),
    Scenario(
        name="silent-start",
        title="the best node never says a word",
        nodes=_MODEST,
        chunks=7,
        chunk_bytes=2 * MIB,
        chunk_sec=4.0,
        faults=(FaultEvent(node=0, kind="silent"),),
    ),
    Scenario(
        name="silent",
        title="the best node falls silent at 5 s, in the middle of its answers",
        nodes=_MODEST,
        chunks=8,
        chunk_bytes=2 * MIB,
        chunk_sec=4.0,
        faults=(FaultEvent(node=0, kind="silent", at_sec=5.0),),
    ),
    Scenario(
        name="gray",
        title="the best node keeps 2 % of its rate from 3 s on and answers pings as ever",
        nodes=_links((8, 20), (4, 40), (2.5, 80)),
        chunks=8,
        chunk_bytes=2 * MIB,
        chunk_sec=4.0,
        faults=(FaultEvent(node=0, kind="slow", at_sec=3.0),),
    ),
    Scenario(
        name="gray-start",
        title="the best node has 2 % of its rate from the start and answers pings as ever",
        nodes=_links((20, 20), (10, 40), (5, 80)),
        chunks=7,
        chunk_bytes=2 * MIB,
        chunk_sec=4.0,
        faults=(FaultEvent(node=0, kind="slow"),),
    ),
    Scenario(
        name="corrupt",
        title="the best node sends wrong bytes",
        nodes=_links((10, 20), (6, 40), (4, 80)),
        chunks=7,
        chunk_bytes=2 * MIB,
        chunk_sec=4.0,
        faults=(FaultEvent(node=0, kind="corrupt"),),
    ),
    Scenario(
        name="truncate",
        title="the best node ends every answer after half of it",
        nodes=_links((10, 20), (6, 40), (4, 80)),
        chunks=7,
        chunk_bytes=2 * MIB,
        chunk_sec=4.0,
        faults=(FaultEvent(node=0, kind="truncate"),),
    ),
    Scenario(
        name="dead-first",
        title="the node listed first refuses connections",
        nodes=_links((20, 20), (10, 40), (10, 30)),
        chunks=6,
        chunk_bytes=2 * MIB,
        chunk_sec=4.0,
        faults=(FaultEvent(node=0, kind="down"),),
    ),
    Scenario(
        name="dead-first-silent",
        title="the node listed first takes connections and never answers",
        nodes=_links((20, 20), (10, 40), (10, 30)),
        chunks=6,
        chunk_bytes=2 * MIB,
        chunk_sec=4.0,
        faults=(FaultEvent(node=0, kind="silent"),),
    ),
    Scenario(
        name="no-range",
        title="no node answers ranges",
        nodes=_links((20, 20), (10, 40), (5, 80), no_range=True),
        chunks=8,
        chunk_bytes=2 * MIB,
        chunk_sec=4.0,
    ),
    Scenario(
        name="mixed-range",
        title="the best node answers no ranges, the others do",
        nodes=(
            LinkProfile(rate_mbps=20, rtt_ms=20, no_range=True),
            LinkProfile(rate_mbps=10, rtt_ms=40),
            LinkProfile(rate_mbps=5, rtt_ms=80),
        ),
        chunks=8,
        chunk_bytes=2 * MIB,
        chunk_sec=4.0,
    ),
    Scenario(
        name="cut-15s",
        title="slow nodes without ranges that cut an answer after 15 s",
        nodes=tuple(
            LinkProfile(rate_mbps=rate, rtt_ms=rtt, no_range=True, cut_response_after_sec=15.0)
            for rate, rtt in ((2.0, 20), (1.0, 40), (0.5, 80))
        ),
        chunks=6,
        chunk_bytes=1 * MIB,
        chunk_sec=8.0,
    ),
    Scenario(
        name="many",
        title="20 nodes, 3 replicas a chunk",
        nodes=_links(*((4.0 + 3 * (node * 7 % 5), 20.0 + 15 * (node % 4)) for node in range(20))),
        chunks=10,
        chunk_bytes=2 * MIB,
        chunk_sec=4.0,
        replicas=3,
        healthy=True,
    ),
    Scenario(
        name="coded",
        title="3+2 fragments; one node is silent from the start, the best one dies at 4 s",
        nodes=_links((8, 20), (6, 40), (5, 60), (4, 80), (3, 30)),
        chunks=8,
        chunk_bytes=2 * MIB,
        chunk_sec=4.0,
        coded=True,
        faults=(
            FaultEvent(node=1, kind="silent"),
            FaultEvent(node=0, kind="down", at_sec=4.0),
        ),
    ),
    Scenario(
        name="missing",
        title="no node has chunk 3 for the first 20 s",
        nodes=_FAST,
        chunks=7,
        chunk_bytes=2 * MIB,
        chunk_sec=4.0,
        faults=_all_nodes(3, "missing", at_sec=0.0, for_sec=20.0, chunk=3),
    ),
    Scenario(
        name="rtt-200",
        title="round trips of 200 ms",
        nodes=_links((20, 200), (10, 200), (5, 200)),
        chunks=8,
        chunk_bytes=2 * MIB,
        chunk_sec=4.0,
        healthy=True,
    ),
    Scenario(
        name="slow-start",
        title="each connection begins slowly, round trips of 60, 80 and 100 ms",
        nodes=_links((20, 60), (10, 80), (5, 100), slow_start=True),
        chunks=8,
        chunk_bytes=2 * MIB,
        chunk_sec=4.0,
        healthy=True,
    ),
    Scenario(
        name="slow-start-200",
        title="each connection begins slowly, round trips of 200 ms",
        nodes=_links((20, 200), (10, 200), (5, 200), slow_start=True),
        chunks=8,
        chunk_bytes=2 * MIB,
        chunk_sec=4.0,
        healthy=True,
    ),
    Scenario(
        name="flap",
        title="each node is dark for 8 of 24 s, in turn",
        nodes=_links((6, 20), (4, 40), (3, 60)),
        chunks=9,
        chunk_bytes=2 * MIB,
        chunk_sec=4.0,
        faults=tuple(
            FaultEvent(node=turn % 3, kind="silent", at_sec=2.0 + 8.0 * turn, for_sec=8.0)
            for turn in range(6)
        ),
    ),
    Scenario(
        name="tight-silent",
        title="1.3 times the bitrate, and the second node is silent from 6 to 12 s",
        nodes=_TIGHT,
        chunks=8,
        chunk_bytes=2 * MIB,
        chunk_sec=4.0,
        faults=(FaultEvent(node=1, kind="silent", at_sec=6.0, for_sec=6.0),),
    ),
)


def _on_traces(
    name: str,
    title: str,
    folder: str,
    *,
    chunks: int,
    chunk_bytes: int,
    chunk_sec: float,
    seed: int,
) -> Scenario:
    """Draw three traces and offsets until they carry the film while it plays."""
    rng = random.Random(f"{name}:{seed}")
    known = sorted(path.stem for path in (TRACES_DIR / folder).glob("*.json"))
    for _ in range(_DRAWS):
        nodes = tuple(
            LinkProfile(
                trace=f"{folder}/{trace}", trace_offset_sec=round(rng.uniform(0.0, 400.0), 1)
            )
            for trace in rng.sample(known, 3)
        )
        if _carried_bytes(nodes, chunks * chunk_sec) >= MIN_CAPACITY_RATIO * chunks * chunk_bytes:
            break
    else:
        raise ValueError(f"{name}: no three traces in {folder} carry the film")
    return Scenario(
        name=name,
        title=title,
        nodes=nodes,
        chunks=chunks,
        chunk_bytes=chunk_bytes,
        chunk_sec=chunk_sec,
        healthy=True,
    )


def _carried_bytes(nodes: Sequence[LinkProfile], span_sec: float) -> float:
    total = 0.0
    for node in nodes:
        schedule = load_schedule(node)
        if schedule is not None:
            from_sec = node.trace_offset_sec
            total += schedule.bytes_until(from_sec + span_sec) - schedule.bytes_until(from_sec)
    return total


def _cellular_3g(seed: int) -> Scenario:
    return _on_traces(
        "3g",
        "three recorded 3G links",
        "3g",
        chunks=10,
        chunk_bytes=1 * MIB,
        chunk_sec=4.0,
        seed=seed,
    )


def _cellular_4g(seed: int) -> Scenario:
    return _on_traces(
        "4g",
        "three recorded 4G links",
        "4g",
        chunks=16,
        chunk_bytes=2 * MIB,
        chunk_sec=2.0,
        seed=seed,
    )


def _steps(seed: int) -> Scenario:
    return _on_traces(
        "steps",
        "three links whose rates step up and down",
        "steps",
        chunks=20,
        chunk_bytes=2 * MIB,
        chunk_sec=2.0,
        seed=seed,
    )


_DRAWN: dict[str, Callable[[int], Scenario]] = {
    "3g": _cellular_3g,
    "4g": _cellular_4g,
    "steps": _steps,
}
SCENARIO_NAMES: tuple[str, ...] = (*(s.name for s in _FIXED), *_DRAWN)


def scenario(name: str, seed: int = 1) -> Scenario:
    """Return a scenario by its name; `seed` draws the traces and offsets of those that have some."""
    if name in _DRAWN:
        return _DRAWN[name](seed)
    for fixed in _FIXED:
        if fixed.name == name:
            return fixed
    raise ValueError(f"unknown scenario {name!r}; known are {', '.join(SCENARIO_NAMES)}")


def all_scenarios(seed: int = 1) -> tuple[Scenario, ...]:
    """Return every scenario."""
    return tuple(scenario(name, seed) for name in SCENARIO_NAMES)


def lengthened(played: Scenario, film_sec: float) -> Scenario:
    """Return the same scenario with a film of about `film_sec`."""
    return replace(played, chunks=max(1, round(film_sec / played.chunk_sec)))
