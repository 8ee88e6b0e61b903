"""Styles and texts that all parts of the live view share. No I/O, no clock, no randomness."""

from __future__ import annotations

# Cyan, yellow and red are told apart with any kind of colour vision, and everything they mark is written, too.
GOOD, WATCH, BAD, QUIET = "cyan", "yellow", "bold red", "dim"
# For terminals that have only ASCII: sparks and bars, states, and the rest.
ASCII_SIGNS = {
    **dict(zip(map(ord, "▁▂▃▄▅▆▇█▒·"), "._-~=+*#%.", strict=True)),
    **dict(zip(map(ord, "◔▶↻‖»✕■✓"), "o>@|>x.v", strict=True)),
    **dict(zip(map(ord, "–↓…"), "-v~", strict=True)),
}


def figure_text(figure: float | None, form: str) -> str:
    """Return a figure, or a dash for one that nobody has measured."""
    return "–" if figure is None else format(figure, form)


def count_text(count: int, noun: str) -> str:
    """Return `1 node`, `2 nodes`."""
    return f"{count} {noun}" + ("" if count == 1 else "s")
