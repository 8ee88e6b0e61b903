"""A terminal as far as the client uses one: what stands on its screen after all that was written to it.

It knows no other control than those of `client.painter` and colours: anything else fails the test.
"""

from __future__ import annotations

import codecs
import re

from rich.cells import cell_len

_CONTROL = re.compile(r"\x1b\[(\??)([\d;]*)([A-Za-z])")
# What begins like a control and is not complete.
_BEGINNING = re.compile(r"\x1b(?:\[\??[\d;]*)?\Z")


class TerminalEmulator:
    """Screen, lines that have scrolled out of it, and the cursor; long lines go on in the next row."""

    def __init__(self, columns: int = 80, rows: int = 24) -> None:
        self.columns, self.rows = columns, rows
        self.scrolled: list[str] = []
        self.cursor_shown = True
        # Whether the cursor was ever hidden, and whether anything had a colour.
        self.cursor_was_hidden = False
        self.coloured = False
        self._grid = [[" "] * columns for _ in range(rows)]
        self._row = self._column = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._left = ""

    @property
    def screen(self) -> list[str]:
        """The rows of the screen, blanks at their ends left out."""
        return ["".join(row).rstrip() for row in self._grid]

    @property
    def text(self) -> str:
        """All that can be read, by scrolling too."""
        return "\n".join([*self.scrolled, *self.screen]).rstrip()

    def feed(self, data: bytes | str) -> None:
        """Take what was written."""
        text = self._left + (data if isinstance(data, str) else self._decoder.decode(data))
        self._left = ""
        while text:
            if text[0] == "\x1b":
                control = _CONTROL.match(text)
                if control is None:
                    assert _BEGINNING.match(text), f"unknown control: {text[:20]!r}"
                    self._left = text
                    return
                self._obey(*control.groups())
                text = text[control.end() :]
            else:
                self._put(text[0])
                text = text[1:]

    def _obey(self, private: str, number: str, command: str) -> None:
        if private:
            assert (number, command) in {("25", "l"), ("25", "h")}, f"?{number}{command}"
            self.cursor_shown = command == "h"
            self.cursor_was_hidden = self.cursor_was_hidden or command == "l"
        elif command == "m":
            codes = {int(code or 0) for code in number.split(";")}
            self.coloured = self.coloured or any(code >= 30 for code in codes)
        elif command == "A":
            self._row = max(0, self._row - int(number))
        elif command == "B":
            self._row = min(self.rows - 1, self._row + int(number))
        elif command in "JK":
            assert number == ""
            self._grid[self._row][self._column :] = [" "] * (self.columns - self._column)
            if command == "J":
                for row in self._grid[self._row + 1 :]:
                    row[:] = [" "] * self.columns
        else:
            raise AssertionError(f"unknown control: {number}{command}")

    def _put(self, char: str) -> None:
        if char == "\r":
            self._column = 0
        elif char == "\n":
            self._next_row()
        else:
            assert char.isprintable(), f"{char!r} reaches the terminal"
            width = cell_len(char)
            if self._column + width > self.columns:
                self._column = 0
                self._next_row()
            self._grid[self._row][self._column : self._column + width] = [char, *[""] * (width - 1)]
            self._column += width

    def _next_row(self) -> None:
        if self._row == self.rows - 1:
            self.scrolled.append("".join(self._grid.pop(0)).rstrip())
            self._grid.append([" "] * self.columns)
        else:
            self._row += 1
