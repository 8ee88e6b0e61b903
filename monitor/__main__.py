"""`python -m monitor`: pings the nodes of all sessions and publishes their scores."""

from __future__ import annotations

import random
import resource
import sys

from common.config import load_settings
from common.endpoints import RoleLock, endpoints_from_environment
from common.process import serve
from common.service import Service
from monitor.service import MonitorService

# A thousand nodes and as many connections to them, with room to spare.
WANTED_FILES = 4096


def raise_file_limit() -> int:
    """Let the process have as many files open as it may want; return how many it may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED_FILES if hard == resource.RLIM_INFINITY else min(WANTED_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return WANTED_FILES if soft == resource.RLIM_INFINITY else soft


def build() -> Service:
    """Return the process's service, ready to run."""
    settings = load_settings()
    endpoints = endpoints_from_environment()
    lock = RoleLock(endpoints.run_dir, "monitor")
    service = Service(endpoints)
    service.on_close(lock.release)
    MonitorService(service, settings, rng=random.Random(), max_files=raise_file_limit())
    return service


if __name__ == "__main__":
    sys.exit(serve("monitor", build, __doc__ or ""))
