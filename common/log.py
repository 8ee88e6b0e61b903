"""Logging set-up of the processes: key=value lines on stderr, quiet by default."""

from __future__ import annotations

import logging
import os
import sys


def configure_logging(process_name: str, *, level: str | None = None) -> None:
    """Send log records to stderr; the level comes from `VSTACK_LOG_LEVEL` unless given."""
    chosen = (level or os.environ.get("VSTACK_LOG_LEVEL") or "WARNING").upper()
    if chosen not in logging.getLevelNamesMapping():
        chosen = "WARNING"
    logging.basicConfig(
        level=chosen,
        stream=sys.stderr,
        format=f"%(asctime)s %(levelname)s {process_name} %(name)s: %(message)s",
    )
