"""Waiting for conditions in tests."""

from __future__ import annotations

import time
from collections.abc import Callable

_POLL_SEC = 0.01


def wait_until(predicate: Callable[[], object], timeout_sec: float = 10) -> None:
    """Return once `predicate()` is true; fail the test when it is not within `timeout_sec`."""
    deadline_sec = time.monotonic() + timeout_sec
    while not predicate():
        if time.monotonic() > deadline_sec:
            raise AssertionError(f"not within {timeout_sec:g} s: {predicate}")
        time.sleep(_POLL_SEC)
