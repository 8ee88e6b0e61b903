"""Where the time of a startup went, node by node, from what the nodes noted. No I/O, no clock, no randomness.

From the manifest request to the first chunk's last byte each link could have carried bytes of it. What it did instead
adds up to the distance from the optimum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.deliveries import Body

# Links are counted in stretches of this length.
_STEP_SEC = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeTime:
    """How a node spent the time until `until_sec`, in seconds: they add up to it.

    `unasked`: nothing had been asked of it yet; `first_answer`: its first answer was on the way; `other_answers`:
    later ones were, and nothing flowed; `idle`: nothing was due; `urgent`: it sent the first chunk; `later`: other
    chunks.
    """

    node: int
    unasked_sec: float
    first_answer_sec: float
    other_answers_sec: float
    idle_sec: float
    urgent_sec: float
    later_sec: float
    urgent_bytes: int
    later_bytes: int
    requests: int


def node_times(bodies: Sequence[Body], nodes: int, until_sec: float) -> list[NodeTime]:
    """Return how each node spent the time until then."""
    return [
        _node_time(node, [b for b in bodies if b.node == node], until_sec) for node in range(nodes)
    ]


def _node_time(node: int, bodies: Sequence[Body], until_sec: float) -> NodeTime:
    spent = dict.fromkeys(("unasked", "first", "other", "idle", "urgent", "later"), 0.0)
    first_asked_sec = min((b.asked_sec for b in bodies), default=until_sec)
    first_sent_sec = min((b.sent[0][0] for b in bodies if b.sent), default=until_sec)
    for index in range(int(until_sec / _STEP_SEC)):
        spent[_state(bodies, index * _STEP_SEC, first_asked_sec, first_sent_sec)] += _STEP_SEC
    asked = [b for b in bodies if b.asked_sec < until_sec]
    sent = [(b.stored.chunk, b.sent_until(until_sec) - b.asked_from) for b in asked]
    return NodeTime(
        node=node,
        unasked_sec=spent["unasked"],
        first_answer_sec=spent["first"],
        other_answers_sec=spent["other"],
        idle_sec=spent["idle"],
        urgent_sec=spent["urgent"],
        later_sec=spent["later"],
        urgent_bytes=sum(size for chunk, size in sent if chunk == 0),
        later_bytes=sum(size for chunk, size in sent if chunk),
        requests=len(asked),
    )


def _state(
    bodies: Sequence[Body], at_sec: float, first_asked_sec: float, first_sent_sec: float
) -> str:
    flowing = [b for b in bodies if b.sent and b.sent[0][0] <= at_sec <= b.sent[-1][0]]
    if flowing:
        return "urgent" if any(b.stored.chunk == 0 for b in flowing) else "later"
    if at_sec < first_asked_sec:
        return "unasked"
    if at_sec < first_sent_sec:
        return "first"
    return "other" if any(b.asked_sec <= at_sec < b.ended_sec for b in bodies) else "idle"


def node_times_text(times: Sequence[NodeTime]) -> str:
    """Return a table of them."""
    head = "node  unasked  1st answer  later answers    idle  urgent   other  urgent KB  other KB  requests"
    rows = [
        f"{t.node + 1:>4} {t.unasked_sec:8.3f} {t.first_answer_sec:11.3f} {t.other_answers_sec:14.3f} "
        f"{t.idle_sec:7.3f} {t.urgent_sec:7.3f} {t.later_sec:7.3f} {t.urgent_bytes / 1e3:10.0f} "
        f"{t.later_bytes / 1e3:9.0f} {t.requests:9}"
        for t in times
    ]
    return "\n".join([head, *rows])


def requests_text(bodies: Sequence[Body], until_sec: float) -> str:
    """Return the requests asked until then, one a line."""
    rows = []
    for body in sorted(bodies, key=lambda b: b.asked_sec):
        if body.asked_sec > until_sec:
            continue
        began = f"{body.sent[0][0]:.3f}" if body.sent else "-"
        rows.append(
            f"{body.asked_sec:7.3f} first {began:>6} end {body.ended_sec:7.3f} node {body.node + 1} "
            f"chunk {body.stored.chunk}.{body.stored.part} {body.asked_from:>8}-{body.asked_until:<8} "
            f"sent {body.sent_bytes:>8} {body.status} {body.outcome}"
        )
    return "\n".join(rows)
