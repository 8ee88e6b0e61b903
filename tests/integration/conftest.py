"""A monitor and what it talks to, for the tests of its process; a folder for those of the dashboard's."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.monitor_rig import Stack, Start, monitors


@pytest.fixture
def start(run_dir: Path) -> Iterator[Start]:
    with monitors(run_dir) as starter:
        yield starter


@pytest.fixture
def stack(run_dir: Path) -> Iterator[Stack]:
    made = Stack(run_dir)
    yield made
    made.close()


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """Return a folder whose path is short enough for sockets."""
    path = Path(tempfile.mkdtemp(prefix="vsd-", dir="/tmp"))
    yield path
    shutil.rmtree(path)
