"""Which bytes are still needed, of how many parts."""

from __future__ import annotations

from hypothesis import given, settings, strategies as st

from scheduler.bytemap import Span
from scheduler.coverage import missing_bytes, shallowest, short_spans, union

SIZE = 12
SPANS = st.tuples(st.integers(0, SIZE), st.integers(0, SIZE)).map(lambda s: (min(s), max(s)))
# The covers of five parts; the spans of each are disjoint.
COVERS = st.lists(st.lists(SPANS, max_size=3).map(union), min_size=5, max_size=5)
NEEDED = st.integers(1, 3)


def depth(covers: list[list[Span]], position: int) -> int:
    return sum(any(a <= position < b for a, b in cover) for cover in covers)


def positions(spans: list[Span]) -> list[int]:
    return [position for start, end in spans for position in range(start, end)]


def test_one_copy_of_every_byte_is_enough_for_a_replicated_chunk() -> None:
    assert short_spans([[(2, 4)], [(8, 12)]], SIZE, 1) == [(0, 2), (4, 8)]
    assert missing_bytes({-1: [(2, 4), (8, 12)]}, SIZE, 1) == 6


def test_three_fragments_are_needed_at_every_position() -> None:
    covers = [[(0, 12)], [(0, 6)], [(0, 12)], [(4, 8)]]
    assert short_spans(covers, SIZE, 3) == [(8, 12)]
    assert missing_bytes(dict(enumerate(covers)), SIZE, 3) == 4


def test_nothing_held_is_all_missing() -> None:
    assert short_spans([[], [], [], [], []], SIZE, 3) == [(0, SIZE)]
    assert missing_bytes({part: [] for part in range(5)}, SIZE, 3) == 3 * SIZE


def test_a_fourth_fragment_does_not_count_for_another_position() -> None:
    covers = {part: [(0, 6)] for part in range(5)}
    assert missing_bytes(covers, SIZE, 3) == 18


def test_touching_and_overlapping_spans_are_one() -> None:
    assert union([(4, 6), (0, 2), (2, 3), (5, 9), (7, 7)]) == [(0, 3), (4, 9)]


def test_an_empty_span_is_none() -> None:
    assert union([(3, 3), (5, 4)]) == []
    assert union([]) == []


def test_the_least_covered_position_comes_first() -> None:
    covers = [[(0, 12)], [(0, 8)], [(4, 12)]]
    assert shallowest(covers, [(0, 12)]) == 0
    assert shallowest([[(0, 6)], [(0, 8)]], [(0, 12)]) == 8
    assert shallowest([[(0, 6)], [(0, 8)]], [(0, 7)]) == 6


@settings(derandomize=True, max_examples=300, deadline=None)
@given(COVERS, NEEDED)
def test_short_spans_are_the_positions_that_too_few_parts_cover(
    covers: list[list[Span]], needed: int
) -> None:
    spans = short_spans(covers, SIZE, needed)
    assert positions(spans) == [p for p in range(SIZE) if depth(covers, p) < needed]
    assert spans == union(spans), "in order, disjoint, none empty"


@settings(derandomize=True, max_examples=300, deadline=None)
@given(COVERS, NEEDED)
def test_missing_bytes_are_what_each_position_lacks(covers: list[list[Span]], needed: int) -> None:
    lacking = sum(max(0, needed - depth(covers, p)) for p in range(SIZE))
    assert missing_bytes(dict(enumerate(covers)), SIZE, needed) == lacking


@settings(derandomize=True, max_examples=300, deadline=None)
@given(COVERS, st.lists(SPANS, min_size=1, max_size=3).map(union).filter(bool))
def test_no_position_within_is_covered_less_than_the_shallowest(
    covers: list[list[Span]], within: list[Span]
) -> None:
    at = shallowest(covers, within)
    assert at in positions(within)
    assert depth(covers, at) == min(depth(covers, p) for p in positions(within))


@settings(derandomize=True, max_examples=200, deadline=None)
@given(st.lists(SPANS, max_size=6))
def test_a_union_has_the_same_bytes(spans: list[Span]) -> None:
    assert positions(union(spans)) == sorted(set(positions(spans)))
