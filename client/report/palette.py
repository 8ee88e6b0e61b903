"""The letter and the colour of each node of a report: the letters tell nodes apart where colours do not.

No I/O, no clock, no randomness.
"""

from __future__ import annotations

from collections.abc import Iterable

from client.report.svg import clean
from common.units import short_node

COLOURS = 10
OTHERS_STYLE = "others"
MAX_NODE_CHARS = 60


class Palette:
    """Nodes in the order in which they are named everywhere."""

    def __init__(self, node_urls: Iterable[str]) -> None:
        self._numbers = {url: number for number, url in enumerate(dict.fromkeys(node_urls))}

    def style(self, name: str) -> str:
        """Return the class that gives a node its colour."""
        number = self._numbers.get(name)
        return OTHERS_STYLE if number is None else f"n{number % COLOURS}"

    def letter(self, name: str) -> str:
        """Return A, B, ... Z, A1, B1, ...; a dash for an unknown node."""
        number = self._numbers.get(name)
        if number is None:
            return "–"
        return f"{chr(ord('A') + number % 26)}{number // 26 or ''}"

    def text(self, name: str) -> str:
        """Return the node's letter and address."""
        return f"{self.letter(name)} {node_text(name)}"


def node_text(name: str) -> str:
    """Return a node's host and port, however odd its address is."""
    try:
        shown = short_node(name)
    except ValueError:
        shown = name
    return clean(shown, MAX_NODE_CHARS)
