"""`python -m bench [real|report|show|startup|memory]`: measurements of the running program.

Beside it: `python -m bench.bulk`, `bench.simulate`, `bench.planner`, `bench.monitor_scale`, `bench.clients`.
"""

from __future__ import annotations

import argparse
import sys

from bench import memory, real, report, show, startup


def main() -> int:
    """Run the measurements asked for; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    what = parser.add_subparsers(dest="what", required=True)
    real.add_arguments(what.add_parser("real", help="clients against the physical optimum"))
    report.add_arguments(what.add_parser("report", help="write docs/benchmarks.md from results"))
    show.add_arguments(what.add_parser("show", help="print the requests of recorded runs"))
    starts = what.add_parser("startup", help="how soon requests leave after the command")
    starts.add_argument("--runs", type=int, default=10, help="starts of each kind (default 10)")
    sizes = what.add_parser("memory", help="what the processes hold over time")
    sizes.add_argument("--minutes", type=float, default=10, help="length of the run (default 10)")
    arguments = parser.parse_args()
    if arguments.what == "real":
        return real.run(arguments)
    if arguments.what == "report":
        return report.run(arguments)
    if arguments.what == "show":
        return show.run(arguments)
    if arguments.what == "startup":
        startup.run(arguments.runs)
    else:
        memory.run(arguments.minutes)
    return 0


if __name__ == "__main__":
    sys.exit(main())
