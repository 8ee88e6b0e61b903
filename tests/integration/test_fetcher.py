"""One ranged read against real nodes: what arrives, what it is called when it does not, and how it ends early."""

from __future__ import annotations

import gzip
import socket
from collections.abc import Iterator

import pytest
import requests

from scheduler.connections import new_http_session
from tests.ping_nodes import PingNode, hang, ping_nodes, say
from tests.range_nodes import asked_range, head, raw, stall_after, with_range, without_range
from tests.range_reads import DATA, SIZE, Sink, a_read, read
from tests.waiting import wait_until


@pytest.fixture
def http() -> Iterator[requests.Session]:
    session = new_http_session()
    yield session
    session.close()


# ---------------------------------------------------------------- good answers


def test_a_range_is_read(http: requests.Session) -> None:
    result, data, node = read(http, with_range(DATA), 1000, end=200_000)
    assert (result.outcome, result.range_honoured) == ("complete", True)
    assert data == DATA[1000:200_000]
    assert asked_range(node) == (1000, 200_000)
    assert result.received_bytes == 199_000
    assert result.first_byte_sec is not None
    assert result.first_byte_sec <= result.duration_sec


def test_a_range_of_a_bigger_file_is_read_at_its_offset(http: requests.Session) -> None:
    result, data, node = read(http, with_range(b"x" * 77 + DATA), 10, end=20, offset_bytes=77)
    assert (result.outcome, data) == ("complete", DATA[10:20])
    assert asked_range(node) == (87, 97)


def test_a_node_known_to_ignore_range_is_not_asked_for_one(http: requests.Session) -> None:
    result, data, node = read(http, without_range(DATA), accepts_ranges=False)
    assert (result.outcome, result.range_honoured) == ("complete", None)
    assert data == DATA
    assert asked_range(node) is None


def test_a_200_to_a_range_brings_the_whole_part(http: requests.Session) -> None:
    sink = Sink()
    with ping_nodes(without_range(DATA)) as (node,):
        result = a_read(http, node.url, sink, start=200_000, end=200_100).run()
    assert (result.outcome, result.range_honoured) == ("complete", False)
    assert sink.data == DATA
    assert (result.received_until, result.received_bytes) == (SIZE, SIZE)


def test_the_start_of_a_body_is_thrown_away_where_no_range_was_asked_for(
    http: requests.Session,
) -> None:
    result, data, _ = read(http, without_range(DATA), 200_000, accepts_ranges=False)
    assert (result.outcome, data) == ("complete", DATA[200_000:])
    assert result.received_bytes == SIZE, "the prefix crossed the network too"


def test_a_body_is_read_no_further_than_wanted(http: requests.Session) -> None:
    result, data, _ = read(http, without_range(DATA), end=100, accepts_ranges=False)
    assert (result.outcome, data, result.received_bytes) == ("complete", DATA[:100], 100)


def test_an_answer_without_a_length_is_read_to_its_end(http: requests.Session) -> None:
    answer = raw(b"HTTP/1.0 200 OK\r\n\r\n" + DATA, keep=False)
    result, data, _ = read(http, answer)
    assert (result.outcome, data) == ("complete", DATA)


def test_a_chunked_answer_is_read(http: requests.Session) -> None:
    pieces = b"".join(
        b"%x\r\n%s\r\n" % (len(piece), piece)
        for piece in (DATA[i : i + 50_000] for i in range(0, SIZE, 50_000))
    )
    answer = raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + pieces + b"0\r\n\r\n")
    result, data, _ = read(http, answer)
    assert (result.outcome, data) == ("complete", DATA)


# ---------------------------------------------------------------- connections


@pytest.mark.parametrize("ranged", [True, False])
def test_consecutive_reads_share_one_connection(http: requests.Session, ranged: bool) -> None:
    answer = with_range(DATA) if ranged else without_range(DATA)
    with ping_nodes(answer) as (node,):
        for _ in range(5):
            sink = Sink()
            assert a_read(http, node.url, sink).run().outcome == "complete"
            assert sink.data == DATA
        assert (len(node.requests), node.connections) == (5, 1)


def test_reads_of_parts_share_one_connection(http: requests.Session) -> None:
    with ping_nodes(with_range(DATA)) as (node,):
        for start in range(0, SIZE, 70_000):
            sink = Sink(start)
            a_read(http, node.url, sink, end=min(SIZE, start + 70_000)).run()
        assert (len(node.requests), node.connections) == (5, 1)


def test_a_connection_with_unwanted_bytes_in_it_is_not_used_again(http: requests.Session) -> None:
    with ping_nodes(without_range(DATA)) as (node,):
        for _ in range(2):
            sink = Sink()
            reading = a_read(http, node.url, sink, end=10, accepts_ranges=False)
            assert reading.run().outcome == "complete"
            assert sink.data == DATA[:10]
        assert node.connections == 2


def test_a_connection_the_node_closed_meanwhile_is_replaced(http: requests.Session) -> None:
    once = {"closed": False}

    def answer(node: PingNode, connection: socket.socket) -> bool:
        with_range(DATA)(node, connection)
        keep, once["closed"] = once["closed"], True
        return keep

    with ping_nodes(answer) as (node,):
        assert a_read(http, node.url, Sink()).run().outcome == "complete"
        wait_until(lambda: once["closed"])
        wait_until(lambda: all(not t.is_alive() for t in node._threads[1:]))
        assert a_read(http, node.url, Sink()).run().outcome == "complete"


# ---------------------------------------------------------------- bad answers


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        ("404 Not Found", "missing"),
        ("410 Gone", "missing"),
        ("429 Too Many Requests", "unavailable"),
        ("503 Service Unavailable", "unavailable"),
        ("500 Internal Server Error", "broken"),
        ("416 Range Not Satisfiable", "broken"),
        ("302 Found", "broken"),
        ("204 No Content", "broken"),
    ],
)
def test_a_refusal_has_a_name(http: requests.Session, status: str, outcome: str) -> None:
    result, data, _ = read(http, say(status, "Location: http://127.0.0.1:1/elsewhere"))
    assert (result.outcome, data, result.received_bytes) == (outcome, b"", 0)
    assert status[:3] in result.detail


@pytest.mark.parametrize(
    ("said", "understood"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
        ("-3", None),
        ("nan", None),
        ("inf", None),
        ("soon", None),
    ],
)
def test_retry_after_is_read_where_it_is_a_number(
    http: requests.Session, said: str, understood: float | None
) -> None:
    result, _, _ = read(http, say("503 Service Unavailable", f"Retry-After: {said}"))
    assert (result.outcome, result.retry_after_sec) == ("unavailable", understood)


@pytest.mark.parametrize(
    "told",
    ["bytes 5-104/307200", "bytes 0-99/5", "bytes */307200", "bytes 0-99", "items 0-99/307200", ""],
)
def test_another_range_than_asked_for_is_not_taken(http: requests.Session, told: str) -> None:
    answer = raw(head("206 Partial Content", 100, f"Content-Range: {told}") + DATA[:100])
    result, data, _ = read(http, answer, end=100)
    assert (result.outcome, data) == ("malformed", b"")


def test_a_range_nobody_asked_for_is_not_taken(http: requests.Session) -> None:
    told = f"Content-Range: bytes 0-99/{SIZE}"
    answer = raw(head("206 Partial Content", 100, told) + DATA[:100])
    result, data, _ = read(http, answer, end=100, accepts_ranges=False)
    assert (result.outcome, data) == ("malformed", b"")


def test_a_range_shorter_than_promised_is_kept_and_called_short(http: requests.Session) -> None:
    told = f"Content-Range: bytes 0-49/{SIZE}"
    result, data, _ = read(
        http, raw(head("206 Partial Content", 50, told) + DATA[:50], keep=False), end=100
    )
    assert (result.outcome, data) == ("short", DATA[:50])


def test_a_body_of_another_size_is_not_the_chunk(http: requests.Session) -> None:
    result, data, _ = read(http, without_range(DATA[:-1]))
    assert (result.outcome, data) == ("malformed", b"")
    assert str(SIZE - 1) in result.detail


@pytest.mark.parametrize("encoding", ["gzip", "br", "x-unknown"])
def test_an_encoding_nobody_asked_for_is_not_taken(http: requests.Session, encoding: str) -> None:
    packed = gzip.compress(DATA)
    answer = raw(head("200 OK", len(packed), f"Content-Encoding: {encoding}") + packed)
    result, data, node = read(http, answer)
    assert (result.outcome, data) == ("malformed", b"")
    assert b"Accept-Encoding: identity" in node.requests[0]


def test_a_truncated_body_keeps_what_came(http: requests.Session) -> None:
    result, data, _ = read(http, raw(head("200 OK", SIZE) + DATA[:100_000], keep=False))
    assert (result.outcome, data) == ("short", DATA[:100_000])


@pytest.mark.parametrize(
    "answer",
    [b"not http at all\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\x16\x03\x01\x00\x00", b"\r\n\r\n"],
)
def test_garbage_is_a_failure_like_others(http: requests.Session, answer: bytes) -> None:
    result, data, _ = read(http, raw(answer, keep=False))
    assert result.outcome in ("broken", "refused", "malformed")
    assert data == b""


def test_endless_headers_are_cut_off(http: requests.Session) -> None:
    lines = b"".join(b"X-%d: %s\r\n" % (i, b"x" * 1000) for i in range(200))
    result, _, _ = read(http, raw(b"HTTP/1.1 200 OK\r\n" + lines + b"\r\n", keep=False))
    assert result.outcome in ("broken", "refused", "malformed")


def test_a_node_that_accepts_and_says_nothing_is_silent(http: requests.Session) -> None:
    result, _, _ = read(http, hang, silence_sec=0.1)
    assert (result.outcome, result.first_byte_sec) == ("silent", None)


def test_a_node_that_falls_silent_keeps_what_came(http: requests.Session) -> None:
    answer = stall_after(head("200 OK", SIZE) + DATA[:100_000])
    result, data, _ = read(http, answer, silence_sec=0.2)
    assert (result.outcome, data) == ("silent", DATA[:100_000])


def test_a_slow_node_is_not_a_silent_one(http: requests.Session) -> None:
    def drip(node: PingNode, connection: socket.socket) -> bool:
        connection.sendall(head("200 OK", SIZE))
        for start in range(0, SIZE, SIZE // 8):
            node.closing.wait(0.1)
            connection.sendall(DATA[start : start + SIZE // 8])
        return True

    # All in all longer than the silence that is borne.
    result, data, _ = read(http, drip, silence_sec=0.6)
    assert (result.outcome, data) == ("complete", DATA)


def test_a_node_that_is_down_refuses(http: requests.Session) -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unheard.getsockname()[1]}"
        result = a_read(http, url, Sink()).run()
    assert (result.outcome, result.detail) == ("refused", "refuses connections")


@pytest.mark.parametrize("url", ["http://", "http://[::1", "http://a b", "nonsense", "ftp://x"])
def test_a_url_nobody_can_use_is_a_failure_not_an_exception(
    http: requests.Session, url: str
) -> None:
    assert a_read(http, url, Sink()).run().outcome in ("malformed", "refused")
