"""Recordings survive being written and read, cut off anywhere; what is damaged is refused by place and reason."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings, strategies as st

from client.recording import values
from client.recording.blocks import (
    MAGIC,
    MAX_PACKED_BYTES,
    MAX_RAW_BYTES,
    PREAMBLE,
    Packer,
)
from client.recording.records import MAX_AT_MS, MAX_CHUNKS, Writer
from client.recording.values import ChunkChanges, Item, Lost
from common import codec, manifest
from common.errors import RecordingError
from common.messages import CommandResult, StopSession
from tests.recordings import a_header, a_recording, an_end, packed, read, reader_of
from tests.status_builders import (
    a_chunk,
    a_score,
    a_session,
    a_transfer,
    an_event,
    scheduler_status,
    scores,
)

ITEMS: list[Item] = [
    a_session(),
    scheduler_status(),
    scores(a_score()),
    a_transfer(),
    an_event("ü \0 <b>"),
    CommandResult(command_id="c", session_id="s1", ok=True, exit_code=0, text="stops"),
    ChunkChanges(session_id="s1", total_chunks=12, changed=(a_chunk(0),), gone=(3,)),
    Lost(count=7),
]
RECORDS = [(number * 0.25, item) for number, item in enumerate(ITEMS * 3)]
WHOLE = a_recording(*RECORDS, (10.0, an_end()))
MADE = [*RECORDS, (10.0, an_end())]


def raw_block(raw: bytes) -> bytes:
    return Packer().block(raw)


def with_records(*records: object) -> bytes:
    """Return a file whose one block holds a header and these msgpack values."""
    raw = packed(0.0, a_header()) + b"".join(msgpack.packb(record) for record in records)
    return PREAMBLE + raw_block(raw)


def refusal(data: bytes) -> str:
    with pytest.raises(RecordingError) as caught:
        read(data)
    assert str(caught.value).startswith("session.vsrec: at byte ")
    assert caught.value.exit_code == 2
    return str(caught.value)


# ---------------------------------------------------------------- what was written is read


def test_every_kind_of_record_survives() -> None:
    reader = reader_of(WHOLE)
    assert [(record.at_sec, record.item) for record in reader] == MADE
    assert reader.header == a_header()
    assert reader.end == an_end()
    assert not reader.torn


@given(
    st.lists(
        st.tuples(st.integers(0, 10**6), st.sampled_from(ITEMS)).map(lambda p: (p[0] / 1000, p[1])),
        max_size=30,
    ).map(lambda found: sorted(found, key=lambda p: p[0])),
    st.integers(1, 9),
)
def test_records_survive_in_blocks_of_any_size(
    records: list[tuple[float, Item]], per_block: int
) -> None:
    assert read(a_recording(*records, per_block=per_block)) == records


def test_more_than_a_block_holds_takes_several() -> None:
    event = packed(0.0, an_event("x" * 3_000_000))
    data = Writer().block([packed(0.0, a_header()), event, event, event, event])
    assert len(read(data)) == 4


def test_kinds_that_a_later_client_added_are_passed_over_and_counted() -> None:
    reader = reader_of(with_records([5, "picture", b"?"], [5, *values.encode(an_event())]))
    assert [record.item for record in reader] == [an_event()]
    assert reader.passed_over == 1


def test_fields_that_a_later_client_added_are_passed_over() -> None:
    fields = msgpack.unpackb(codec.pack_value(Lost(count=1))) | {"since": 5}
    assert read(with_records([0, "lost", msgpack.packb(fields)])) == [(0.0, Lost(count=1))]


# ---------------------------------------------------------------- cut off


def block_ends(data: bytes) -> list[int]:
    """Return where each block of a recording ends."""
    ends, place = [], len(PREAMBLE)
    while place < len(data):
        place += 12 + struct.unpack_from(">I", data, place)[0]
        ends.append(place)
    return ends


@settings(max_examples=300)
@given(st.integers(0, len(WHOLE)))
def test_a_recording_that_was_cut_off_anywhere_is_read_up_to_its_last_whole_block(
    size_bytes: int,
) -> None:
    whole = sum(end <= size_bytes for end in block_ends(WHOLE))
    if whole == 0:
        refusal(WHOLE[:size_bytes])
        return
    reader = reader_of(WHOLE[:size_bytes])
    # The header is the first of the three records of the first block.
    assert [(record.at_sec, record.item) for record in reader] == MADE[: 3 * whole - 1]
    assert reader.torn is (size_bytes not in block_ends(WHOLE))
    assert (reader.end is None) is (size_bytes < len(WHOLE))


@pytest.mark.parametrize("zeros", [1, 11, 12, 4096])
def test_zeros_that_a_power_failure_leaves_at_the_end_are_no_damage(zeros: int) -> None:
    reader = reader_of(WHOLE + bytes(zeros))
    assert [(record.at_sec, record.item) for record in reader] == MADE
    assert reader.torn


def test_a_last_block_that_was_written_in_part_is_left_out() -> None:
    data = bytearray(a_recording(*RECORDS))
    data[-3] ^= 0xFF
    reader = reader_of(bytes(data))
    found = [record.item for record in reader]
    assert found == [item for _, item in RECORDS][: len(found)]
    assert reader.torn
    assert reader.end is None


# ---------------------------------------------------------------- damaged


@settings(max_examples=300)
@given(st.integers(0, len(WHOLE) - 1), st.integers(1, 255))
def test_no_flipped_byte_changes_what_is_read(place: int, flips: int) -> None:
    data = bytearray(WHOLE)
    data[place] ^= flips
    found: list[tuple[float, Item]] = []
    refused, torn = "", False
    try:
        reader = reader_of(bytes(data))
        for record in reader:
            found.append((record.at_sec, record.item))
        torn = reader.torn
    except RecordingError as error:
        refused = str(error)
    assert found == MADE[: len(found)]
    assert torn or refused.startswith("session.vsrec: at byte ")


@given(st.binary(max_size=400))
def test_any_bytes_are_refused_in_words(data: bytes) -> None:
    refusal(data)


@given(st.binary(max_size=400))
def test_any_bytes_in_a_sound_block_are_refused_in_words(raw: bytes) -> None:
    refusal(PREAMBLE + raw_block(raw))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text() | st.binary(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=3),
    )
)
def test_any_value_in_place_of_a_record_is_refused_in_words(value: Any) -> None:
    is_record = (
        isinstance(value, list)
        and [type(part) for part in value] == [int, str, bytes]
        and value[1] not in values.encode(an_end())
    )
    if not is_record:
        refusal(with_records(value))


@pytest.mark.parametrize(
    ("data", "place", "reason"),
    [
        (b"", 0, "is empty"),
        (MAGIC, 0, "does not begin as a recording does"),
        (b"<!doctype html>", 0, "does not begin as a recording does"),
        (MAGIC + b"\x09" + WHOLE[8:], 7, "format version 9"),
        (PREAMBLE, 8, "before its header"),
        (PREAMBLE + raw_block(packed(0.0, an_end())), 8, "does not begin with a header"),
        (with_records([0, *values.encode(a_header())]), 8, "a second header"),
        (
            with_records([0, *values.encode(an_end())], [0, *values.encode(an_event())]),
            8,
            "after the end",
        ),
        (with_records([5, *values.encode(an_event())], [4, "event", b""]), 8, "4 ms after 5 ms"),
        (with_records([-1, "event", b""]), 8, "time -1 ms"),
        (with_records([True, "event", b""]), 8, "time True ms"),
        (with_records([MAX_AT_MS + 1, "event", b""]), 8, f"time {MAX_AT_MS + 1} ms"),
        (with_records([0, "event", b"\xc1"]), 8, "event: not msgpack"),
        (with_records([0, "lost", msgpack.packb({"count": "many"})]), 8, "lost.count"),
        (with_records([0, "x" * 65, b""]), 8, "no record"),
        (with_records([0, "event"]), 8, "expected time, tag and body"),
        (PREAMBLE + raw_block(packed(0.0, a_header()) + b"\x93\x00"), 8, "cut off"),
        (
            with_records(
                [0, *values.encode(ChunkChanges(session_id="", total_chunks=MAX_CHUNKS + 1, changed=(), gone=()))]
            ),
            8,
            "total_chunks",
        ),
        (
            with_records(
                [0, *values.encode(ChunkChanges(session_id="", total_chunks=1, changed=(a_chunk(1),), gone=()))]
            ),
            8,
            "no chunk has number 1",
        ),
        (PREAMBLE + raw_block(packed(0.0, a_header(started_unix_sec=1e300))), 8, "is no date"),
        (PREAMBLE + raw_block(packed(0.0, a_header(started_unix_sec=-1.0))), 8, "is no date"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(data: bytes, place: int, reason: str) -> None:
    text = refusal(data)
    assert text.startswith(f"session.vsrec: at byte {place}: ")
    assert reason in text


def test_a_message_that_is_none_of_a_recording_is_passed_over() -> None:
    tag, body = codec.encode(StopSession(command_id="c", session_id="s"))
    assert read(with_records([0, tag.decode(), body])) == []


def test_a_recording_has_room_for_every_film() -> None:
    assert MAX_CHUNKS == manifest.MAX_CHUNKS


# ---------------------------------------------------------------- sizes are capped before memory is taken


def a_head(packed_bytes: int, payload: bytes) -> bytes:
    head = struct.pack(">II", packed_bytes, zlib.crc32(payload))
    return head + struct.pack(">I", zlib.crc32(head))


def test_a_block_that_says_it_is_huge_is_not_read() -> None:
    text = refusal(PREAMBLE + a_head(MAX_PACKED_BYTES + 1, b""))
    assert f"a block of {MAX_PACKED_BYTES + 1} bytes" in text


def test_a_block_that_unfolds_to_more_than_a_block_is_not_unfolded() -> None:
    deflate = zlib.compressobj()
    payload = deflate.compress(bytes(64 * MAX_RAW_BYTES)) + deflate.flush(zlib.Z_SYNC_FLUSH)
    text = refusal(PREAMBLE + a_head(len(payload), payload) + payload)
    assert f"more than {MAX_RAW_BYTES} bytes" in text


def test_a_block_of_the_largest_size_is_read() -> None:
    header, around = packed(0.0, a_header()), len(packed(0.0, an_event("x" * 10**6))) - 10**6
    spare = MAX_RAW_BYTES - len(header) - 2 * around
    halves = [an_event("x" * (spare // 2)), an_event("x" * (spare - spare // 2))]
    raw = header + b"".join(packed(0.0, half) for half in halves)
    assert len(raw) == MAX_RAW_BYTES
    assert [item for _, item in read(PREAMBLE + raw_block(raw))] == halves


def test_more_than_a_block_holds_is_not_packed() -> None:
    with pytest.raises(ValueError, match="at most"):
        Packer().block(bytes(MAX_RAW_BYTES + 1))


def test_a_stream_that_ends_before_the_file_does_is_refused() -> None:
    deflate = zlib.compressobj()
    payload = deflate.compress(packed(0.0, a_header())) + deflate.flush()
    data = PREAMBLE + a_head(len(payload), payload) + payload
    assert "the compressed stream ends here" in refusal(data)
