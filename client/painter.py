"""What to write so that certain lines stand at the bottom of a terminal, and others stay above them.

No I/O, no clock, no randomness. Only lines that changed are written, each over its old self. What is erased first, when
a line is to stay above or the width has changed, is drawn anew with the same write.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"
_ERASE_BELOW = "\x1b[J"
_LINE_END = "\x1b[K\r\n"


class Line(NamedTuple):
    """A line as it is written, colours included, and how many cells it takes: fewer than the terminal has."""

    text: str
    cells: int


class Painter:
    """Knows what it drew last; the cursor waits at the beginning of the line below."""

    def __init__(self) -> None:
        self._drawn: list[Line] = []
        self._columns = 0

    def frame(self, lines: Sequence[Line], columns: int, said: Sequence[str] = ()) -> str:
        """Return what makes `lines` replace those drawn before; `said` goes above them and stays."""
        old = self._drawn
        moved = columns != self._columns or bool(said)
        if not moved and old == list(lines):
            return ""
        out = [self._to_top(columns)]
        if moved:
            old = []
            out += [_ERASE_BELOW, *(f"{text}\r\n" for text in said)]
        unchanged = 0
        for index, line in enumerate(lines):
            if index < len(old) and old[index] == line:
                unchanged += 1
                continue
            out += [_down(unchanged), line.text, _LINE_END]
            unchanged = 0
        out.append(_down(unchanged))
        if len(lines) < len(old):
            out.append(_ERASE_BELOW)
        self._drawn, self._columns = list(lines), columns
        return "".join(out)

    def clear(self, columns: int) -> str:
        """Return what removes the lines; the cursor stands where the first one stood."""
        gone = self._to_top(columns) + _ERASE_BELOW if self._drawn else ""
        self._drawn = []
        return gone

    def _to_top(self, columns: int) -> str:
        # A terminal that was made narrower has broken the lines that are too long for it now.
        rows = sum(max(1, -(-line.cells // max(1, columns))) for line in self._drawn)
        return f"\r\x1b[{rows}A" if rows else ""


def _down(rows: int) -> str:
    return f"\x1b[{rows}B" if rows else ""
