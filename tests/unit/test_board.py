"""Scores ready to be sent: the same as scoring everything anew."""

from __future__ import annotations

import pytest

from common import codec
from common.messages import NodeScores
from monitor.board import ScoreBoard
from monitor.book import NodeBook

A, B = "http://a:1", "http://b:1"


@pytest.fixture
def book() -> NodeBook:
    made = NodeBook(history_size=10, timeout_sec=10)
    made.add_node(A)
    made.record_ping(B, 20.0, now_sec=0, now_unix_sec=1000)
    return made


def anew(book: NodeBook, now_sec: float) -> NodeScores:
    nodes = tuple(book.node_score(url, now_sec=now_sec) for url in book.node_urls())
    return NodeScores(published_unix_sec=5.0, nodes=nodes)


def told(board: ScoreBoard, now_sec: float) -> object:
    return codec.decode(board.frames(now_sec=now_sec, now_unix_sec=5.0))


def test_board_tells_what_the_book_knows(book: NodeBook) -> None:
    assert told(ScoreBoard(book), 0) == anew(book, 0)


def test_changes_are_told_once_they_are_touched(book: NodeBook) -> None:
    board = ScoreBoard(book)
    before = told(board, 0)
    book.record_ping(A, 7.0, now_sec=1, now_unix_sec=1001)
    assert told(board, 1) == before
    board.touch(A)
    assert told(board, 1) == anew(book, 1)
    book.remove_node(B)
    board.touch(B)
    assert told(board, 1) == anew(book, 1)


def test_health_lapses_untouched(book: NodeBook) -> None:
    board = ScoreBoard(book)
    assert told(board, 10) == anew(book, 10)
    assert told(board, 10.1) == anew(book, 10.1)
    assert not book.node_score(B, now_sec=10.1).healthy
