"""`python -m dashboard`: the dashboard of the standing stack, or of the one in `VSTACK_RUN_DIR`."""

from __future__ import annotations

import sys

from common.endpoints import endpoints_from_environment
from common.log import configure_logging
from dashboard.service import parse_settings, run, serve, watching


def start(arguments: list[str]) -> int:
    """Serve until stopped; return the exit code."""
    settings = parse_settings(arguments, program="python -m dashboard", about=__doc__ or "")
    endpoints = endpoints_from_environment()
    return serve(settings, watching(lambda: endpoints), lock_run_dir=endpoints.run_dir)


if __name__ == "__main__":
    configure_logging("dashboard")
    sys.exit(run(lambda: start(sys.argv[1:])))
