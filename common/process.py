"""The outermost frame of a process: logging, clear refusals, signals, exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable

from common.errors import ConfigError, ExitCode, VideoClientError
from common.log import configure_logging
from common.service import Service


def serve(name: str, build: Callable[[], Service]) -> int:
    """Build the process's service, run it until told to stop, and return the exit code.

    A wrong setting is said on stderr and ends with 78, a stack that cannot be joined with 1.
    """
    configure_logging(name)
    try:
        service = build()
    except VideoClientError as error:
        print(f"{name}: {error}", file=sys.stderr)  # noqa: T201  # the only way to tell the viewer
        return ExitCode.CONFIGURATION if isinstance(error, ConfigError) else error.exit_code
    service.install_signal_handlers()
    service.run()
    return ExitCode.PLAYED
