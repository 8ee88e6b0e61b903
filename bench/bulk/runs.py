"""One run of each client over the whole film, with what it took."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.bulk.cpu import machine_busy_sec, process_cpu_sec, thread_cpu_sec, wait_cpu_sec
from bench.bulk.film import Film
from bench.bulk.nginx import NginxStore, free_ports
from bench.stack import PROJECT_DIR, client_environment, standing_stack


@dataclass(frozen=True, slots=True)
class Run:
    """A run that brought the whole film, every byte of it verified.

    `wall_sec` is from the command to its end, `transfer_sec` from the request for the manifest (the command, where
    there is none) to the end of the last answer. `other_cpu_sec` is what the machine did besides.
    """

    wall_sec: float
    transfer_sec: float
    client_cpu_sec: float
    server_cpu_sec: float
    other_cpu_sec: float
    sent_bytes: int
    requests: int
    parts_cpu_sec: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Bench:
    """What all runs share."""

    film: Film
    store: NginxStore
    folder: Path

    def measure(self, act: Callable[[], tuple[float, dict[str, float]]]) -> Run:
        """Return what `act` took; it returns its CPU seconds, in all and by part, or raises RuntimeError."""
        mark = self.store.mark()
        server_before_sec = process_cpu_sec(self.store.pid)
        busy_before_sec = machine_busy_sec()
        began_sec, began_unix_sec = time.monotonic(), time.time()
        client_cpu_sec, parts = act()
        wall_sec = time.monotonic() - began_sec
        busy_sec = machine_busy_sec() - busy_before_sec
        server_cpu_sec = process_cpu_sec(self.store.pid) - server_before_sec
        served = self.store.served(mark, at_least_bytes=self.film.size_bytes)
        if served.body_bytes < self.film.size_bytes:
            raise RuntimeError(f"{served.body_bytes} bytes were sent of {self.film.size_bytes}")
        return Run(
            wall_sec=wall_sec,
            transfer_sec=served.last_end_unix_sec - (served.manifest_unix_sec or began_unix_sec),
            client_cpu_sec=client_cpu_sec,
            server_cpu_sec=server_cpu_sec,
            other_cpu_sec=max(0.0, busy_sec - client_cpu_sec - server_cpu_sec),
            sent_bytes=served.body_bytes,
            requests=served.requests,
            parts_cpu_sec=parts,
        )

    def urls(self, *, node: int | None = None) -> list[str]:
        """Return a URL for each chunk: of its node in turn, or of one node."""
        nodes = self.store.node_urls
        return [
            f"{nodes[index % len(nodes) if node is None else node]}/chunk/{chunk_id}"
            for index, chunk_id in enumerate(self.film.chunk_ids)
        ]


# ------------------------------------------------------------ ours


@contextlib.contextmanager
def our_stack(bench: Bench, workers: int) -> Iterator[Callable[[], Run]]:
    """Keep a standing stack with `workers`; yields a run of the command that joins it."""
    kinds = (
        *("buffer", "scheduler", "monitor", "dashboard"),
        *["scheduler.worker"] * workers,
    )
    environment = client_environment(str(bench.folder))
    environment["DASHBOARD_PORT"] = str(free_ports(1)[0])
    run_dir = bench.folder / "vstack" / "shared"
    run_dir.mkdir(parents=True, mode=0o700, exist_ok=True)

    with standing_stack(environment, run_dir, kinds) as pids:

        def act() -> tuple[float, dict[str, float]]:
            whole = {pid: process_cpu_sec(pid) for pid in pids}
            threads = {pid: thread_cpu_sec(pid) for pid in pids}
            parts = {"main": _play(bench, environment, private=False)}
            for kind, pid in zip(kinds, pids, strict=True):
                name = kind.removeprefix("scheduler.")
                used_sec = process_cpu_sec(pid) - whole[pid]
                for thread, after_sec in thread_cpu_sec(pid).items():
                    thread_sec = after_sec - threads[pid][thread]
                    if thread != "pool":
                        used_sec -= thread_sec
                        key = f"{name} {thread}"
                        parts[key] = parts.get(key, 0.0) + thread_sec
                # Threads of a pool may have ended in between: theirs is what remains of the process's.
                parts[f"{name} pool"] = parts.get(f"{name} pool", 0.0) + used_sec
            return sum(parts.values()), parts

        yield lambda: bench.measure(act)


def run_private(bench: Bench, workers: int) -> Run:
    """Play with a stack of its own: the start and the end of all its processes are in it."""

    def act() -> tuple[float, dict[str, float]]:
        environment = client_environment(str(bench.folder))
        return _play(bench, environment, private=True, workers=workers), {}

    return bench.measure(act)


def _play(
    bench: Bench, environment: dict[str, str], *, private: bool, workers: int | None = None
) -> float:
    command = [sys.executable, "main.py", bench.film.video_id, "--player", "none", "--no-pace"]
    command += ["--json", "--metadata-url", bench.store.metadata_url]
    command += [f"--workers={workers}"] if workers else []
    command += ["--private"] if private else []
    said = bench.folder / "main.json"
    code, cpu_sec = _run([command], environment, said)
    summary = json.loads(said.read_text().splitlines()[-1])
    played, needed = summary["chunks_played"], len(bench.film.chunk_ids)
    if code or played != needed:
        raise RuntimeError(f"main.py ended with {code}, {played} of {needed} chunks")
    return cpu_sec


def prove_delivery(bench: Bench, workers: int) -> bool:
    """Tell whether what comes out at the other end of the client is the film, byte by byte."""
    said = bench.folder / "delivered.sum"
    command = f"{sys.executable} main.py {bench.film.video_id} --output - --raw --no-pace --quiet"
    command += f" --private --workers={workers} --metadata-url {bench.store.metadata_url}"
    _run([["sh", "-c", f"{command} | sha256sum"]], client_environment(str(bench.folder)), said)
    every = list(range(len(bench.film.chunk_ids)))
    return said.read_text().split()[0] == bench.film.checksum_of(every)


# ------------------------------------------------------------ others


def run_threads(bench: Bench, threads: int, processes: int) -> Run:
    """Plain requests in threads, each chunk hashed in memory."""
    command = [sys.executable, "-m", "bench.bulk.threads", bench.store.metadata_url]
    command += [bench.film.video_id, f"--threads={threads}", f"--processes={processes}"]
    return bench.measure(lambda: _all_right([command]))


def run_curl_streams(bench: Bench, streams: int, hasher: str = "sha256sum") -> Run:
    """Several curls, each with the URLs of every n-th chunk on one connection, piped into one hasher each.

    As cheap as curl can be: one process and one sum for hundreds of chunks, none of which is known to be right before
    the end.
    """
    wanted, commands = [], []
    for stream in range(streams):
        mine = list(range(stream, len(bench.film.chunk_ids), streams))
        urls = bench.urls(node=stream % len(bench.store.node_urls))
        listed = bench.folder / f"curl-{stream}.txt"
        listed.write_text("".join(f"url = {urls[index]}\n" for index in mine))
        wanted.append(bench.film.checksum_of(mine))
        out = bench.folder / f"curl-{stream}.sum"
        commands.append(["sh", "-c", f"curl -sSf -K {listed} | {hasher} > {out}"])
    run = bench.measure(lambda: _all_right(commands))
    for stream, checksum in enumerate(wanted):
        if (bench.folder / f"curl-{stream}.sum").read_text().split()[0] != checksum:
            raise RuntimeError("curl: a stream is not what it should be")
    return run


def run_curl_chunks(bench: Bench, parallel: int) -> Run:
    """`xargs -P` with a curl and a sha256sum for each chunk, so that each is known to be right."""
    listed = bench.folder / "xargs.txt"
    listed.write_text("\n".join(bench.urls()))
    out = bench.folder / "xargs.sum"
    script = 'echo "${0##*/} $(curl -sSf "$0" | sha256sum)"'
    command = ["sh", "-c", f"xargs -a {listed} -P {parallel} -n 1 sh -c '{script}' > {out}"]
    run = bench.measure(lambda: _all_right([command]))
    found = dict(line.split()[:2] for line in out.read_text().splitlines())
    if found != dict(zip(bench.film.chunk_ids, bench.film.checksums, strict=True)):
        raise RuntimeError("curl: a chunk is not what it should be")
    return run


def run_aria2(bench: Bench, parallel: int, arguments: list[str]) -> Run:
    """aria2 with every node as a mirror and a checksum for each chunk, into files in memory."""
    target = bench.folder / "aria2"
    listed = bench.folder / "aria2.txt"
    mirrors = [bench.urls(node=node) for node in range(len(bench.store.node_urls))]
    lines = []
    for index, checksum in enumerate(bench.film.checksums):
        # A mirror of one's own first: aria2 begins with the first of the list.
        turn = index % len(mirrors)
        urls = [urls[index] for urls in mirrors[turn:] + mirrors[:turn]]
        lines += ["\t".join(urls), f"  checksum=sha-256={checksum}", f"  dir={target}"]
    listed.write_text("\n".join(lines) + "\n")
    command = ["aria2c", "--no-conf", "-q", "-i", str(listed), f"-j{parallel}", *arguments]
    command += ["--file-allocation=none", "--allow-overwrite=true", "--auto-file-renaming=false"]
    try:
        return bench.measure(lambda: _all_right([command]))
    finally:
        shutil.rmtree(target, ignore_errors=True)


def _all_right(commands: list[list[str]]) -> tuple[float, dict[str, float]]:
    code, cpu_sec = _run(commands)
    if code:
        raise RuntimeError(f"{commands[0][0]} ended with {code}")
    return cpu_sec, {}


def _run(
    commands: list[list[str]],
    environment: dict[str, str] | None = None,
    stdout_path: Path = Path(os.devnull),
) -> tuple[int, float]:
    """Run commands side by side; return the first exit code that is not 0, and their CPU seconds."""
    children: list[subprocess.Popen[bytes]] = []
    try:
        with stdout_path.open("wb") as out:
            children += [
                # A group of its own: a pipeline has to be ended as a whole.
                subprocess.Popen(
                    command, cwd=PROJECT_DIR, env=environment, stdout=out, start_new_session=True
                )
                for command in commands
            ]
        cpu_sec = sum(wait_cpu_sec(child) for child in children)
    finally:
        for child in children:
            if child.returncode is None:
                os.killpg(child.pid, signal.SIGTERM)
                child.wait()
    return next((child.returncode for child in children if child.returncode), 0), cpu_sec
