"""The metrics in Prometheus' text format, made from the model whenever somebody asks. No I/O, no clock.

The number of series is bounded: only live sessions are shown, and of sessions, nodes and workers so many at most.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, get_args

from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from common.messages import (
    NodeLoad,
    NodeScore,
    RangeOutcome,
    SessionStatus,
    SessionTraffic,
    WorkerStatus,
)
from common.stack_state import Evidence, Role
from dashboard.feed import Feed, StackSight
from dashboard.figures import Figure, Group, Split
from dashboard.node_figures import LOAD, OUTCOMES, SCORE, WORKER
from dashboard.session_figures import SESSION, TRAFFIC

# A stack plays a handful of sessions and has a handful of workers; a thousand nodes are a large store.
MAX_SESSIONS = 20
MAX_NODES = 1000
MAX_WORKERS = 100

_OPENMETRICS = "application/openmetrics-text"

Source = TypeVar("Source")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The stack at one instant, within the bounds of what is shown.

    What a process told that no longer lives is left out: it would look like news.
    """

    alive: Mapping[Role, bool] = field(default_factory=dict)
    heard_unix_sec: Mapping[Role, float] = field(default_factory=dict)
    live_sessions: int = 0
    sessions: tuple[SessionStatus, ...] = ()
    traffic: Mapping[str, SessionTraffic] = field(default_factory=dict)
    known_nodes: int = 0
    scores: Mapping[str, NodeScore] = field(default_factory=dict)
    loads: Mapping[str, NodeLoad] = field(default_factory=dict)
    outcomes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    known_workers: int | None = None
    workers: tuple[WorkerStatus, ...] = ()
    uptime_sec: float = 0.0
    viewers: int = 0
    applied_messages: int = 0
    dropped_messages: int = 0


STACK: Group[Reading] = Group(
    (),
    (
        Split(
            "vstack_role_up",
            "1 while this process of the watched stack lives, else 0.",
            "role",
            lambda r: {str(role): float(lives) for role, lives in r.alive.items()},
        ),
        Split(
            "vstack_role_heard_timestamp_seconds",
            "When this process last sent its state, in seconds since 1970; "
            "the buffer does so while a session lives.",
            "role",
            lambda r: {str(role): at_sec for role, at_sec in r.heard_unix_sec.items()},
        ),
        Figure(
            "vstack_live_sessions",
            "Sessions going on, also those beyond the number shown one by one.",
            lambda r: r.live_sessions,
        ),
        Figure(
            "vstack_known_nodes",
            "Nodes known, also those beyond the number shown one by one.",
            lambda r: r.known_nodes,
        ),
        Figure(
            "vstack_workers",
            "Workers known, also those beyond the number shown one by one.",
            lambda r: r.known_workers,
        ),
        Figure(
            "vstack_dashboard_uptime_seconds",
            "How long the dashboard has been running.",
            lambda r: r.uptime_sec,
        ),
        Figure(
            "vstack_dashboard_viewers",
            "Pages of the dashboard that are open.",
            lambda r: r.viewers,
        ),
        Figure(
            "vstack_dashboard_messages_total",
            "Messages of the stack that the dashboard took.",
            lambda r: r.applied_messages,
        ),
        Figure(
            "vstack_dashboard_dropped_messages_total",
            "Messages that the dashboard could not read; begins anew with another stack.",
            lambda r: r.dropped_messages,
        ),
    ),
)

GROUPS: tuple[Group[Any], ...] = (STACK, SESSION, TRAFFIC, SCORE, LOAD, OUTCOMES, WORKER)


def read(feed: Feed, now_unix_sec: float) -> Reading:
    """Return what is known now; callable from any thread."""
    alive = _alive(feed.sight)
    with feed.lent_model() as model:
        live = [s for s in model.sessions() if model.is_live(s.session_id)]
        scheduler = model.scheduler if alive["scheduler"] else None
        known = model.nodes()
        scores = {url: n.score for url, n in known.items() if n.score and alive["monitor"]}
        loads = {url: n.load for url, n in known.items() if n.load and scheduler}
        # Nodes that were given work come first, so that the same ones are shown each time.
        nodes = sorted(scores.keys() | loads.keys(), key=lambda url: (url not in loads, url))
        shown = nodes[:MAX_NODES]
        workers = {w.worker_id: w for w in scheduler.workers} if scheduler else {}
        traffic = ((s.session_id, model.traffic(s.session_id)) for s in live[:MAX_SESSIONS])
        return Reading(
            alive=alive,
            heard_unix_sec={r: at for r, at in model.heard_unix_sec.items() if alive[r]},
            live_sessions=len(live),
            sessions=tuple(live[:MAX_SESSIONS]),
            traffic={session_id: t for session_id, t in traffic if t and scheduler},
            known_nodes=len(nodes),
            scores={url: scores[url] for url in shown if url in scores},
            loads={url: loads[url] for url in shown if url in loads},
            outcomes={url: _outcomes(known[url].evidence) for url in shown if url in loads},
            known_workers=len(workers) if scheduler else None,
            workers=tuple(workers.values())[:MAX_WORKERS],
            uptime_sec=now_unix_sec - feed.started_unix_sec,
            viewers=feed.viewers,
            applied_messages=feed.applied_messages,
            dropped_messages=feed.dropped_messages,
        )


def _alive(sight: StackSight) -> dict[Role, bool]:
    return {"monitor": sight.monitor, "scheduler": sight.scheduler, "buffer": sight.buffer}


def _outcomes(evidence: Evidence | None) -> dict[str, int]:
    """Return how often a node's ranges ended in each way; from 0 on, so that the first one is an increase."""
    return dict.fromkeys(get_args(RangeOutcome), 0) | (evidence.outcomes if evidence else {})


def families(reading: Reading) -> Iterator[Metric]:
    """Yield every metric with its values, also those that have none now."""
    sessions = [((s.session_id, s.video_id), s) for s in reading.sessions]
    traffic = reading.traffic
    yield from _filled(STACK, [((), reading)])
    yield from _filled(SESSION, sessions)
    yield from _filled(
        TRAFFIC, [(labels, traffic[labels[0]]) for labels, _ in sessions if labels[0] in traffic]
    )
    yield from _filled(SCORE, _by_node(reading.scores))
    yield from _filled(LOAD, _by_node(reading.loads))
    yield from _filled(OUTCOMES, _by_node(reading.outcomes))
    yield from _filled(WORKER, [((w.worker_id,), w) for w in reading.workers])


def _by_node(told: Mapping[str, Source]) -> list[tuple[tuple[str, ...], Source]]:
    return [((url,), source) for url, source in told.items()]


def _filled(
    group: Group[Source], sources: Iterable[tuple[tuple[str, ...], Source]]
) -> Iterator[Metric]:
    found = list(sources)
    for figure in group.figures:
        counts = figure.name.endswith("_total")
        labels = (*group.labels, figure.label) if figure.label else group.labels
        family = (CounterMetricFamily if counts else GaugeMetricFamily)(
            figure.name, figure.text, labels=labels
        )
        for values_of_labels, source in found:
            for more, value in figure.values(source).items():
                if value is not None:
                    family.add_metric((*values_of_labels, *more), float(value))
        yield family


class FeedCollector:
    """What prometheus_client asks for metrics: the feed at one instant."""

    def __init__(self, feed: Feed, now_unix_sec: float) -> None:
        self._feed = feed
        self._now_unix_sec = now_unix_sec

    def collect(self) -> Iterator[Metric]:
        """Yield every metric."""
        return families(read(self._feed, self._now_unix_sec))


def exposition(feed: Feed, now_unix_sec: float, accept: str = "") -> tuple[bytes, str]:
    """Return the metrics and their content type: OpenMetrics for those whose `Accept` names it, else plain text."""
    named = {part.partition(";")[0].strip().lower() for part in accept.split(",")}
    encode, content_type = choose_encoder(_OPENMETRICS if _OPENMETRICS in named else "")
    return encode(FeedCollector(feed, now_unix_sec)), content_type
