"""Medians as text: rates, CPU seconds per GB, and where ours go."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.bulk.runs import Run
from bench.setting import Occasion, write_measured

# The part of ours in which the checksums are computed.
HASHING_PART = "worker pool"


@dataclass(frozen=True, slots=True, kw_only=True)
class Medians:
    """A client's medians, each figure's of its own; `cpu` figures are seconds per GB of film."""

    rate_gbps: float
    transfer_gbps: float
    client_cpu_sec: float
    server_cpu_sec: float
    other_load_cpus: float
    sent_ratio: float
    requests: float
    # Empty for others.
    parts_cpu_sec: dict[str, float]


def medians_of(runs: Sequence[Run], film_bytes: int) -> Medians:
    """Return the medians of a client's runs."""
    film_gb = film_bytes * 1e-9

    def middle(value: Callable[[Run], float]) -> float:
        return statistics.median(value(run) for run in runs)

    names = dict.fromkeys(name for run in runs for name in run.parts_cpu_sec)
    return Medians(
        rate_gbps=middle(lambda run: film_gb * 8 / run.wall_sec),
        transfer_gbps=middle(lambda run: film_gb * 8 / run.transfer_sec),
        client_cpu_sec=middle(lambda run: run.client_cpu_sec / film_gb),
        server_cpu_sec=middle(lambda run: run.server_cpu_sec / film_gb),
        other_load_cpus=middle(lambda run: run.other_cpu_sec / run.wall_sec),
        sent_ratio=middle(lambda run: run.sent_bytes / film_bytes),
        requests=middle(lambda run: run.requests),
        parts_cpu_sec={
            name: statistics.median(run.parts_cpu_sec.get(name, 0.0) / film_gb for run in runs)
            for name in names
        },
    )


def part_rows(ours: Sequence[Medians]) -> list[tuple[str, list[float]]]:
    """Return each part's name and its CPU seconds per GB in each column, the dearest first."""
    names = list(dict.fromkeys(name for column in ours for name in column.parts_cpu_sec))
    rows = [(name, [column.parts_cpu_sec.get(name, 0.0) for column in ours]) for name in names]
    return sorted(rows, key=lambda row: -max(row[1]))


def show(
    results: Mapping[str, Sequence[Run]],
    film_bytes: int,
    hash_sec_per_gb: float,
    when: Occasion,
    count: int,
) -> None:
    """Print the tables."""
    began = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(when.began_unix_sec))
    print(f"\n{began}, {when.cpu}, Python {when.setting.python}")
    print(f"{film_bytes * 1e-9:.2f} GB, medians of {count} runs, all bytes verified")
    print(
        "client             Gbit/s  transfer   CPU s/GB: client  server   other load   sent/film"
        "  requests"
    )
    medians = {name: medians_of(runs, film_bytes) for name, runs in results.items()}
    for name, found in medians.items():
        print(
            f"{name:<17} {found.rate_gbps:7.2f} {found.transfer_gbps:9.2f} "
            f"{found.client_cpu_sec:18.2f} {found.server_cpu_sec:7.2f} "
            f"{found.other_load_cpus:12.2f} {found.sent_ratio:11.3f} {found.requests:9.0f}"
        )
    print("Gbit/s: film / time of the whole command; transfer: from the request for the manifest")
    print("(others: from the command) to the end of the last answer; other load: CPUs' worth of")
    print("work on this machine that belongs to neither client nor server\n")
    _show_parts(medians, hash_sec_per_gb)


def write(
    results: Mapping[str, Sequence[Run]],
    film_bytes: int,
    hash_sec_per_gb: float,
    when: Occasion,
    path: Path,
) -> None:
    """Write the figures of every run as JSON."""
    runs = {name: [asdict(run) for run in mine] for name, mine in results.items()}
    fields = {"film_bytes": film_bytes, "sha256_sec_per_gb": hash_sec_per_gb, "runs": runs}
    write_measured(path, when, fields)


def _show_parts(medians: Mapping[str, Medians], hash_sec_per_gb: float) -> None:
    ours = {name: found for name, found in medians.items() if found.parts_cpu_sec}
    if not ours:
        return
    print("where ours go, CPU s per GB  " + "".join(f"{column:>10}" for column in ours))
    for name, costs in part_rows(list(ours.values())):
        print(f"{PART_MEANINGS.get(name, name):<28} " + "".join(f"{cost:10.3f}" for cost in costs))
        if name == HASHING_PART:
            row = "".join(f"{hash_sec_per_gb:10.3f}" for _ in ours)
            print(f"{'  of it sha256 (measured)':<28} {row}")


PART_MEANINGS = {
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
