"""CPU seconds of processes, of their threads, and of the whole machine."""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import time
from pathlib import Path

_TICKS_PER_SEC = os.sysconf("SC_CLK_TCK")


def process_cpu_sec(pid: int) -> float:
    """Return what a running process has used so far, threads that have ended included."""
    # The kernel's clock of a process: the complement of its id, above three bits that ask for run time.
    return time.clock_gettime((~pid << 3) | 2)


def thread_cpu_sec(pid: int) -> dict[str, float]:
    """Return what a process's living threads have used: `loop` (the first), `zmq` (libzmq's own), `pool` (the rest)."""
    found = {"loop": 0.0, "zmq": 0.0, "pool": 0.0}
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            name = (task / "comm").read_text()
            # Nanoseconds on a CPU are the first figure.
            used_sec = int((task / "schedstat").read_text().split()[0]) * 1e-9
            kind = "zmq" if name.startswith("ZMQ") else "pool"
            found["loop" if int(task.name) == pid else kind] += used_sec
    return found


def machine_busy_sec() -> float:
    """Return the CPU seconds that everything on this machine has used since it started."""
    with Path("/proc/stat").open() as lines:
        user, nice, system, _idle, _iowait, irq, softirq, *_ = map(
            int, lines.readline().split()[1:]
        )
    return (user + nice + system + irq + softirq) / _TICKS_PER_SEC


def wait_cpu_sec(child: subprocess.Popen[bytes]) -> float:
    """Wait for a child's end; return what it and the descendants it waited for used."""
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime


def sha256_sec_per_gb() -> float:
    """Measure what a GB costs to hash here, in chunks that come from memory and not from a cache."""
    chunks = [os.urandom(2 * 1024 * 1024) for _ in range(64)]
    began_sec = time.thread_time()
    for chunk in chunks:
        hashlib.sha256(chunk).digest()
    return (time.thread_time() - began_sec) / (sum(map(len, chunks)) * 1e-9)
