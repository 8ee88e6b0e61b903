"""Heads of answers to pings, whole and in pieces, right and wrong: pure."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings, strategies as st

from monitor.answer import MAX_HEAD_BYTES, AnswerHead, HeadReader, MalformedAnswerError

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def read(received: bytes) -> AnswerHead | None:
    return HeadReader().feed(received)


def read_times(first: bytes, piece: bytes) -> int:
    """Return after how many equal pieces the answer was refused."""
    reader = HeadReader()
    reader.feed(first)
    for count in itertools.count(1):
        try:
            assert reader.feed(piece) is None
        except MalformedAnswerError:
            return count
    raise AssertionError("unreachable")


def test_an_answer_leaves_the_connection_open() -> None:
    assert read(OK) == AnswerHead(status=200, accepts_ranges=None, reusable=True)


@pytest.mark.parametrize(
    ("header", "accepts_ranges"),
    [
        (b"Accept-Ranges: bytes", True),
        (b"accept-ranges:BYTES ", True),
        (b"Accept-Ranges: none", False),
        (b"Accept-Ranges: lines", None),
        (b"X-Accept-Ranges: bytes", None),
    ],
)
def test_range_support_is_what_the_header_tells(header: bytes, accepts_ranges: bool | None) -> None:
    found = read(b"HTTP/1.1 200 OK\r\n" + header + b"\r\n\r\n")
    assert found is not None
    assert found.accepts_ranges is accepts_ranges


@pytest.mark.parametrize(
    ("head", "reusable"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\nConnection: Upgrade, CLOSE\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\n\n", True),
        (OK + b"HTTP/1.1 200 OK\r\n", False),
    ],
)
def test_a_connection_is_used_again_only_where_that_is_safe(head: bytes, reusable: bool) -> None:
    found = read(head)
    assert found is not None
    assert found.reusable is reusable


def test_interim_answers_are_passed_over() -> None:
    found = read(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK)
    assert found == AnswerHead(status=200, accepts_ranges=None, reusable=True)


@pytest.mark.parametrize(
    "garbage",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 600 Odd\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 2,
    ],
)
def test_what_is_no_http_is_refused(garbage: bytes) -> None:
    with pytest.raises(MalformedAnswerError):
        read(garbage)


def test_an_endless_head_is_refused_before_it_takes_memory() -> None:
    assert read_times(b"HTTP/1.1 200 OK\r\nX-Slow: ", b"x") <= MAX_HEAD_BYTES


def test_endless_interim_answers_are_refused() -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\n"
    assert read_times(b"", interim) <= MAX_HEAD_BYTES / len(interim) + 1


@settings(derandomize=True, deadline=None)
@given(st.data())
def test_pieces_make_no_difference(data: st.DataObject) -> None:
    head = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 Fine\r\nAccept-Ranges: bytes\r\n\r\n"
    cuts = sorted(data.draw(st.sets(st.integers(1, len(head) - 1), max_size=8)))
    reader, found = HeadReader(), []
    for start, end in itertools.pairwise([0, *cuts, len(head)]):
        found.append(reader.feed(head[start:end]))
    assert found[-1] == AnswerHead(status=204, accepts_ranges=True, reusable=True)
    assert not any(found[:-1])


@settings(derandomize=True, deadline=None)
@given(st.lists(st.binary(max_size=200), max_size=5))
def test_whatever_comes_is_an_answer_or_refused(pieces: list[bytes]) -> None:
    reader = HeadReader()
    try:
        for piece in pieces:
            if reader.feed(b"HTTP/1.1 200 O" + piece) is not None:
                return
    except MalformedAnswerError:
        return
