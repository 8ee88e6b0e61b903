"""Play a video from a V-Stack store: `python main.py VIDEO_ID`, or `from main import SmartClient`."""

from __future__ import annotations

import sys
import time

# What the viewer waits for begins here, before the imports.
_COMMAND_SEC = time.monotonic()

from client.cli import main  # noqa: E402
from client.smart_client import PlayOptions, SmartClient  # noqa: E402

__all__ = ["PlayOptions", "SmartClient", "main"]

if __name__ == "__main__":
    sys.exit(main(command_sec=_COMMAND_SEC))
