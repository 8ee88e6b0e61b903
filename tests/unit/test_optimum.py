"""The physical optimum: sums, flows and whole bodies."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings, strategies as st

from bench.flow import FlowNetwork
from bench.optimum import Film, Optimum, Part, Supply, optimum, ramped, whole_bodies
from bench.scenarios import FaultEvent, Scenario, all_scenarios, scenario
from bench.supplies import film_of, optimum_of, supply_of, without_slow_start
from cluster.profiles import LinkProfile

MB = 1_000_000


def a_film(count: int, nodes: tuple[int, ...], *, size: float = MB, chunk_sec: float = 4.0) -> Film:
    part = Part(nodes=nodes, max_bytes=size)
    return Film(size_bytes=size, chunk_sec=chunk_sec, parts=((part,),) * count)


def a_film_in_parts(film: Film) -> Film:
    """Return the same film such that only the flow can tell: one chunk was away before anything could flow."""
    held = film.parts[0][0]
    odd = Part(nodes=held.nodes, max_bytes=held.max_bytes, absent={held.nodes[0]: ((-2.0, -1.0),)})
    return Film(
        size_bytes=film.size_bytes,
        chunk_sec=film.chunk_sec,
        parts=((odd,), *film.parts[1:]),
    )


def close(found: Optimum, expected: Optimum) -> None:
    assert found.startup_sec == pytest.approx(expected.startup_sec, abs=1e-3)
    assert found.total_sec == pytest.approx(expected.total_sec, abs=1e-3)


def test_flow_through_two_paths_is_their_sum() -> None:
    network = FlowNetwork()
    a, b, c, d = (network.add_node() for _ in range(4))
    network.add_edge(a, b, 3.0)
    network.add_edge(a, c, 2.0)
    network.add_edge(b, d, 2.0)
    network.add_edge(c, d, 5.0)
    network.add_edge(b, c, 5.0)
    assert network.max_flow(a, d) == pytest.approx(5.0)


def test_a_supply_begins_after_its_round_trip_and_follows_its_steps() -> None:
    supply = Supply([(0.0, 100.0), (2.0, 0.0), (3.0, 50.0)], ready_sec=0.5)
    assert supply.carried(0.5) == 0.0
    assert supply.carried(2.5) == 150.0
    assert supply.carried(5.0) == 250.0
    assert supply.time_when(150.0) == 2.0
    assert supply.time_when(200.0) == 4.0


def test_a_supply_that_dries_up_never_carries_more() -> None:
    supply = Supply([(0.0, 100.0), (1.0, 0.0)])
    assert supply.time_when(100.0) == 1.0
    assert supply.time_when(101.0) == math.inf


def test_supplies_together_carry_the_sum() -> None:
    total = Supply.of_all(
        [Supply([(0.0, 10.0)], ready_sec=1.0), Supply([(0.0, 5.0), (2.0, 0.0)], ready_sec=0.5)]
    )
    assert total.carried(3.0) == pytest.approx(20.0 + 7.5)


def test_equal_deadlines_and_full_replicas_need_the_sum_of_all_links() -> None:
    # 1 MB at 0.5 MB/s from 0.1 s on: F_0 = 2.1; each further chunk takes 2 of its 4 s.
    best = optimum([Supply([(0.0, MB / 2)], ready_sec=0.1)], a_film(3, (0,)))
    assert best.startup_sec == pytest.approx(2.1)
    assert best.total_sec == pytest.approx(2.1)
    assert best.stall_sec == 0.0


def test_links_below_the_bitrate_must_stall() -> None:
    # 8 s a chunk of 4 s: F_2 - 2 d = 24 - 8.
    best = optimum([Supply([(0.0, MB / 8)])], a_film(3, (0,)))
    assert best.startup_sec == pytest.approx(8.0)
    assert best.total_sec == pytest.approx(16.0)
    assert best.stall_sec == pytest.approx(8.0)


def test_a_full_buffer_cannot_use_links_that_go_away_later() -> None:
    # All of the film fits into 12 s; with 8 s of it held at most, what comes after the gap begins late.
    supply = Supply([(0.0, float(MB)), (12.0, 0.0), (60.0, float(MB))])
    film = a_film(12, (0,))
    assert optimum([supply], film).total_sec == pytest.approx(1.0)
    held = optimum([supply], film, hold_sec=8.0)
    assert held.startup_sec == pytest.approx(1.0)
    assert held.window_sec > 30.0


def test_a_chunk_on_a_slow_node_alone_delays_the_start() -> None:
    parts = (
        (Part(nodes=(1,), max_bytes=MB),),
        (Part(nodes=(0,), max_bytes=MB),),
    )
    film = Film(size_bytes=MB, chunk_sec=4.0, parts=parts)
    best = optimum([Supply([(0.0, float(MB))]), Supply([(0.0, MB / 4)])], film)
    assert best.startup_sec == pytest.approx(4.0, abs=1e-3)
    assert best.total_sec == pytest.approx(4.0, abs=1e-3)


def test_prefixes_that_are_reachable_alone_are_not_all_reachable_together() -> None:
    # Chunk 0 may use both nodes and would take all of node 0 that chunk 1 needs.
    parts = (
        (Part(nodes=(0, 1), max_bytes=MB),),
        (Part(nodes=(0,), max_bytes=MB),),
    )
    film = Film(size_bytes=MB, chunk_sec=1.0, parts=parts)
    best = optimum([Supply([(0.0, MB / 2)]), Supply([(0.0, MB / 2)])], film)
    assert best.startup_sec == pytest.approx(1.0, abs=1e-3)
    # Together: x of chunk 0 on node 0 by X, all of chunk 1 there by X + 1.
    assert best.total_sec == pytest.approx(1.5, abs=1e-3)


def test_a_chunk_missing_everywhere_is_waited_for() -> None:
    best = optimum_of(scenario("missing"))
    # It is there at 20 s, takes 2 MiB at 35 Mbit/s, and is due 12 s after the start.
    assert best.total_sec == pytest.approx(20.0 + 2 * 1024 * 1024 * 8 / 35e6 - 12.0, abs=1e-3)


def test_any_three_fragments_make_a_coded_chunk() -> None:
    # Five equal nodes: three fifths of each fragment's third at most, all links busy.
    parts = tuple(Part(nodes=(node,), max_bytes=MB / 3) for node in range(5))
    film = Film(size_bytes=MB, chunk_sec=4.0, parts=(parts,) * 2)
    best = optimum([Supply([(0.0, MB / 5)])] * 5, film)
    assert best.startup_sec == pytest.approx(1.0, abs=1e-3)
    # Two of them gone, every fragment left must come whole.
    gone = [Supply([(0.0, MB / 5)])] * 3 + [Supply([(0.0, 0.0)])] * 2
    assert optimum(gone, film).startup_sec == pytest.approx(5 / 3, abs=1e-3)


def test_whole_bodies_come_from_the_fastest_node_first() -> None:
    supplies = [Supply([(0.0, float(MB))]), Supply([(0.0, MB / 2)])]
    best = whole_bodies(supplies, a_film(4, (0, 1), chunk_sec=1.0))
    assert best.startup_sec == pytest.approx(1.0)
    assert best.total_sec == pytest.approx(1.0)


def test_a_body_that_would_be_cut_does_not_count() -> None:
    supplies = [Supply([(0.0, MB / 20)]), Supply([(0.0, MB / 30)])]
    film = a_film(1, (0, 1))
    assert whole_bodies(supplies, film).total_sec == pytest.approx(20.0)
    cut = whole_bodies(supplies, film, cut_after_sec=[15.0, None])
    assert cut.total_sec == pytest.approx(30.0)


def test_faults_take_what_a_link_could_carry() -> None:
    profile = LinkProfile(rate_mbps=8.0, rtt_ms=0.0)
    dark = FaultEvent(node=0, kind="silent", at_sec=1.0, for_sec=2.0)
    slow = FaultEvent(node=0, kind="slow", at_sec=4.0)
    supply = supply_of(profile, [dark, slow])
    assert supply.carried(4.0) == pytest.approx(2 * MB)
    assert supply.carried(14.0) == pytest.approx(2.2 * MB)


@pytest.mark.parametrize("played", all_scenarios(), ids=lambda s: s.name)
def test_every_scenario_can_be_played(played: Scenario) -> None:
    best = optimum_of(played)
    assert 0.0 < best.startup_sec <= best.total_sec <= best.window_sec < 15.0


@settings(derandomize=True, max_examples=60, deadline=None)
@given(
    rates=st.lists(
        st.lists(st.sampled_from([0.0, 1e5, 5e5, 2e6]), min_size=3, max_size=3),
        min_size=1,
        max_size=3,
    ),
    last=st.sampled_from([2e5, 1e6]),
    count=st.integers(1, 6),
    chunk_sec=st.sampled_from([0.5, 2.0, 5.0]),
)
def test_flow_and_closed_form_agree(
    rates: list[list[float]], last: float, count: int, chunk_sec: float
) -> None:
    supplies = [
        Supply(
            [*((2.0 * turn, rate) for turn, rate in enumerate(steps)), (6.0, last)],
            ready_sec=0.05 * number,
        )
        for number, steps in enumerate(rates)
    ]
    film = a_film(count, tuple(range(len(supplies))), chunk_sec=chunk_sec)
    assert film.everywhere is not None
    in_parts = a_film_in_parts(film)
    assert in_parts.everywhere is None
    close(optimum(supplies, in_parts), optimum(supplies, film))


def test_connections_that_begin_slowly_carry_a_window_a_round_trip() -> None:
    link = Supply([(0.0, 1000.0)], ready_sec=1.0)
    supply = ramped(link, ready_sec=1.0, rtt_sec=1.0, window_bytes=200)
    # 200 and 400 as early as the link can, then 800 of the thousand that it could, then all.
    assert [supply.carried(at) for at in (1.0, 1.1, 1.5, 2.0, 2.3, 2.4, 3.0)] == pytest.approx(
        [0, 100, 200, 200, 500, 600, 600]
    )
    assert supply.carried(4.0) == pytest.approx(1400)
    assert supply.carried(6.0) == pytest.approx(3400)


def test_a_link_that_is_full_at_once_loses_nothing_to_slow_beginnings() -> None:
    link = Supply([(0.0, 1000.0), (5.0, 300.0)], ready_sec=1.0)
    supply = ramped(link, ready_sec=1.0, rtt_sec=0.1, window_bytes=100)
    assert [supply.carried(at) for at in (2.0, 7.0)] == [link.carried(at) for at in (2.0, 7.0)]


def test_the_floor_with_slow_start_is_above_the_one_without() -> None:
    for name in ("slow-start", "slow-start-200"):
        played = scenario(name)
        assert optimum_of(played).startup_sec > optimum_of(without_slow_start(played)).startup_sec
    steady = scenario("steady")
    assert optimum_of(steady) == optimum_of(without_slow_start(steady))


def test_films_of_scenarios_lie_where_the_scenario_says() -> None:
    film = film_of(scenario("many"))
    assert [part.nodes for part in film.parts[19 % len(film.parts)]] == [(9, 10, 11)]
