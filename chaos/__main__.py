"""`python -m chaos`: play a film many times while processes and nodes are killed, stopped and broken.

Exit codes: 0 every run came through, 1 one did not (its seed plays it again: `--runs 1 --seed N`), 2 wrong arguments,
130 interrupted.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from pathlib import Path

from chaos.judging import Run, Tally
from chaos.lane import Lane, Stopped


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument("--runs", type=int, default=10, help="how many films (default 10)")
    parser.add_argument("--seed", type=int, default=1, help="of the first run (default 1)")
    parser.add_argument("--lanes", type=int, default=1, help="films at a time (default 1)")
    arguments = parser.parse_args(argv)
    for name in ("runs", "lanes"):
        if not 1 <= getattr(arguments, name) <= 100_000:
            parser.error(f"--{name}: {getattr(arguments, name)} is not 1 to 100000")
    tally = Tally()
    seeds = count(arguments.seed)
    shares = [
        arguments.runs // arguments.lanes + (lane < arguments.runs % arguments.lanes)
        for lane in range(arguments.lanes)
    ]

    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())

    def lane(runs: int) -> None:
        with (
            tempfile.TemporaryDirectory(prefix="vc-") as folder,
            Lane(Path(folder), stopping) as made,
            suppress(Stopped),
        ):
            for _ in range(runs):
                if stopping.is_set():
                    return
                run = made.play(next(seeds))
                tally.runs.append(run)
                _say(run)

    with ThreadPoolExecutor(arguments.lanes) as pool:
        for ended in [pool.submit(lane, runs) for runs in shares if runs]:
            ended.result()
    print("\n".join(tally.lines()))
    if stopping.is_set():
        return 130
    return 0 if tally.right == len(tally.runs) == arguments.runs else 1


def _say(run: Run) -> None:
    wrong = run.faults()
    print(f"seed {run.seed}: {'; '.join(wrong) if wrong else 'right'} ({len(run.strikes)} strikes)")
    if wrong:
        print("".join(f"    {strike}\n" for strike in run.strikes), end="")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
