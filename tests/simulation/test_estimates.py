"""How far the dashboard's comparison is from the truth, where the truth is known.

A session under `deadline` is kept as the dashboard hears it; all policies are then played on the links estimated from
that, and on the true ones. Which of two doubtful moments came first decides about seconds where a policy waits for
whole chunks of slow nodes, so those bounds are wide; the table in docs/comparison.md has the figures.
"""

from __future__ import annotations

import pytest

from bench.estimates import FILM_SEC, Verdict, judge
from bench.scenarios import lengthened, scenario


def differences(verdict: Verdict) -> tuple[float, float]:
    """Return how far startup and stalled seconds are apart, beyond a tenth of what is true."""
    one, other = verdict.estimated, verdict.true
    assert (one.outcome, other.outcome) == ("played", "played")
    assert one.startup_sec is not None
    assert other.startup_sec is not None
    return (
        abs(one.startup_sec - other.startup_sec) - other.startup_sec / 10,
        abs(one.stalled_sec - other.stalled_sec) - other.stalled_sec / 10,
    )


@pytest.mark.parametrize("name", ["steady", "tight", "death", "silent", "dead-first", "coded"])
def test_estimated_links_give_the_startup_and_stalls_of_the_true_ones(name: str) -> None:
    for verdict in judge(lengthened(scenario(name, 1), FILM_SEC)):
        startup_sec, stalled_sec = differences(verdict)
        assert startup_sec < 0.5, verdict
        assert stalled_sec < 1.0, verdict


@pytest.mark.parametrize("name", ["gray", "flap", "corrupt", "truncate", "many", "missing"])
def test_the_policy_that_was_played_is_told_right_whatever_goes_wrong(name: str) -> None:
    ours = judge(lengthened(scenario(name, 1), FILM_SEC))[0]
    startup_sec, stalled_sec = differences(ours)
    assert ours.true.policy == "deadline"
    assert startup_sec < 0.25, ours
    assert stalled_sec < 0.5, ours


def test_a_stall_of_the_naive_policies_is_seen_from_a_session_that_had_none() -> None:
    ours, _, naive = judge(lengthened(scenario("tight", 1), FILM_SEC))
    assert ours.estimated.stalls == ours.true.stalls == 0
    assert naive.true.stalls > 0
    assert naive.estimated.stalls > 0
