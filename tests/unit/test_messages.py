"""What all messages have in common."""

from __future__ import annotations

import dataclasses
import re

import pytest

import common.messages
from common import codec

MESSAGES = sorted(codec.registered().items())
# Numbers without a unit say what they count or are: names, states, indices.
UNITS = re.compile(
    r"_(sec|ms|bytes|mbps|ratio|num|count|events|chunks|downloads|ranges|index|stalls|frames|serial)$"
    r"|^(pid|slots|part|corrupt_part|busy|rounds|exit_code|score|failover_count)$"
    r"|^(rebuffering_events|chunks_\w+|missing_chunks)$"
)


@pytest.mark.parametrize(("tag", "kind"), MESSAGES)
def test_a_message_says_who_sends_it_to_whom(tag: str, kind: type) -> None:
    assert re.search(r"\(.+ (PUB|PUSH) -> .+\)", " ".join((kind.__doc__ or "").split())), tag


@pytest.mark.parametrize(("tag", "kind"), MESSAGES)
def test_numbers_carry_their_unit_in_their_name(tag: str, kind: type) -> None:
    numbers = [
        f.name
        for f in dataclasses.fields(kind)
        if re.fullmatch(r"(int|float)( \| None)?", str(f.type))
    ]
    assert [name for name in numbers if not UNITS.search(name)] == [], tag


@pytest.mark.parametrize(("tag", "kind"), MESSAGES)
def test_a_message_can_be_read_back(tag: str, kind: type) -> None:
    assert codec.tag_of(kind) == tag
    codec._reader(kind)


def test_every_message_is_exported_where_others_look() -> None:
    assert [k.__name__ for _, k in MESSAGES if not hasattr(common.messages, k.__name__)] == []
