"""`python -m bench show`: the requests of recorded runs, one a line."""

from __future__ import annotations

import argparse
from pathlib import Path

from bench.breakdown import requests_text
from bench.results import RESULTS_DIR, load


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `show`."""
    add = parser.add_argument
    add("results", nargs="*", type=Path, help="results files (default: the newest one)")
    add("--scenario", required=True)
    add("--client", default="ours")
    add("--until", type=float, default=1e9, metavar="SEC", help="requests asked until then")


def run(arguments: argparse.Namespace) -> int:
    """Print them; return the exit code."""
    paths = arguments.results or sorted(RESULTS_DIR.glob("*.jsonl"))[-1:]
    for result in load(paths):
        if (result.scenario, result.client) == (arguments.scenario, arguments.client):
            figures = result.figures
            ready = ", ".join("-" if at is None else f"{at:.3f}" for at in figures.ready_sec)
            print(f"run {result.run}: ratio {figures.ratio:.3f}, chunks ready at {ready}")
            print(requests_text(result.requests, arguments.until))
    return 0
