"""What holds for every test: short run directories, nothing left behind, nothing skipped in silence."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.needs import all_required
from tests.waiting import wait_until

# Threads of a pool that was told to end, and children that were, may need a moment.
SETTLE_SEC = 5.0


def pytest_configure(config: pytest.Config) -> None:
    """Register our mark: strict markers refuse unknown ones."""
    config.addinivalue_line(
        "markers", "needs(missing): the programs a test needs and does not find"
    )


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip, or fail, a test whose program is missing."""
    for mark in item.iter_markers("needs"):
        if mark.args:
            text = f"not installed: {mark.args[0]}"
            if all_required():
                pytest.fail(text, pytrace=False)
            pytest.skip(text)


@pytest.fixture
def run_dir() -> Iterator[Path]:
    """Return an empty run directory whose path is short enough for UNIX sockets."""
    path = Path(tempfile.mkdtemp(prefix="vst-", dir="/tmp"))  # short, and 0700
    yield path
    shutil.rmtree(path, ignore_errors=True)


def _new_children(known: set[psutil.Process]) -> set[psutil.Process]:
    """Return children that are neither known nor started by a known one (a supervisor may start its own again)."""
    found = set()
    for child in psutil.Process().children():
        if child not in known:
            found |= {child, *_descendants(child)}
    return {child for child in found if _is_alive(child)}


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return list(process.children(recursive=True))
    return []


def _is_alive(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


def _threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if not thread.daemon}


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    """Fail a test that leaves a process or a thread behind.

    Whatever runs before the test began, servers of a wider scope included, is not its business.
    """
    children, threads = set(psutil.Process().children()), _threads()
    yield
    try:
        wait_until(lambda: not _threads() - threads, SETTLE_SEC)
    except AssertionError:
        names = sorted(thread.name for thread in _threads() - threads)
        pytest.fail(f"threads left behind: {', '.join(names)}")
    try:
        wait_until(lambda: not _new_children(children), SETTLE_SEC)
    except AssertionError:
        names = sorted(f"{child.name()} {child.pid}" for child in _new_children(children))
        pytest.fail(f"processes left behind: {', '.join(names)}")
