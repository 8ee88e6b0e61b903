"""Small SVG plots. No I/O, no clock, no randomness: data in, text out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

# Told apart in greys too: each series has its own mark.
COLOURS = ("#0b6e4f", "#d1495b", "#2e5eaa", "#c77d0a", "#7b4b94", "#555555")
_FONT = 'font-family="sans-serif" font-size="12"'
_ROW_HEIGHT = 20
_LEFT, _RIGHT, _TOP, _BOTTOM = 150, 20, 46, 40
_WIDTH = 760


def dots(
    title: str, rows: Sequence[str], series: Mapping[str, Mapping[str, float]], axis: str
) -> str:
    """Plot one mark a row and series on a logarithmic axis that begins at 1."""
    top = max((v for values in series.values() for v in values.values()), default=10.0)
    decades = max(1, math.ceil(math.log10(max(top, 1.01))))
    height = _TOP + _BOTTOM + _ROW_HEIGHT * len(rows)
    span = _WIDTH - _LEFT - _RIGHT

    def x_of(value: float) -> float:
        return _LEFT + span * min(1.0, max(0.0, math.log10(max(value, 1.0)) / decades))

    bottom = height - _BOTTOM
    body = [_text(_LEFT, 16, title, weight="bold")]
    for decade in range(decades):
        for step in (1, 2, 5):
            body.append(_grid_line(x_of(step * 10**decade), bottom, f"{step * 10**decade:g}"))
    body.append(_grid_line(x_of(10**decades), bottom, f"{10**decades:g}"))
    body.append(_text(_LEFT + span / 2, height - 6, axis, anchor="middle"))
    for number, row in enumerate(rows):
        y = _TOP + _ROW_HEIGHT * (number + 0.5)
        body.append(_text(_LEFT - 10, y + 4, row, anchor="end"))
        body.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#eee"/>'
        )
    # The first series lies on top.
    for index, (name, values) in reversed(list(enumerate(series.items()))):
        for number, row in enumerate(rows):
            if row in values:
                y = _TOP + _ROW_HEIGHT * (number + 0.5)
                body.append(_mark(index, x_of(values[row]), y, f"{name}, {row}: {values[row]:.2f}"))
    body += _legend(list(series))
    return _document(height, body)


def lines(
    title: str,
    series: Mapping[str, Sequence[tuple[float, float]]],
    *,
    x_axis: str,
    y_axis: str,
) -> str:
    """Plot steps over time, each series a line."""
    height = 300
    points = [point for line in series.values() for point in line]
    x_top = max((x for x, _ in points), default=1.0) or 1.0
    y_top = max((y for _, y in points), default=1.0) or 1.0
    span, rise = _WIDTH - _LEFT - _RIGHT, height - _TOP - _BOTTOM

    def place(x: float, y: float) -> str:
        return f"{_LEFT + span * x / x_top:.1f},{_TOP + rise * (1 - y / y_top):.1f}"

    body = [_text(_LEFT, 16, title, weight="bold")]
    for tick in _ticks(x_top):
        body.append(_grid_line(_LEFT + span * tick / x_top, height - _BOTTOM, f"{tick:g}"))
    for tick in _ticks(y_top):
        y = _TOP + rise * (1 - tick / y_top)
        body.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#eee"/>'
        )
        body.append(_text(_LEFT - 8, y + 4, f"{tick:g}", anchor="end"))
    body.append(_text(_LEFT + span / 2, height - 6, x_axis, anchor="middle"))
    body.append(_text(10, _TOP - 8, y_axis))
    for index, (name, line) in reversed(list(enumerate(series.items()))):
        path = " ".join(place(x, y) for x, y in line)
        body.append(
            f'<polyline points="{path}" fill="none" stroke="{COLOURS[index % len(COLOURS)]}" '
            f'stroke-width="1.6"><title>{escape(name)}</title></polyline>'
        )
    body += _legend(list(series))
    return _document(height, body)


def _ticks(top: float) -> list[float]:
    rough = top / 6
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= rough)
    return [step * n for n in range(int(top / step) + 1)]


def _grid_line(x: float, bottom: float, label: str) -> str:
    line = f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{bottom}" stroke="#ddd"/>'
    return line + _text(x, bottom + 16, label, anchor="middle")


def _text(x: float, y: float, text: str, *, anchor: str = "start", weight: str = "normal") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" {_FONT} text-anchor="{anchor}" '
        f'font-weight="{weight}">{escape(text)}</text>'
    )


def _mark(index: int, x: float, y: float, tip: str) -> str:
    colour = COLOURS[index % len(COLOURS)]
    shapes = (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{colour}">',
        f'<rect x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8" fill="{colour}">',
        f'<path d="M{x:.1f} {y - 5:.1f}l5 9h-10z" fill="{colour}">',
        f'<path d="M{x:.1f} {y - 5:.1f}l5 5l-5 5l-5 -5z" fill="{colour}">',
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="#fff" stroke="{colour}" stroke-width="2">',
        f'<path d="M{x - 4:.1f} {y - 4:.1f}l8 8m0 -8l-8 8" stroke="{colour}" stroke-width="2">',
    )
    shape = shapes[index % len(shapes)]
    return f"{shape}<title>{escape(tip)}</title></{shape[1 : shape.index(' ')]}>"


def _legend(names: Sequence[str]) -> list[str]:
    found, x = [], float(_LEFT)
    for index, name in enumerate(names):
        found.append(_mark(index, x + 5, 32, name) + _text(x + 14, 36, name))
        x += 30 + 7 * len(name)
    return found


def _document(height: int, body: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        f'viewBox="0 0 {_WIDTH} {height}"><rect width="100%" height="100%" fill="#fff"/>'
    )
    return "\n".join([head, *body, "</svg>"]) + "\n"
