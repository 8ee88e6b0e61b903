"""One store and one film, played again and again while things break."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import av
import psutil

from chaos.film import picture_sums
from chaos.judging import Run, agreeing
from chaos.schedule import Strike, strikes
from cluster import EmbeddedCluster, LinkProfile
from cluster.ports import free_port
from cluster.sample import make_sample_film

ROOT = Path(__file__).resolve().parents[1]
LEASH = ROOT / "client" / "players" / "leash.py"
FILM = "film"
FILM_SEC = 16
BITRATE_BPS = 600_000
WORKERS = 2
# Any one of them carries the film two times over.
LINKS = (
    LinkProfile(rate_mbps=8, rtt_ms=10),
    LinkProfile(rate_mbps=4, rtt_ms=20),
    LinkProfile(rate_mbps=2, rtt_ms=30),
)
# Small, so that chunks are fetched for nearly as long as the film plays.
BUFFER = {"TARGET_BUFFER_SEC": "8", "LOW_WATER_MARK_SEC": "4"}
LIMIT_SEC = 120.0
GONE_SEC = 10.0
POLL_SEC = 0.02


class Stopped(Exception):
    """We are to end before the film does."""


class Lane:
    """A store, a film in it, and a folder for what is made of it; `stopping` ends the film that plays."""

    def __init__(self, folder: Path, stopping: threading.Event) -> None:
        self._folder = folder
        self._stopping = stopping
        self._cluster = EmbeddedCluster(len(LINKS), folder / "store", LINKS)
        self._expected: list[int] = []

    def __enter__(self) -> Lane:
        source = self._folder / "source.mp4"
        make_sample_film(
            source, width=320, height=180, duration_sec=FILM_SEC, bitrate_bps=BITRATE_BPS
        )
        self._expected = picture_sums(source)
        self._cluster.start()
        self._cluster.run("add", str(source), "--id", FILM, "--chunk-duration", "2")
        return self

    def __exit__(self, *_: object) -> None:
        self._cluster.stop()

    def play(self, seed: int) -> Run:
        """Play the film once under the strikes of a seed; raises Stopped."""
        struck = strikes(seed, until_sec=FILM_SEC * 0.8, nodes=len(LINKS), workers=WORKERS)
        # Short: the addresses of UNIX sockets are.
        home = self._folder / "r"
        home.mkdir()
        output = home / "film.mp4"
        try:
            with _Viewer(home, self._cluster.metadata_url, output, self._stopping) as viewer:
                _Hands(viewer, self._cluster, self._stopping).strike(struck)
                back_sec = viewer.away.ended()
                exit_code, summary = viewer.finish()
            left = viewer.left_processes()
            frames = _pictures(output)
            return Run(
                seed=seed,
                strikes=struck,
                exit_code=exit_code,
                message=str(summary.get("message", "")) or viewer.errors(),
                frames=agreeing(frames, self._expected),
                found_frames=len(frames),
                expected_frames=len(self._expected),
                rebuffering_events=int(summary.get("rebuffering_events", 0)),
                stalled_sec=float(summary.get("stalled_sec", 0.0)),
                left_processes=tuple(left),
                left_files=tuple(p.name for p in (home / "vstack").glob("*") if p.name != "shared"),
                back_sec=tuple(back_sec),
            )
        finally:
            for number in range(1, len(LINKS) + 1):
                self._cluster.set_fault(number, "none")
            shutil.rmtree(home, ignore_errors=True)


def _pictures(path: Path) -> list[int]:
    try:
        return picture_sums(path)
    except (av.FFmpegError, OSError):
        return []


class _Viewer:
    """`python main.py` in a folder of its own."""

    def __init__(
        self, home: Path, metadata_url: str, output: Path, stopping: threading.Event
    ) -> None:
        self._home = home
        self._stopping = stopping
        self._out, self._err = home / "out", home / "err"
        environment = {k: v for k, v in os.environ.items() if not k.startswith("VSTACK_")}
        environment |= {
            "XDG_RUNTIME_DIR": str(home),
            "XDG_CONFIG_HOME": str(home),
            "METADATA_SERVICE_URL": metadata_url,
            "DASHBOARD_PORT": str(free_port()),
            "WORKERS": str(WORKERS),
            **BUFFER,
        }
        # However we end, it does not outlive us.
        command = [sys.executable, str(LEASH), str(os.getpid()), sys.executable, "main.py", FILM]
        command += ["--json", "--dashboard", "--private", "--output", str(output)]
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        self.away = _Away(self, stopping)

    def __enter__(self) -> _Viewer:
        return self

    def __exit__(self, *_: object) -> None:
        if not self.running:
            return
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(GONE_SEC)
        if self.running:
            _kill(self._processes())
        self.process.wait()

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def children(self, module: str) -> list[psutil.Process]:
        """Return its processes of a kind, oldest first."""
        found = []
        with suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self.process.pid).children():
                with suppress(psutil.Error):
                    words = child.cmdline()
                    if "-m" in words[:-1] and words[words.index("-m") + 1] == module:
                        found.append(child)
        return sorted(found, key=lambda child: child.pid)

    def finish(self) -> tuple[int, dict[str, Any]]:
        """Wait for the end; return the exit code, -1 when it takes too long, and the summary; raises Stopped."""
        deadline_sec = time.monotonic() + LIMIT_SEC
        while self.running and time.monotonic() < deadline_sec:
            if self._stopping.wait(POLL_SEC):
                raise Stopped
        code = -1 if self.process.returncode is None else self.process.returncode
        lines = self._out.read_text("utf-8", "replace").splitlines()
        try:
            last = json.loads(lines[-1]) if lines else {}
        except ValueError:
            last = {}
        return code, last if last.get("event") == "summary" else {}

    def errors(self) -> str:
        """Return the end of what it wrote to standard error."""
        return self._err.read_text("utf-8", "replace")[-500:] if self._err.exists() else ""

    def left_processes(self) -> list[str]:
        """Return what still runs of it a while after its end, and end that."""
        deadline_sec = time.monotonic() + GONE_SEC
        while (left := self._processes()) and time.monotonic() < deadline_sec:
            self._stopping.wait(POLL_SEC)
        _kill(left)
        return [str(process) for process in left]

    def _processes(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if process.environ().get("XDG_RUNTIME_DIR") == str(self._home):
                    found.append(process)
        return found


class _Away:
    """How long killed processes were away: until another of their kind runs beside those that were left."""

    def __init__(self, viewer: _Viewer, stopping: threading.Event) -> None:
        self._viewer = viewer
        self._stopping = stopping
        self._open: list[tuple[str, float, frozenset[int]]] = []
        self._ended: list[tuple[str, float]] = []

    def begin(self, module: str, known: frozenset[int]) -> None:
        """Note that a process was killed; `known` are those that ran until then."""
        self._open.append((module, time.monotonic(), known))

    def look(self) -> None:
        """See who is back."""
        for entry in list(self._open):
            module, since_sec, known = entry
            new = [p for p in self._viewer.children(module) if p.pid not in known]
            if new:
                self._open.remove(entry)
                self._ended.append((module, time.monotonic() - since_sec))

    def ended(self) -> list[tuple[str, float]]:
        """Wait for those that are still away, as long as the film plays; return all."""
        while self._open and self._viewer.running and not self._stopping.wait(POLL_SEC):
            self.look()
        return self._ended


class _Hands:
    """Does to processes and nodes what a schedule says."""

    def __init__(
        self, viewer: _Viewer, cluster: EmbeddedCluster, stopping: threading.Event
    ) -> None:
        self._viewer = viewer
        self._cluster = cluster
        self._stopping = stopping
        self._stopped: list[tuple[float, psutil.Process]] = []

    def strike(self, schedule: tuple[Strike, ...]) -> None:
        """Do all of it, as long as the film plays; nothing is left stopped."""
        started_sec = time.monotonic()
        waiting = list(schedule)
        try:
            while (waiting or self._stopped) and self._viewer.running:
                now_sec = time.monotonic() - started_sec
                self._wake(now_sec)
                while waiting and waiting[0].at_sec <= now_sec:
                    self._do(waiting.pop(0), now_sec)
                self._viewer.away.look()
                if self._stopping.wait(POLL_SEC):
                    return
        finally:
            self._wake(math.inf)

    def _wake(self, now_sec: float) -> None:
        """Let those go on whose time is over."""
        for end_sec, process in list(self._stopped):
            if now_sec >= end_sec:
                self._stopped.remove((end_sec, process))
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(signal.SIGCONT)

    def _do(self, strike: Strike, now_sec: float) -> None:
        if strike.blow == "fault":
            self._cluster.set_fault(int(strike.target), strike.fault, for_sec=strike.for_sec)
            return
        found = self._viewer.children(strike.target)
        if not found:
            # It is away already, or has not begun.
            return
        process = found[strike.index % len(found)]
        with suppress(psutil.NoSuchProcess):
            if strike.blow == "kill":
                process.kill()
                self._viewer.away.begin(strike.target, frozenset(p.pid for p in found))
            else:
                process.send_signal(signal.SIGSTOP)
                self._stopped.append((now_sec + strike.for_sec, process))


def _kill(processes: Iterable[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
