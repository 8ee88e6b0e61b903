"""What the dashboard keeps of the network conditions: rates by second, bad spells, bounds."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from common.messages import (
    ChunkMap,
    ChunkRecord,
    InFlight,
    NodeScore,
    NodeScores,
    RangeOutcome,
    SchedulerStatus,
    SessionStatus,
    SourceShare,
    Transfer,
)
from common.stack_state import NOTHING
from dashboard import conditions as module
from dashboard.comparison import MAX_CHUNKS, NothingToCompare, measured_of, request_of
from dashboard.conditions import Conditions

A = "http://a:1"
B = "http://b:1"


def in_flight(until: int, age_sec: float, *, chunk: int = 0, node_url: str = A) -> InFlight:
    return InFlight(
        session_id="s1",
        chunk_id=f"c{chunk}",
        sequence_num=chunk,
        part=-1,
        node_url=node_url,
        worker_id="w1",
        start_bytes=0,
        end_bytes=10_000_000,
        received_until_bytes=until,
        age_sec=age_sec,
    )


def status(*ranges: InFlight) -> SchedulerStatus:
    return SchedulerStatus(
        published_unix_sec=0.0, in_flight=ranges, workers=(), nodes=(), sessions=()
    )


def transfer(
    outcome: RangeOutcome = "complete",
    *,
    size_bytes: int = 0,
    busy_sec: float = 0.0,
    chunk: int = 0,
    node_url: str = A,
) -> Transfer:
    return Transfer(
        node_url=node_url,
        session_id="s1",
        chunk_id=f"c{chunk}",
        outcome=outcome,
        size_bytes=size_bytes,
        first_byte_sec=0.05,
        busy_sec=busy_sec,
        goodput_mbps=None,
        range_honoured=True,
        sequence_num=chunk,
        received_until_bytes=size_bytes,
        end_bytes=10_000_000,
        worker_id="w1",
    )


def scores(*, healthy: bool, answered_sec: float, latency_ms: float = 20.0) -> NodeScores:
    return NodeScores(
        published_unix_sec=0.0,
        nodes=(
            NodeScore(
                node_url=A,
                score=1.0,
                healthy=healthy,
                latency_ms=latency_ms,
                latency_average_ms=latency_ms,
                latency_min_ms=latency_ms,
                latency_max_ms=latency_ms,
                bandwidth_mbps=None,
                bandwidth_average_mbps=None,
                success_rate_ratio=1.0,
                measurements_count=3,
                last_update_unix_sec=answered_sec,
                accepts_ranges=True,
            ),
        ),
    )


def a_session(**changes: object) -> SessionStatus:
    fields = {f: getattr(NOTHING, f) for f in NOTHING.__dataclass_fields__}
    given = {"session_id": "s1", "node_urls": (A, B), "started_unix_sec": 100.0, "state": "playing"}
    return SessionStatus(**{**fields, **given, **changes})


def a_record(number: int, **changes: object) -> ChunkRecord:
    given = {
        "sequence_num": number,
        "chunk_id": f"c{number}",
        "state": "played",
        "size_bytes": 1000,
        "duration_sec": 4.0,
        "sources": (SourceShare(node_url=A, size_bytes=1000),),
        "holders": (0, 1),
    }
    return ChunkRecord(**{**given, **changes})  # type: ignore[arg-type]


def a_map(count: int, **changes: object) -> ChunkMap:
    chunks = tuple(a_record(n, **changes) for n in range(count))
    return ChunkMap(session_id="s1", total_chunks=count, chunks=chunks)


def test_bytes_of_a_short_range_are_spread_over_its_busy_time() -> None:
    heard = Conditions()
    heard.apply(transfer(size_bytes=300_000, busy_sec=1.5), 102.0)
    cells = heard.nodes[A].cells
    assert cells[100].size_bytes == pytest.approx(100_000)
    assert cells[101].size_bytes == pytest.approx(200_000)
    assert (cells[100].busy_sec, cells[101].busy_sec) == (0.5, 1.0)


def test_ranges_in_flight_together_keep_a_node_busy_once() -> None:
    heard = Conditions()
    heard.apply(transfer(size_bytes=100_000, busy_sec=1.0), 101.0)
    heard.apply(transfer(size_bytes=100_000, busy_sec=1.0, chunk=1), 101.0)
    cell = heard.nodes[A].cells[100]
    assert cell.size_bytes == pytest.approx(200_000)
    assert cell.busy_sec == 1.0


def test_a_range_in_flight_counts_before_it_ends_and_not_twice() -> None:
    heard = Conditions()
    heard.apply(status(in_flight(50_000, 0.3)), 100.3)
    heard.apply(status(in_flight(90_000, 0.55)), 100.55)
    heard.apply(transfer(size_bytes=150_000, busy_sec=0.75), 100.8)
    assert sum(c.size_bytes for c in heard.nodes[A].cells.values()) == pytest.approx(150_000)


def test_a_range_that_stalls_is_a_rate_of_zero_and_not_a_gap() -> None:
    heard = Conditions()
    heard.apply(status(in_flight(50_000, 0.5)), 100.5)
    for tick in range(1, 9):
        heard.apply(status(in_flight(50_000, 0.5 + tick / 4)), 100.5 + tick / 4)
    cell = heard.nodes[A].cells[101]
    assert (cell.size_bytes, cell.busy_sec) == (0.0, 1.0)


def test_the_round_trip_before_the_first_byte_is_not_the_links_time() -> None:
    heard = Conditions()
    heard.apply(status(in_flight(0, 0.04)), 100.04)
    assert heard.nodes[A].cells == {}


def test_a_refused_connection_opens_a_spell_and_bytes_end_it_half_way() -> None:
    heard = Conditions()
    heard.apply(transfer(size_bytes=1000, busy_sec=0.1), 100.0)
    heard.apply(transfer("refused", chunk=1), 104.0)
    heard.apply(transfer("refused", chunk=2), 106.0)
    heard.apply(transfer(size_bytes=1000, busy_sec=0.1, chunk=3), 110.0)
    (spell,) = heard.nodes[A].spells
    assert (spell.kind, spell.from_sec, spell.until_sec) == ("down", 102.0, 108.0)


def test_unanswered_pings_are_a_spell_until_one_is_answered() -> None:
    heard = Conditions()
    heard.apply(scores(healthy=True, answered_sec=100.0), 100.0)
    heard.apply(scores(healthy=False, answered_sec=100.0), 106.0)
    heard.apply(scores(healthy=True, answered_sec=110.0), 110.0)
    (spell,) = heard.nodes[A].spells
    assert (spell.kind, spell.from_sec, spell.until_sec) == ("silent", 103.0, 108.0)


def test_a_node_that_is_unhealthy_for_what_it_sends_is_not_silent() -> None:
    heard = Conditions()
    heard.apply(scores(healthy=True, answered_sec=100.0), 100.0)
    heard.apply(scores(healthy=False, answered_sec=105.5), 106.0)
    assert list(heard.nodes[A].spells) == []


def test_memory_is_bounded_whatever_arrives() -> None:
    heard = Conditions()
    for number in range(100):
        heard.apply(transfer("refused", node_url=f"http://n{number}:1"), 100.0)
    for second in range(2 * module.KEPT_SEC):
        heard.apply(transfer(size_bytes=1000, busy_sec=1.0), 100.0 + second)
        heard.apply(transfer("missing", chunk=second), 100.0 + second)
        heard.apply(status(), 100.0 + second)
    assert len(heard.nodes) == module.MAX_NODES
    kept_sec = module.MAX_CELLS // module.MAX_NODES
    assert len(heard.nodes["http://n0:1"].cells) <= kept_sec + 2
    for number in range(100):
        heard.apply(a_session(session_id=f"s{number}"), 100.0)
    assert len(heard.sessions) == module.MAX_SESSIONS


def test_a_node_that_works_takes_the_place_of_one_that_is_only_pinged() -> None:
    heard = Conditions()
    (score,) = scores(healthy=True, answered_sec=100.0).nodes
    pinged = tuple(replace(score, node_url=f"http://n{n}:1") for n in range(1000))
    heard.apply(NodeScores(published_unix_sec=0.0, nodes=pinged), 100.0)
    heard.apply(transfer(size_bytes=1000, busy_sec=0.5, node_url=B), 101.0)
    assert len(heard.nodes) == module.MAX_NODES
    assert heard.nodes[B].cells


def test_a_film_on_more_nodes_than_are_kept_is_refused_in_words() -> None:
    heard = Conditions()
    heard.apply(transfer(size_bytes=1000, busy_sec=0.5), 101.0)
    urls = tuple(f"http://n{n}:1" for n in range(65))
    session = a_session(node_urls=urls)
    heard.apply(session, 101.0)
    with pytest.raises(NothingToCompare, match="65 nodes"):
        request_of(heard, session, a_map(1, holders=tuple(range(65))))


def test_a_session_of_which_nothing_came_cannot_be_compared() -> None:
    heard = Conditions()
    with pytest.raises(NothingToCompare):
        request_of(heard, a_session(), None)


def test_a_short_session_is_compared_as_a_whole() -> None:
    heard = Conditions()
    heard.apply(transfer(size_bytes=1000, busy_sec=0.5), 101.0)
    heard.apply(a_session(), 101.0)
    heard.apply(a_session(rebuffering_events=2), 130.0)
    session = a_session(startup_latency_sec=1.0, rebuffering_events=2, stalled_sec=3.0)
    request = request_of(heard, session, a_map(3))
    assert request["span_sec"] == 30.0
    assert request["begin_sec"] == pytest.approx(0.45)
    assert [n["url"] for n in request["nodes"]] == [A, B]
    assert [c["holders"] for c in request["chunks"]] == [[0, 1]] * 3
    measured = measured_of(heard, session, request)
    assert (measured["whole"], measured["startup_sec"], measured["stalls"]) == (True, 1.0, 2)


def test_a_dashboard_that_came_late_takes_the_manifest_for_the_beginning() -> None:
    heard = Conditions()
    heard.apply(transfer(size_bytes=1000, busy_sec=0.5), 103.0)
    heard.apply(a_session(), 103.0)
    session = a_session(manifest_sec=0.2, first_chunk_sec=1.0)
    assert request_of(heard, session, a_map(1))["begin_sec"] == 0.2


def test_a_long_session_is_cut_to_its_last_minutes_and_so_is_what_was_measured() -> None:
    heard = Conditions()
    heard.apply(transfer(size_bytes=1000, busy_sec=0.5), 101.0)
    for second in range(1000):
        now = a_session(current_sequence_num=second // 4, rebuffering_events=second // 500)
        heard.apply(now, 101.0 + second)
    session = a_session(rebuffering_events=1, startup_latency_sec=1.0)
    request = request_of(heard, session, a_map(250))
    assert request["span_sec"] == pytest.approx(600.0)
    assert request["chunks"][0]["number"] == 399 // 4
    measured = measured_of(heard, session, request)
    assert (measured["whole"], measured["startup_sec"], measured["stalls"]) == (False, None, 1)


def test_many_short_chunks_are_cut_to_some_hundred() -> None:
    heard = Conditions()
    heard.apply(transfer(size_bytes=1000, busy_sec=0.5), 101.0)
    for second in range(500):
        heard.apply(a_session(current_sequence_num=second), 101.0 + second)
    request = request_of(heard, a_session(), a_map(500, duration_sec=1.0))
    assert len(request["chunks"]) == MAX_CHUNKS
    assert request["chunks"][0]["number"] == 100


def test_without_named_holders_whoever_sent_anything_counts() -> None:
    heard = Conditions()
    heard.apply(transfer(size_bytes=1000, busy_sec=0.5), 101.0)
    heard.apply(a_session(), 101.0)
    request = request_of(heard, a_session(), a_map(1, holders=()))
    assert [n["url"] for n in request["nodes"]] == [A]
    assert request["chunks"][0]["holders"] == [0]


def test_a_spell_that_goes_on_has_no_end() -> None:
    heard = Conditions()
    heard.apply(transfer("refused"), 101.0)
    assert heard.nodes[A].spells[0].from_sec == -math.inf
    heard.apply(a_session(), 102.0)
    request = request_of(heard, a_session(), a_map(1))
    assert request["nodes"][0]["spells"] == [["down", 0.0, None]]
