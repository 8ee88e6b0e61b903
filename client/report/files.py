"""The report's file: checked before anything is played, written at once when all is known."""

from __future__ import annotations

import os
from pathlib import Path

from client.report.figures import Figures
from common.errors import ConfigError, ExitCode

ENDINGS = (".html", ".htm")


def check_report_path(path: Path) -> None:
    """Raise ConfigError for a path that no report can be written to."""
    if path.suffix.lower() not in ENDINGS:
        raise ConfigError(f"--report: {str(path)!r} ends with none of {', '.join(ENDINGS)}")
    if path.exists() and not path.is_file():
        reason = "is a directory" if path.is_dir() else "is not a regular file"
        raise _unwritable(path, reason)
    if not path.parent.is_dir():
        raise _unwritable(path, "there is no such directory")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise _unwritable(path, "the directory cannot be written to")


def write_report(path: Path, figures: Figures) -> None:
    """Write the page; what was there under that name is replaced when it is complete. Raises ConfigError."""
    # Templates take a while to load, and whoever plays does not wait for that.
    from client.report.page import render

    part = path.with_name(f"{path.name}.part")
    try:
        try:
            part.write_text(render(figures), encoding="utf-8")
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise _unwritable(path, error.strerror or str(error)) from error


def _unwritable(path: Path, reason: str) -> ConfigError:
    error = ConfigError(f"--report: {path}: {reason}")
    error.exit_code = ExitCode.OUTPUT
    return error
