"""`python -m scheduler`: the decision process."""

from __future__ import annotations

import sys

from common.config import load_settings
from common.endpoints import endpoints_from_environment
from common.process import serve
from common.service import Service
from scheduler.service import SchedulerProcess


def build() -> Service:
    """Return the process's service, ready to run."""
    return SchedulerProcess(endpoints_from_environment(), load_settings()).service


if __name__ == "__main__":
    sys.exit(serve("scheduler", build, __doc__ or ""))
