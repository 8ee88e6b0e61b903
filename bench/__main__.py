"""`python -m bench startup|memory`: measurements of the running program."""

from __future__ import annotations

import argparse
import sys

from bench import memory, startup


def main() -> int:
    """Run the measurements asked for; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("what", choices=("startup", "memory", "all"), nargs="?", default="all")
    parser.add_argument("--runs", type=int, default=10, help="starts of each kind (default 10)")
    parser.add_argument("--minutes", type=float, default=10, help="length of the memory run")
    arguments = parser.parse_args()
    if arguments.what in ("startup", "all"):
        startup.run(arguments.runs)
    if arguments.what in ("memory", "all"):
        memory.run(arguments.minutes)
    return 0


if __name__ == "__main__":
    sys.exit(main())
