"""What a session is compared with: the optimum of what was seen, never above what was measured, never made up."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, strategies as st

from bench.optimum import Film, Part, Supply, optimum
from client.recording.values import Item, Lost
from client.report.floors import Pace, play_floor_sec, startup_floor_sec
from tests.reports import built, changes, compared
from tests.status_builders import (
    NODE_A,
    a_chunk,
    a_load,
    a_session,
    a_transfer,
    an_event,
    scheduler_status,
    traffic,
)

LINKS = st.lists(st.tuples(st.floats(0.5, 100), st.floats(0.001, 1.0)), min_size=1, max_size=5)


@given(st.integers(1, 10**8), st.floats(0, 2), LINKS)
def test_the_least_startup_is_the_optimum_of_constant_links(
    size_bytes: int, manifest_sec: float, links: list[tuple[float, float]]
) -> None:
    paces = [Pace(rate_mbps=rate, first_byte_sec=first_sec) for rate, first_sec in links]
    supplies = [Supply([(0.0, rate * 1e6 / 8)], ready_sec=first) for rate, first in links]
    part = Part(nodes=tuple(range(len(links))), max_bytes=size_bytes)
    best = optimum(supplies, Film(size_bytes=size_bytes, chunk_sec=10.0, parts=((part,),)))
    found = startup_floor_sec(size_bytes, manifest_sec, paces)
    assert found == pytest.approx(manifest_sec + best.startup_sec)


@given(st.lists(st.floats(0.1, 20), min_size=1, max_size=40), st.integers(1, 20))
def test_the_least_startup_and_stall_is_the_optimum_of_what_arrived(
    rates: list[float], count: int
) -> None:
    size_bytes, chunk_sec = 10**6, 10.0
    steps = [(float(second), rate * 1e5) for second, rate in enumerate(rates)]
    supply = Supply(steps)
    arrived = [
        (second - 0.5, supply.carried(second))
        for second in (number / 2 for number in range(1, 20_000))
    ]
    part = Part(nodes=(0,), max_bytes=size_bytes)
    film = Film(size_bytes=size_bytes, chunk_sec=chunk_sec, parts=((part,),) * count)
    best = optimum([supply], film, hold_sec=math.inf)
    found = play_floor_sec([(size_bytes, chunk_sec)] * count, arrived)
    assert found is not None
    # It is told by the buckets of a curve, and errs on the low side.
    assert best.total_sec - 0.51 <= found <= best.total_sec + 1e-6


def test_bytes_that_were_not_seen_may_have_come_at_once() -> None:
    chunks = [(100, 10.0), (100, 10.0)]
    assert play_floor_sec(chunks, [(5.0, 100.0), (30.0, 200.0)]) == 20.0
    assert play_floor_sec(chunks, [(5.0, 100.0), (30.0, 150.0)], unseen_bytes=50) == 20.0
    assert play_floor_sec(chunks, [(5.0, 100.0)], unseen_bytes=100) == 0.0
    assert play_floor_sec(chunks, [(5.0, 150.0)]) is None


def test_nobody_who_sends_nothing_makes_a_start() -> None:
    assert startup_floor_sec(100, 0.1, []) is None
    assert startup_floor_sec(100, 0.1, [Pace(rate_mbps=0.0, first_byte_sec=0.1)]) is None


def a_played_session(**changed: Any) -> list[tuple[float, Item]]:
    """Return a film of two chunks that started after two seconds and stalled for six."""
    fields: dict[str, Any] = {
        "startup_latency_sec": 2.0,
        "stalled_sec": 6.0,
        "rebuffering_events": 1,
        "manifest_sec": 0.5,
        "wall_sec": 2.0,
    }
    tally = traffic(received_bytes=4_000_000, needed_bytes=4_000_000)
    big = {"size_bytes": 2_000_000, "busy_sec": 1.0, "first_byte_sec": 0.1, "goodput_mbps": 16.0}
    return [
        (2.0, a_transfer(NODE_A, chunk_id="c0", **big)),
        (2.0, a_session(**(fields | changed))),
        (18.0, a_transfer(NODE_A, chunk_id="c1", **big)),
        (19.0, scheduler_status(sessions=(tally,), nodes=(a_load(NODE_A, rate_mbps=16.0),))),
        (28.0, changes(a_chunk(0, state="played"), a_chunk(1, state="played"))),
    ]


def test_what_could_have_been_is_told_where_it_is_known() -> None:
    figures = built(*a_played_session())
    startup, play = compared(figures, "Startup"), compared(figures, "Startup and stalls")
    # The manifest, a round trip, and two megabytes at 16 Mbit/s.
    assert startup.floor_sec == pytest.approx(0.5 + 0.1 + 1.0)
    assert startup.measured_sec == 2.0
    # The second chunk's last byte came at 18 s, in a bucket of a quarter of a second, and is played 10 s in.
    assert play.measured_sec == 8.0
    assert play.floor_sec == pytest.approx(18.0 - 10.0, abs=0.26)


def test_no_floor_is_above_what_was_measured() -> None:
    figures = built(*a_played_session(startup_latency_sec=1.0, stalled_sec=0.5))
    for comparison in figures.comparisons:
        assert comparison.floor_sec is not None
        assert comparison.measured_sec is not None
        assert comparison.floor_sec <= comparison.measured_sec
    assert "As short as" in compared(figures, "Startup").text


def test_without_a_stall_there_is_nothing_to_compare_but_the_startup() -> None:
    figures = built(*a_played_session(stalled_sec=0.0, rebuffering_events=0))
    assert [c.name for c in figures.comparisons] == ["Startup"]


def test_the_sessions_clock_may_begin_after_the_command() -> None:
    late = [(at_sec + 0.7, item) for at_sec, item in a_played_session()]
    figures = built(*late)
    assert figures.queued_sec == pytest.approx(0.7)
    assert compared(figures, "Startup and stalls").floor_sec == pytest.approx(8.0, abs=0.26)


@pytest.mark.parametrize(
    ("more", "header", "why"),
    [
        ([(20.0, a_session(state="paused", stalled_sec=6.0))], {}, "straight on"),
        ([(20.0, an_event("moved to 1:00", kind="seek"))], {}, "straight on"),
        ([], {"paced": False}, "straight on"),
        ([(28.0, Lost(count=1))], {}, "lacks some of the ranges"),
        ([(28.0, scheduler_status(sessions=(traffic(received_bytes=5_000_000),)))], {}, "lacks"),
        ([(28.0, changes(a_chunk(3, state="played")))], {}, "size of every chunk"),
        ([(28.0, a_session(missing_chunks=1, stalled_sec=6.0))], {}, "left out"),
        ([(28.0, a_session(startup_latency_sec=None, stalled_sec=6.0))], {}, "never started"),
    ],
)
def test_what_could_have_been_is_not_made_up(
    more: list[tuple[float, Item]], header: dict[str, Any], why: str
) -> None:
    play = compared(built(*a_played_session(), *more, **header), "Startup and stalls")
    assert play.floor_sec is None
    assert play.text.startswith("Not known: ")
    assert why in play.text


def test_a_first_chunk_nobody_told_of_has_no_least_startup() -> None:
    figures = built((1.0, a_session()), (2.0, changes(a_chunk(5))))
    assert "first chunk's size" in compared(figures, "Startup").text
