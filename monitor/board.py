"""The published scores, each worked out and packed again only when it has changed. No I/O, no clock, no randomness."""

from __future__ import annotations

import math
from dataclasses import dataclass

from common import codec
from common.messages import NodeScores
from monitor.book import NodeBook


@dataclass(frozen=True, slots=True)
class _Line:
    packed: bytes
    # With time alone a node's health lapses: its last answer becomes too old.
    lapses_sec: float


class ScoreBoard:
    """All nodes of a book, ready to be sent.

    Scoring a node takes tens of microseconds and changes with its samples alone; a thousand nodes of which a few were
    measured since the last time cost little more than these few. Whoever changes the book says so with `touch`.
    """

    def __init__(self, book: NodeBook) -> None:
        self._book = book
        self._lines: dict[str, _Line] = {}

    def touch(self, node_url: str) -> None:
        """Note that something about a node has changed, or that it is new or gone."""
        self._lines.pop(node_url, None)

    def frames(self, *, now_sec: float, now_unix_sec: float) -> list[bytes]:
        """Return the encoded NodeScores message."""
        lines = self._lines
        packed: list[bytes] = []
        for node_url in self._book.added_urls():
            line = lines.get(node_url)
            if line is None or line.lapses_sec < now_sec:
                line = lines[node_url] = self._line(node_url, now_sec)
            packed.append(line.packed)
        return codec.encode_packed(
            NodeScores,
            published_unix_sec=codec.pack_value(now_unix_sec),
            nodes=codec.pack_list(packed),
        )

    def _line(self, node_url: str, now_sec: float) -> _Line:
        score = self._book.node_score(node_url, now_sec=now_sec)
        lapses_sec = self._book.fresh_until_sec(node_url) if score.healthy else math.inf
        return _Line(codec.pack_value(score), lapses_sec)
