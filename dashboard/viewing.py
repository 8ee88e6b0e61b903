"""From the JSON in which the page tells what its player shows to the message. No I/O, no clock, no randomness."""

from __future__ import annotations

from typing import Any, get_args

from common.messages import ViewerReport, ViewerState
from dashboard.control import BadRequest

STATES: tuple[ViewerState, ...] = get_args(ViewerState)
MAX_RATE_RATIO = 16.0
_MAX_ID_CHARS = 64
_MAX_ERROR_CHARS = 300
# Longer than any film, more pictures than any has.
_MAX_SEC = 1e9
_MAX_FRAMES = 10**12


def report_from(body: Any) -> ViewerReport:
    """Return what a player reports; raises BadRequest naming the field that is wrong."""
    if not isinstance(body, dict):
        raise BadRequest("body: expected a JSON object")
    state = body.get("state")
    if state not in STATES:
        raise BadRequest(f"state: expected one of {', '.join(STATES)}")
    return ViewerReport(
        session_id=_text(body, "session_id", _MAX_ID_CHARS),
        viewer_id=_text(body, "viewer_id", _MAX_ID_CHARS),
        state=state,
        position_sec=_number(body, "position_sec", _MAX_SEC),
        rate_ratio=_number(body, "rate_ratio", MAX_RATE_RATIO),
        dropped_frames=int(_number(body, "dropped_frames", _MAX_FRAMES)),
        error=_text(body, "error", _MAX_ERROR_CHARS, least=0),
    )


def _text(body: dict[str, Any], name: str, most: int, *, least: int = 1) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not least <= len(value) <= most:
        raise BadRequest(f"{name}: expected a text of {least}-{most} characters")
    return value


def _number(body: dict[str, Any], name: str, most: float) -> float:
    value = body.get(name)
    usable = isinstance(value, int | float) and not isinstance(value, bool)
    if not usable or not 0 <= value <= most:  # type: ignore[operator]  # false for nan, too
        raise BadRequest(f"{name}: expected a number of 0-{most:g}")
    return float(value)  # type: ignore[arg-type]  # checked above
