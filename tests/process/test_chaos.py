"""The chaos run ends what it started, however it ends itself."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import psutil
import pytest

from tests.process.support import GONE_LIMIT_SEC, Viewer, module_of
from tests.waiting import wait_until


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 130), (signal.SIGKILL, -9)])
def test_a_chaos_run_that_is_ended_leaves_nothing(number: signal.Signals, code: int) -> None:
    with Viewer() as viewer:
        running = viewer.start("-m", "chaos", "--runs", "3")
        own = psutil.Process(running.process.pid)

        def started() -> list[psutil.Process]:
            found: list[psutil.Process] = own.children(recursive=True)
            return found

        # The film plays: its store and its stack are there.
        wait_until(lambda: "scheduler.worker" in {module_of(p) for p in started()}, 40)
        all_started = started()
        homes = {p.environ().get("XDG_RUNTIME_DIR") for p in all_started} - {
            str(viewer.folder),
            None,
        }
        running.signal(number)
        assert running.finish().code == code
        left = [p for p in psutil.wait_procs(all_started, GONE_LIMIT_SEC)[1] if p.is_running()]
        assert left == []
        for home in filter(None, homes):
            # A killed one cannot clear its folder.
            assert number == signal.SIGKILL or not Path(home).exists()
            shutil.rmtree(Path(home).parent, ignore_errors=True)
