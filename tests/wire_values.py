"""Strategies for whatever may stand in a message."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any, Literal

from hypothesis import strategies as st

INTEGERS = st.integers(-(2**63), 2**64 - 1)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: TEXTS,
    int: INTEGERS,
    float: FLOATS,
    bool: st.booleans(),
    bytes: st.binary(max_size=50),
}


def values_of(hint: Any) -> st.SearchStrategy[Any]:
    """Return a strategy for an annotation that messages may have."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return st.one_of(*(st.none() if a is type(None) else values_of(a) for a in arguments))
    if origin is tuple:
        return st.lists(values_of(arguments[0]), max_size=3).map(tuple)
    if origin is Literal:
        return st.sampled_from(arguments)
    if dataclasses.is_dataclass(hint):
        hints = typing.get_type_hints(hint)
        parts = {f.name: values_of(hints[f.name]) for f in dataclasses.fields(hint)}
        return st.builds(typing.cast(type, hint), **parts)
    return PLAIN[hint]
