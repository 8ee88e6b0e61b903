"""When metrics come and go, how many there can be at most, and that counters only rise."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest

from buffer.playback import Playback
from common.stack_state import Folded
from dashboard.feed import Feed, StackSight
from dashboard.metrics import MAX_NODES, MAX_SESSIONS, MAX_WORKERS
from tests.metric_samples import (
    SESSION_LABELS,
    STARTED_UNIX_SEC,
    a_feed,
    a_full_feed,
    names_in,
    value,
    values_of,
)
from tests.status_builders import (
    NODE_A,
    NODE_B,
    a_load,
    a_score,
    a_session,
    a_transfer,
    a_worker,
    chunk_map,
    scheduler_status,
    scores,
    traffic,
)

STATES = ("playing", "rebuffering", "paused", "seeking")


def labels_in(feed: Feed, label: str) -> set[str]:
    return {dict(labels)[label] for _, labels in values_of(feed) if label in dict(labels)}


# ---------------------------------------------------------------- what is over


@pytest.mark.parametrize(
    ("dead", "silent"),
    [
        ("monitor", {"score", "healthy", "latency_seconds"}),
        ("scheduler", {"breaker_state", "received_bytes_total", "ranges_in_flight"}),
    ],
)
def test_a_dead_process_leaves_no_news_behind(dead: str, silent: set[str]) -> None:
    feed = a_full_feed()
    told = names_in(feed)
    sight = {"monitor": True, "scheduler": True, "buffer": True, dead: False}
    feed.tick(StackSight(run_dir="/a", **sight), 1010.0)
    assert {f"vstack_node_{name}" for name in silent} <= told - names_in(feed)
    assert value(values_of(feed), "vstack_session_state", state="playing", **SESSION_LABELS) == 1
    scheduler_lives = dead != "scheduler"
    assert ("vstack_worker_slots" in names_in(feed)) is scheduler_lives
    assert ("vstack_session_received_bytes_total" in names_in(feed)) is scheduler_lives


def test_sessions_of_a_dead_buffer_are_gone() -> None:
    feed = a_full_feed()
    feed.tick(StackSight(run_dir="/a", monitor=True, scheduler=True), 1010.0)
    assert value(values_of(feed), "vstack_live_sessions") == 0
    assert labels_in(feed, "session_id") == set()


def test_ended_sessions_are_not_shown_however_many() -> None:
    ended = [a_session(session_id=f"over-{n}", outcome="played") for n in range(100)]
    feed = a_feed(*ended, a_session())
    assert labels_in(feed, "session_id") == {"s1"}
    assert value(values_of(feed), "vstack_live_sessions") == 1


def test_the_newest_of_many_live_sessions_are_shown() -> None:
    live = [a_session(session_id=f"s{n}", started_unix_sec=float(n)) for n in range(60)]
    feed = a_feed(*live)
    assert labels_in(feed, "session_id") == {f"s{n}" for n in range(60 - MAX_SESSIONS, 60)}
    assert value(values_of(feed), "vstack_live_sessions") == 60


def test_of_very_many_nodes_and_workers_some_are_shown_and_all_are_counted() -> None:
    many = [f"http://node-{n:05}" for n in range(MAX_NODES + 50)]
    busy = many[-10:]
    workers = tuple(a_worker(f"w{n}") for n in range(MAX_WORKERS + 5))
    feed = a_feed(
        scores(*map(a_score, many)),
        scheduler_status(nodes=tuple(map(a_load, busy)), workers=workers),
    )
    shown = labels_in(feed, "node")
    assert len(shown) == MAX_NODES
    assert set(busy) <= shown
    assert len(labels_in(feed, "worker")) == MAX_WORKERS
    values = values_of(feed)
    assert value(values, "vstack_known_nodes") == MAX_NODES + 50
    assert value(values, "vstack_workers") == MAX_WORKERS + 5


# ---------------------------------------------------------------- counters


def counters(feed: Feed) -> dict[Any, float]:
    return {key: number for key, number in values_of(feed).items() if key[0].endswith("_total")}


def test_counters_of_a_session_never_fall_whatever_else_arrives() -> None:
    """Seed 5: messages of growing sessions, of others that end, and snapshots without them."""
    rng = random.Random(5)
    grown = dict.fromkeys(("rebuffering_events", "stalled_sec", "played_sec", "chunks_played"), 0)
    cost = dict.fromkeys(("total_downloads", "failed_downloads", "received_bytes"), 0)
    feed = a_feed()
    before: dict[Any, float] = {}
    for number in range(300):
        for counts in (grown, cost):
            for name in counts:
                counts[name] += rng.randrange(3)
        msg: Folded = rng.choice(
            (
                a_session(**grown, playhead_sec=rng.random() * 100, state=rng.choice(STATES)),
                a_session(session_id=f"other-{number}", outcome="stopped"),
                scheduler_status(sessions=(traffic(**cost),)),
                scheduler_status(sessions=()),
                scores(a_score(NODE_A), a_score(NODE_B, score=rng.random())),
                a_transfer(NODE_A, outcome=rng.choice(("complete", "broken"))),
                chunk_map(),
            )
        )
        feed.apply(msg, STARTED_UNIX_SEC + number)
        after = counters(feed)
        assert {key: old for key, old in before.items() if after.get(key, -1.0) < old} == {}
        before = after
    assert value(values_of(feed), "vstack_session_played_seconds_total", **SESSION_LABELS)


def test_what_is_counted_of_playback_only_rises_there() -> None:
    """Seed 7: stalls, pauses and jumps in any order."""
    rng = random.Random(7)
    playback = Playback(command_sec=0.0, paced=True)
    playback.start(0.5)
    told = []
    for step in range(1, 2001):
        now_sec = 0.5 + step * 0.1
        end_sec = playback.position_sec + rng.choice((0.0, 0.0, 0.05, 3.0))
        playback.advance(
            now_sec, limit_sec=end_sec, buffered_until_sec=end_sec, ends_at_limit=False
        )
        match rng.randrange(40):
            case 0:
                playback.pause(now_sec, True)
            case 1:
                playback.seek(now_sec, rng.random() * 100)
            case 2 | 3 | 4:
                playback.pause(now_sec, False)
                playback.start(now_sec)
        told.append(
            (playback.rebuffering_events, playback.stalled_sec(now_sec), playback.played_sec)
        )
    for earlier, later in itertools.pairwise(told):
        assert all(new >= old for old, new in zip(earlier, later, strict=True))
    assert all(total > 0 for total in told[-1])
