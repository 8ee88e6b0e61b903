"""What the status model tells of the messages it folded."""

from __future__ import annotations

from typing import Any

import pytest

from common.stack_state import MAX_ENDED_SESSIONS, MAX_EVENTS, MAX_TRANSFER_NODES, Folded
from common.status import StatusModel
from tests.status_builders import (
    NODE_A,
    NODE_B,
    NODE_C,
    a_chunk,
    a_load,
    a_range,
    a_score,
    a_session,
    a_transfer,
    an_event,
    chunk_map,
    scheduler_status,
    scores,
    traffic,
)


def folded(*messages: Folded) -> StatusModel:
    model = StatusModel()
    for number, msg in enumerate(messages):
        model.apply(msg, 1000.0 + number)
    return model


def target(model: StatusModel, name: str) -> dict[str, Any]:
    return next(t for t in model.performance_targets() if t["name"] == name)


# ---------------------------------------------------------------- which session


def test_without_a_session_nothing_is_made_up() -> None:
    model = folded()
    status = model.client_status()
    assert model.session() is None
    assert status["startup_latency"] is None
    assert status["buffer"]["state"] == "empty"
    assert status["playing"] is False
    assert all(t["value"] is None and t["met"] is None for t in model.performance_targets())


def test_none_means_the_newest_live_session() -> None:
    model = folded(
        a_session(session_id="old", started_unix_sec=1.0),
        a_session(session_id="live", started_unix_sec=2.0),
        a_session(session_id="over", started_unix_sec=3.0, outcome="played", state="ended"),
    )
    found = model.session()
    assert found is not None
    assert found.session_id == "live"


def test_none_means_the_newest_session_when_all_are_over() -> None:
    model = folded(
        a_session(session_id="new", started_unix_sec=2.0, outcome="stopped"),
        a_session(session_id="old", started_unix_sec=1.0, outcome="played"),
    )
    assert model.summary()["session_id"] == "new"


def test_sessions_of_a_lost_stack_are_not_live_until_heard_again() -> None:
    model = folded(a_session(), scheduler_status())
    model.abandon_sessions()
    assert not model.is_live()
    assert model.in_flight() == []
    model.apply(a_session(), 1002.0)
    assert model.is_live()


def test_an_unknown_session_is_not_mistaken_for_another() -> None:
    model = folded(a_session())
    assert model.session("other") is None
    assert model.summary("other")["video_id"] == ""


# ---------------------------------------------------------------- buffer


@pytest.mark.parametrize(
    ("changed", "state"),
    [
        ({"startup_latency_sec": None, "buffer_level_sec": 0.0}, "initializing"),
        ({"startup_latency_sec": None, "buffer_level_sec": 8.0}, "initializing"),
        ({"buffer_level_sec": 0.0}, "empty"),
        ({"buffer_level_sec": 14.9}, "low"),
        ({"buffer_level_sec": 15.0}, "healthy"),
        ({"buffer_level_sec": 30.0}, "full"),
        ({"buffer_level_sec": 8.0, "playhead_sec": 112.0}, "full"),
        ({"buffer_level_sec": 8.0, "playhead_sec": 112.0, "duration_known": False}, "low"),
    ],
)
def test_buffer_state_follows_level_and_marks(changed: dict[str, Any], state: str) -> None:
    assert folded(a_session(**changed)).buffer_status()["state"] == state


def test_buffer_health_is_the_level_in_percent_of_the_target() -> None:
    status = folded(a_session(buffer_level_sec=21.0)).buffer_status()
    assert status["buffer_health_percent"] == pytest.approx(70.0)


def test_buffer_health_at_the_end_is_measured_against_what_is_left() -> None:
    status = folded(a_session(buffer_level_sec=5.0, playhead_sec=115.0)).buffer_status()
    assert status["buffer_health_percent"] == 100.0


def test_no_more_chunks_are_needed_once_all_were_taken() -> None:
    model = folded(a_session(chunks_buffered=11, missing_chunks=1, buffer_level_sec=3.0))
    assert model.buffer_status()["needs_more_chunks"] is False


# ---------------------------------------------------------------- downloads and nodes


def test_success_rate_counts_failed_downloads() -> None:
    assert folded(a_session(), scheduler_status()).scheduler_statistics()["success_rate"] == 0.8


def test_traffic_known_before_its_session_is_not_lost() -> None:
    model = folded(scheduler_status(), a_session())
    assert model.scheduler_statistics()["failover_count"] == 2


def test_traffic_outlives_the_schedulers_memory_of_the_session() -> None:
    model = folded(a_session(), scheduler_status(), scheduler_status(sessions=(), in_flight=()))
    assert model.summary()["received_bytes"] == 8_100_000


def test_traffic_of_unknown_sessions_takes_no_memory() -> None:
    model = folded(*(scheduler_status(sessions=(traffic(session_id=f"x{n}"),)) for n in range(200)))
    assert model.sessions() == []


def test_a_node_known_to_the_scheduler_alone_is_shown_without_invented_figures() -> None:
    node = folded(scheduler_status(nodes=(a_load(NODE_C, breaker="open"),))).network_statistics()
    assert node[NODE_C]["breaker"] == "open"
    assert node[NODE_C]["score"] is None
    assert node[NODE_C]["latency_ms"]["current"] is None


def test_nodes_of_the_last_scores_replace_earlier_ones() -> None:
    model = folded(scores(a_score(NODE_A), a_score(NODE_B)), scores(a_score(NODE_B, score=2.0)))
    assert model.node_scores() == {NODE_B: 2.0}
    assert set(model.network_statistics()) == {NODE_B}


def test_transfers_are_counted_by_outcome() -> None:
    model = folded(
        scores(a_score()), a_transfer(), a_transfer(outcome="silent"), a_transfer(outcome="silent")
    )
    assert model.network_statistics()[NODE_A]["outcomes"] == {"complete": 1, "silent": 2}


def test_work_in_flight_is_of_the_session_asked_for() -> None:
    status = scheduler_status(in_flight=(a_range(), a_range(session_id="s2", chunk_id="x")))
    found = folded(a_session(), status).in_flight()
    assert [f["chunk_id"] for f in found] == ["c3"]
    assert found[0]["progress_ratio"] == 0.5


# ---------------------------------------------------------------- chunks


def test_chunk_source_is_the_node_with_most_bytes() -> None:
    model = folded(a_session(), chunk_map(a_chunk(0, {NODE_A: 10, NODE_B: 30, NODE_C: 20})))
    assert model.chunk_source("c0") == NODE_B
    assert model.chunk_source("none such") is None


def test_chunk_sources_give_each_nodes_share() -> None:
    model = folded(a_session(), chunk_map(a_chunk(0, {NODE_A: 25, NODE_B: 75})))
    sources = model.chunk_sources()[0]["sources"]
    assert [(s["node_url"], s["share"]) for s in sources] == [(NODE_B, 0.75), (NODE_A, 0.25)]


def test_a_chunk_map_may_come_before_its_session() -> None:
    model = folded(chunk_map(a_chunk(0)), a_session())
    assert model.scheduler_statistics()["downloads_per_node"] == {NODE_A: 1}


def test_summary_counts_chunks_by_their_main_node_and_bytes_by_all() -> None:
    model = folded(
        a_session(),
        chunk_map(a_chunk(0), a_chunk(1, {NODE_A: 1, NODE_B: 2}), a_chunk(2, {}, state="wanted")),
    )
    summary = model.summary()
    assert summary["chunks_by_node"] == {NODE_A: 1, NODE_B: 1}
    assert summary["bytes_by_node"] == {NODE_A: 2_000_001, NODE_B: 2}


# ---------------------------------------------------------------- targets


def test_startup_of_two_seconds_misses_the_target() -> None:
    assert target(folded(a_session(startup_latency_sec=2.0)), "startup_latency")["met"] is False
    assert target(folded(a_session(startup_latency_sec=1.9)), "startup_latency")["met"] is True


def test_concurrency_is_the_most_chunks_seen_at_once() -> None:
    ranges = (a_range(chunk_id="a"), a_range(chunk_id="b"), a_range(chunk_id="b"))
    model = folded(a_session(), scheduler_status(in_flight=ranges), scheduler_status(in_flight=()))
    assert target(model, "concurrent_downloads")["value"] == 2


def test_scoring_interval_is_measured_per_node() -> None:
    model = folded(
        *(
            scores(
                a_score(NODE_A, last_update_unix_sec=1000.0 + 3 * n),
                a_score(NODE_B, last_update_unix_sec=1001.0 + 3 * n),
            )
            for n in range(4)
        )
    )
    assert target(model, "scoring_interval")["value"] == pytest.approx(3.0)
    assert target(model, "scoring_interval")["met"] is True


def test_a_snapshot_sent_again_is_no_update_of_a_score() -> None:
    model = folded(scores(a_score()), scores(a_score()))
    assert target(model, "scoring_interval")["value"] is None


# ---------------------------------------------------------------- bounds


def test_only_the_last_ended_sessions_are_kept() -> None:
    model = folded(
        a_session(session_id="live", started_unix_sec=0.0),
        *(
            a_session(session_id=f"s{n}", started_unix_sec=float(n + 1), outcome="played")
            for n in range(MAX_ENDED_SESSIONS + 5)
        ),
    )
    kept = {s.session_id for s in model.sessions()}
    assert len(kept) == MAX_ENDED_SESSIONS + 1
    assert "live" in kept
    assert "s4" not in kept


def test_events_are_numbered_and_bounded() -> None:
    model = folded(*(an_event(f"event {n}") for n in range(MAX_EVENTS + 3)))
    assert len(model.events) == MAX_EVENTS
    assert model.events[-1]["id"] == MAX_EVENTS + 3
    assert model.events[0]["text"] == "event 3"


def test_transfers_of_endless_new_nodes_do_not_fill_memory() -> None:
    model = folded(*(a_transfer(f"http://n{n}:1") for n in range(MAX_TRANSFER_NODES + 50)))
    assert len(model._evidence) == MAX_TRANSFER_NODES
