"""What the stack's processes hold in memory while the sample film plays, over time."""

from __future__ import annotations

import subprocess
import sys
import time

import psutil

from bench.stack import KINDS, PROJECT_DIR, client_environment, short_dir, standing_stack
from cluster import EmbeddedCluster

VIDEO_ID = "test-video-001"
BUDGET_MB = 400
SAMPLE_SEC = 5.0
WARM_UP_SEC = 60.0


def run(minutes: float) -> None:
    """Play the sample film in a loop through one standing stack; print each process's size over time."""
    with short_dir() as folder, EmbeddedCluster(3, folder / "cluster", profile="demo") as store:
        print("making the sample film ...", flush=True)
        store.run("sample")
        environment = {
            **client_environment(str(folder)),
            "METADATA_SERVICE_URL": store.metadata_url,
            "VSTACK_RUN_DIR": str(folder / "run"),
        }
        (folder / "run").mkdir(mode=0o700)
        with standing_stack(environment, folder / "run") as pids:
            sizes = _watch(environment, [psutil.Process(pid) for pid in pids], minutes)
    _print([*KINDS, "main.py"], sizes)


def _watch(
    environment: dict[str, str], processes: list[psutil.Process], minutes: float
) -> list[tuple[float, list[float]]]:
    """Return the sizes of all processes and of the player's, each with the seconds since the start."""
    sizes: list[tuple[float, list[float]]] = []
    began_sec = time.monotonic()
    player: subprocess.Popen[bytes] | None = None
    try:
        while time.monotonic() - began_sec < minutes * 60:
            if player is None or player.poll() is not None:
                player = subprocess.Popen(
                    [sys.executable, "main.py", VIDEO_ID, "--player", "none", "--quiet"],
                    cwd=PROJECT_DIR,
                    env=environment,
                )
            time.sleep(SAMPLE_SEC)
            row = [_pss_mb(p) for p in (*processes, psutil.Process(player.pid))]
            sizes.append((time.monotonic() - began_sec, row))
    finally:
        if player is not None and player.poll() is None:
            player.terminate()
            player.wait()
    return sizes


def _pss_mb(process: psutil.Process) -> float:
    try:
        pss: float = process.memory_full_info().pss / 1e6
    except psutil.Error:
        return 0.0
    return pss


def _print(names: list[str], sizes: list[tuple[float, list[float]]]) -> None:
    warm = next((row for at, row in sizes if at >= WARM_UP_SEC), sizes[0][1])
    print(f"proportional set size in MB; after {WARM_UP_SEC:g} s, at the end, peak")
    for index, name in enumerate(names):
        peak = max(row[index] for _, row in sizes)
        print(f"{name:<18} {warm[index]:7.1f} {sizes[-1][1][index]:7.1f} {peak:7.1f}")
    peak = max(sum(row) for _, row in sizes)
    print(f"{'all':<18} {sum(warm):7.1f} {sum(sizes[-1][1]):7.1f} {peak:7.1f}  budget {BUDGET_MB}")
