"""From figures to one HTML page that needs nothing else: no script, no other file, no other host."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from client.report.charts import (
    MIN_QUEUED_SEC,
    level_chart,
    rate_chart,
    startup_bar,
    startup_parts,
)
from client.report.chunk_chart import chunk_chart
from client.report.curves import OTHERS
from client.report.figures import Figures
from client.report.palette import OTHERS_STYLE, Palette, node_text
from client.report.svg import clean, finite
from common.units import bytes_text, clock_text

TEMPLATE = "report.html.jinja"
# The table of chunks is folded away; beyond this it would only make the page slow.
MAX_CHUNK_ROWS = 2000
MAX_EVENT_CHARS = 500
_OUTCOMES = {
    "played": ("played to the end", "good"),
    "stopped": ("stopped", "plain"),
    "holes": ("played with holes", "warn"),
    "failed": ("failed", "bad"),
}
_INTERRUPTED = 130


def render(figures: Figures) -> str:
    """Return the page."""
    palette = Palette(node.node_url for node in figures.nodes)
    outcome, mood = _outcome(figures)
    return _template().render(
        f=figures,
        s=figures.summary,
        outcome=outcome,
        mood=mood,
        notes=_notes(figures),
        started=_moment(figures.header.started_unix_sec),
        queued=figures.queued_sec >= MIN_QUEUED_SEC,
        startup_parts=startup_parts(figures),
        startup_svg=startup_bar(figures),
        level_svg=level_chart(figures),
        rate_svg=rate_chart(figures, palette),
        chunk_svg=chunk_chart(figures, palette),
        bands=_bands(figures, palette),
        chunk_rows=figures.chunks[:MAX_CHUNK_ROWS],
        palette=palette,
    )


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        clean=clean,
        words=lambda text: clean(text, MAX_EVENT_CHARS),
        node=node_text,
        bytes=lambda count: bytes_text(finite(count, 1e18)),
        clock=lambda sec: clock_text(finite(sec)),
        sec=_number("{:.1f} s"),
        sec2=_number("{:.2f} s"),
        ms=_number("{:.0f} ms"),
        mbps=_number("{:.1f} Mbit/s"),
        percent=_number("{:.1%}"),
        counts=_counts,
    )
    return environment.get_template(TEMPLATE)


def _number(form: str) -> Any:
    """Return a filter that shows a number, and a dash for one that is not known."""
    return lambda number: "–" if number is None else form.format(finite(number))


def _counts(counts: Sequence[tuple[str, int]]) -> str:
    return ", ".join(f"{count} {clean(name)}" for name, count in counts) or "none"


def _outcome(figures: Figures) -> tuple[str, str]:
    """Return how it ended, in words, and the colour of that."""
    if figures.end is None:
        return "recording breaks off", "warn"
    text, mood = _OUTCOMES.get(figures.summary["outcome"], ("not started", "warn"))
    return (f"{text}, interrupted" if figures.end.exit_code == _INTERRUPTED else text), mood


def _notes(figures: Figures) -> list[str]:
    """Return what a reader has to know of the recording itself."""
    found = []
    if figures.end is None:
        found.append(
            "The recording has no end: whoever made it was killed, or its disk was full. What is "
            "told here is what was known until then."
        )
    if figures.lost_records:
        found.append(
            f"{figures.lost_records} records were left out of the recording, which came faster than "
            "it may grow or than its disk took them. Sums that are taken from ranges are too low."
        )
    return found


def _moment(unix_sec: float) -> tuple[str, str]:
    """Return a date for machines and one for people; empty where it is none."""
    try:
        moment = datetime.fromtimestamp(unix_sec, tz=UTC).astimezone()
    except (ValueError, OverflowError, OSError):
        return "", "at an unknown time"
    return moment.isoformat(timespec="seconds"), moment.strftime("%Y-%m-%d %H:%M:%S %z")


def _bands(figures: Figures, palette: Palette) -> list[tuple[str, str, str]]:
    """Return style, letter and words of every node that is painted."""
    found = [
        (palette.style(n.node_url), palette.letter(n.node_url), node_text(n.node_url))
        for n in figures.nodes
    ]
    if any(row[-1] for row in figures.rates.rows_mbps) or figures.nodes_left_out:
        found.append((OTHERS_STYLE, "–", OTHERS))
    return found
