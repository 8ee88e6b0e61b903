"""The pictures over time: startup, buffer level, rates. No I/O, no clock, no randomness."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from client.report.curves import OTHERS, Level
from client.report.figures import Figures
from client.report.palette import OTHERS_STYLE, Palette
from client.report.stalls import Span
from client.report.svg import (
    Frame,
    axes,
    document,
    finite,
    label,
    path,
    places,
    rect,
)
from common.units import clock_text

# A stall shorter than this many units of a chart would not be seen.
MIN_SPAN_WIDTH = 2.0
# Buckets further apart than this many of their widths are no line: nothing was heard in between.
GAP_BUCKETS = 6
MIN_GAP_SEC = 3.0
_HEADROOM = 1.12
# A command that waited less than this was taken at once.
MIN_QUEUED_SEC = 0.05
QUEUED = "waiting for the stack to start"


class StartupPart(NamedTuple):
    """A stretch of the startup, and the class that paints it."""

    style: str
    name: str
    length_sec: float


def startup_parts(figures: Figures) -> list[StartupPart]:
    """Return the stretches of the startup; empty where playback never started."""
    summary = figures.summary
    startup_sec, first_sec = summary["startup_latency_sec"], summary["first_chunk_sec"]
    if startup_sec is None:
        return []
    manifest_sec = min(max(0.0, finite(summary["manifest_sec"])), startup_sec)
    first_sec = min(max(manifest_sec, finite(first_sec or startup_sec)), startup_sec)
    found = [StartupPart("part0", "manifest", manifest_sec)]
    if figures.queued_sec >= MIN_QUEUED_SEC:
        found.append(StartupPart("part1", QUEUED, finite(figures.queued_sec)))
    found.append(StartupPart("part2", "first chunk", first_sec - manifest_sec))
    found.append(StartupPart("part3", "until the output took it", startup_sec - first_sec))
    return found


def startup_bar(figures: Figures) -> str:
    """Draw what the startup was made of; empty where playback never started."""
    parts = startup_parts(figures)
    total_sec = sum(part.length_sec for part in parts)
    if total_sec <= 0:
        return ""
    width, body, x = 760, [], 0.0
    for part in parts:
        wide = width * part.length_sec / total_sec
        body.append(rect(x, 0, wide, 26, part.style, f"{part.name}: {part.length_sec:.2f} s"))
        x += wide
    words = ", ".join(f"{part.name} {part.length_sec:.2f} s" for part in parts)
    return document("startup", "Startup", words, (width, 26), body)


def level_chart(figures: Figures) -> str:
    """Draw the buffer level with its marks, and where the picture stood."""
    level = figures.level
    highest = max((found.high for _, found in level.points), default=0.0)
    top = max(finite(highest), finite(level.target_sec), finite(level.low_water_sec), 1.0)
    frame = Frame(x_top=_length(figures), y_top=top * _HEADROOM)
    body = [*axes(frame, "s"), *_standing(frame, figures.spans)]
    for run in _runs(figures):
        upper = "L".join(f"{places(frame.x(at))} {places(frame.y(f.high))}" for at, f in run)
        lower = "L".join(f"{places(frame.x(at))} {places(frame.y(f.low))}" for at, f in run[::-1])
        body.append(path(f"M{upper}L{lower}Z", "range"))
        mean = "L".join(f"{places(frame.x(at))} {places(frame.y(f.mean))}" for at, f in run)
        body.append(path(f"M{mean}", "line"))
    for name, value, style in (
        ("target", level.target_sec, "target"),
        ("low water", level.low_water_sec, "low"),
    ):
        if value > 0:
            y = frame.y(value)
            body.append(path(f"M{frame.left} {places(y)}H{frame.width - frame.right}", style))
            text = f"{name} {value:g} s"
            right = frame.width - frame.right - 4
            body.append(label(right, y - 4, text, anchor="end", style="note"))
    average_sec = figures.summary["average_buffer_sec"]
    words = (
        f"Seconds of media ahead of the playhead over {clock_text(finite(figures.length_sec))}; on average "
        f"{average_sec:.1f} s, target {level.target_sec:g} s, low water {level.low_water_sec:g} s; "
        f"{len(figures.stalls)} stalls."
    )
    return document("level", "Buffer level", words, (frame.width, frame.height), body)


def _runs(figures: Figures) -> list[list[tuple[float, Level]]]:
    """Return the points of the curve in stretches without a gap."""
    runs: list[list[tuple[float, Level]]] = []
    points = figures.level.points
    steps = [later[0] - earlier[0] for earlier, later in pairwise(points)]
    widest = GAP_BUCKETS * min(steps, default=0.0)
    for number, point in enumerate(points):
        if number == 0 or steps[number - 1] > max(widest, MIN_GAP_SEC):
            runs.append([])
        runs[-1].append(point)
    return runs


def rate_chart(figures: Figures, palette: Palette) -> str:
    """Draw what came from each node, one on top of the other."""
    rates = figures.rates
    totals = [sum(row) for row in rates.rows_mbps]
    top = max(finite(max(totals, default=0.0)), 0.1)
    frame = Frame(x_top=_length(figures), y_top=top * _HEADROOM)
    body = [*axes(frame, "Mbit/s"), *_standing(frame, figures.spans)]
    below = [0.0] * len(totals)
    for column, name in enumerate((*rates.names, OTHERS)):
        above = [low + row[column] for low, row in zip(below, rates.rows_mbps, strict=True)]
        if above == below:
            continue
        style = OTHERS_STYLE if name == OTHERS else palette.style(name)
        band = _band(frame, rates.width_sec, below, above)
        body.append(path(band, f"band {style}", palette.text(name)))
        below = above
    busiest = ", ".join(palette.text(name) for name in rates.names) or "no node"
    words = (
        f"Megabits a second that came from each node, stacked; {busiest}. "
        f"At most {max(totals, default=0.0):.1f} Mbit/s in {rates.width_sec:g} s."
    )
    return document("rates", "Throughput by node", words, (frame.width, frame.height), body)


def _band(frame: Frame, width_sec: float, below: Sequence[float], above: Sequence[float]) -> str:
    """Return the outline of one node's share, in steps; stretches in which it sent nothing are left out."""
    steps = []
    start = 0
    count = len(above)
    while start < count:
        if above[start] <= below[start]:
            start += 1
            continue
        end = start
        while end < count and above[end] > below[end]:
            end += 1
        x = places(frame.x(start * width_sec))
        steps.append(f"M{x} {places(frame.y(below[start]))}")
        for index in range(start, end):
            right = places(frame.x((index + 1) * width_sec))
            steps.append(f"V{places(frame.y(above[index]))}H{right}")
        for index in range(end - 1, start - 1, -1):
            left = places(frame.x(index * width_sec))
            steps.append(f"V{places(frame.y(below[index]))}H{left}")
        steps.append("Z")
        start = end
    return "".join(steps)


def _length(figures: Figures) -> float:
    return max(finite(figures.length_sec), 1.0)


def _standing(frame: Frame, spans: Sequence[Span]) -> list[str]:
    """Return marks for the stretches in which the picture stood."""
    found = []
    for span in spans:
        left, right = frame.x(span.from_sec), frame.x(span.until_sec)
        wide = max(right - left, MIN_SPAN_WIDTH)
        seconds = span.until_sec - span.from_sec
        tip = f"{span.kind} at {clock_text(span.from_sec)} for {seconds:.1f} s"
        found.append(rect(left, frame.top, wide, frame.rise, f"span {span.kind}", tip))
    return found
