"""`python -m bench.bulk`: verified Gbit/s and CPU seconds per GB, ours and others', from unshaped nginx nodes."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench.bulk import report, runs
from bench.bulk.cpu import sha256_sec_per_gb
from bench.bulk.film import CHUNK_BYTES, small_film, write_film
from bench.bulk.nginx import find_nginx, nginx_store
from bench.bulk.runs import Bench, Run
from bench.setting import occasion

NODES = 3
# By default aria2 cuts nothing below 20 MiB: a chunk is one request.
ARIA2_TUNED = ["--split=4", "--min-split-size=1M", "--max-connection-per-server=4"]
PEERS: dict[str, tuple[str, Callable[[Bench], Run]]] = {
    "requests-4x1": ("python", lambda b: runs.run_threads(b, 4, 1)),
    "requests-4x2": ("python", lambda b: runs.run_threads(b, 4, 2)),
    "curl-2-streams": ("curl", lambda b: runs.run_curl_streams(b, 2)),
    "curl-4-streams": ("curl", lambda b: runs.run_curl_streams(b, 4)),
    # Where it was not built with it, sha256sum does without the CPU's instructions for it.
    "curl-2-openssl": ("openssl", lambda b: runs.run_curl_streams(b, 2, "openssl dgst -sha256 -r")),
    "curl-each-chunk": ("curl", lambda b: runs.run_curl_chunks(b, 4)),
    "aria2": ("aria2c", lambda b: runs.run_aria2(b, 5, [])),
    "aria2-tuned": ("aria2c", lambda b: runs.run_aria2(b, 5, ARIA2_TUNED)),
}


def main() -> int:
    """Measure what is asked for; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.bulk", description=__doc__)
    add = parser.add_argument
    add("--mib", type=int, default=3072, help="size of the film (default 3072, two hours in HD)")
    add("--runs", type=int, default=3, help="runs of each client; medians are shown (default 3)")
    add("--workers", default="1,2,4", help="numbers of workers of ours (default 1,2,4)")
    add("--only", choices=("ours", "others"), help="leave out the others, or ours")
    add("--private", action="store_true", help="ours also with a private stack, from its start")
    add("--media", action="store_true", help="chunks are MP4 files, whose length the client reads")
    add("--json", type=Path, metavar="FILE", help="write the figures of every run to FILE")
    add("--no-proof", action="store_true", help="do not compare the bytes delivered to the film")
    options = parser.parse_args()
    if find_nginx() is None:
        print("bench.bulk: nginx is not installed; it is what serves the nodes", file=sys.stderr)
        return 2
    when = occasion("python -m bench.bulk")
    # The film, nginx and the stack are to go when somebody ends this early.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    counts = [int(text) for text in options.workers.split(",")]
    place = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(prefix="vb-", dir=place) as name:
        folder = Path(name)
        media = small_film(folder) if options.media else b""
        film = write_film(folder / "film", options.mib * 1024 * 1024 // CHUNK_BYTES, media=media)
        with nginx_store(film, NODES) as store:
            bench = Bench(film, store, folder)
            ours = counts if options.only != "others" else []
            results = _measure(bench, options.runs, ours, options)
            if ours and not options.no_proof:
                right = all(runs.prove_delivery(bench, count) for count in ours)
                print(f"delivered bytes equal the film: {'yes' if right else 'NO'}", flush=True)
                if not right:
                    return 1
    hash_sec_per_gb = sha256_sec_per_gb()
    report.show(results, film.size_bytes, hash_sec_per_gb, when, options.runs)
    if options.json:
        report.write(results, film.size_bytes, hash_sec_per_gb, when, options.json)
    return 0


def _measure(
    bench: Bench, count: int, workers: list[int], options: argparse.Namespace
) -> dict[str, list[Run]]:
    results: dict[str, list[Run]] = {}

    def note(name: str, run: Run) -> None:
        results.setdefault(name, []).append(run)
        rate_gbps = bench.film.size_bytes * 8e-9 / run.wall_sec
        print(f"  {name:<16} {rate_gbps:6.2f} Gbit/s", file=sys.stderr, flush=True)

    # Round by round, so that what else the machine does meets all alike.
    for _ in range(count):
        for number in workers:
            with runs.our_stack(bench, number) as play:
                # The first session meets nodes of which nothing is known yet: it is a run like the others.
                note(f"ours-{number}", play())
            if options.private:
                note(f"ours-{number}-private", runs.run_private(bench, number))
        for name, (program, run) in PEERS.items():
            if options.only == "ours":
                continue
            if program != "python" and shutil.which(program) is None:
                print(f"  {name}: {program} is not installed", file=sys.stderr)
                continue
            note(name, run(bench))
    return results


if __name__ == "__main__":
    sys.exit(main())
