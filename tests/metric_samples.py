"""A stack that has something to say for every metric, and its metrics read back."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from common.stack_state import Folded
from dashboard.feed import Feed, StackSight
from dashboard.metrics import exposition
from tests.status_builders import (
    NODE_A,
    NODE_B,
    a_score,
    a_session,
    a_transfer,
    scheduler_status,
    scores,
)

STARTED_UNIX_SEC = 1000.0
ALL_ALIVE = StackSight(run_dir="/a", monitor=True, scheduler=True, buffer=True)
# Those of `a_session()`.
SESSION_LABELS = {"session_id": "s1", "video_id": "test-video-001"}
# One value by metric name and labels.
Values = dict[tuple[str, frozenset[tuple[str, str]]], float]
Parse = Callable[[str], Iterable[Metric]]


def a_feed(*messages: Folded, sight: StackSight = ALL_ALIVE) -> Feed:
    """Return a feed that has taken these messages in turn, one a second."""
    feed = Feed(boot_id="boot", started_unix_sec=STARTED_UNIX_SEC)
    feed.tick(sight, STARTED_UNIX_SEC)
    for number, msg in enumerate(messages):
        feed.apply(msg, STARTED_UNIX_SEC + number)
    return feed


def a_full_feed() -> Feed:
    """Return a feed with a value for every metric."""
    return a_feed(
        a_session(),
        scores(a_score(NODE_A), a_score(NODE_B, healthy=False)),
        scheduler_status(),
        a_transfer(NODE_A),
    )


def text_of(feed: Feed, accept: str = "") -> str:
    """Return what a scraper gets half a minute after the start."""
    return exposition(feed, STARTED_UNIX_SEC + 30, accept)[0].decode()


def values_of(feed: Feed) -> Values:
    """Return every sample of the plain text format, read by the library's parser."""
    return values_in(text_of(feed), text_string_to_metric_families)


def values_in(text: str, parse: Parse) -> Values:
    """Return every sample of a text; none may come twice."""
    samples = [sample for family in parse(text) for sample in family.samples]
    found = {(s.name, frozenset(s.labels.items())): s.value for s in samples}
    assert len(found) == len(samples)
    return found


def value(values: Values, name: str, **labels: str) -> float | None:
    """Return one value, None when it is not there."""
    return values.get((name, frozenset(labels.items())))


def names_in(feed: Feed) -> set[str]:
    """Return the names of all metrics that have a value."""
    return {name for name, _ in values_of(feed)}
