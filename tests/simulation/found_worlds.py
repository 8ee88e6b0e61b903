"""Worlds that a wider search found the planner wrong in once; each is an example of a property test.

They are kept as they were found: what went wrong hung on the exact course of events.
"""

from __future__ import annotations

from typing import Any

from bench.scenarios import FaultEvent
from cluster.faults import FaultKind
from cluster.profiles import LinkProfile
from simulation.world import NodePlan


def _node(
    rate_mbps: float,
    rtt_ms: float = 0.0,
    *faults: tuple[FaultKind, float, float | None],
    lacks: tuple[int, ...] = (),
    **link: Any,
) -> NodePlan:
    """Return a node with faults as (kind, from, for how long), lacking some chunks."""
    profile = LinkProfile(rate_mbps=rate_mbps, rtt_ms=rtt_ms, **link)
    return NodePlan(
        profile=profile,
        faults=(
            *(FaultEvent(node=0, kind=k, at_sec=at, for_sec=span) for k, at, span in faults),
            *(FaultEvent(node=0, kind="missing", chunk=number) for number in lacks),
        ),
    )


# A body would have to begin again, a far node would come too late beside it: neither took the rest.
REST_BEHIND_A_BODY: dict[str, Any] = {
    "nodes": [
        _node(4, jitter_ms=5, no_range=True),
        _node(
            8,
            300,
            ("503", 1.1487247966519114, 0.3),
            ("truncate", 2.7088055156661217, None),
            lacks=(2, 3, 4),
        ),
        _node(8, 300, ("down", 0.06, 0.3), ("corrupt", 0.02491725377466026, None), jitter_ms=5),
    ],
    "sizes": [1, 1, 400000, 1, 400000],
    "max_active": 4,
    "deaths": [0.37084219807917324],
    "seed": 67,
    "setup": {"monitor": "fresh", "warm": True},
}
FILM_BEHIND_A_BODY: dict[str, Any] = {
    "nodes": [
        _node(4, 50, jitter_ms=5, no_range=True),
        _node(8, 300, ("slow", 1.709, 0.3)),
        _node(0.3, lacks=(1, 3, 4)),
        _node(50, 50, ("silent_data", 3.576, 0.3), ("slow", 1.196, None), lacks=(1,)),
    ],
    "count": 5,
    "deaths": [0.0],
    "seed": 31,
    "setup": {"monitor": "known", "warm": False},
}
POSITIONS_BEHIND_A_BODY: dict[str, Any] = {
    "nodes": [
        _node(4, jitter_ms=5, no_range=True),
        _node(4, 50, jitter_ms=5),
        _node(4, 50),
        _node(
            0.3,
            300,
            ("silent_data", 0.0, 2.0),
            ("corrupt", 3.76, 2.0),
            no_range=True,
            lacks=(1, 2, 4),
        ),
        _node(
            0.3,
            0,
            ("slow", 1.98, None),
            ("corrupt", 2.22, 2.0),
            jitter_ms=5,
            no_range=True,
            lacks=(1, 2, 4),
        ),
    ],
    "sizes": [1, 400000, 400000],
    "order": [2, 4, 0, 1, 3],
    "deaths": [1.0],
    "seed": 28,
    "setup": {"monitor": "fresh", "warm": True},
}
# The end of a chunk came back while a body was on its way there, and nobody said that it should go on.
TAIL_OF_A_RUNNING_BODY: dict[str, Any] = {
    "nodes": [
        _node(4, 100, jitter_ms=5, no_range=True),
        _node(0.3, 50, ("down", 1.3908573367247012, None), lacks=(2,)),
        _node(0.3, 300, lacks=(2,)),
    ],
    "drops": [(1.0338436053434477, 4), (0.0, 3), (1.9999999999999998, 1), (1.3908573367247012, 0)],
    "seed": 28,
}
# A node whose one fragment was through counted as able to bring what another one had.
SLOW_BODY_NEEDED: dict[str, Any] = {
    "nodes": [
        _node(20),
        _node(20, 50, no_range=True),
        _node(20, 100, jitter_ms=5),
        _node(50, 300, lacks=(3,)),
        _node(0.3, 50, ("corrupt", 0.348, 0.3), ("slow", 0.6307, None), no_range=True),
    ],
    "sizes": [10000, 150000],
    "order": [2, 3, 0, 1, 4],
    "deaths": [],
    "seed": 54,
    "setup": {"monitor": "fresh", "warm": False},
}
# Two nodes cut off their bodies before the free bytes, and each time the other got a second chance.
BODIES_CUT_SHORT: dict[str, Any] = {
    "nodes": [
        _node(20, 100),
        _node(
            2,
            300,
            ("corrupt", 1.168, None),
            ("truncate", 3.8, None),
            jitter_ms=5,
            no_range=True,
            lacks=(0, 1),
        ),
        _node(0.3, 300, ("corrupt", 1.168, None), ("truncate", 3.8, None), no_range=True),
    ],
    "drops": [(0.0, 0)],
    "seed": 0,
}
# Nodes that lack the chunk took its end from a slow body again and again.
ROBBED_FOR_NOTHING: dict[str, Any] = {
    "nodes": [
        _node(20),
        _node(8, 50, ("corrupt", 2.396, 0.3), ("503", 1.4137, 0.3), jitter_ms=5, lacks=(1, 3, 4)),
        _node(8, lacks=(0, 3)),
        _node(
            0.3, 0, ("silent_data", 1.618, 0.3), ("corrupt", 0.0, 0.3), jitter_ms=5, no_range=True
        ),
    ],
    "sizes": [400000, 400000, 1, 400000, 150000],
    "max_active": 4,
    "deaths": [],
    "seed": 5,
    "setup": {"monitor": "fresh", "warm": False},
}
# One range was robbed three times at once, and the thief had more to send than a node may.
ROBBED_THRICE: dict[str, Any] = {
    "profiles": [
        _node(0.3, 50).profile,
        _node(0.3).profile,
        _node(0.3, 50).profile,
        _node(8).profile,
    ],
    "sizes": [10000, 400000, 400000],
    "seed": 59,
    "setup": {"monitor": "fresh", "warm": True},
}
ROBBED_BESIDE_ANOTHER_CHUNK: dict[str, Any] = {
    "nodes": [
        _node(4, jitter_ms=5),
        _node(8, 50, ("corrupt", 2.465887606937937, 0.3), jitter_ms=5, lacks=(0,)),
        _node(0.3, 50, ("corrupt", 0.37291, 0.3), ("slow", 1.7406190932642374, None), lacks=(0,)),
    ],
    "count": 6,
    "deaths": [0.005, 2.3090152192823],
    "seed": 65,
    "setup": {"monitor": "none", "warm": True},
}
# Of four nodes two lie and three break off: whoever's bytes were replaced, some of the rest were wrong.
TWO_LIARS: dict[str, Any] = {
    "nodes": [
        _node(4, 100, jitter_ms=5, no_range=True),
        _node(8, 300, ("corrupt", 0.03, None), cut_response_after_sec=0.5, slow_start=True),
        _node(
            8,
            300,
            ("silent", 3.6230093166224675, 2.0),
            ("503", 3.520658656022868, 2.0),
            cut_response_after_sec=0.5,
            slow_start=True,
            lacks=(0, 2, 4),
        ),
        _node(0.3, 300, ("corrupt", 0.03, None), jitter_ms=5, cut_response_after_sec=0.5),
    ],
    "count": 5,
    "deaths": [],
    "seed": 3,
    "setup": {"monitor": "fresh", "warm": True},
}
