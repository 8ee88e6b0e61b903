"""Nodes: the breaker's timing, the score with load, rates and silence."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from scheduler.selection import (
    ASSUMED_RATE_MBPS,
    CUT_MEMORY_SEC,
    OPEN_BASE_SEC,
    OPEN_JITTER_RATIO,
    OPEN_MAX_SEC,
    SILENCE_FLOOR_SEC,
    SILENCE_MAX_SEC,
    STALE_AFTER_SEC,
    UNKNOWN_SILENCE_SEC,
    Breaker,
    Node,
    NodeBook,
)
from tests.builders import MB, A, B, a_node, a_score


class NoJitter(random.Random):
    """The middle of every interval."""

    def random(self) -> float:
        return 0.5


RNG = NoJitter()


# ---------------------------------------------------------------- breaker


def test_breaker_opens_at_the_first_silence() -> None:
    breaker = Breaker()
    assert breaker.failure("silent", 10, RNG, None)
    assert breaker.state(10.99) == "open"
    assert breaker.state(11.01) == "half_open"


def test_breaker_opens_at_the_third_broken_answer() -> None:
    breaker = Breaker()
    assert [breaker.failure("broken", 10, RNG, None) for _ in range(3)] == [False, False, True]


def test_data_between_failures_starts_the_count_again() -> None:
    breaker = Breaker()
    breaker.failure("broken", 10, RNG, None)
    breaker.failure("broken", 10, RNG, None)
    assert not breaker.success()
    assert not breaker.failure("broken", 10, RNG, None)


def test_openings_double_up_to_half_a_minute() -> None:
    breaker, now_sec, lengths = Breaker(), 0.0, []
    for _ in range(7):
        breaker.failure("silent", now_sec, RNG, None)
        assert breaker.open_until_sec is not None
        lengths.append(breaker.open_until_sec - now_sec)
        now_sec = breaker.open_until_sec
    assert lengths == pytest.approx([1, 2, 4, 8, 16, OPEN_MAX_SEC, OPEN_MAX_SEC])


def test_a_failed_probe_opens_again_without_saying_so_twice() -> None:
    breaker = Breaker()
    breaker.failure("silent", 0, RNG, None)
    assert not breaker.failure("broken", 1.5, RNG, None)
    assert breaker.state(1.6) == "open"


def test_failures_of_ranges_under_way_do_not_prolong_an_opening() -> None:
    breaker = Breaker()
    breaker.failure("silent", 0, RNG, None)
    until_sec = breaker.open_until_sec
    breaker.failure("silent", 0.5, RNG, None)
    assert breaker.open_until_sec == until_sec


def test_data_closes_and_forgets() -> None:
    breaker = Breaker()
    breaker.failure("silent", 0, RNG, None)
    breaker.failure("silent", 2, RNG, None)
    assert breaker.success()
    breaker.failure("silent", 10, RNG, None)
    assert breaker.open_until_sec == pytest.approx(10 + OPEN_BASE_SEC)


def test_openings_are_spread_by_a_fifth() -> None:
    rng = random.Random(7)
    lengths = []
    for _ in range(200):
        breaker = Breaker()
        breaker.failure("silent", 0, rng, None)
        lengths.append(breaker.open_until_sec or 0.0)
    assert min(lengths) >= OPEN_BASE_SEC * (1 - OPEN_JITTER_RATIO)
    assert max(lengths) <= OPEN_BASE_SEC * (1 + OPEN_JITTER_RATIO)
    assert max(lengths) - min(lengths) > OPEN_JITTER_RATIO


@pytest.mark.parametrize(("said", "length_sec"), [(0.2, 1), (7, 7), (9999, OPEN_MAX_SEC)])
def test_retry_after_lengthens_within_bounds(said: float, length_sec: float) -> None:
    breaker = Breaker()
    breaker.failure("unavailable", 0, RNG, said)
    assert breaker.open_until_sec == pytest.approx(length_sec)


# ---------------------------------------------------------------- node


def test_the_score_is_the_seeds_formula() -> None:
    node = Node(A)
    node.note_report(a_score(A, mbps=50, latency_ms=20, success_rate_ratio=0.8))
    assert node.score == pytest.approx(50 * 0.8 / (1 + 20 * 0.1))


def test_load_divides_the_score() -> None:
    node = Node(A)
    idle = node.loaded_score()
    node.active = 1
    assert node.loaded_score() == pytest.approx(idle / 2)


def test_own_goodput_comes_before_the_monitors_figure_and_that_before_the_assumption() -> None:
    node = Node(A)
    seen = [node.rate_mbps]
    node.note_report(a_score(A, mbps=50))
    seen.append(node.rate_mbps)
    node.rate.add(30)
    seen.append(node.rate_mbps)
    assert seen == [ASSUMED_RATE_MBPS, 50, 30]


def test_expected_time_is_latency_plus_transfer() -> None:
    node = Node(A)
    node.note_report(a_score(A, mbps=16, latency_ms=100))
    assert node.expected_sec(2_000_000) == pytest.approx(0.1 + 1.0)


def test_an_unknown_node_gets_more_time_for_its_first_byte() -> None:
    node = Node(A)
    assert node.silence_sec() == UNKNOWN_SILENCE_SEC
    node.note_report(a_score(A, latency_ms=10))
    assert node.silence_sec() == SILENCE_FLOOR_SEC


def test_a_far_node_may_be_silent_for_longer_but_not_for_ever() -> None:
    node = Node(A)
    patience = []
    for latency_ms in (150, 300, 600):
        node.note_report(a_score(A, latency_ms=latency_ms))
        patience.append(node.silence_sec())
    assert patience == pytest.approx([0.6, SILENCE_MAX_SEC, 1.2])


def test_a_node_whose_answers_vary_may_be_silent_for_longer() -> None:
    node = Node(A)
    node.note_report(a_score(A, latency_ms=10))
    for first_byte_sec in (0.1, 0.5, 0.1, 0.5):
        node.note_first_byte(first_byte_sec)
    assert SILENCE_FLOOR_SEC < node.silence_sec() <= SILENCE_MAX_SEC


def test_a_rate_grows_stale() -> None:
    node = Node(A)
    assert not node.stale(1000)
    node.note_progress(3.2, 10)
    assert not node.stale(10 + STALE_AFTER_SEC)
    assert node.stale(10.1 + STALE_AFTER_SEC)


# ---------------------------------------------------------------- doubts


def a_node_asked_at(began_sec: float) -> Node:
    """Return a node that may be silent for 0.5 s, and owes an answer since then."""
    node = Node(A)
    node.note_report(a_score(A, latency_ms=10))
    assert node.silence_sec() == SILENCE_FLOOR_SEC
    assert not node.doubtful(began_sec)
    return node


def test_silence_adds_up_over_ranges_that_others_took_over() -> None:
    node = a_node_asked_at(10.0)
    assert not node.brought_nothing(10.0, 10.2)
    assert not node.brought_nothing(10.2, 10.4)
    assert node.doubtful(10.4), "it is tried with little"
    assert node.brought_nothing(10.4, 10.6)


def test_two_silent_ranges_at_once_count_once() -> None:
    node = a_node_asked_at(10.0)
    assert not node.brought_nothing(10.0, 10.3)
    assert not node.brought_nothing(10.0, 10.3)
    assert not node.brought_nothing(10.1, 10.3)


def test_time_without_a_request_is_no_silence() -> None:
    node = a_node_asked_at(10.0)
    assert not node.brought_nothing(10.0, 10.1)
    assert not node.brought_nothing(60.0, 60.1)


def test_a_sign_of_life_clears_the_silence() -> None:
    node = a_node_asked_at(10.0)
    node.brought_nothing(10.0, 10.4)
    node.heard()
    assert not node.doubtful(10.4)
    assert not node.brought_nothing(10.4, 10.7)


def test_a_suspended_node_is_in_doubt_until_data_came() -> None:
    node = Node(A)
    node.breaker.failure("silent", 10, RNG, None)
    assert [node.doubtful(at) for at in (10.5, 11.5, 99.0)] == [True, True, True]
    node.breaker.success()
    assert not node.doubtful(99.0)


def test_a_stale_rate_alone_is_only_a_reason_for_probation() -> None:
    node = Node(A)
    node.note_progress(3.2, 10)
    assert node.on_probation(99)
    assert not node.doubtful(99)


# ---------------------------------------------------------------- book


def test_what_a_download_told_of_range_beats_the_monitor() -> None:
    book = NodeBook()
    book.update((a_score(A, accepts_ranges=True),))
    book.node(A).accepts_ranges = False
    book.update((a_score(A, accepts_ranges=True),))
    assert book.node(A).accepts_ranges is False


def test_nodes_nobody_names_are_forgotten_unless_they_work() -> None:
    book = NodeBook()
    book.node(A).active = 1
    book.node(B)
    book.forget_except(set())
    assert [node.node_url for node in book] == [A]


# ---------------------------------------------------------------- bodies that are cut off


def a_cutting_node() -> Node:
    """Return a node of 20 Mbit/s that cut off a body after half a second: 1.2 MB."""
    node = a_node(A, 20.0, accepts_ranges=False)
    node.note_body(0.5, 10.0, cut=True)
    return node


def test_a_body_that_was_cut_off_says_that_longer_ones_will_be() -> None:
    node = a_cutting_node()
    assert not node.blameless
    assert [node.cuts(size, 11.0) for size in (1 * MB, 2 * MB)] == [False, True]
    node.accepts_ranges = True
    assert not node.cuts(2 * MB, 11.0)


def test_that_a_body_was_cut_off_is_forgotten_after_a_while_or_a_longer_one() -> None:
    node = a_cutting_node()
    assert node.cuts(2 * MB, 10.0 + CUT_MEMORY_SEC - 1)
    assert not node.cuts(2 * MB, 10.0 + CUT_MEMORY_SEC + 1)
    node.note_body(0.4, 11.0, cut=False)
    assert node.cuts(2 * MB, 11.0)
    node.note_body(0.6, 11.0, cut=False)
    assert node.blameless
    assert not node.cuts(2 * MB, 11.0)


def test_a_node_nobody_ever_heard_owes_its_first_word_until_it_may_be_far_away() -> None:
    node = Node(A)
    node.brought_nothing(10.0, 10.1)
    assert (node.owes_first_word(10.1), node.blameless) == (True, False)
    assert not node.owes_first_word(10.1 + UNKNOWN_SILENCE_SEC)
    # A lost ping says no more than no ping.
    node.note_report(replace(a_score(A), latency_ms=None, measurements_count=1))
    assert node.owes_first_word(10.1)
    node.note_report(a_score(A))
    assert (node.owes_first_word(10.1), node.blameless) == (False, True)
