"""What the metrics say of a stack, read back with the parsers of prometheus_client."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from common.messages import BreakerState, PlaybackState
from dashboard.feed import Feed, StackSight
from dashboard.metrics import GROUPS, Reading, exposition, families
from tests.metric_samples import (
    SESSION_LABELS,
    STARTED_UNIX_SEC,
    a_feed,
    a_full_feed,
    names_in,
    text_of,
    value,
    values_in,
    values_of,
)
from tests.status_builders import (
    NODE_A,
    NODE_B,
    NODE_C,
    a_load,
    a_score,
    a_session,
    a_transfer,
    a_worker,
    scheduler_status,
    scores,
    traffic,
)

OPENMETRICS = "application/openmetrics-text"
HOSTILE = 'a"} 1\n# TYPE x counter\r\n\\n\\"\t\x00\x85\u2028ü😀{},='


# ---------------------------------------------------------------- form


def test_without_a_stack_the_answer_is_valid_and_says_so() -> None:
    values = values_of(Feed(boot_id="boot", started_unix_sec=STARTED_UNIX_SEC))
    roles = ("monitor", "scheduler", "buffer")
    assert {role: value(values, "vstack_role_up", role=role) for role in roles} == dict.fromkeys(
        roles, 0
    )
    assert value(values, "vstack_dashboard_uptime_seconds") == 30
    assert value(values, "vstack_live_sessions") == 0
    assert value(values, "vstack_workers") is None
    assert not [name for name, _ in values if name.startswith(("vstack_session", "vstack_node"))]


def test_every_metric_can_have_a_value() -> None:
    described = {figure.name for group in GROUPS for figure in group.figures}
    assert names_in(a_full_feed()) == described
    assert sum(len(group.figures) for group in GROUPS) == len(described)


def test_names_are_in_base_units_and_counters_are_known_by_theirs() -> None:
    for family in families(Reading()):
        assert family.name.startswith("vstack_")
        assert not family.name.endswith(("_sec", "_ms", "_mbps", "_percent", "_info", "_created"))
        assert family.type in ("gauge", "counter")
        assert family.documentation.endswith(".")
    text = text_of(a_full_feed())
    assert "# TYPE vstack_session_stalled_seconds_total counter\n" in text
    assert "# TYPE vstack_session_buffer_level_seconds gauge\n" in text


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", "text/plain; version=0.0.4; charset=utf-8"),
        ("*/*", "text/plain; version=0.0.4; charset=utf-8"),
        ("text/plain;version=x", "text/plain; version=0.0.4; charset=utf-8"),
        (OPENMETRICS, "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;q=0.3",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        ),
        (
            "text/html, Application/OpenMetrics-Text; version=nonsense",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        ),
    ],
)
def test_the_format_is_the_one_asked_for(accept: str, kind: str) -> None:
    text, found = exposition(a_full_feed(), STARTED_UNIX_SEC, accept)
    assert found == kind
    assert text.endswith(b"# EOF\n") is kind.startswith(OPENMETRICS)


def test_both_formats_say_the_same() -> None:
    feed = a_full_feed()
    strict = values_in(text_of(feed, OPENMETRICS), openmetrics.text_string_to_metric_families)
    assert strict == values_of(feed)


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
def test_hostile_names_stay_within_their_labels(accept: str) -> None:
    feed = a_feed(
        a_session(session_id=HOSTILE, video_id=HOSTILE[::-1]),
        scores(a_score(HOSTILE)),
        scheduler_status(
            nodes=(a_load(HOSTILE),),
            workers=(a_worker(HOSTILE),),
            sessions=(traffic(session_id=HOSTILE),),
        ),
        a_transfer(HOSTILE),
    )
    parse = openmetrics.text_string_to_metric_families if accept else text_string_to_metric_families
    values = values_in(text_of(feed, accept), parse)
    session = {"session_id": HOSTILE, "video_id": HOSTILE[::-1]}
    assert value(values, "vstack_session_buffer_level_seconds", **session) == 20
    assert value(values, "vstack_session_received_bytes_total", **session) == 8_100_000
    assert value(values, "vstack_node_score", node=HOSTILE) == 6.5
    assert value(values, "vstack_node_ranges_in_flight", node=HOSTILE) == 1
    assert value(values, "vstack_worker_slots", worker=HOSTILE) == 8
    assert {name for name, _ in values} == names_in(a_full_feed())


# ---------------------------------------------------------------- values


def test_sessions_are_told_as_their_messages_tell_them() -> None:
    stalled = a_session(
        session_id="s2",
        video_id="other",
        state="rebuffering",
        buffer_level_sec=0.0,
        rebuffering_events=3,
        stalled_sec=4.5,
        longest_stall_sec=2.5,
        missing_chunks=2,
    )
    values = values_of(a_feed(a_session(), stalled, scheduler_status()))
    s2 = {"session_id": "s2", "video_id": "other"}
    assert value(values, "vstack_live_sessions") == 2
    for name, first, second in (
        ("buffer_level_seconds", 20, 0),
        ("buffer_target_seconds", 30, 30),
        ("buffer_low_water_seconds", 15, 15),
        ("buffer_average_seconds", 22, 22),
        ("playhead_seconds", 12, 12),
        ("duration_seconds", 120, 120),
        ("startup_latency_seconds", 0.8, 0.8),
        ("rebuffering_events_total", 0, 3),
        ("stalled_seconds_total", 0, 4.5),
        ("longest_stall_seconds", 0, 2.5),
        ("played_seconds_total", 12, 12),
        ("chunks", 12, 12),
        ("chunks_played_total", 1, 1),
        ("chunks_missing_total", 0, 2),
        ("chunks_buffered_total", 3, 3),
        ("received_bytes_total", 8_100_000, None),
        ("needed_bytes_total", 8_000_000, None),
        ("failovers_total", 2, None),
        ("failed_downloads_total", 1, None),
    ):
        assert value(values, f"vstack_session_{name}", **SESSION_LABELS) == first, name
        assert value(values, f"vstack_session_{name}", **s2) == second, name


@pytest.mark.parametrize("state", get_args(PlaybackState))
def test_exactly_one_state_of_a_session_is_set(state: str) -> None:
    values = values_of(a_feed(a_session(state=state)))
    found = {
        other: value(values, "vstack_session_state", state=other, **SESSION_LABELS)
        for other in get_args(PlaybackState)
    }
    assert found == {other: float(other == state) for other in get_args(PlaybackState)}


def test_what_has_not_happened_yet_is_absent() -> None:
    early = a_session(state="startup", startup_latency_sec=None, first_chunk_sec=None)
    values = values_of(a_feed(early))
    for name in ("startup_latency_seconds", "first_chunk_seconds", "buffer_average_seconds"):
        assert value(values, f"vstack_session_{name}", **SESSION_LABELS) is None
    assert value(values, "vstack_session_buffer_level_seconds", **SESSION_LABELS) == 20


def test_nodes_are_told_in_base_units() -> None:
    feed = a_feed(
        scores(
            a_score(NODE_A, latency_ms=20.0, bandwidth_mbps=8.0), a_score(NODE_B, healthy=False)
        ),
        scheduler_status(
            nodes=(
                a_load(NODE_A, rate_mbps=16.0, failed_ranges=3),
                a_load(NODE_C, breaker="half_open", suspended_for_sec=2.5),
            )
        ),
        a_transfer(NODE_A),
        a_transfer(NODE_A),
        a_transfer(NODE_A, outcome="silent"),
    )
    values = values_of(feed)

    def of(name: str, node: str, **labels: str) -> float | None:
        return value(values, f"vstack_node_{name}", node=node, **labels)

    assert value(values, "vstack_known_nodes") == 3
    assert of("latency_seconds", NODE_A) == pytest.approx(0.02)
    assert of("bandwidth_bytes_per_second", NODE_A) == pytest.approx(1e6)
    assert of("rate_bytes_per_second", NODE_A) == pytest.approx(2e6)
    assert of("success_ratio", NODE_A) == 1
    assert (of("healthy", NODE_A), of("healthy", NODE_B)) == (1, 0)
    assert of("received_bytes_total", NODE_A) == 5_000_000
    assert of("ranges_in_flight", NODE_A) == 1
    assert (of("ranges_completed_total", NODE_A), of("ranges_failed_total", NODE_A)) == (7, 3)
    assert of("range_outcomes_total", NODE_A, outcome="complete") == 2
    assert of("range_outcomes_total", NODE_A, outcome="silent") == 1
    assert of("range_outcomes_total", NODE_A, outcome="broken") == 0
    assert of("range_outcomes_total", NODE_B, outcome="silent") is None
    assert {s: of("breaker_state", NODE_C, state=s) for s in get_args(BreakerState)} == {
        "closed": 0,
        "open": 0,
        "half_open": 1,
    }
    assert of("suspended_seconds", NODE_C) == 2.5


def test_what_nobody_knows_of_a_node_is_absent() -> None:
    unmeasured: dict[str, Any] = dict.fromkeys(
        ("latency_ms", "latency_average_ms", "bandwidth_mbps", "bandwidth_average_mbps")
    )
    feed = a_feed(
        scores(a_score(NODE_B, **unmeasured, measurements_count=0, success_rate_ratio=0.0)),
        scheduler_status(nodes=(a_load(NODE_C, rate_mbps=None),)),
    )
    told = {
        node: {name for name, labels in values_of(feed) if ("node", node) in labels}
        for node in (NODE_B, NODE_C)
    }
    assert told[NODE_B] == {"vstack_node_score", "vstack_node_healthy"}
    assert "vstack_node_score" not in told[NODE_C]
    assert "vstack_node_rate_bytes_per_second" not in told[NODE_C]
    assert "vstack_node_received_bytes_total" in told[NODE_C]


def test_workers_are_told_one_by_one() -> None:
    feed = a_feed(scheduler_status(workers=(a_worker("w1"), a_worker("w2", busy=3))))
    values = values_of(feed)
    assert value(values, "vstack_workers") == 2
    assert value(values, "vstack_worker_busy_slots", worker="w2") == 3
    assert value(values, "vstack_worker_slots", worker="w1") == 8
    assert value(values, "vstack_worker_received_bytes_total", worker="w1") == 8_100_000


def test_the_dashboard_tells_of_itself_and_of_what_it_could_not_read() -> None:
    feed = a_feed(a_session(), scores())
    feed.tick(StackSight(run_dir="/a", monitor=True, buffer=True), 1002.0, dropped_messages=7)
    assert feed.enter_viewer()
    values = values_of(feed)
    assert value(values, "vstack_dashboard_viewers") == 1
    assert value(values, "vstack_dashboard_messages_total") == 2
    assert value(values, "vstack_dashboard_dropped_messages_total") == 7
    assert value(values, "vstack_role_up", role="scheduler") == 0
    assert value(values, "vstack_role_heard_timestamp_seconds", role="buffer") == 1000
    assert value(values, "vstack_role_heard_timestamp_seconds", role="monitor") == 1001
    assert value(values, "vstack_role_heard_timestamp_seconds", role="scheduler") is None
