"""The index of chunks in work: by group, by node, most urgent first."""

from __future__ import annotations

from scheduler.active import ActiveBook, urgency
from scheduler.selection import NodeBook
from scheduler.wanted import Wanted
from tests.builders import A, B, C, a_chunk, a_wanted


def a_chunk_at(number: int, *nodes: str, due_sec: float = 0.0, session_id: str = "s1") -> Wanted:
    return a_wanted(a_chunk(number, nodes), deadline_sec=due_sec, session_id=session_id)


def a_book(**groups: list[Wanted]) -> ActiveBook:
    book = ActiveBook(NodeBook())
    for group, chunks in groups.items():
        book.replace(group, [(chunk, chunk.sources()) for chunk in chunks])
    return book


def at(book: ActiveBook, node_url: str) -> list[Wanted]:
    return [item.chunk for item in book.at_node(node_url)]


def test_a_node_is_offered_the_chunks_that_it_has() -> None:
    first, second = a_chunk_at(0, A, B), a_chunk_at(1, B, C, due_sec=10)
    book = a_book(s1=[first, second])
    assert [at(book, node) for node in (A, B, C)] == [[first], [first, second], [second]]


def test_the_most_urgent_chunk_of_all_sessions_comes_first() -> None:
    later, sooner = a_chunk_at(0, A, due_sec=5), a_chunk_at(7, A, due_sec=2, session_id="s2")
    book = a_book(s1=[later], s2=[sooner])
    assert at(book, A) == [sooner, later]


def test_of_two_chunks_due_at_once_the_earlier_of_the_film_comes_first() -> None:
    first, second = a_chunk_at(0, A), a_chunk_at(1, A)
    assert urgency(first) < urgency(second)
    assert urgency(second) < urgency(a_chunk_at(0, A, due_sec=0.1))


def test_each_chunk_knows_the_most_urgent_of_its_group() -> None:
    chunks = [a_chunk_at(0, A), a_chunk_at(1, A, due_sec=10)]
    other = a_chunk_at(5, A, due_sec=3, session_id="s2")
    book = a_book(s1=chunks, s2=[other])
    assert {item.chunk.key: item.first for item in book.at_node(A)} == {
        chunks[0].key: chunks[0],
        chunks[1].key: chunks[0],
        other.key: other,
    }
    assert {first.chunk.key for first in book.firsts()} == {chunks[0].key, other.key}
    assert book.of_group("nobody") == ()


def test_replacing_a_group_leaves_nothing_of_what_it_had() -> None:
    old, new = a_chunk_at(0, A, B), a_chunk_at(1, B)
    book = a_book(s1=[old])
    book.replace("s1", [(new, new.sources())])
    assert (at(book, A), at(book, B)) == ([], [new])
    assert set(book.node_urls()) == {B}


def test_replacing_a_group_leaves_the_others_alone() -> None:
    mine, other = a_chunk_at(0, A), a_chunk_at(1, A, session_id="s2")
    book = a_book(s1=[mine], s2=[other])
    book.replace("s1", [])
    assert at(book, A) == [other]
    assert [first.group for first in book.firsts()] == ["s2"]


def test_sources_that_changed_are_taken_over() -> None:
    chunk = a_chunk_at(0, A, B)
    book = a_book(s1=[chunk])
    book.replace("s1", [(chunk, [s for s in chunk.sources() if s.node_url == B])])
    assert (at(book, A), at(book, B)) == ([], [chunk])


def test_the_same_again_changes_nothing() -> None:
    chunk = a_chunk_at(0, A, B)
    book = a_book(s1=[chunk])
    book.replace("s1", [(chunk, chunk.sources())])
    assert (at(book, A), set(book.node_urls())) == ([chunk], {A, B})


def test_the_nodes_with_work_are_those_of_the_chunks_in_work() -> None:
    book = a_book(s1=[a_chunk_at(0, A), a_chunk_at(1, B)], s2=[a_chunk_at(2, C, session_id="s2")])
    assert set(book.node_urls()) == {A, B, C}
    book.replace("s1", [])
    assert set(book.node_urls()) == {C}


def test_only_what_is_new_or_read_elsewhere_is_named_as_fresh() -> None:
    old, new = a_chunk_at(0, A), a_chunk_at(1, B)
    book = a_book(s1=[old])
    fresh = book.replace("s1", [(old, old.sources()), (new, new.sources())])
    assert [item.chunk for item in fresh] == [new]
    assert [item.first for item in book.of_group("s1")] == [old, old]
