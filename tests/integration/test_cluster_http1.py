"""Request heads and ranges as the storage node reads them, and the bodies its faults corrupt."""

import pytest

from cluster.faults import FAULT_KINDS, corrupted, parse_fault_kind
from cluster.http1 import (
    UNSATISFIABLE,
    BadRequestError,
    ByteRange,
    RangeVerdict,
    parse_head,
    parse_range,
)


def a_range(offset_bytes: int, length_bytes: int) -> ByteRange:
    return ByteRange(offset_bytes=offset_bytes, length_bytes=length_bytes)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("bytes=0-0", a_range(0, 1)),
        ("bytes=10-19", a_range(10, 10)),
        ("bytes=90-", a_range(90, 10)),
        ("bytes=90-500", a_range(90, 10)),
        ("bytes=-10", a_range(90, 10)),
        ("bytes=-500", a_range(0, 100)),
        ("Bytes = 1 - 2", a_range(1, 2)),
        ("bytes=100-", UNSATISFIABLE),
        ("bytes=100-200", UNSATISFIABLE),
        ("bytes=-0", UNSATISFIABLE),
        (None, None),
        ("bytes=0-1,5-6", None),
        ("bytes=5-4", None),
        ("bytes=-", None),
        ("bytes=a-b", None),
        ("lines=0-1", None),
        ("bytes=0-٣", None),
        ("bytes=" + "9" * 5000 + "-", None),
    ],
)
def test_a_range_is_read_as_the_rfc_says(
    text: str | None, wanted: ByteRange | RangeVerdict | None
) -> None:
    assert parse_range(text, 100) == wanted


def test_a_head_is_taken_apart() -> None:
    head = parse_head(b"GET /chunk/a%2Db?x=1 HTTP/1.1\r\nHost: h\r\nRange:  bytes=0-1 ")
    assert (head.method, head.path, head.keep_alive) == ("GET", "/chunk/a-b", True)
    assert head.headers == {"host": "h", "range": "bytes=0-1"}


@pytest.mark.parametrize(
    ("raw", "keep_alive"),
    [
        (b"GET / HTTP/1.1", True),
        (b"GET / HTTP/1.1\r\nConnection: Close", False),
        (b"GET / HTTP/1.0", False),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive", True),
    ],
)
def test_keep_alive_follows_the_version(raw: bytes, keep_alive: bool) -> None:
    assert parse_head(raw).keep_alive is keep_alive


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"GET /",
        b"GET / HTTP/2.0",
        b"G(T / HTTP/1.1",
        b"GET  / HTTP/1.1",
        b"GET / HTTP/1.1\r\nno colon",
        b"GET / HTTP/1.1\r\nbad name: x",
        b"GET http://[ HTTP/1.1",
    ],
)
def test_a_malformed_head_is_refused(raw: bytes) -> None:
    with pytest.raises(BadRequestError):
        parse_head(raw)


def test_a_corrupting_node_tells_the_same_lie_twice() -> None:
    data = bytes(range(256)) * 1024
    whole = corrupted(data, offset_bytes=0, is_first=True)
    middle = corrupted(data[20_000:90_000], offset_bytes=20_000, is_first=True)
    assert len(whole) == len(data)
    assert whole != data
    assert middle == whole[20_000:90_000]


def test_even_one_byte_is_corrupted() -> None:
    assert corrupted(b"a", offset_bytes=7, is_first=True) != b"a"


def test_an_unknown_fault_is_refused_with_the_accepted_ones() -> None:
    with pytest.raises(ValueError, match="accepted: none, down, silent") as caught:
        parse_fault_kind("asleep")
    assert all(kind in str(caught.value) for kind in FAULT_KINDS)
