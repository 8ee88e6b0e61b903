"""`python -m bench.clients NAME --metadata-url URL --video ID`: play a film as another client would.

Exits with 0 when the last chunk has arrived, 2 when this client cannot play the film or is not installed, 3 without a
manifest. The last line of standard output is a JSON object; a client ended by SIGTERM writes it too.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
from pathlib import Path
from types import FrameType

from bench.clients import aria2, original, roundrobin, single
from bench.clients.aria2 import Aria2Missing
from bench.clients.viewing import Viewing
from common.errors import CatalogError

NAMES = ("roundrobin", "single", "aria2", "aria2-tuned", "original")
NO_CODED = {
    "aria2": "aria2 cannot play coded films: it puts no fragments together",
    "aria2-tuned": "aria2 cannot play coded films: it puts no fragments together",
    "original": "the original client cannot play coded films: it knows no fragments",
}


def main() -> int:
    """Play; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.clients",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--metadata-url", required=True)
    parser.add_argument("--video", required=True, metavar="ID")
    parser.add_argument("--work-dir", type=Path, help="where files go (default: a temporary place)")
    options = parser.parse_args()
    try:
        viewing = Viewing(options.name, options.metadata_url, options.video)
    except CatalogError as error:
        print(f"bench.clients: {error}", file=sys.stderr)
        return 3
    if viewing.coded and options.name in NO_CODED:
        print(f"bench.clients: {NO_CODED[options.name]}", file=sys.stderr)
        return 2
    _report_when_terminated(viewing)
    try:
        _play(options.name, viewing, options.work_dir)
    except Aria2Missing as error:
        print(f"bench.clients: {error}", file=sys.stderr)
        return 2
    print(json.dumps(viewing.report()), flush=True)
    return 0


def _play(name: str, viewing: Viewing, work_dir: Path | None) -> None:
    match name:
        case "roundrobin":
            roundrobin.play(viewing)
        case "single":
            single.play(viewing)
        case "original":
            original.play(viewing)
        case _:
            with tempfile.TemporaryDirectory(prefix="vp-", dir=work_dir) as folder:
                aria2.play(viewing, Path(folder), tuned=name == "aria2-tuned")


def _report_when_terminated(viewing: Viewing) -> None:
    def on_signal(number: int, _frame: FrameType | None) -> None:
        print(json.dumps(viewing.report()), flush=True)
        if viewing.client.startswith("aria2"):
            # aria2c is to end first, and its files are to go.
            sys.exit(128 + number)
        # Reads may be blocked for as long as the client imitated is patient: the signal ends them.
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    signal.signal(signal.SIGTERM, on_signal)


if __name__ == "__main__":
    sys.exit(main())
