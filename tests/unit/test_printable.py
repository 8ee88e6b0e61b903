"""Texts from outside, made harmless."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis.strategies import text

from client.printable import printable


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("Big Bück Bunny ☂ 大きなうさぎ", "Big Bück Bunny ☂ 大きなうさぎ"),
        ("\x1b[2J\x1b]0;owned\x07", "�[2J�]0;owned�"),
        ("\x9b31mred", "�31mred"),
        ("two\nlines\tand a tab\r\n", "two lines and a tab  "),
        ("no\u00a0break, thin\u2009blank, line\u2028end", "no break, thin blank, line end"),
        ("user\u202etxt.exe", "usertxt.exe"),
        ("zero\u200bwidth", "zerowidth"),
        ("broken \ud800 half", "broken � half"),
        ("", ""),
    ],
    ids=repr,
)
def test_what_is_shown_of_a_text(said: str, shown: str) -> None:
    assert printable(said) == shown


@given(text())
def test_nothing_that_commands_a_terminal_is_left(said: str) -> None:
    assert printable(said).isprintable()
    assert printable(printable(said)) == printable(said)
