"""Texts from outside, made harmless for a terminal. No I/O, no clock, no randomness."""

from __future__ import annotations

import unicodedata

REPLACEMENT = "�"


def printable(text: str) -> str:
    """Return one line in which nothing commands a terminal or hides what is written.

    Titles, events and messages carry words of stores and nodes. Controls, escape among them, become a visible sign;
    white space of any kind becomes a blank; marks that have no shape (direction overrides, joiners) go.
    """
    return text if text.isascii() and text.isprintable() else "".join(map(_harmless, text))


def _harmless(char: str) -> str:
    if char.isprintable():
        return char
    if char.isspace() and char not in "\x1c\x1d\x1e\x1f":
        return " "
    return "" if unicodedata.category(char) == "Cf" else REPLACEMENT
