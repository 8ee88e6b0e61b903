"""Connections that begin slowly, on long round trips: a film that needs most of what the links carry plays on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.scenarios import MIB, Scenario, scenario
from bench.simulate import Outcome, Setup, play

SEEDS = (1, 2, 3)


def demanding(name: str) -> Scenario:
    """Return a scenario with a film of 25 Mbit/s on 35 Mbit/s of links."""
    return replace(scenario(name), chunk_bytes=6 * MIB, chunk_sec=2.0, chunks=20)


def played(one: Scenario, seed: int) -> Outcome:
    return play(one, Setup(seed=seed, warm=True, monitor="known"))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ["slow-start", "slow-start-200"])
def test_no_rate_settles_low_because_ranges_are_short(name: str, seed: int) -> None:
    outcome = played(demanding(name), seed)
    assert outcome.outcome == "played"
    # At a third of what the links carry it would stall for half a minute.
    assert outcome.stalled_sec < 0.5


@pytest.mark.parametrize("seed", SEEDS)
def test_the_first_chunk_comes_soon_after_it_could_over_four_connections_to_each_node(
    seed: int,
) -> None:
    assert played(scenario("slow-start"), seed).ratio < 1.25
    assert played(scenario("slow-start-200"), seed).ratio < 1.3
