"""Pieces of SVG: scales, axes, shapes, the document around them. No I/O, no clock, no randomness.

Colours are classes, so that the page's style gives them for light and dark. Text from outside is escaped here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from common.units import clock_text

# Seconds between the ticks of a time axis that people read without reckoning.
_TIME_STEPS_SEC = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200)
_DAY_SEC = 86400
MAX_TICKS = 12
MAX_TEXT_CHARS = 200


def clean(text: str, limit: int = MAX_TEXT_CHARS) -> str:
    """Return text from outside without signs that no page may hold, and not too long."""
    shown = "".join(c if c.isprintable() else " " for c in text[: limit + 1])
    return shown if len(shown) <= limit else f"{shown[: limit - 1]}…"


def finite(number: float, limit: float = 1e12) -> float:
    """Return a number that a picture can bear."""
    return min(max(number, -limit), limit) if math.isfinite(number) else 0.0


def places(number: float) -> str:
    """Return a coordinate, no longer than it needs to be."""
    return f"{finite(number):.1f}".removesuffix(".0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """The plane of a chart: its size, its margins, and the values at its far ends."""

    width: int = 760
    height: int = 220
    left: int = 44
    right: int = 12
    top: int = 14
    bottom: int = 26
    x_top: float
    y_top: float

    @property
    def span(self) -> int:
        return self.width - self.left - self.right

    @property
    def rise(self) -> int:
        return self.height - self.top - self.bottom

    @property
    def floor(self) -> int:
        """Where the value is zero."""
        return self.height - self.bottom

    def x(self, value: float) -> float:
        return self.left + self.span * min(1.0, max(0.0, value / self.x_top))

    def y(self, value: float) -> float:
        return self.top + self.rise * (1 - min(1.0, max(0.0, value / self.y_top)))


def time_ticks(top_sec: float) -> list[float]:
    """Return the seconds to mark on an axis from 0 to `top_sec`."""
    for step in _TIME_STEPS_SEC:
        if top_sec / step <= MAX_TICKS:
            break
    else:
        step = _DAY_SEC * math.ceil(top_sec / _DAY_SEC / MAX_TICKS)
    return [float(step * n) for n in range(int(top_sec / step) + 1)]


def value_ticks(top: float, count: int = 5) -> list[float]:
    """Return round values from 0 to `top`."""
    rough = top / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= rough)
    return [step * n for n in range(int(top / step + 1e-9) + 1)]


def axes(frame: Frame, unit: str) -> list[str]:
    """Return grid lines and labels: time along, `unit` upwards."""
    found = []
    for tick in time_ticks(frame.x_top):
        x = places(frame.x(tick))
        found.append(f'<path class="grid" d="M{x} {frame.top}V{frame.floor}"/>')
        found.append(label(frame.x(tick), frame.floor + 16, clock_text(tick), anchor="middle"))
    for tick in value_ticks(frame.y_top):
        y = places(frame.y(tick))
        found.append(f'<path class="grid" d="M{frame.left} {y}H{frame.width - frame.right}"/>')
        found.append(label(frame.left - 6, frame.y(tick) + 4, f"{tick:g}", anchor="end"))
    found.append(label(4, 10, unit))
    return found


def label(x: float, y: float, text: str, *, anchor: str = "start", style: str = "") -> str:
    """Return a text."""
    named = f' class="{style}"' if style else ""
    return (
        f'<text{named} x="{places(x)}" y="{places(y)}" text-anchor="{anchor}">'
        f"{escape(clean(text))}</text>"
    )


def rect(x: float, y: float, width: float, height: float, style: str, tip: str = "") -> str:
    """Return a rectangle, with words for who points at it."""
    shape = (
        f'<rect class="{style}" x="{places(x)}" y="{places(y)}" '
        f'width="{places(max(0.0, width))}" height="{places(max(0.0, height))}"'
    )
    return f"{shape}>{_tip(tip)}</rect>" if tip else f"{shape}/>"


def path(steps: str, style: str, tip: str = "") -> str:
    """Return a path."""
    return f'<path class="{style}" d="{steps}">{_tip(tip)}</path>'


def group(parts: Sequence[str], tip: str) -> str:
    """Return parts that share their words."""
    return f"<g>{_tip(tip)}{''.join(parts)}</g>"


def _tip(text: str) -> str:
    return f"<title>{escape(clean(text, 400))}</title>" if text else ""


def document(name: str, title: str, words: str, size: tuple[int, int], body: Sequence[str]) -> str:
    """Return the picture; `words` say what is to be seen to who cannot see it, `name` is unique in the page."""
    width, height = size
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" '
        f'aria-labelledby="{name}-title {name}-words">'
        f'<title id="{name}-title">{escape(clean(title))}</title>'
        f'<desc id="{name}-words">{escape(clean(words, 1000))}</desc>{"".join(body)}</svg>'
    )
