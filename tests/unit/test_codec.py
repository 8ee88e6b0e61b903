"""The wire form: every message survives it, and nothing else gets through."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

import common.messages  # noqa: F401  # registers the messages
from common import codec
from common.errors import ProtocolError
from common.messages import ChunkFinished, Demand, KeepAlive, LogEvent, SetPaused
from tests.builders import a_beat, a_chunk, a_coded_chunk, a_demand
from tests.wire_values import INTEGERS, TEXTS, values_of

TAGS = sorted(codec.registered())


def body_of(msg: object) -> dict[str, Any]:
    """Return the fields of a message as they travel."""
    unpacked: dict[str, Any] = msgpack.unpackb(codec.encode(msg)[1])
    fields: dict[str, Any] = unpacked["m"]
    return fields


def frames(tag: str, fields: object, version: object = codec.PROTOCOL_VERSION) -> list[bytes]:
    """Return what a peer would send, right or wrong."""
    return [tag.encode(), msgpack.packb({"v": version, "m": fields})]


def refusal(received: list[bytes]) -> str:
    """Return the reason why frames are refused."""
    with pytest.raises(ProtocolError) as caught:
        codec.decode(received)
    return str(caught.value)


@pytest.mark.parametrize("tag", TAGS)
@settings(
    derandomize=True,
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(data=st.data())
def test_every_message_survives_the_wire(tag: str, data: st.DataObject) -> None:
    msg = data.draw(values_of(codec.registered()[tag]))
    assert codec.decode(codec.encode(msg)) == msg


@pytest.mark.parametrize("tag", TAGS)
@settings(
    derandomize=True,
    max_examples=5,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(data=st.data())
def test_a_message_packed_in_pieces_is_the_same(tag: str, data: st.DataObject) -> None:
    msg = data.draw(values_of(codec.registered()[tag]))
    fields = {}
    for field in dataclasses.fields(msg):
        item = getattr(msg, field.name)
        if isinstance(item, tuple):
            fields[field.name] = codec.pack_list([codec.pack_value(part) for part in item])
        else:
            fields[field.name] = codec.pack_value(item)
    assert codec.encode_packed(type(msg), **fields) == codec.encode(msg)


def test_a_message_packed_in_pieces_has_all_its_fields() -> None:
    with pytest.raises(TypeError, match="session_id"):
        codec.encode_packed(KeepAlive)


def test_a_message_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        KeepAlive(session_id="s1").session_id = "s2"  # type: ignore[misc]  # that is the point


def test_two_messages_cannot_share_a_tag() -> None:
    with pytest.raises(ValueError, match="demand"):
        codec.message("demand")(type("Other", (), {}))


# ---------------------------------------------------------------- versions that differ a little


def test_unknown_fields_are_ignored() -> None:
    fields = body_of(KeepAlive(session_id="s1")) | {"colour": "blue"}
    assert codec.decode(frames("command.keepalive", fields)) == KeepAlive(session_id="s1")


def test_missing_optional_fields_take_their_default() -> None:
    fields = body_of(a_demand(a_chunk()))
    del fields["closed"], fields["wanted"][0]["chunk"]["fragments"]
    assert codec.decode(frames("demand", fields)) == a_demand(a_chunk())


def test_an_int_is_taken_for_a_float() -> None:
    fields = body_of(a_demand()) | {"low_water_mark_sec": 15}
    decoded = codec.decode(frames("demand", fields))
    assert decoded == a_demand()
    assert type(decoded.low_water_mark_sec) is float


# ---------------------------------------------------------------- refusals that name the field


@pytest.mark.parametrize(
    ("path", "wrong", "named"),
    [
        (["session_id"], 7, "demand.session_id: expected str, got int"),
        (["low_water_mark_sec"], "15", "demand.low_water_mark_sec: expected float, got str"),
        (["low_water_mark_sec"], True, "demand.low_water_mark_sec: expected float, got bool"),
        (["low_water_mark_sec"], float("nan"), "demand.low_water_mark_sec: nan is no number"),
        (["low_water_mark_sec"], float("inf"), "demand.low_water_mark_sec: inf is no number"),
        (["closed"], 1, "demand.closed: expected bool, got int"),
        (["closed"], None, "demand.closed: expected bool, got NoneType"),
        (["wanted"], {}, "demand.wanted: expected a list, got dict"),
        (["wanted", 0], "x", "demand.wanted[0]: expected a map, got str"),
        (["wanted", 0, "chunk", "size_bytes"], 1.5, "size_bytes: expected int, got float"),
        (["wanted", 0, "chunk", "size_bytes"], True, "size_bytes: expected int, got bool"),
        (
            ["wanted", 0, "chunk", "fragments", 4, "replicas", 0, "url"],
            b"x",
            "demand.wanted[0].chunk.fragments[4].replicas[0].url: expected str, got bytes",
        ),
    ],
)
def test_a_wrong_type_is_refused_with_its_place(
    path: list[str | int], wrong: object, named: str
) -> None:
    fields: Any = body_of(a_demand(a_coded_chunk()))
    place = fields
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = wrong
    assert named in refusal(frames("demand", fields))


def test_a_missing_field_is_refused_by_name() -> None:
    fields = body_of(a_beat())
    del fields["pid"]
    assert refusal(frames("worker.heartbeat", fields)) == "worker.heartbeat.pid: missing"


def test_a_word_outside_the_list_is_refused_in_few_words() -> None:
    msg = ChunkFinished(
        worker_id="w1", lease_id="1", verdict="delivered", corrupt_part=-1, detail=""
    )
    text = refusal(frames("worker.chunk", body_of(msg) | {"verdict": "x" * 1_000_000}))
    assert text.startswith("worker.chunk.verdict: 'xxx")
    assert text.endswith("is none of delivered, corrupt")
    assert len(text) < 300


@pytest.mark.parametrize("wrong", [["delivered"], {"a": 1}, None, 1, b"delivered"])
def test_something_else_than_a_word_is_refused(wrong: object) -> None:
    msg = ChunkFinished(
        worker_id="w1", lease_id="1", verdict="delivered", corrupt_part=-1, detail=""
    )
    assert "worker.chunk.verdict" in refusal(
        frames("worker.chunk", body_of(msg) | {"verdict": wrong})
    )


def test_an_unknown_tag_is_refused_in_few_words() -> None:
    text = refusal([b"no.such" * 1000, b""])
    assert "unknown message" in text
    assert len(text) < 200


@pytest.mark.parametrize("version", [0, 2, None, "1", 1.5, True, [1], "v" * 100_000])
def test_another_version_is_refused(version: object) -> None:
    text = refusal(frames("command.keepalive", {"session_id": "s1"}, version))
    assert "protocol version" in text
    assert len(text) < 200


def test_an_oversized_body_is_refused_before_it_is_read() -> None:
    text = refusal([b"command.keepalive", bytes(codec.MAX_BODY_BYTES + 1)])
    assert str(codec.MAX_BODY_BYTES) in text


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_wrong_number_of_frames_is_refused(count: int) -> None:
    assert f"got {count}" in refusal([b"demand"] * count)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        b"\x93\x01",  # a list that ends too early
        b"\xdd\xff\xff\xff\xff",  # a list of 4 billion
        b"\xdf\xff\xff\xff\xff",  # a map of 4 billion
        b"\xc6\xff\xff\xff\xff",  # 4 GiB of bytes
        b"\xa2\xff\xfe",  # not UTF-8
        b"\x81\x01\x02",  # a key that is no text
        b"\x81\x90\x02",  # a key that cannot be one
        b"\x91" * 5000 + b"\x90",  # too deep
        b"\xd4\xff\x00",  # a time stamp of a wrong length
        b"\x01\x01",  # more behind the end
        msgpack.packb([1, 2]),
        msgpack.packb({"v": 1}),
        msgpack.packb({"v": 1, "m": None}),
    ],
)
def test_garbage_is_refused(body: bytes) -> None:
    assert refusal([b"command.keepalive", body]).startswith("command.keepalive")


@settings(derandomize=True, max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=3))
def test_random_bytes_raise_nothing_but_protocol_errors(received: list[bytes]) -> None:
    with pytest.raises(ProtocolError):
        codec.decode(received)


ANYTHING = st.recursive(
    st.none() | st.booleans() | INTEGERS | st.floats() | TEXTS | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


@settings(derandomize=True, max_examples=200, deadline=None)
@given(
    st.sampled_from([Demand, LogEvent, SetPaused]),
    st.lists(st.tuples(st.integers(0, 9), ANYTHING), min_size=1, max_size=4),
)
def test_messages_with_a_few_wrong_values_decode_right_or_not_at_all(
    kind: type, changes: list[tuple[int, Any]]
) -> None:
    names = [f.name for f in dataclasses.fields(kind)]
    fields: dict[str, Any] = {}
    for index, wrong in changes:
        fields[names[index % len(names)]] = wrong
    try:
        decoded = codec.decode(frames(codec.tag_of(kind), fields))
    except ProtocolError as error:
        assert codec.tag_of(kind) in str(error)  # noqa: PT017  # either end is right
    else:
        assert type(decoded) is kind


def test_an_annotation_the_wire_does_not_know_is_a_bug_of_ours() -> None:
    @codec.value
    class Strange:
        either: int | str

    with pytest.raises(TypeError, match="no union"):
        codec._reader(Strange)


def test_a_single_value_can_be_read_back() -> None:
    chunk = a_chunk()
    assert codec.unpack_value(type(chunk), codec.pack_value(chunk), "chunk") == chunk


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\xc1", r"^lent: not msgpack"),
        (msgpack.packb({"session_id": 5}), r"^lent\.session_id: expected str, got int"),
        (msgpack.packb([]), r"^lent: expected a map, got list"),
        (bytes(codec.MAX_BODY_BYTES + 1), rf"^lent: {codec.MAX_BODY_BYTES + 1} bytes"),
    ],
)
def test_a_single_value_that_does_not_fit_is_named(data: bytes, reason: str) -> None:
    with pytest.raises(ProtocolError, match=reason):
        codec.unpack_value(KeepAlive, data, "lent")
