"""What the live view shows is what the messages say."""

from __future__ import annotations

from typing import Any

import pytest

from client.live_figures import LiveFigures, NodeFigures, figures_of
from client.rates import RateMeter
from common.status import StatusModel
from tests.status_builders import (
    NODE_A,
    NODE_B,
    NODE_C,
    a_chunk,
    a_load,
    a_score,
    a_session,
    chunk_map,
    scheduler_status,
    scores,
)


def figures_from(*messages: Any, session_id: str = "s1") -> LiveFigures:
    """Return the figures after messages, a second before 1001."""
    model, rates = StatusModel(), RateMeter()
    for msg in messages:
        model.apply(msg, 1000.0)
        if hasattr(msg, "in_flight"):
            rates.note(msg, session_id)
    status = model.client_status(session_id) | {"video_id": "test-video-001"}
    return figures_of(status, rates, ("12:00:00 said",), 1000.0)


def the_node(*messages: Any) -> NodeFigures:
    (node,) = figures_from(a_session(node_urls=(NODE_A,)), *messages).nodes
    return node


def test_before_anything_is_known() -> None:
    found = figures_from()
    assert (found.title, found.state, found.nodes) == ("test-video-001", "starting", ())
    assert found.rate_mbps is None
    assert found.startup_latency_sec is None


def test_the_figures_of_a_session() -> None:
    found = figures_from(
        a_session(rebuffering_events=1, stalled_sec=2.5, duration_known=False), scheduler_status()
    )
    assert (found.title, found.state) == ("Test video", "playing")
    assert (found.playhead_sec, found.duration_sec, found.duration_known) == (12.0, 120.0, False)
    assert (found.buffer_level_sec, found.buffer_state) == (20.0, "healthy")
    assert (found.low_water_mark_sec, found.target_buffer_sec) == (15.0, 30.0)
    assert (found.rebuffering_events, found.stalled_sec, found.failover_count) == (1, 2.5, 2)
    assert (found.received_bytes, found.needed_bytes) == (8_100_000, 8_000_000)
    assert found.startup_latency_sec == 0.8
    assert found.events == ("12:00:00 said",)


def test_a_session_that_ended_says_how() -> None:
    assert figures_from(a_session(state="ended", outcome="stopped")).state == "stopped"


def test_nodes_are_those_of_the_film_and_the_most_useful_first() -> None:
    found = figures_from(
        a_session(node_urls=(NODE_A, NODE_B)),
        scores(a_score(NODE_A, score=1.0), a_score(NODE_B, score=9.0), a_score("http://other:1")),
        scheduler_status(),
        chunk_map(a_chunk(0, {NODE_A: 1_000_000, NODE_C: 3_000_000})),
    )
    assert [node.name for node in found.nodes] == ["node-c:8083", "node-a:8081", "node-b:8082"]
    assert [node.delivered_bytes for node in found.nodes] == [3_000_000, 1_000_000, 0]
    assert [node.share_ratio for node in found.nodes] == [0.75, 0.25, 0.0]
    assert [node.active for node in found.nodes] == [False, True, False]


@pytest.mark.parametrize(
    ("messages", "state"),
    [
        ((), "not rated"),
        ((scores(a_score(measurements_count=0, healthy=False)),), "not rated"),
        ((scores(a_score()),), "healthy"),
        ((scores(a_score(healthy=False)),), "down"),
        ((scores(a_score()), scheduler_status(nodes=(a_load(breaker="open"),))), "suspended"),
        ((scores(a_score()), scheduler_status(nodes=(a_load(breaker="half_open"),))), "probing"),
        (
            (scores(a_score(healthy=False)), scheduler_status(nodes=(a_load(breaker="open"),))),
            "down",
        ),
        ((scheduler_status(nodes=(a_load(breaker="open"),)),), "suspended"),
    ],
    ids=str,
)
def test_the_state_of_a_node(messages: tuple[Any, ...], state: str) -> None:
    assert the_node(*messages).state == state


def test_figures_nobody_measured_are_none() -> None:
    assert the_node() == NodeFigures(
        name="node-a:8081",
        active=False,
        state="not rated",
        suspended_for_sec=0.0,
        score=None,
        latency_ms=None,
        bandwidth_mbps=None,
        success_ratio=None,
        delivered_bytes=0,
        share_ratio=0.0,
    )


def test_a_rate_the_scheduler_saw_stands_for_a_bandwidth_the_monitor_lacks() -> None:
    unmeasured = scores(a_score(bandwidth_mbps=None))
    assert the_node(unmeasured).bandwidth_mbps is None
    seen = scheduler_status(nodes=(a_load(rate_mbps=7.5),))
    assert the_node(unmeasured, seen).bandwidth_mbps == 7.5
    assert the_node(scores(a_score(bandwidth_mbps=3.0)), seen).bandwidth_mbps == 3.0
