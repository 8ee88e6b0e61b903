"""The outermost frame of a process: logging, clear refusals, signals, exit code."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable

import zmq

from common.errors import ConfigError, ExitCode, VideoClientError
from common.log import configure_logging
from common.service import Service


def serve(name: str, build: Callable[[], Service], about: str) -> int:
    """Build the process's service, run it until told to stop, and return the exit code.

    A wrong setting is said on stderr and ends with 78, a stack that cannot be joined with 1, an argument with 2.
    """
    _refuse_arguments(name, about)
    for number in (signal.SIGTERM, signal.SIGINT):
        # Until the loop takes the signals over there is nothing to clean up.
        signal.signal(number, lambda _number, _frame: sys.exit(ExitCode.PLAYED))
    configure_logging(name)
    try:
        service = build()
    except VideoClientError as error:
        print(f"{name}: {error}", file=sys.stderr)  # noqa: T201  # the only way to tell the viewer
        return ExitCode.CONFIGURATION if isinstance(error, ConfigError) else error.exit_code
    except zmq.ZMQError as error:
        print(f"{name}: cannot listen: {error}", file=sys.stderr)  # noqa: T201
        return ExitCode.INTERNAL
    service.install_signal_handlers()
    service.run()
    return ExitCode.PLAYED


def _refuse_arguments(name: str, about: str) -> None:
    """Answer `--help`; these processes take their settings from the environment alone."""
    argparse.ArgumentParser(
        prog=name,
        description=about,
        epilog="Settings come from the environment, see docs/operations.md. SIGTERM stops the process.",
    ).parse_args()
