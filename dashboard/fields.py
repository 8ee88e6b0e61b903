"""Fields of the JSON that pages post. No I/O, no clock, no randomness."""

from __future__ import annotations

from typing import Any


class BadRequest(ValueError):
    """A request that cannot be understood; the text names the field."""


def object_of(body: Any) -> dict[str, Any]:
    """Return a body that is a JSON object."""
    if not isinstance(body, dict):
        raise BadRequest("body: expected a JSON object")
    return body


def text_of(body: dict[str, Any], name: str, most: int, *, least: int = 1) -> str:
    """Return a text of `least` to `most` characters."""
    value = body.get(name)
    if not isinstance(value, str) or not least <= len(value) <= most:
        raise BadRequest(f"{name}: expected a text of {least}-{most} characters")
    return value


def number_of(body: dict[str, Any], name: str, most: float) -> float:
    """Return a number of 0 to `most`; a truth value, infinity and NaN are none."""
    value = body.get(name)
    usable = isinstance(value, int | float) and not isinstance(value, bool)
    if not usable or not 0 <= value <= most:  # type: ignore[operator]
        raise BadRequest(f"{name}: expected a number of 0-{most:g}")
    return float(value)  # type: ignore[arg-type]  # checked above
