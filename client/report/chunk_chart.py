"""The chunk map as a picture: a column for each chunk, painted by who delivered how much of it.

No I/O, no clock, no randomness.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from client.report.figures import ChunkFigures, Figures
from client.report.palette import Palette
from client.report.svg import document, group, label, path, places, rect
from common.units import bytes_text

_WIDTH = 760
_LEFT = 44
_MIN_COLUMN = 6.0
_MAX_COLUMN = 26.0
_ROW_HEIGHT = 62
_COLUMN_HEIGHT = 40
# More rows than this are no picture; neighbours then share a column.
_MAX_ROWS = 12
PER_ROW = int((_WIDTH - _LEFT) / _MIN_COLUMN)
MAX_COLUMNS = PER_ROW * _MAX_ROWS
# Who sent less of a column than this is not seen.
_MIN_SHARE = 0.005
_STATES = {"played": "played", "held": "held", "wanted": "wanted", "missing": "missing"}


def chunk_chart(figures: Figures, palette: Palette) -> str:
    """Draw the map; empty where no chunk was touched."""
    chunks = figures.chunks
    if not chunks:
        return ""
    together = -(-len(chunks) // MAX_COLUMNS)
    columns = [chunks[i : i + together] for i in range(0, len(chunks), together)]
    wide = min(_MAX_COLUMN, max(_MIN_COLUMN, (_WIDTH - _LEFT) / len(columns)))
    per_row = int((_WIDTH - _LEFT) / wide)
    body = []
    for number, members in enumerate(columns):
        x = _LEFT + wide * (number % per_row)
        y = 12 + _ROW_HEIGHT * (number // per_row)
        if number % per_row == 0:
            text = str(members[0].sequence_num)
            body.append(label(_LEFT - 6, y + _COLUMN_HEIGHT, text, anchor="end"))
        body.append(_column(members, palette, x, y, wide))
    rows = -(-len(columns) // per_row)
    retried = sum(1 for c in chunks if c.retries)
    missing = sum(1 for c in chunks if c.state == "missing")
    words = (
        f"{len(chunks)} chunks of {figures.total_chunks} in the order of the film, each painted by the nodes that "
        f"delivered its bytes; {retried} needed another try, {missing} are missing. The table below says the same."
    )
    return document("chunks", "Chunks by node", words, (_WIDTH, 8 + _ROW_HEIGHT * rows), body)


def _column(
    members: Sequence[ChunkFigures], palette: Palette, x: float, y: float, wide: float
) -> str:
    shares: Counter[str] = Counter()
    for chunk in members:
        for node_url, size_bytes in chunk.sources:
            shares[node_url] += max(0, size_bytes)
    whole = sum(shares.values())
    broad = wide - (1.0 if wide <= _MIN_COLUMN + 1 else 2.0)
    state = _STATES.get(members[0].state, "wanted")
    parts = []
    if whole:
        bottom = y + _COLUMN_HEIGHT
        for node_url, size_bytes in sorted(shares.items(), key=lambda item: palette.style(item[0])):
            share = size_bytes / whole
            if share >= _MIN_SHARE:
                high = _COLUMN_HEIGHT * share
                bottom -= high
                parts.append(rect(x, bottom, broad, high, palette.style(node_url)))
    else:
        parts.append(rect(x + 0.5, y + 0.5, broad - 1, _COLUMN_HEIGHT - 1, f"empty {state}"))
    if any(c.state == "missing" for c in members):
        end = y + _COLUMN_HEIGHT
        cross = f"M{places(x)} {places(y)}L{places(x + broad)} {places(end)}"
        cross += f"M{places(x + broad)} {places(y)}L{places(x)} {places(end)}"
        parts.append(path(cross, "cross"))
    retries = sum(c.retries for c in members)
    if retries:
        middle, half = x + broad / 2, min(5.0, broad / 2)
        parts.append(
            path(
                f"M{places(middle)} {places(y - 2)}l{places(-half)} -7h{places(2 * half)}z", "retry"
            )
        )
    return group(parts, _tip(members, shares, palette, retries))


def _tip(
    members: Sequence[ChunkFigures], shares: Counter[str], palette: Palette, retries: int
) -> str:
    first, last = members[0], members[-1]
    name = f"chunk {first.sequence_num}"
    if last is not first:
        name = f"chunks {first.sequence_num}–{last.sequence_num}"
    sources = ", ".join(
        f"{bytes_text(size_bytes)} from {palette.text(url)}"
        for url, size_bytes in shares.most_common(12)
    )
    tries = f"; {retries} failed tries" if retries else ""
    return f"{name}, {first.state}: {sources or 'no bytes delivered'}{tries}"
