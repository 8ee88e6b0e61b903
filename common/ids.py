"""Ids of videos, chunks and fragments. No I/O, no clock, no randomness."""

from __future__ import annotations

import re

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def is_valid_id(text: str) -> bool:
    """Tell whether `text` may be a video, chunk or fragment id."""
    return _ID.fullmatch(text) is not None
