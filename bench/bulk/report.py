"""Medians as text: rates, CPU seconds per GB, and where ours go."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from bench.bulk.runs import Run


def show(
    results: dict[str, list[Run]],
    film_bytes: int,
    hash_sec_per_gb: float,
    count: int,
) -> None:
    """Print the tables."""
    film_gb = film_bytes * 1e-9
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    print(f"\n{when}, {cpu_text()}, Python {platform.python_version()}")
    print(f"{film_gb:.2f} GB, medians of {count} runs, all bytes verified")
    print(
        "client             Gbit/s  transfer   CPU s/GB: client  server   other load   sent/film"
        "  requests"
    )
    for name, runs in results.items():

        def middle(value: Callable[[Run], float], runs: list[Run] = runs) -> float:
            return statistics.median(value(run) for run in runs)

        print(
            f"{name:<17} {middle(lambda r: film_gb * 8 / r.wall_sec):7.2f} "
            f"{middle(lambda r: film_gb * 8 / r.transfer_sec):9.2f} "
            f"{middle(lambda r: r.client_cpu_sec / film_gb):18.2f} "
            f"{middle(lambda r: r.server_cpu_sec / film_gb):7.2f} "
            f"{middle(lambda r: r.other_cpu_sec / r.wall_sec):12.2f} "
            f"{middle(lambda r: r.sent_bytes / film_bytes):11.3f} "
            f"{middle(lambda r: r.requests):9.0f}"
        )
    print("Gbit/s: film / time of the whole command; transfer: from the request for the manifest")
    print("(others: from the command) to the end of the last answer; other load: CPUs' worth of")
    print("work on this machine that belongs to neither client nor server\n")
    _show_parts(results, film_gb, hash_sec_per_gb)


def write(
    results: dict[str, list[Run]], film_bytes: int, hash_sec_per_gb: float, path: Path
) -> None:
    """Write the figures of every run as JSON."""
    body = {
        "at_unix_sec": datetime.now(UTC).timestamp(),
        "cpu": cpu_text(),
        "film_bytes": film_bytes,
        "sha256_sec_per_gb": hash_sec_per_gb,
        "runs": {name: [asdict(run) for run in runs] for name, runs in results.items()},
    }
    path.write_text(json.dumps(body, indent=1) + "\n")


def cpu_text() -> str:
    """Return how many CPUs of which kind there are."""
    kinds = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return f"{os.cpu_count()} CPUs {kinds[0] if kinds else platform.machine()}"


def _show_parts(results: dict[str, list[Run]], film_gb: float, hash_sec_per_gb: float) -> None:
    ours = {name: runs for name, runs in results.items() if runs[0].parts_cpu_sec}
    if not ours:
        return
    names = list(dict.fromkeys(key for runs in ours.values() for key in runs[0].parts_cpu_sec))
    medians = {
        (column, key): statistics.median(r.parts_cpu_sec[key] / film_gb for r in runs)
        for column, runs in ours.items()
        for key in names
    }
    print("where ours go, CPU s per GB  " + "".join(f"{column:>10}" for column in ours))
    for key in sorted(names, key=lambda key: -max(medians[column, key] for column in ours)):
        row = "".join(f"{medians[column, key]:10.3f}" for column in ours)
        print(f"{_MEANINGS.get(key, key):<28} {row}")
        if key == "worker pool":
            row = "".join(f"{hash_sec_per_gb:10.3f}" for _ in ours)
            print(f"{'  of it sha256 (measured)':<28} {row}")


_MEANINGS = {
    "worker pool": "worker: receive and verify",
    "worker loop": "worker: messages",
    "worker zmq": "worker: hand-over by ZeroMQ",
    "buffer zmq": "buffer: taking over by ZeroMQ",
    "buffer loop": "buffer: messages, sessions",
    "buffer pool": "buffer: playing, media",
    "scheduler loop": "scheduler: planning",
    "scheduler zmq": "scheduler: ZeroMQ",
    "scheduler pool": "scheduler: other threads",
    "monitor loop": "monitor: loop",
    "monitor pool": "monitor: pings",
    "monitor zmq": "monitor: ZeroMQ",
    "dashboard loop": "dashboard: loop",
    "dashboard pool": "dashboard: web server",
    "dashboard zmq": "dashboard: ZeroMQ",
    "main": "main.py, start included",
}
