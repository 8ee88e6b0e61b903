"""Wire form of messages: a tag frame, a msgpack map, and raw frames for payloads.

No I/O, no clock, no randomness.

A message is a frozen dataclass registered with `@message(tag)`. Decoding checks every field against its
annotation, so a handler never meets a wrong type. Supported annotations: str, int, float, bool, bytes,
`T | None`, `tuple[T, ...]`, Literal of strings, and other frozen dataclasses made of these.
"""

from __future__ import annotations

import dataclasses
import math
import operator
import types
import typing
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar, dataclass_transform

import msgpack

from common.errors import ProtocolError

PROTOCOL_VERSION = 1

# A demand for an hour of short chunks or the chunk map of a ten-hour film stays below this; anything larger is
# an accident or an attack.
MAX_BODY_BYTES = 8 * 1024 * 1024
# Of a wrong value this much is enough to recognise it.
MAX_SHOWN_CHARS = 80

T = TypeVar("T")
_Reader = Callable[[Any], Any]
_Writer = Callable[[Any], Any]

# Types whose values travel as they are.
_PLAIN = (str, int, float, bool, bytes)

_BY_TAG: dict[str, type] = {}
_READERS: dict[type, _Reader] = {}
_WRITERS: dict[type, _Writer] = {}


@dataclass_transform(frozen_default=True, kw_only_default=True)
def value(cls: type[T]) -> type[T]:
    """Make `cls` a frozen value that messages may contain."""
    return dataclasses.dataclass(frozen=True, slots=True, kw_only=True)(cls)


@dataclass_transform(frozen_default=True, kw_only_default=True)
def message(tag: str) -> Callable[[type[T]], type[T]]:
    """Make a class a message whose wire name is `tag`."""

    def register(cls: type[T]) -> type[T]:
        made = value(cls)
        if tag in _BY_TAG:
            raise ValueError(f"two messages are tagged {tag!r}")
        _BY_TAG[tag] = made
        made.__message_tag__ = tag  # type: ignore[attr-defined]  # read by tag_of
        return made

    return register


def tag_of(cls_or_message: object) -> str:
    """Return the wire name of a message or of its class."""
    return typing.cast(str, getattr(cls_or_message, "__message_tag__"))  # noqa: B009


def is_known(tag: bytes) -> bool:
    """Tell whether a first frame is the tag of some message."""
    return tag.decode("ascii", "replace") in _BY_TAG


def registered() -> dict[str, type]:
    """Return every message class by tag, for the generated documentation and its test."""
    return dict(_BY_TAG)


def encode(msg: object) -> list[bytes]:
    """Return `[tag, body]`."""
    body = {"v": PROTOCOL_VERSION, "m": _writer(type(msg))(msg)}
    return [tag_of(msg).encode(), msgpack.packb(body)]


def pack_value(item: object) -> bytes:
    """Return one field's value as it stands in a body, for `encode_packed`."""
    return _packed(_plain(item))


def unpack_value(cls: type[T], data: bytes, name: str) -> T:
    """Return the value of `cls` in what `pack_value` made; raise ProtocolError, which calls it `name`."""
    raw = _unpacked(name, data)
    try:
        return typing.cast(T, _reader(cls)(raw))
    except _Misfit as misfit:
        raise ProtocolError(f"{name}{misfit}") from None


def pack_list(items: Sequence[bytes]) -> bytes:
    """Return the packed list of items that are packed already."""
    header: bytes = msgpack.Packer().pack_array_header(len(items))
    return header + b"".join(items)


def encode_packed(cls: type, **fields: bytes) -> list[bytes]:
    """Return what `encode` would for a message of which every field is packed already.

    For large messages of which little has changed since the last one.
    """
    names = {f.name for f in dataclasses.fields(cls)}
    if names != fields.keys():
        raise TypeError(f"{cls.__name__}: {sorted(names ^ fields.keys())} missing or unknown")
    packer = msgpack.Packer()
    body: list[bytes] = [
        packer.pack_map_header(2),
        packer.pack("v"),
        packer.pack(PROTOCOL_VERSION),
        packer.pack("m"),
        packer.pack_map_header(len(fields)),
    ]
    for name, packed in fields.items():
        body += (packer.pack(name), packed)
    return [tag_of(cls).encode(), b"".join(body)]


def _packed(plain: Any) -> bytes:
    packed: bytes = msgpack.packb(plain)
    return packed


def decode(frames: list[bytes]) -> Any:
    """Return the message of `[tag, body]`; raise ProtocolError naming what does not fit."""
    if len(frames) != 2:
        raise ProtocolError(f"expected 2 frames, got {len(frames)}")
    tag = bytes(frames[0]).decode("ascii", "replace")
    cls = _BY_TAG.get(tag)
    if cls is None:
        raise ProtocolError(f"unknown message {tag[:80]!r}")
    body = _unpacked(tag, frames[1])
    version = body.get("v") if isinstance(body, dict) else None
    if type(version) is not int or version != PROTOCOL_VERSION:
        raise ProtocolError(
            f"{tag}: protocol version {_shown(version)}, expected {PROTOCOL_VERSION}"
        )
    try:
        return _reader(cls)(body.get("m"))
    except _Misfit as misfit:
        raise ProtocolError(f"{tag}{misfit}") from None


def _unpacked(name: str, data: bytes) -> Any:
    if len(data) > MAX_BODY_BYTES:
        raise ProtocolError(f"{name}: {len(data)} bytes, at most {MAX_BODY_BYTES}")
    try:
        return msgpack.unpackb(data)
    except (ValueError, TypeError, msgpack.UnpackException, RecursionError) as error:
        raise ProtocolError(f"{name}: not msgpack: {error}") from error


def _writer(cls: type) -> _Writer:
    writer = _WRITERS.get(cls)
    if writer is None:
        hints = typing.get_type_hints(cls)
        names = tuple(f.name for f in dataclasses.fields(cls))
        nested = [name for name in names if not _is_plain(hints[name])]
        # Two fields at least, so that a tuple comes back.
        values = operator.attrgetter(*names, names[0])

        def write(msg: Any) -> dict[str, Any]:
            written = dict(zip(names, values(msg), strict=False))
            for name in nested:
                written[name] = _plain(written[name])
            return written

        writer = _WRITERS[cls] = write
    return writer


def _is_plain(hint: Any) -> bool:
    """Whether every value of this type travels as it is."""
    inner = [a for a in typing.get_args(hint) if isinstance(a, type)] or [hint]
    return typing.get_origin(hint) is Literal or all(i in (*_PLAIN, type(None)) for i in inner)


def _plain(item: Any) -> Any:
    if type(item) is tuple:
        return [_plain(part) for part in item]
    return _writer(type(item))(item) if hasattr(item, "__dataclass_fields__") else item


class _Misfit(Exception):
    """A value does not fit; the text begins with its place below the reader's own."""


_ABSENT = object()


def _reader(cls: type) -> _Reader:
    reader = _READERS.get(cls)
    if reader is None:
        hints = typing.get_type_hints(cls)
        fields = [
            (f.name, _reader_for(hints[f.name]), f.default is dataclasses.MISSING)
            for f in dataclasses.fields(cls)
        ]

        def read(raw: Any) -> Any:
            if type(raw) is not dict:
                raise _Misfit(f": expected a map, got {type(raw).__name__}")
            known = {}
            try:
                for name, read_field, required in fields:
                    item = raw.get(name, _ABSENT)
                    if item is not _ABSENT:
                        known[name] = read_field(item)
                    elif required:
                        raise _Misfit(": missing")
            except _Misfit as misfit:
                raise _Misfit(f".{name}{misfit}") from None
            return cls(**known)

        reader = _READERS[cls] = read
    return reader


def _reader_for(hint: Any) -> _Reader:
    origin = typing.get_origin(hint)
    arguments = typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        inner = [_reader_for(a) for a in arguments if a is not type(None)]
        if len(inner) != 1 or len(arguments) != 2:
            raise TypeError(f"messages allow no union but T | None: {hint}")
        (some,) = inner
        return lambda raw: None if raw is None else some(raw)
    if origin is tuple:
        return _tuple_reader(_reader_for(arguments[0]))
    if origin is Literal:

        def read_literal(raw: Any) -> Any:
            if raw not in arguments:
                raise _Misfit(f": {_shown(raw)} is none of {', '.join(arguments)}")
            return raw

        return read_literal
    if dataclasses.is_dataclass(hint):
        return _reader(typing.cast(type, hint))
    if hint is float:
        return _read_float
    if hint in _PLAIN:
        return _exact_reader(hint)
    raise TypeError(f"messages do not know the type {hint}")


def _tuple_reader(read_item: _Reader) -> _Reader:
    def read_tuple(raw: Any) -> tuple[Any, ...]:
        if type(raw) is not list:
            raise _Misfit(f": expected a list, got {type(raw).__name__}")
        read: list[Any] = []
        try:
            for item in raw:
                read.append(read_item(item))
        except _Misfit as misfit:
            raise _Misfit(f"[{len(read)}]{misfit}") from None
        return tuple(read)

    return read_tuple


def _exact_reader(kind: type) -> _Reader:
    def read_exact(raw: Any) -> Any:
        if type(raw) is not kind:
            raise _Misfit(f": expected {kind.__name__}, got {type(raw).__name__}")
        return raw

    return read_exact


def _read_float(raw: Any) -> float:
    if type(raw) not in (float, int):
        raise _Misfit(f": expected float, got {type(raw).__name__}")
    if not math.isfinite(raw):
        # Comparisons with it would be false in both directions.
        raise _Misfit(f": {raw} is no number")
    return float(raw)


def _shown(raw: Any) -> str:
    """Return what a log can bear of something a peer sent."""
    text = repr(raw)
    return text if len(text) <= MAX_SHOWN_CHARS else f"{text[:MAX_SHOWN_CHARS]}..."
