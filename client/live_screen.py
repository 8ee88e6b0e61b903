"""The live view on a terminal: drawn over itself, with lines that stay above it.

From the first moment until `close` the cursor is hidden.
"""

from __future__ import annotations

import dataclasses
import os
import select
from typing import TextIO

from rich.console import Console, Group
from rich.text import Text

from client.live_figures import LiveFigures
from client.live_texts import ASCII_SIGNS
from client.live_view import events_shown, layout
from client.painter import HIDE_CURSOR, SHOW_CURSOR, Line, Painter
from client.printable import printable

# What is taken for the size of a terminal that does not tell.
USUAL_SIZE = (80, 24)


class LiveScreen:
    """Draws figures on the terminal behind a file descriptor.

    What was said last is shown as the view's events. It goes above the view, where it stays, as soon as the view has
    no room for it, and all of it at the end: nothing stands on the screen twice.
    """

    def __init__(self, stream: TextIO, fd: int) -> None:
        """`fd` stays the caller's; `stream` tells what the terminal can do."""
        self._fd = fd
        self._encoding = stream.encoding
        self._console = Console(file=stream, force_terminal=True, highlight=False, emoji=False)
        self._painter = Painter()
        self._said: list[str] = []
        self._figures: LiveFigures | None = None
        self._write(HIDE_CURSOR)

    def say(self, text: str) -> None:
        """Take a line that stays; it is shown with the next drawing."""
        self._said.append(printable(text))

    def show(self, figures: LiveFigures) -> None:
        """Draw the figures; their events are what was said."""
        self._figures = figures
        figures = dataclasses.replace(figures, events=tuple(self._said))
        columns, rows = self._size()
        # One row is the cursor's, one column that in which terminals disagree about the next character.
        columns, rows = max(2, columns), max(2, rows)
        above = self._said[: len(self._said) - events_shown(figures, rows - 1)]
        del self._said[: len(above)]
        lines = self._lines(layout(figures, columns - 1, rows - 1))
        self._write(self._painter.frame(lines, columns, above))

    def suspend(self) -> None:
        """Leave the terminal to others for a while."""
        self._write(self._painter.clear(self._size()[0]) + SHOW_CURSOR)

    def resume(self) -> None:
        """Come back after `suspend`."""
        self._write(HIDE_CURSOR)
        if self._figures is not None:
            self.show(self._figures)

    def close(self) -> None:
        """Remove the view, write what was said, and give the terminal back as it was."""
        said = "".join(f"{text}\r\n" for text in self._said)
        self._write(self._painter.clear(self._size()[0]) + said + SHOW_CURSOR)

    def _lines(self, view: Group) -> list[Line]:
        texts = [text for text in view.renderables if isinstance(text, Text)]
        with self._console.capture() as captured:
            self._console.print(view, soft_wrap=True)
        return [
            Line(drawn, text.cell_len)
            for drawn, text in zip(captured.get().split("\n"), texts, strict=False)
        ]

    def _size(self) -> tuple[int, int]:
        try:
            columns, rows = os.get_terminal_size(self._fd)
        except OSError:
            columns, rows = USUAL_SIZE
        return columns or USUAL_SIZE[0], rows or USUAL_SIZE[1]

    def _write(self, text: str) -> None:
        if "utf" not in self._encoding.lower():
            text = text.translate(ASCII_SIGNS)
        left = memoryview(text.encode(self._encoding, "replace"))
        while left:
            try:
                left = left[os.write(self._fd, left) :]
            except BlockingIOError:
                select.select([], [self._fd], [])
            except OSError:
                # The terminal has gone; SIGHUP tells the rest.
                return
