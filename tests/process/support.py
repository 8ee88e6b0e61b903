"""Running the product as its users do: processes, what they wrote, what they leave behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from client.players.choosing import DISPLAY_VARIABLES
from cluster import EmbeddedCluster, LinkProfile
from common.config import Settings
from tests.media_fixtures import Reading, read_film
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
FILM_ID = "test-film"
FRAME_SEC = 1 / 25
# Unequal and slow: a chunk takes a third of a second on the best node, so that faults strike in the middle of one.
LINKS = (
    LinkProfile(rate_mbps=6, rtt_ms=10),
    LinkProfile(rate_mbps=4, rtt_ms=20),
    LinkProfile(rate_mbps=3, rtt_ms=30),
)
# About a quarter of a chunk: the best node is in the middle of one.
MID_CHUNK_BYTES = 50_000
RUN_LIMIT_SEC = 50.0
GONE_LIMIT_SEC = 10.0
_OURS = {"VSTACK_RUN_DIR", "VSTACK_TCP_BASE", "VSTACK_CONFIG", "VSTACK_LOG_LEVEL"}
_OURS |= {f.metadata["env"] for f in Settings.__dataclass_fields__.values()}

# The tests of somebody at a desk open no windows.
_DISPLAYS = set(DISPLAY_VARIABLES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Standard output of `--json`."""
        return [json.loads(line) for line in self.out.splitlines()]


class Command:
    """A running command; what it writes goes to files, so that nobody has to read it."""

    def __init__(self, arguments: list[str], folder: Path, environment: dict[str, str]) -> None:
        self.arguments = arguments
        number = len(list(folder.glob("*.stdout")))
        self.out_path, self.err_path = (
            folder / f"{number}.{name}" for name in ("stdout", "stderr")
        )
        with self.out_path.open("wb") as out, self.err_path.open("wb") as err:
            self.process = subprocess.Popen(
                arguments,
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                # Ctrl-C in the terminal of the tests is not meant for the command.
                start_new_session=True,
            )

    @property
    def out(self) -> str:
        return self.out_path.read_text("utf-8", "replace")

    @property
    def err(self) -> str:
        return self.err_path.read_text("utf-8", "replace")

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def wait_for(self, text: str, limit_sec: float = 20) -> None:
        """Wait until the command has said `text`; fail with what it said when it ends before."""

        def said() -> bool:
            over = not self.running
            if text in self.out or text in self.err:
                return True
            assert not over, f"ended without saying {text!r}:\n{self.out}\n{self.err}"
            return False

        wait_until(said, limit_sec)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def finish(self, limit_sec: float = RUN_LIMIT_SEC) -> Finished:
        """Wait for the end."""
        try:
            code = self.process.wait(limit_sec)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still runs:\n{self.out}\n{self.err}") from None
        return Finished(code=code, out=self.out, err=self.err)

    def children(self) -> dict[str, list[psutil.Process]]:
        """Return its direct children by the module they run."""
        found: dict[str, list[psutil.Process]] = {}
        with suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self.process.pid).children():
                found.setdefault(module_of(child), []).append(child)
        return found

    def child(self, module: str) -> psutil.Process:
        """Return the first child that runs a module, waiting for it."""
        wait_until(lambda: module in self.children())
        return self.children()[module][0]


def module_of(process: psutil.Process) -> str:
    """Return the module after `-m`, or the whole command line."""
    try:
        words = process.cmdline()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return ""
    return words[words.index("-m") + 1] if "-m" in words[:-1] else " ".join(words)


class Viewer:
    """Somebody at a terminal of their own: a run directory and the commands they start in it.

    At the end every process started from here must be gone; one that is not fails the test.
    """

    def __init__(self, metadata_url: str = "http://127.0.0.1:9") -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="vp-", dir="/tmp"))
        self.metadata_url = metadata_url
        self.settings: dict[str, str] = {}
        self._commands: list[Command] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        try:
            for command in self._commands:
                if command.running:
                    command.signal(signal.SIGTERM)
            left = self._until_gone() if kind is None else self.processes()
            said = "\n".join(c.out + c.err for c in self._commands) if left else ""
            for process in left:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            for command in self._commands:
                command.process.wait(GONE_LIMIT_SEC)
            assert kind is not None or not left, f"left behind: {left}\n{said}"
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def stack_dir(self) -> Path:
        """Where a standing stack of this viewer meets."""
        return self.folder / "vstack" / "shared"

    def private_dirs(self) -> list[Path]:
        """Return the run directories of private stacks and the FIFOs of `--output -`."""
        return [p for p in (self.folder / "vstack").glob("*") if p != self.stack_dir]

    def start(self, *arguments: str, **environment: str) -> Command:
        """Start a Python program: `start("main.py", ...)`, `start("-m", "monitor")`."""
        return self.start_command([sys.executable, *arguments], **environment)

    def start_command(self, command: list[str], **environment: str) -> Command:
        """Start any command."""
        started = Command(command, self.folder, self.environment(**environment))
        self._commands.append(started)
        return started

    def environment(self, **changes: str) -> dict[str, str]:
        """Return a clean environment of this viewer."""
        inherited = {k: v for k, v in os.environ.items() if k not in _OURS | _DISPLAYS}
        own = {"XDG_RUNTIME_DIR": str(self.folder), "XDG_CONFIG_HOME": str(self.folder)}
        own["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{inherited.get('PATH', '')}"
        own["METADATA_SERVICE_URL"] = self.metadata_url
        return inherited | own | self.settings | changes

    def play(self, *arguments: str, **environment: str) -> Command:
        """Start `python main.py ARGUMENTS`."""
        return self.start("main.py", *arguments, **environment)

    def run(self, *arguments: str, **environment: str) -> Finished:
        """Run `python main.py ARGUMENTS` to its end."""
        return self.play(*arguments, **environment).finish()

    def processes(self) -> list[psutil.Process]:
        """Return every live process that was started in this viewer's environment."""
        return [p for p in psutil.process_iter() if self._is_ours(p)]

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return bool(process.environ().get("XDG_RUNTIME_DIR") == str(self.folder))
        except (psutil.Error, OSError):
            return False

    def _until_gone(self) -> list[psutil.Process]:
        deadline_sec = time.monotonic() + GONE_LIMIT_SEC
        while (left := self.processes()) and time.monotonic() < deadline_sec:
            time.sleep(0.05)
        return left


def assert_same_film(made: Path, source: Reading) -> None:
    """Decode a file without an error and compare it with the source, picture by picture."""
    found = read_film(made)
    assert found.picture_digests == source.picture_digests
    assert all(a < b for a, b in pairwise(found.picture_times_sec))
    assert found.dts_rise
    length_sec = found.picture_times_sec[-1] - source.picture_times_sec[-1]
    assert abs(length_sec) <= FRAME_SEC
    assert abs(found.duration_sec - source.duration_sec) <= FRAME_SEC


def assert_beginning_of(made: Path, source: Reading) -> None:
    """Decode a file that was cut short: its pictures are the first ones of the source."""
    found = read_film(made)
    assert 0 < len(found.picture_digests) < len(source.picture_digests)
    assert found.picture_digests == source.picture_digests[: len(found.picture_digests)]
    assert all(a < b for a, b in pairwise(found.picture_times_sec))


def sent_bytes(cluster: EmbeddedCluster, node: int) -> int:
    """Return how many bytes a node has sent since it started, running answers included."""
    granted: float = cluster.status(node)["link"]["granted_bytes"]
    return int(granted)


@contextmanager
def delivering(cluster: EmbeddedCluster, node: int, command: Command) -> Iterator[None]:
    """Enter the block when the node has sent part of a chunk since the call."""
    before = sent_bytes(cluster, node)

    def has_sent() -> bool:
        assert command.running, f"ended too soon:\n{command.out}\n{command.err}"
        return sent_bytes(cluster, node) - before > MID_CHUNK_BYTES

    wait_until(has_sent, 20)
    yield


def free_port() -> int:
    """Return a port nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
