"""One run of one client on a stage: real processes, their CPU seconds, and what the nodes noted of them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bench.stack import KINDS, PROJECT_DIR, WORKER, client_environment, short_dir, standing_stack
from bench.stage import VIDEO_ID, AppliedFault, Show, Stage
from cluster.ports import free_port

# A run is cut off after this many times the film's length.
LIMIT_RATIO = 4.0
_END_LIMIT_SEC = 10.0
# A stack is quiet when all its processes together use less than this share of a core for a while.
# What a standing stack needs to know its nodes and to have connections to them.
_STANDING_SEC = 6.0
_QUIET_RATIO = 0.1
_QUIET_STEP_SEC = 0.5
_QUIET_LIMIT_SEC = 20.0
_TICKS_PER_SEC = os.sysconf("SC_CLK_TCK")

Mode = Literal["joined", "cold", "alone"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """What plays: a name for the tables, how it runs, and its arguments beside the film's.

    `joined`: ours, joining a standing stack with `workers`; `cold`: ours with a private stack, where the clock begins
    with the command; `alone`: a comparison client.
    """

    name: str
    mode: Mode
    workers: int = 0
    arguments: tuple[str, ...] = ()

    @property
    def ours(self) -> bool:
        return self.mode != "alone"


def _known_clients() -> dict[str, Client]:
    found = [
        Client(name="ours", mode="joined", workers=2),
        Client(name="ours-1", mode="joined", workers=1),
        Client(name="ours-4", mode="joined", workers=4),
        Client(name="ours-cold", mode="cold", workers=2),
        Client(name="score", mode="joined", workers=2, arguments=("--policy", "score")),
    ]
    others = ("roundrobin", "single", "aria2", "aria2-tuned", "original")
    found += [Client(name=name, mode="alone", arguments=(name,)) for name in others]
    return {client.name: client for client in found}


CLIENTS = _known_clients()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run left behind. `records` and `origin_unix_sec` are by node."""

    zero_unix_sec: float
    manifest_unix_sec: float
    end_unix_sec: float
    exit_code: int
    cut_off: bool
    cpu_sec: float
    records: Sequence[Sequence[dict[str, Any]]]
    origin_unix_sec: Sequence[float]
    faults: Sequence[AppliedFault]
    # What the client says about itself; empty where it says nothing.
    own_account: dict[str, Any]


def play(stage: Stage, client: Client) -> Outcome:
    """Play the film once and collect what happened."""
    with short_dir() as folder, stage.show() as show:
        with _standing(client, stage, folder) as pids:
            show.restart_links()
            before_sec = sum(map(_cpu_sec, pids))
            command_unix_sec = time.time()
            ended = _run(_command(client, show, folder), folder, stage.scenario.film_sec)
            end_unix_sec = time.time()
            cpu_sec = ended.cpu_sec + sum(map(_cpu_sec, pids)) - before_sec
        stage.settle()
        manifest_unix_sec = show.zero_unix_sec
    if manifest_unix_sec is None:
        raise RuntimeError(f"{client.name} never asked for the manifest: {ended.stderr[-2000:]}")
    return Outcome(
        zero_unix_sec=command_unix_sec if client.mode == "cold" else manifest_unix_sec,
        manifest_unix_sec=manifest_unix_sec,
        end_unix_sec=end_unix_sec,
        exit_code=ended.exit_code,
        cut_off=ended.cut_off,
        cpu_sec=cpu_sec,
        # Not what a standing stack asked for before.
        records=stage.records_since(command_unix_sec),
        origin_unix_sec=show.origin_unix_sec,
        faults=show.applied,
        own_account=_last_json(ended.stdout),
    )


@contextlib.contextmanager
def _standing(client: Client, stage: Stage, folder: Path) -> Iterator[list[int]]:
    """Run the stack that a joining client finds; none for others."""
    if client.mode != "joined":
        yield []
        return
    environment = client_environment(str(folder))
    environment["METADATA_SERVICE_URL"] = stage.cluster.metadata_url
    environment["DASHBOARD_PORT"] = str(free_port())
    run_dir = folder / "vstack" / "shared"
    run_dir.mkdir(parents=True, mode=0o700)
    kinds = [kind for kind in KINDS if kind != WORKER] + [WORKER] * client.workers
    with standing_stack(environment, run_dir, kinds) as pids:
        _wait_quiet(pids)
        yield pids


def _wait_quiet(pids: Sequence[int]) -> None:
    """Wait until processes that have just begun have nothing to do: a standing stack has been there for long."""
    time.sleep(_STANDING_SEC)
    give_up_sec = time.monotonic() + _QUIET_LIMIT_SEC
    used_sec = sum(map(_cpu_sec, pids))
    while time.monotonic() < give_up_sec:
        time.sleep(_QUIET_STEP_SEC)
        before_sec, used_sec = used_sec, sum(map(_cpu_sec, pids))
        if used_sec - before_sec <= _QUIET_RATIO * _QUIET_STEP_SEC:
            return


def _command(client: Client, show: Show, folder: Path) -> list[str]:
    url = show.metadata.url
    if client.mode == "alone":
        command = ["-m", "bench.clients", *client.arguments, "--video", VIDEO_ID]
        return [sys.executable, *command, "--metadata-url", url, "--work-dir", str(folder)]
    command = ["main.py", VIDEO_ID, "--metadata-url", url, "--player", "none", "--json"]
    if client.mode == "cold":
        command += ["--private", "--workers", str(client.workers)]
    return [sys.executable, *command, *client.arguments]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ended:
    exit_code: int
    cut_off: bool
    cpu_sec: float
    stdout: str
    stderr: str


def _run(command: Sequence[str], folder: Path, film_sec: float) -> _Ended:
    """Run a command to its end, or until its time is up; count what it and its children cost."""
    stdout, stderr = folder / "stdout", folder / "stderr"
    with stdout.open("wb") as out, stderr.open("wb") as err:
        process = subprocess.Popen(  # pylint: disable=consider-using-with
            command,
            cwd=PROJECT_DIR,
            env=client_environment(str(folder)),
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
    give_up_sec = time.monotonic() + LIMIT_RATIO * film_sec
    cut_off = False
    try:
        while not (waited := os.wait4(process.pid, os.WNOHANG))[0]:
            if time.monotonic() > give_up_sec:
                number = signal.SIGKILL if cut_off else signal.SIGTERM
                os.killpg(process.pid, number)
                cut_off, give_up_sec = True, time.monotonic() + _END_LIMIT_SEC
            time.sleep(0.05)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    # So that the object does not wait for a child that is gone.
    process.returncode = os.waitstatus_to_exitcode(waited[1])
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    return _Ended(
        exit_code=process.returncode,
        cut_off=cut_off,
        cpu_sec=waited[2].ru_utime + waited[2].ru_stime,
        stdout=stdout.read_text(encoding="utf-8", errors="replace"),
        stderr=stderr.read_text(encoding="utf-8", errors="replace"),
    )


def _cpu_sec(pid: int) -> float:
    """Return what a process and its reaped children have used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return sum(int(ticks) for ticks in fields[11:15]) / _TICKS_PER_SEC


def _last_json(text: str) -> dict[str, Any]:
    for line in reversed(text.splitlines()):
        with contextlib.suppress(ValueError):
            found = json.loads(line)
            if isinstance(found, dict):
                return found
    return {}
