"""From the JSON in which the page tells what its player shows to the message. No I/O, no clock, no randomness."""

from __future__ import annotations

from typing import Any, get_args

from common.messages import ViewerReport, ViewerState
from dashboard.fields import BadRequest, number_of, object_of, text_of

STATES: tuple[ViewerState, ...] = get_args(ViewerState)
MAX_RATE_RATIO = 16.0
_MAX_ID_CHARS = 64
_MAX_ERROR_CHARS = 300
# Longer than any film, more pictures than any has.
_MAX_SEC = 1e9
_MAX_FRAMES = 10**12


def report_from(body: Any) -> ViewerReport:
    """Return what a player reports; raises BadRequest naming the field that is wrong."""
    body = object_of(body)
    state = body.get("state")
    if state not in STATES:
        raise BadRequest(f"state: expected one of {', '.join(STATES)}")
    return ViewerReport(
        session_id=text_of(body, "session_id", _MAX_ID_CHARS),
        viewer_id=text_of(body, "viewer_id", _MAX_ID_CHARS),
        state=state,
        position_sec=number_of(body, "position_sec", _MAX_SEC),
        rate_ratio=number_of(body, "rate_ratio", MAX_RATE_RATIO),
        dropped_frames=int(number_of(body, "dropped_frames", _MAX_FRAMES)),
        error=text_of(body, "error", _MAX_ERROR_CHARS, least=0),
    )
