"""Run a program that ends when its parent does: `leash.py PARENT_PID PROGRAM ARGUMENTS...`.

A program of its own, for code between fork and exec may do next to nothing in a process with threads. It is started
with `-I -S` and by path: nothing of the project is imported, so that it costs a few milliseconds. What follows
replaces it under the same process id.
"""

import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def leash(parent_pid: int) -> None:
    """Have the kernel kill this process when the thread that started it ends; on Linux alone."""
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    # A player that hangs would outlive anything gentler, and has nothing to lose.
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent_pid:
        # It ended before we asked.
        sys.exit(1)


if __name__ == "__main__":
    leash(int(sys.argv[1]))
    try:
        os.execv(sys.argv[2], sys.argv[2:])
    except OSError as error:
        sys.exit(f"{sys.argv[2]}: {error.strerror}")
