"""Programs that some tests need."""

from __future__ import annotations

import os
import shutil

import pytest


def needs(*programs: str) -> pytest.MarkDecorator:
    """Skip the test where a program is missing; with `VSTACK_REQUIRE_ALL=1` it fails instead."""
    # Servers lie where an ordinary user's PATH does not lead.
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"])
    missing = [program for program in programs if shutil.which(program, path=path) is None]
    if not missing:
        return pytest.mark.needs()
    return pytest.mark.needs(", ".join(missing))


def all_required() -> bool:
    """Tell whether this run must not skip anything."""
    return os.environ.get("VSTACK_REQUIRE_ALL") == "1"
