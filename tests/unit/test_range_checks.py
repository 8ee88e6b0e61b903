"""When a node is asked for one byte: pure, with time moved by hand."""

from __future__ import annotations

import pytest

from monitor.probe import Target, ping_target, range_honoured, range_target
from monitor.range_checks import AT_WORK_SEC, RENEW_SEC, RETRY_SEC, RangeChecks

A, B = "http://a:1", "http://b:1"
URL = "http://a:1/chunk/c0"


def checks() -> RangeChecks:
    made = RangeChecks()
    made.learn({A: URL})
    return made


def test_first_answered_ping_brings_the_check() -> None:
    made = checks()
    assert made.on_ping(A, answered=False, now_sec=0) is None
    assert made.on_ping(A, answered=True, now_sec=3) == URL
    assert made.on_ping(A, answered=True, now_sec=6) is None  # one at a time


def test_node_without_a_known_chunk_is_not_asked() -> None:
    made = checks()
    assert made.on_ping(B, answered=True, now_sec=0) is None
    made.learn({A: URL, B: "http://b:1/chunk/c1"})
    assert made.on_ping(B, answered=True, now_sec=3) == "http://b:1/chunk/c1"


@pytest.mark.parametrize(
    ("honoured", "pause_sec"), [(True, RENEW_SEC), (False, RENEW_SEC), (None, RETRY_SEC)]
)
def test_what_is_known_is_asked_again_rarely(honoured: bool | None, pause_sec: float) -> None:
    made = checks()
    made.on_ping(A, answered=True, now_sec=0)
    made.finished(A, honoured=honoured, now_sec=0)
    assert made.on_ping(A, answered=True, now_sec=pause_sec - 1) is None
    assert made.on_ping(A, answered=True, now_sec=pause_sec) == URL


def test_node_that_was_away_is_asked_again() -> None:
    made = checks()
    made.on_ping(A, answered=True, now_sec=0)
    made.finished(A, honoured=True, now_sec=0)
    made.on_ping(A, answered=False, now_sec=3)
    assert made.on_ping(A, answered=True, now_sec=6) is None  # one lost ping is no absence
    made.on_ping(A, answered=False, now_sec=9)
    made.on_ping(A, answered=False, now_sec=12)
    assert made.on_ping(A, answered=True, now_sec=15) == URL


def test_node_at_work_is_left_alone() -> None:
    made = checks()
    made.note_data(A, told=False, now_sec=0)
    assert made.on_ping(A, answered=True, now_sec=AT_WORK_SEC - 1) is None
    assert made.on_ping(A, answered=True, now_sec=AT_WORK_SEC) == URL


def test_data_that_told_makes_the_check_needless() -> None:
    made = checks()
    made.note_data(A, told=True, now_sec=0)
    assert made.on_ping(A, answered=True, now_sec=RENEW_SEC - 1) is None
    assert made.on_ping(A, answered=True, now_sec=RENEW_SEC) == URL


def test_end_of_a_check_of_a_forgotten_node_is_ignored() -> None:
    made = checks()
    made.on_ping(A, answered=True, now_sec=0)
    made.forget(A)
    made.finished(A, honoured=True, now_sec=1)
    assert made.on_ping(A, answered=True, now_sec=2) == URL


# ---------------------------------------------------------------- requests


def test_status_tells() -> None:
    assert range_honoured(206) is True
    assert range_honoured(200) is False
    assert [range_honoured(status) for status in (302, 404, 416, 500)] == [None] * 4


def test_ping_is_a_head_request() -> None:
    target = ping_target("http://node-a:8081/base")
    assert (target.host, target.port) == ("node-a", 8081)
    lines = target.request.split(b"\r\n")
    assert lines[0] == b"HEAD /base/ping HTTP/1.1"
    assert b"Host: node-a:8081" in lines
    assert target.request.endswith(b"\r\n\r\n")


def test_check_asks_for_the_first_byte_and_the_end_of_the_connection() -> None:
    lines = range_target(URL).request.split(b"\r\n")
    assert lines[0] == b"GET /chunk/c0 HTTP/1.1"
    assert b"Range: bytes=0-0" in lines
    assert b"Connection: close" in lines


def test_host_of_another_alphabet_travels_in_ascii() -> None:
    assert b"Host: xn--bcher-kva:81\r\n" in ping_target("http://bücher:81").request
    assert ping_target("http://[::1]:81") == Target(
        "::1", 81, ping_target("http://[::1]:81").request
    )


@pytest.mark.parametrize(
    "url", ["https://a", "ftp://a", "http://", "x", "http://a b", "http://a/\r\nX: y", "http://u@a"]
)
def test_url_that_cannot_be_asked_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="URL"):
        ping_target(url)
