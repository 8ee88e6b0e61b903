"""Start the dashboard: it shows the stack that runs, or the next one that is started.

The standing stack is watched when there is one, else the newest private one of `python main.py`. It
may be started before or after them, and shows the last session until another begins.
"""

from __future__ import annotations

import sys

from common.log import configure_logging
from dashboard.link import NewestStack
from dashboard.service import parse_settings, run, serve, watching


def start(arguments: list[str]) -> int:
    """Serve until stopped; return the exit code."""
    settings = parse_settings(arguments, program="dashboard_server.py", about=__doc__ or "")
    return serve(settings, watching(NewestStack()))


if __name__ == "__main__":
    configure_logging("dashboard")
    sys.exit(run(lambda: start(sys.argv[1:])))
