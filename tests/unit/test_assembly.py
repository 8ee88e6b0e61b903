"""The parts of a chunk: whose bytes are where, and that nobody touches bytes that are held."""

from __future__ import annotations

import hashlib
import random
import threading

from hypothesis import given, settings, strategies as st

from common.messages import ChunkSpec, OpenChunk, SourceShare
from scheduler.assembly import Assembly, Landing, Part
from scheduler.buffers import Buffers
from scheduler.wanted import WHOLE
from tests.builders import A, B, a_chunk

DATA = random.Random(3).randbytes(1000)


def a_part(size_bytes: int = len(DATA)) -> Part:
    checksum = hashlib.sha256(DATA).hexdigest()
    return Part(size_bytes, checksum, threading.Lock(), bytearray(size_bytes))


def an_assembly(chunk: ChunkSpec) -> Assembly:
    opened = OpenChunk(lease_id="L", session_id="s1", chunk=chunk, deliver_to="inproc://buffer")
    return Assembly.of(opened, Buffers())


def receive(landing: Landing, start: int, data: bytes, step: int = 7) -> None:
    """Let bytes arrive in small pieces, as far as there is room for each."""
    position = 0
    while position < len(data):
        until = min(len(data), position + step)
        room = landing.room(start + position, start + until)
        assert 0 < len(room) <= until - position
        room[:] = data[position : position + len(room)]
        landing.landed(start + position, start + position + len(room))
        position += len(room)


def sources(part: Part) -> list[tuple[int, int, str]]:
    return [(c.start, c.end, c.node_url) for c in part.held.contributions]


def test_bytes_go_straight_to_their_place() -> None:
    part = a_part()
    landing = part.land(A)
    room = landing.room(100, 200)
    assert room.obj is part.data.obj
    receive(landing, 100, DATA[100:200])
    assert part.data[100:200] == DATA[100:200]
    assert sources(part) == [(100, 200, A)]


def test_what_a_running_read_has_brought_is_held() -> None:
    part = a_part()
    landing = part.land(A)
    receive(landing, 0, DATA[:10])
    assert part.held.held_bytes == 10
    receive(landing, 10, DATA[10:30])
    assert sources(part) == [(0, 30, A)]


def test_a_second_sender_touches_no_held_byte() -> None:
    part = a_part()
    first, second = part.land(A), part.land(B)
    receive(first, 300, DATA[300:400])
    receive(second, 0, bytes(1000))
    assert part.data[300:400] == DATA[300:400]
    assert sources(part) == [(0, 300, B), (300, 400, A), (400, 1000, B)]


def test_of_two_that_bring_the_same_bytes_who_is_first_is_the_source() -> None:
    part = a_part()
    first, second = part.land(A), part.land(B)
    for start in range(0, 100, 10):
        receive(first, start, DATA[start : start + 10])
        receive(second, start, bytes(10))
    assert sources(part) == [(0, 100, A)]
    assert part.data[:100] == DATA[:100]


def test_a_read_may_go_on_after_its_bytes_were_discarded() -> None:
    part = a_part()
    landing = part.land(A)
    receive(landing, 0, DATA[:50])
    part.discard(0, 20)
    receive(landing, 50, DATA[50:60])
    part.close(landing)
    assert sources(part) == [(20, 60, A)]


def test_a_part_is_hashed_once_and_again_after_a_discard() -> None:
    part = a_part()
    landing = part.land(A)
    receive(landing, 0, DATA)
    assert part.matches()
    part.data[0] ^= 1
    assert part.matches(), "nobody writes to it any more"
    part.discard(0, 10)
    assert not part.matches()


@settings(derandomize=True, deadline=None, max_examples=200)
@given(
    st.lists(st.tuples(st.sampled_from("ABC"), st.integers(0, 99), st.integers(1, 40)), max_size=30)
)
def test_each_byte_is_from_the_node_the_map_names(pieces: list[tuple[str, int, int]]) -> None:
    part = a_part(100)
    landings = {name: part.land(name) for name in "ABC"}
    expected: list[str | None] = [None] * 100
    for name, start, size in pieces:
        end = min(100, start + size)
        receive(landings[name], start, name.encode() * (end - start))
        for position in range(start, end):
            expected[position] = expected[position] or name
    if len(pieces) % 2:
        for landing in landings.values():
            part.close(landing)
    named: list[str | None] = [None] * 100
    for start, end, name in sources(part):
        named[start:end] = [name] * (end - start)
    assert named == expected
    assert bytes(part.data) == b"".join((name or "\0").encode() for name in expected)


def test_shares_are_told_with_the_largest_first() -> None:
    assembly = an_assembly(a_chunk(data=DATA))
    part = assembly.parts[WHOLE]
    for node, start, end in ((A, 0, 400), (B, 400, 1000)):
        landing = part.land(node)
        receive(landing, start, DATA[start:end])
        part.close(landing)
    msg = assembly.describe("w1")
    assert msg.sources == (
        SourceShare(node_url=B, size_bytes=600),
        SourceShare(node_url=A, size_bytes=400),
    )
    assert assembly.covered()
