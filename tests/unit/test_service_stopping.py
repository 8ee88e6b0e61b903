"""A service in a process of its own: what ends it from outside."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import os, sys
from pathlib import Path
from common.endpoints import Endpoints
from common.service import Service
service = Service(Endpoints(Path(sys.argv[1])))
service.install_signal_handlers()
service.on_close(lambda: print("closed", flush=True))
if sys.argv[2:] == ["orphan"]:
    if os.fork():
        sys.stdin.read(1)
        os._exit(0)
    service = Service(Endpoints(Path(sys.argv[1])), watch_parent=True)
    service.on_close(lambda: print("closed", flush=True))
    service.after(0, lambda: os.write(1, b"ready\\n"))
else:
    service.after(0, lambda: print("ready", flush=True))
service.run()
"""


def start(run_dir: Path, *arguments: str) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(run_dir), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_loop_in_the_middle_of_a_poll(
    run_dir: Path, number: signal.Signals
) -> None:
    with start(run_dir) as child:
        child.send_signal(number)
        out, _ = child.communicate(timeout=20)
        assert (out, child.returncode) == ("closed\n", 0)


def test_the_death_of_the_parent_ends_the_loop(run_dir: Path) -> None:
    with start(run_dir, "orphan") as parent:
        # The parent ends; its child, our grandchild, holds the pipe until it has closed.
        out, _ = parent.communicate("x", timeout=20)
        assert out == "closed\n"


def test_a_parent_that_died_before_the_start_ends_the_loop(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as parent:
        parent.wait(20)
    monkeypatch.setenv("VSTACK_WATCH_PARENT", str(parent.pid))
    with start(run_dir) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "closed\n"
