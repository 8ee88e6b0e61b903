"""`python -m monitor`: pings the nodes of all sessions and publishes their scores."""

from __future__ import annotations

import random
import sys

from common.config import load_settings
from common.endpoints import RoleLock, endpoints_from_environment
from common.process import serve
from common.service import Service
from monitor.service import MonitorService


def build() -> Service:
    """Return the process's service, ready to run."""
    settings = load_settings()
    endpoints = endpoints_from_environment()
    lock = RoleLock(endpoints.run_dir, "monitor")
    service = Service(endpoints)
    service.on_close(lock.release)
    MonitorService(service, settings, rng=random.Random())
    return service


if __name__ == "__main__":
    sys.exit(serve("monitor", build, __doc__ or ""))
