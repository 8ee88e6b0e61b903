"""A monitor and what it talks to, for the tests of its process."""

from __future__ import annotations

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
