"""Byte maps: what is held, from whom, and what is free."""

from __future__ import annotations

from hypothesis import given, settings, strategies as st

from scheduler.bytemap import ByteMap, Contribution, subtract
from tests.builders import A, B

SPANS = st.tuples(st.integers(0, 20), st.integers(0, 20)).map(lambda s: (min(s), max(s)))


def test_an_empty_map_misses_everything() -> None:
    held = ByteMap(10)
    assert (held.held_bytes, held.complete, held.free([])) == (0, False, [(0, 10)])


def test_neighbours_from_one_node_are_one_span() -> None:
    held = ByteMap(10)
    held.add(0, 4, A)
    held.add(4, 8, A)
    assert held.contributions == (Contribution(0, 8, A),)


def test_neighbours_from_two_nodes_stay_apart() -> None:
    held = ByteMap(10)
    held.add(0, 4, A)
    held.add(4, 10, B)
    assert held.contributions == (Contribution(0, 4, A), Contribution(4, 10, B))
    assert held.complete


def test_bytes_held_already_keep_their_source() -> None:
    held = ByteMap(10)
    held.add(2, 6, A)
    held.add(0, 10, B)
    assert held.contributions == (
        Contribution(0, 2, B),
        Contribution(2, 6, A),
        Contribution(6, 10, B),
    )
    assert held.bytes_by_node() == {A: 4, B: 6}


def test_removing_the_middle_leaves_both_ends() -> None:
    held = ByteMap(10)
    held.add(0, 10, A)
    held.remove(3, 7)
    assert held.contributions == (Contribution(0, 3, A), Contribution(7, 10, A))


def test_free_is_neither_held_nor_claimed() -> None:
    held = ByteMap(10)
    held.add(0, 2, A)
    assert held.free([(4, 6), (9, 10)]) == [(2, 4), (6, 9)]


def test_a_hole_larger_than_the_span_takes_it_all() -> None:
    assert subtract([(2, 4), (6, 6)], [(0, 10)]) == []


@settings(derandomize=True, max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.booleans(), SPANS, st.sampled_from([A, B])), max_size=12))
def test_a_map_agrees_with_a_plain_list_of_bytes(
    moves: list[tuple[bool, tuple[int, int], str]],
) -> None:
    held = ByteMap(20)
    model: list[str | None] = [None] * 20
    for adds, (start, end), node in moves:
        if adds:
            held.add(start, end, node)
            model[start:end] = [old or node for old in model[start:end]]
        else:
            held.remove(start, end)
            model[start:end] = [None] * (end - start)
    spans = held.contributions
    assert [node for s in spans for node in [s.node_url] * (s.end - s.start)] == [
        node for node in model if node
    ]
    assert all(model[s.start] == model[s.end - 1] == s.node_url for s in spans)
    assert held.held_bytes == sum(node is not None for node in model)
    assert sum(end - start for start, end in held.free([])) == 20 - held.held_bytes
