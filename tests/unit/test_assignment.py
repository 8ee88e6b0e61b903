"""Who may serve a chunk, which free range a node takes, and how much of it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from common.messages import NodeScore
from scheduler.assignment import (
    FAST_RATE_MBPS,
    FAST_SHARE_SEC,
    FIRST_TAIL_BYTES,
    MAX_RANGE_BYTES,
    PROBE_BYTES,
    Choice,
    equal_finish_sec,
    fair_share,
    next_range,
    usable_sources,
)
from scheduler.selection import OFFENCES_TO_BAN, STALE_AFTER_SEC, NodeBook
from scheduler.timing import first_byte_sec
from scheduler.wanted import WHOLE, Wanted
from tests.builders import (
    FIVE_NODES,
    MB,
    A,
    B,
    C,
    a_chunk,
    a_coded_chunk,
    a_job,
    a_score,
    a_wanted,
)

NOW_SEC = 100.0


def a_book(*nodes: NodeScore, measured: bool = False) -> NodeBook:
    """Return the nodes as the monitor sees them, measured at the same rate if so told."""
    book = NodeBook()
    book.update(nodes)
    if measured:
        for score in nodes:
            assert score.bandwidth_mbps is not None
            book.node(score.node_url).note_progress(score.bandwidth_mbps, NOW_SEC)
    return book


def suspend(book: NodeBook, *nodes: str) -> None:
    for node in nodes:
        book.node(node).breaker.failure("silent", NOW_SEC, random.Random(1), None)


def usable(chunk: Wanted, book: NodeBook, *, urgent: bool = True) -> list[str]:
    return [s.node_url for s in usable_sources(chunk, book, NOW_SEC, urgent=urgent)]


def taken(chunk: Wanted, book: NodeBook, node: str = A, **changed: Any) -> Choice | None:
    """Return what a node takes of a chunk that is due now."""
    fields: dict[str, Any] = {"urgent": True, "leading": True, "starting": False}
    busy_sec: dict[str, float] = changed.pop("busy_sec", {})
    fields |= changed
    sources = usable_sources(chunk, book, NOW_SEC, urgent=fields["urgent"])
    return next_range(book.node(node), chunk, sources, book, busy_sec, NOW_SEC, **fields)


def span(choice: Choice | None) -> tuple[int, int] | None:
    return (choice.start, choice.end) if choice is not None else None


# ---------------------------------------------------------------- who may serve


def test_all_replicas_serve_in_the_order_they_are_listed() -> None:
    assert usable(a_wanted(), a_book(a_score(A), a_score(B), a_score(C))) == [A, B, C]


def test_who_failed_or_is_suspected_of_this_chunk_does_not_serve_it() -> None:
    chunk = a_wanted()
    chunk.excluded.add(A)
    chunk.banned.add(B)
    assert usable(chunk, a_book()) == [C]
    chunk.excluded.add(C)
    assert usable(chunk, a_book()) == [], "this round is over"


def test_a_suspended_node_serves_only_where_nobody_else_does() -> None:
    book = a_book(a_score(A), a_score(B))
    suspend(book, A)
    assert usable(a_wanted(a_chunk(0, [A, B])), book) == [B]
    assert usable(a_wanted(a_chunk(0, [A])), book) == [A]


@pytest.mark.parametrize(("suspended", "left"), [(2, 2), (3, 4), (4, 4)])
def test_suspensions_count_only_while_half_of_the_nodes_are_left(suspended: int, left: int) -> None:
    nodes = FIVE_NODES[:4]
    book = a_book(*(a_score(node) for node in nodes))
    suspend(book, *nodes[:suspended])
    assert len(usable(a_wanted(a_chunk(0, nodes)), book)) == left


def test_a_convicted_node_is_the_last_resort() -> None:
    book = a_book(a_score(A), a_score(B))
    book.node(A).offences = OFFENCES_TO_BAN
    assert usable(a_wanted(a_chunk(0, [A, B])), book) == [B]
    assert usable(a_wanted(a_chunk(0, [A])), book) == [A]


def test_who_lied_once_brings_no_urgent_bytes_where_others_can() -> None:
    book = a_book(a_score(A), a_score(B))
    book.node(A).offences = 1
    chunk = a_wanted(a_chunk(0, [A, B]))
    assert usable(chunk, book, urgent=True) == [B]
    assert usable(chunk, book, urgent=False) == [A, B]


def test_who_answers_no_pings_and_never_sent_a_byte_is_not_begun_with() -> None:
    book = a_book(a_score(A, healthy=False), a_score(B))
    chunk = a_wanted(a_chunk(0, [A, B]))
    assert usable(chunk, book) == [B]
    book.node(A).note_progress(20.0, NOW_SEC)
    assert usable(chunk, book) == [A, B], "bytes say more than pings"


def test_who_was_never_heard_of_and_was_just_robbed_is_not_asked_while_others_can_be() -> None:
    book = a_book(a_score(B))
    chunk = a_wanted(a_chunk(0, [A, B]))
    book.node(A).brought_nothing(NOW_SEC - 0.2, NOW_SEC)
    assert usable(chunk, book) == [B]
    assert usable(a_wanted(a_chunk(1, [A])), book) == [A]


def test_who_cuts_off_bodies_of_this_size_serves_only_where_nobody_else_does() -> None:
    book = a_book(a_score(A, accepts_ranges=False), a_score(B), measured=True)
    book.node(A).note_body(0.5, NOW_SEC, cut=True)
    assert usable(a_wanted(a_chunk(0, [A, B])), book) == [B]
    assert usable(a_wanted(a_chunk(0, [A])), book) == [A]
    assert usable(a_wanted(a_chunk(0, [A, B], size_bytes=MB)), book) == [A, B]


def test_a_coded_chunk_needs_three_nodes() -> None:
    chunk = a_wanted(a_coded_chunk())
    book = a_book(*(a_score(node) for node in FIVE_NODES))
    chunk.excluded.update(FIVE_NODES[:2])
    assert usable(chunk, book) == list(FIVE_NODES[2:])
    suspend(book, FIVE_NODES[2])
    assert usable(chunk, book) == list(FIVE_NODES[2:]), "without it there are too few"
    chunk.excluded.add(FIVE_NODES[3])
    assert usable(chunk, book) == []
    chunk.parts[0].add(0, MB, FIVE_NODES[0])
    assert usable(chunk, book) == [FIVE_NODES[2], FIVE_NODES[4]], "a whole fragment counts"


# ---------------------------------------------------------------- which bytes


def test_the_first_free_bytes_are_taken() -> None:
    chunk = a_wanted(a_chunk(0, [A], size_bytes=300_000))
    chunk.parts[WHOLE].add(0, 100_000, B)
    a_job(chunk, B, start=150_000, end=200_000)
    assert span(taken(chunk, a_book(a_score(A), measured=True))) == (100_000, 150_000)


def test_a_node_without_the_chunk_takes_nothing() -> None:
    assert taken(a_wanted(a_chunk(0, [B])), a_book(a_score(A)), A) is None


def test_a_chunk_without_free_bytes_gives_nothing() -> None:
    chunk = a_wanted()
    a_job(chunk, B)
    assert taken(chunk, a_book(a_score(A), measured=True)) is None


def test_in_relaxed_mode_a_part_has_one_reader() -> None:
    chunk, book = a_wanted(), a_book(a_score(A), a_score(B), measured=True)
    a_job(chunk, B, end=500_000)
    assert taken(chunk, book, A, urgent=False) is None
    assert span(taken(chunk, book, B, urgent=False)) == (500_000, 500_000 + MAX_RANGE_BYTES)


def test_a_rest_too_small_for_another_request_is_taken_along() -> None:
    chunk = a_wanted(a_chunk(size_bytes=MAX_RANGE_BYTES + 1000))
    book = a_book(a_score(A), measured=True)
    assert span(taken(chunk, book, urgent=False)) == (0, MAX_RANGE_BYTES + 1000)


# ---------------------------------------------------------------- trials


def test_a_stale_rate_is_tried_with_a_small_range_when_there_is_time() -> None:
    book = a_book(a_score(A))
    book.node(A).note_progress(20.0, NOW_SEC - STALE_AFTER_SEC - 1)
    chunk = a_wanted(a_chunk(0, [A]))
    assert span(taken(chunk, book, urgent=False)) == (0, PROBE_BYTES)
    urgent = taken(chunk, book, urgent=True)
    assert urgent is not None
    assert urgent.end > PROBE_BYTES, "an urgent chunk is no place for such trials"


@pytest.mark.parametrize("urgent", [True, False])
def test_a_suspended_node_is_always_tried_with_a_small_range(urgent: bool) -> None:
    book = a_book(a_score(A), measured=True)
    suspend(book, A)
    assert span(taken(a_wanted(a_chunk(0, [A])), book, urgent=urgent)) == (0, PROBE_BYTES)


# ---------------------------------------------------------------- fragments


def test_parities_are_left_out_while_the_data_can_be_had_in_time() -> None:
    chunk, book = a_wanted(a_coded_chunk()), a_book(*(a_score(node) for node in FIVE_NODES))
    assert taken(chunk, book, FIVE_NODES[4], urgent=False) is None
    assert taken(chunk, book, FIVE_NODES[2], urgent=False) is not None
    chunk.excluded.add(FIVE_NODES[0])
    parity = taken(chunk, book, FIVE_NODES[4], urgent=False)
    assert parity is not None
    assert parity.source.part == 4


def test_a_parity_stands_in_for_a_suspended_node() -> None:
    chunk, book = a_wanted(a_coded_chunk()), a_book(*(a_score(node) for node in FIVE_NODES))
    suspend(book, FIVE_NODES[0])
    parity = taken(chunk, book, FIVE_NODES[4], urgent=False)
    assert parity is not None
    assert parity.source.part == 4
    chunk.parts[0].add(0, chunk.part_bytes, FIVE_NODES[0])
    assert taken(chunk, book, FIVE_NODES[4], urgent=False) is None, "it is here already"


def test_any_fragment_is_read_where_an_urgent_position_needs_it() -> None:
    chunk, book = a_wanted(a_coded_chunk()), a_book(*(a_score(node) for node in FIVE_NODES))
    for part in range(2):
        a_job(chunk, FIVE_NODES[part], part=part)
    choice = taken(chunk, book, FIVE_NODES[4])
    assert choice is not None
    assert choice.source.part == 4
    a_job(chunk, FIVE_NODES[2], part=2)
    assert taken(chunk, book, FIVE_NODES[4]) is None, "three cover every position"


# ---------------------------------------------------------------- how much


def test_a_node_on_a_fast_link_takes_no_crumbs() -> None:
    fast = 2 * FAST_RATE_MBPS
    book = a_book(*(a_score(node, mbps=fast) for node in (A, B, C)), measured=True)
    choice = taken(a_wanted(a_chunk(size_bytes=2 * MB)), book)
    assert choice is not None
    assert choice.end - choice.start >= fast * 1e6 / 8 * FAST_SHARE_SEC


def test_a_node_without_range_leaves_a_tail_to_those_that_are_to_be_measured() -> None:
    book = a_book(a_score(A, accepts_ranges=False), a_score(B), a_score(C))
    chunk = a_wanted()
    assert span(taken(chunk, book, A)) == (0, 2 * MB - 2 * FIRST_TAIL_BYTES)
    assert span(taken(chunk, book, A, urgent=False)) == (0, 2 * MB)
    tail = taken(chunk, book, B)
    assert tail is not None
    assert tail.end == 2 * MB


def test_a_node_without_range_among_measured_ones_claims_it_all() -> None:
    # They take from its tail what they bring sooner.
    book = a_book(a_score(A, accepts_ranges=False), a_score(B), a_score(C), measured=True)
    assert span(taken(a_wanted(), book, A)) == (0, 2 * MB)


def test_a_node_without_range_does_not_resume_what_another_brings_sooner() -> None:
    book = a_book(a_score(A, accepts_ranges=False), a_score(B), measured=True)
    chunk = a_wanted(a_chunk(0, [A, B]))
    chunk.parts[WHOLE].add(0, 1_900_000, C)
    assert taken(chunk, book, A) is None
    assert span(taken(chunk, book, B)) is not None
    alone = a_wanted(a_chunk(0, [A]))
    alone.parts[WHOLE].add(0, 1_900_000, C)
    assert span(taken(alone, book, A)) == (1_900_000, 2 * MB)


@pytest.mark.parametrize("node", [A, B])
def test_somebody_takes_a_rest_that_a_body_reaches_later_than_a_far_node(node: str) -> None:
    # From byte 0 on the body would need 0.8 s, the far node a round trip of 0.3 s.
    book = a_book(a_score(A, accepts_ranges=False), a_score(B, latency_ms=300), measured=True)
    chunk = a_wanted(a_chunk(0, [A, B]))
    chunk.parts[WHOLE].add(0, 2 * MB - 10_000, C)
    expected = (2 * MB - 10_000, 2 * MB) if node == B else None
    assert span(taken(chunk, book, node)) == expected


# ---------------------------------------------------------------- water filling

HELPERS = st.lists(st.tuples(st.floats(0.0, 2.0), st.floats(0.1, 100.0)), min_size=1, max_size=8)


@settings(derandomize=True, max_examples=200, deadline=None)
@given(HELPERS, st.floats(1.0, 1e7))
def test_all_bytes_are_there_at_the_equal_finish(
    helpers: Sequence[tuple[float, float]], size_bytes: float
) -> None:
    end_sec = equal_finish_sec(size_bytes, helpers)
    brought = sum(max(0.0, end_sec - at_sec) * mbps * 1e6 / 8 for at_sec, mbps in helpers)
    assert brought == pytest.approx(size_bytes, rel=1e-6, abs=1.0)


@settings(derandomize=True, max_examples=200, deadline=None)
@given(HELPERS, st.integers(1, 10**7), st.dictionaries(st.integers(0, 7), st.floats(0.0, 3.0)))
def test_shares_add_up_to_the_chunk(
    helpers: Sequence[tuple[float, float]], size_bytes: int, busy: dict[int, float]
) -> None:
    nodes = [f"http://node-{n}:80" for n in range(len(helpers))]
    book = a_book(
        *(a_score(n, m, at * 1000) for n, (at, m) in zip(nodes, helpers, strict=True)),
        measured=True,
    )
    chunk = a_wanted(a_chunk(0, nodes, size_bytes=size_bytes))
    busy_sec = {f"http://node-{n}:80": sec for n, sec in busy.items()}
    shares = {
        node: fair_share(book.node(node), chunk, chunk.sources(), book, busy_sec) for node in nodes
    }
    assert size_bytes <= sum(shares.values()) <= size_bytes + 2 * len(nodes)
    ends = [
        max(busy_sec.get(n, 0.0), first_byte_sec(book.node(n), cold=False))
        + share * 8e-6 / book.node(n).rate_mbps
        for n, share in shares.items()
        if share > 1
    ]
    assert not ends or max(ends) - min(ends) < 1e-3
