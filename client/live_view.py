"""The live view of a session: figures, a width and a height become lines of a terminal.

No I/O, no clock, no randomness. Every state is a word with a sign; colour only repeats what is written.
"""

from __future__ import annotations

from typing import NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.console import Group
from rich.text import Text

from client.live_figures import LiveFigures
from client.live_nodes import node_lines, node_rows
from client.live_texts import BAD, GOOD, QUIET, WATCH, count_text, figure_text
from client.printable import printable
from common.units import bytes_text, clock_text

MAX_EVENTS = 6
# A line longer than this is hard to follow, and a bar gains nothing.
MAX_WIDTH = 120
MIN_BAR_CELLS = 20
# Narrower than this there are no bars beside their figures: a line of figures is all that can be read.
MIN_WIDTH = 28
# Two seconds or more a cell, so that none lies between two measurements.
MAX_SPARK_CELLS = 30
SPARK_SEC = 60.0
SPARKS = "▁▂▃▄▅▆▇█"

PLAYBACK = {
    "startup": ("◔", WATCH),
    "playing": ("▶", GOOD),
    "rebuffering": ("↻", BAD),
    "paused": ("‖", WATCH),
    "seeking": ("»", WATCH),
    "failed": ("✕", BAD),
}
OTHER_PLAYBACK = ("■", QUIET)
BUFFER = {"healthy": GOOD, "full": GOOD, "low": WATCH, "empty": BAD}


def layout(figures: LiveFigures, width: int, height: int) -> Group:
    """Return at most `height` lines of at most `width` cells; what has no room is left out.

    First go blank lines and older events, then nodes, the last event, totals, rate and title.
    """
    width = min(width, MAX_WIDTH)
    rows = _rows(figures, height)
    compact = height < 2 or width < MIN_WIDTH
    head = [_compact(figures)] if compact else _head(figures, width, rows.head)
    events = figures.events[len(figures.events) - rows.events :]
    blocks = [
        head,
        node_lines(figures.nodes, width, rows.nodes),
        [Text(printable(text)) for text in events],
    ]
    lines: list[Text] = []
    blanks = rows.blanks
    for block in filter(None, blocks):
        if lines and blanks:
            blanks -= 1
            lines.append(Text())
        lines += block
    for line in lines:
        line.no_wrap = True
        line.truncate(width, overflow="ellipsis")
    return Group(*lines)


def events_shown(figures: LiveFigures, height: int) -> int:
    """Return how many of the last events `layout` shows."""
    return _rows(figures, height).events


class _Rows(NamedTuple):
    head: int
    nodes: int
    events: int
    blanks: int


def _rows(figures: LiveFigures, height: int) -> _Rows:
    """Divide the height: the head, the last event, nodes, more events, and blank lines between."""
    head = max(1, min(5, height))
    left = max(0, height - head)
    events = min(1, left, len(figures.events))
    left -= events
    nodes = node_rows(len(figures.nodes), left)
    left -= nodes
    more = min(left, MAX_EVENTS - events, len(figures.events) - events)
    return _Rows(head, nodes, events + more, left - more)


# ---------------------------------------------------------------- head


def _compact(f: LiveFigures) -> Text:
    line = _state(f.state)
    line.append(
        f" {_position(f)} buffer {f.buffer_level_sec:.1f} s {figure_text(f.rate_mbps, '.1f')} Mbit/s"
    )
    return line


def _head(f: LiveFigures, width: int, height: int) -> list[Text]:
    title = _state(f.state).append(f"  {printable(f.title)}", "bold")
    figures = [
        _position(f),
        f"buffer {f.buffer_level_sec:5.1f} s",
        f"rate {figure_text(f.rate_mbps, '.1f'):>7} Mbit/s",
    ]
    column = max(map(cell_len, figures)) + 2
    sides = _sides(f, width - column - 2)
    bar_cells = width - column - max((cell_len(side) + 2 for side in sides if side), default=0)
    bars = [_progress_bar(f, bar_cells), _buffer_bar(f, bar_cells), _sparkline(f, bar_cells)]
    lines = [
        Text.assemble(set_cell_size(figure, column), bar, f"  {side}" if side else "")
        for figure, bar, side in zip(figures, bars, sides, strict=True)
    ]
    lines[1].highlight_words([f.buffer_state], BUFFER.get(f.buffer_state, QUIET))
    # In the order in which they are worth their line; shown in the order in which they are read.
    kept = sorted([2, 1, 0, 3, 4][:height])
    return [[title, *lines, _totals(f, width)][index] for index in kept]


def _sides(f: LiveFigures, width: int) -> tuple[str, str, str]:
    """Return what stands right of the bars: all of it, the least, or nothing, as the bars leave room."""
    share = f"{100 * f.playhead_sec / f.duration_sec:.0f} %" if f.duration_sec > 0 else ""
    peak_mbps = max((mbps for _, mbps in f.rates), default=None)
    peak = "" if peak_mbps is None else f"peak {peak_mbps:.1f}"
    marks = f"L low {f.low_water_mark_sec:g} s  T target {f.target_buffer_sec:g} s"
    choices = (
        (share, f"{f.buffer_state}  {marks}", f"{peak} in the last minute" if peak else ""),
        (share, f.buffer_state, peak),
    )
    for choice in choices:
        if width - max(map(cell_len, choice)) >= MIN_BAR_CELLS:
            return choice
    return ("", "", "")


def _totals(f: LiveFigures, width: int) -> Text:
    stalls = count_text(f.rebuffering_events, "stall")
    if f.rebuffering_events:
        stalls += f" ({f.stalled_sec:.1f} s)"
    parts = [stalls, count_text(f.failover_count, "failover")]
    if f.startup_latency_sec is not None:
        parts.append(f"started after {f.startup_latency_sec:.2f} s")
    parts.append(f"{bytes_text(f.received_bytes)} received")
    parts.append(f"{bytes_text(f.needed_bytes)} delivered")
    while len(parts) > 1 and len(", ".join(parts)) > width:
        parts.pop()
    line = Text(", ".join(parts))
    line.stylize(BAD if f.rebuffering_events else "", 0, len(stalls))
    return line


def _state(state: str) -> Text:
    sign, style = PLAYBACK.get(state, OTHER_PLAYBACK)
    return Text(f"{sign} {state}", style)


def _position(f: LiveFigures) -> str:
    about = "" if f.duration_known else "about "
    return f"{clock_text(f.playhead_sec)} / {about}{clock_text(f.duration_sec)}"


def _progress_bar(f: LiveFigures, cells: int) -> Text:
    per_sec = cells / f.duration_sec if f.duration_sec > 0 else 0.0
    played = _within(f.playhead_sec * per_sec, cells)
    held = _within((f.playhead_sec + f.buffer_level_sec) * per_sec, cells) - played
    return Text.assemble(
        ("█" * played, GOOD), ("▒" * held, GOOD), ("·" * (cells - played - held), QUIET)
    )


def _buffer_bar(f: LiveFigures, cells: int) -> Text:
    # A little is left beyond the target, so that its mark stands inside.
    scale_sec = max(f.target_buffer_sec * 1.1, f.buffer_level_sec, 1.0)
    filled = _within(f.buffer_level_sec * cells / scale_sec, cells)
    marks = {
        _within(sec * cells / scale_sec, cells - 1): sign
        for sec, sign in ((f.low_water_mark_sec, "L"), (f.target_buffer_sec, "T"))
    }
    style = BUFFER.get(f.buffer_state, QUIET)
    bar = Text()
    for cell in range(cells):
        sign, own = ("█", style) if cell < filled else ("·", QUIET)
        bar.append(marks.get(cell, sign), "bold" if cell in marks else own)
    return bar


def _sparkline(f: LiveFigures, width: int) -> Text:
    """Draw the last minute, the newest to the right; a cell in which nothing was measured is blank."""
    cells = min(MAX_SPARK_CELLS, width)
    measured: list[list[float]] = [[] for _ in range(cells)]
    for age_sec, mbps in f.rates:
        if 0 <= age_sec < SPARK_SEC:
            measured[cells - 1 - int(age_sec * cells / SPARK_SEC)].append(mbps)
    means = [sum(cell) / len(cell) if cell else None for cell in measured]
    top_mbps = max((mean for mean in means if mean is not None), default=0.0) or 1.0
    line = "".join(
        " " if mean is None else SPARKS[_within(mean / top_mbps * 7, 7)] for mean in means
    )
    return Text(set_cell_size(line, width), GOOD)


def _within(cells: float, most: int) -> int:
    return max(0, min(most, round(cells)))
