"""The figures of a report: those of the summary, and what the records add to them."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, strategies as st

from client.recording.chunk_maps import ChunkFolder
from client.recording.values import Item
from client.report.builder import FIRST_EVENTS, LAST_EVENTS, ReportBuilder
from client.report.curves import MAX_BUCKETS, MAX_NAMES, LevelCurve, RateCurve
from client.report.nodes import BusyTime
from client.report.stalls import StallLog
from common.messages import ChunkMap, SessionStatus
from common.status import StatusModel
from tests.recordings import STARTED_UNIX_SEC, a_header, an_end
from tests.reports import built, changes
from tests.status_builders import (
    NODE_A,
    NODE_B,
    NODE_C,
    a_chunk,
    a_load,
    a_score,
    a_session,
    a_transfer,
    an_event,
    chunk_map,
    scheduler_status,
    scores,
)

# ---------------------------------------------------------------- the summary


def test_the_summary_is_that_of_the_messages() -> None:
    chunks = (a_chunk(0, {NODE_A: 5, NODE_B: 7}), a_chunk(1))
    messages = (a_session(outcome="played", state="ended"), scheduler_status())
    model = StatusModel()
    for msg in (*messages, chunk_map(*chunks)):
        model.apply(msg, 0.0)
    figures = built(*((1.0, msg) for msg in messages), (1.0, changes(*chunks)), (2.0, an_end()))
    assert figures.summary == model.summary("s1")


def test_the_end_tells_how_the_command_ended() -> None:
    figures = built((1.0, a_session()), (2.0, an_end(outcome="stopped", exit_code=130)))
    assert (figures.summary["outcome"], figures.summary["exit_code"]) == ("stopped", 130)


def test_a_session_that_never_began_has_a_report_too() -> None:
    end = an_end(session_id="", outcome="failed", exit_code=4, error="no such video")
    figures = built((0.5, end), video_id="nothing")
    assert figures.summary["video_id"] == "nothing"
    assert figures.summary["error"] == "no such video"
    assert figures.summary["startup_latency_sec"] is None
    assert all(c.floor_sec is None for c in figures.comparisons)
    assert (figures.chunks, figures.nodes, figures.stalls) == ((), (), ())


def test_without_an_end_the_last_state_is_told() -> None:
    figures = built((1.0, a_session(played_sec=3.0)))
    assert figures.end is None
    assert figures.summary["played_sec"] == 3.0


# ---------------------------------------------------------------- stalls


def a_row(state: str, events: int, stalled_sec: float, playhead_sec: float = 0.0) -> SessionStatus:
    return a_session(
        state=state,
        rebuffering_events=events,
        stalled_sec=stalled_sec,
        playhead_sec=playhead_sec,
    )


def test_a_stall_is_dated_back_to_when_the_picture_stood() -> None:
    figures = built(
        (5.0, a_row("playing", 0, 0.0)),
        (6.0, a_row("rebuffering", 1, 0.4, 5.6)),
        (7.0, a_row("rebuffering", 1, 1.4, 5.6)),
        (7.5, a_row("playing", 1, 1.9, 5.6)),
        (8.0, a_row("playing", 1, 1.9, 6.1)),
    )
    (stall,), (span,) = figures.stalls, figures.spans
    assert (stall.events, stall.length_sec, stall.position_sec) == (1, 1.9, 5.6)
    assert stall.from_sec == span.from_sec == pytest.approx(5.6)
    assert (span.kind, span.until_sec) == ("rebuffering", 7.5)


def test_a_stall_between_two_snapshots_is_not_missed() -> None:
    figures = built((5.0, a_row("playing", 0, 0.0)), (6.0, a_row("playing", 2, 0.3)))
    (stall,) = figures.stalls
    assert (stall.events, stall.length_sec) == (2, 0.3)


def test_a_stall_that_goes_on_is_told() -> None:
    figures = built((5.0, a_row("rebuffering", 1, 1.0)))
    assert [stall.length_sec for stall in figures.stalls] == [1.0]
    assert figures.spans[0].until_sec == 5.0


@given(st.lists(st.tuples(st.booleans(), st.floats(0.01, 9.0)), max_size=40))
def test_stalls_add_up_to_what_the_session_says(rows: list[tuple[bool, float]]) -> None:
    log = StallLog()
    at_sec, events, stalled_sec, was = 0.0, 0, 0.0, False
    for stalls, length_sec in rows:
        at_sec += length_sec
        events += stalls and not was
        stalled_sec += length_sec if was else 0.0
        log.add(at_sec, a_row("rebuffering" if stalls else "playing", events, stalled_sec))
        was = stalls
    stalls_found, _ = log.finish(at_sec)
    assert sum(s.events for s in stalls_found) == events
    assert sum(s.length_sec for s in stalls_found) == pytest.approx(stalled_sec)


def test_startup_and_pauses_are_marked_from_their_beginning() -> None:
    figures = built(
        (0.5, a_row("startup", 0, 0.0)),
        (0.8, a_row("playing", 0, 0.0)),
        (3.0, a_row("paused", 0, 0.0)),
        (4.0, a_row("playing", 0, 0.0)),
    )
    assert [(s.kind, s.from_sec, s.until_sec) for s in figures.spans] == [
        ("startup", 0.0, 0.8),
        ("paused", 3.0, 4.0),
    ]


# ---------------------------------------------------------------- nodes and chunks


def test_a_node_is_told_by_what_it_delivered_and_what_came_of_it() -> None:
    items: list[tuple[float, Item]] = [
        (0.1, a_session(node_urls=(NODE_A, NODE_B))),
        (0.1, scores(a_score(NODE_A, latency_average_ms=21.0))),
        (1.0, a_transfer(NODE_A, size_bytes=500_000, busy_sec=0.5, first_byte_sec=0.02)),
        # Side by side with the first: the time in which it sent counts once.
        (1.0, a_transfer(NODE_A, size_bytes=500_000, busy_sec=0.4, first_byte_sec=0.03)),
        (2.0, a_transfer(NODE_A, size_bytes=0, busy_sec=0.0, outcome="silent")),
        (2.0, a_transfer(NODE_A, size_bytes=0, busy_sec=0.0, outcome="cancelled")),
        (2.0, scheduler_status(nodes=(a_load(NODE_A, breaker="open"),))),
        (2.2, scheduler_status(nodes=(a_load(NODE_A, breaker="open"),))),
        (3.0, scheduler_status(nodes=(a_load(NODE_A, breaker="half_open"),))),
        (3.2, scheduler_status(nodes=(a_load(NODE_A, breaker="open"),))),
        (4.0, scheduler_status(nodes=(a_load(NODE_A), a_load(NODE_C)))),
        (4.0, changes(a_chunk(0, {NODE_A: 3, NODE_B: 1}))),
    ]
    first, second = built(*items).nodes
    assert (first.node_url, second.node_url) == (NODE_A, NODE_B)
    assert (first.delivered_bytes, first.share_ratio, first.chunks) == (3, 0.75, 1)
    assert first.received_bytes == 1_000_000
    assert first.goodput_mbps == pytest.approx(16.0)
    assert (first.ping_ms, first.first_byte_ms) == (21.0, 25.0)
    assert (first.failures, first.suspensions) == ((("silent", 1),), 2)
    assert (second.goodput_mbps, second.ping_ms, second.failures) == (None, None, ())


def test_a_chunk_is_told_with_its_failures_and_when_it_was_there() -> None:
    figures = built(
        (1.0, changes(a_chunk(0, {}, state="wanted", chunk_id="c0"))),
        (1.5, a_transfer(NODE_B, chunk_id="c0", outcome="broken")),
        (1.6, a_transfer(NODE_B, chunk_id="c0", outcome="refused")),
        (1.7, a_transfer(NODE_A, chunk_id="c0", outcome="complete")),
        (2.0, changes(a_chunk(0, {NODE_A: 9}, chunk_id="c0"))),
        (3.0, changes(a_chunk(0, {NODE_A: 9}, chunk_id="c0", state="played"))),
    )
    (chunk,) = figures.chunks
    assert chunk.failures == ((NODE_B, 2),)
    assert (chunk.retries, chunk.held_sec, chunk.state) == (2, 2.0, "played")
    assert chunk.sources == ((NODE_A, 9),)


SPANS = st.lists(st.tuples(st.integers(0, 200), st.integers(0, 60)), max_size=150)


@given(SPANS)
def test_time_in_which_several_ranges_flowed_counts_once(spans: list[tuple[int, int]]) -> None:
    busy = BusyTime()
    ordered = sorted((start + length, start) for start, length in spans)
    for end, start in ordered:
        busy.add(start, end)
    covered = {second for end, start in ordered for second in range(start, end)}
    assert busy.total_sec == len(covered)


# ---------------------------------------------------------------- curves


def test_a_curve_of_any_length_has_so_many_points() -> None:
    curve = LevelCurve()
    for second in range(20_000):
        curve.add(float(second), float(second % 100))
    points = curve.points()
    assert MAX_BUCKETS / 2 <= len(points) <= MAX_BUCKETS
    assert sum(level.count for _, level in points) == 20_000
    assert (min(level.low for _, level in points), max(level.high for _, level in points)) == (
        0,
        99,
    )
    assert points[-1][0] == pytest.approx(20_000, rel=0.01)


@given(
    st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e4), st.integers(1, 10**9)), max_size=30)
)
def test_no_byte_is_lost_on_a_curve(ranges: list[tuple[float, float, int]]) -> None:
    curve = RateCurve()
    for at_sec, busy_sec, size_bytes in ranges:
        curve.add(f"node {size_bytes % 3}", max(0.0, at_sec - busy_sec), at_sec, size_bytes)
    total = sum(size_bytes for _, _, size_bytes in ranges)
    rows = curve.rows(["node 0"])
    assert len(rows) <= MAX_BUCKETS
    assert sum(map(sum, rows)) == pytest.approx(total)
    arrived = curve.arrived()
    assert (arrived[-1][1] if arrived else 0) == pytest.approx(total)
    assert sum(curve.totals.values()) == total


def test_nodes_beyond_measure_share_a_name() -> None:
    curve = RateCurve()
    for number in range(MAX_NAMES + 50):
        curve.add(f"node {number}", 0.0, 1.0, 10)
    assert len(curve.totals) == MAX_NAMES + 1
    assert sum(curve.rows([])[0]) == pytest.approx((MAX_NAMES + 50) * 2.5)


def test_rates_are_what_came_in_a_second() -> None:
    figures = built(
        (0.1, a_session()),
        (2.0, a_transfer(NODE_B, size_bytes=1_000_000, busy_sec=1.0)),
        (2.0, a_transfer(NODE_A, size_bytes=500_000, busy_sec=1.0)),
    )
    assert figures.rates.names == (NODE_A, NODE_B)
    assert figures.rates.rows_mbps[5] == pytest.approx((4.0, 8.0, 0.0))
    total = sum(map(sum, figures.rates.rows_mbps)) * figures.rates.width_sec
    assert total == pytest.approx(12.0)


# ---------------------------------------------------------------- events


def test_of_very_many_events_the_middle_is_left_out() -> None:
    count = FIRST_EVENTS + LAST_EVENTS + 7
    figures = built(*((float(n), an_event(str(n))) for n in range(count)))
    texts = [event.text for event in figures.events]
    assert figures.events_left_out == 7
    assert (texts[0], texts[FIRST_EVENTS], texts[-1]) == (
        "0",
        str(FIRST_EVENTS + 7),
        str(count - 1),
    )


def test_an_event_that_was_heard_late_stands_where_it_happened() -> None:
    late = an_event("session starts", at_unix_sec=STARTED_UNIX_SEC + 1.5)
    figures = built((4.0, late))
    assert figures.events[0].at_sec == pytest.approx(1.5)


def test_a_chunk_map_of_chance_never_breaks_a_report() -> None:
    rng = random.Random(7)
    for _ in range(50):
        folder, builder = ChunkFolder(), ReportBuilder(a_header())
        for step in range(20):
            numbers = rng.sample(range(30), rng.randrange(30))
            chunks = tuple(
                a_chunk(n, state=rng.choice(["held", "played"])) for n in sorted(numbers)
            )
            found = folder.changes_to(ChunkMap(session_id="s1", total_chunks=30, chunks=chunks))
            if found is not None:
                folder.apply(found)
                builder.add(float(step), found)
        assert [c.sequence_num for c in builder.figures().chunks] == sorted(folder.chunks)
