"""The table of nodes in the live view: as many rows and columns as there is room for.

No I/O, no clock, no randomness.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple, get_args

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from client.live_figures import NodeFigures, NodeState
from client.live_texts import BAD, GOOD, QUIET, WATCH, count_text, figure_text
from client.printable import printable
from common.units import bytes_text

MAX_NODES = 12
MAX_NAME_CELLS = 28
MIN_SHARE_CELLS, MAX_SHARE_CELLS = 6, 20
STATES: dict[NodeState, tuple[str, str]] = {
    "healthy": ("✓", GOOD),
    "probing": ("◔", WATCH),
    "suspended": ("‖", WATCH),
    "down": ("✕", BAD),
    "not rated": ("–", QUIET),
}
# The longest state, and with the seconds until a suspended node is asked again.
STATE_CELLS, TIMED_STATE_CELLS = 11, 16
GAP = "  "


class _Column(NamedTuple):
    title: str
    cells: int
    # The lowest are given room first; the tuple has the order in which they are shown.
    rank: int
    text: Callable[[NodeFigures], str]


COLUMNS = (
    _Column("score", 7, 3, lambda n: figure_text(n.score, ".2f")),
    _Column("latency", 8, 2, lambda n: f"{figure_text(n.latency_ms, '.0f')} ms"),
    _Column("Mbit/s", 7, 1, lambda n: figure_text(n.bandwidth_mbps, ".1f")),
    _Column("success", 8, 4, lambda n: f"{figure_text(_percent(n.success_ratio), '.0f')} %"),
    _Column("delivered", 10, 0, lambda n: bytes_text(n.delivered_bytes)),
)


class _Widths(NamedTuple):
    name: int
    state: int
    columns: tuple[_Column, ...]
    share: int


def node_rows(count: int, height: int) -> int:
    """Return how many of `height` lines a table of `count` nodes takes."""
    rows = min(height, 1 + min(count, MAX_NODES) + (count > MAX_NODES)) if count else 0
    # A title needs a row to stand over, and the nodes without a row their line.
    return rows if rows >= min(3, 1 + count) else min(1, rows)


def node_lines(nodes: Sequence[NodeFigures], width: int, height: int) -> list[Text]:
    """Return the table in `height` lines, as `node_rows` gives them; the last one tells of the nodes left out."""
    if height == 0:
        return []
    if height == 1:
        return [Text(f"{count_text(len(nodes), 'node')}: {_states(nodes)}")]
    shown = nodes if len(nodes) < height else nodes[: height - 2]
    names = [printable(node.name) for node in shown]
    widths = _widths(width, max(4, *map(cell_len, names)))
    title = f"{GAP}{'node':<{widths.name}} {'state':<{widths.state}}"
    title += "".join(f"{column.title:>{column.cells}}" for column in widths.columns)
    lines = [Text(title + (f"{GAP}share" if widths.share else ""), QUIET)]
    lines += [_line(node, name, widths) for node, name in zip(shown, names, strict=True)]
    if rest := nodes[len(shown) :]:
        lines.append(Text(f"{GAP}and {len(rest)} more: {_states(rest)}"))
    return lines


def _widths(width: int, name_cells: int) -> _Widths:
    name_cells = min(name_cells, MAX_NAME_CELLS)
    left = width - len(GAP) - name_cells - 1 - STATE_CELLS
    chosen = set()
    for column in sorted(COLUMNS, key=lambda column: column.rank):
        if column.cells <= left:
            chosen.add(column.title)
            left -= column.cells
    share = min(MAX_SHARE_CELLS, left - len(GAP))
    share = share if share >= MIN_SHARE_CELLS else 0
    timed = left - len(GAP) - share >= TIMED_STATE_CELLS - STATE_CELLS
    return _Widths(
        name_cells,
        TIMED_STATE_CELLS if timed else STATE_CELLS,
        tuple(column for column in COLUMNS if column.title in chosen),
        share,
    )


def _line(node: NodeFigures, name: str, widths: _Widths) -> Text:
    sign, style = STATES[node.state]
    state = f"{sign} {node.state}"
    if widths.state == TIMED_STATE_CELLS and node.state == "suspended" and node.suspended_for_sec:
        state += f" {node.suspended_for_sec:.0f} s"
    filled = round(node.share_ratio * widths.share)
    return Text.assemble(
        "↓ " if node.active else GAP,
        f"{_shortened(name, widths.name)} ",
        (f"{state:<{widths.state}}", style),
        *(f"{column.text(node):>{column.cells}}" for column in widths.columns),
        (GAP * (widths.share > 0) + "█" * filled, GOOD),
        ("·" * (widths.share - filled), QUIET),
    )


def _states(nodes: Sequence[NodeFigures]) -> str:
    counts = Counter(node.state for node in nodes)
    return ", ".join(f"{counts[state]} {state}" for state in get_args(NodeState) if counts[state])


def _percent(ratio: float | None) -> float | None:
    return None if ratio is None else 100 * ratio


def _shortened(text: str, cells: int) -> str:
    """Return the text in exactly so many cells; both ends of a long one tell something."""
    if cell_len(text) > cells:
        head = (cells - 1) // 2
        text = f"{text[:head]}…{text[head + 1 - cells :]}"
    return set_cell_size(text, cells)
