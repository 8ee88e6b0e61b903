"""`python -m monitor`: run the monitor process until SIGTERM, SIGINT or the end of its parent."""

from __future__ import annotations

import random
import signal
import sys

from common.config import load_settings
from common.endpoints import RoleLock, endpoints_from_environment
from common.errors import ConfigError, ExitCode, VideoClientError
from common.log import configure_logging


def main() -> int:
    """Serve until asked to stop; return the exit code."""
    for number in (signal.SIGTERM, signal.SIGINT):
        # Until the loop takes the signals over there is nothing to clean up.
        signal.signal(number, lambda _number, _frame: sys.exit(ExitCode.PLAYED))
    configure_logging("monitor")
    try:
        settings = load_settings()
        endpoints = endpoints_from_environment()
        lock = RoleLock(endpoints.run_dir, "monitor")
    except VideoClientError as error:
        print(f"monitor: {error}", file=sys.stderr)
        is_configuration = isinstance(error, ConfigError)
        return ExitCode.CONFIGURATION if is_configuration else ExitCode.INTERNAL
    # Imported late: a second monitor and a wrong setting are told at once.
    import zmq

    from common.service import Service
    from monitor.service import MonitorService

    try:
        service = Service(endpoints)
        service.install_signal_handlers()
        MonitorService(service, settings, rng=random.Random())
        service.run()
    except zmq.ZMQError as error:
        print(f"monitor: cannot listen: {error}", file=sys.stderr)
        return ExitCode.INTERNAL
    finally:
        lock.release()
    return ExitCode.PLAYED


if __name__ == "__main__":
    sys.exit(main())
