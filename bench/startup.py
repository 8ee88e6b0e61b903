"""How soon requests leave after the command: cold (private stack) and joined to a standing stack."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from bench.stack import (
    PROJECT_DIR,
    NotingMetadata,
    client_environment,
    fetch,
    short_dir,
    standing_stack,
)
from cluster import EmbeddedCluster

VIDEO_ID = "bench-startup"
BUDGETS_SEC = {"cold": (0.5, 1.0), "joined": (None, 0.15)}


@dataclass(frozen=True, slots=True)
class Start:
    """One start: seconds from the command to each milestone, and the startup latency it reported."""

    manifest_sec: float
    first_chunk_sec: float


def run(runs: int) -> None:
    """Print medians over `runs` starts of each kind."""
    with short_dir() as folder, EmbeddedCluster(3, folder / "cluster") as store:
        store.add_raw(bytes(range(256)) * 4096 * 3, VIDEO_ID)
        manifest = fetch(f"{store.metadata_url}/manifest/{VIDEO_ID}")
        metadata = NotingMetadata(manifest)
        try:
            cold = [_start(store, metadata, folder, private=True) for _ in range(runs)]
            environment = client_environment(str(folder))
            run_dir = folder / "vstack" / "shared"
            run_dir.mkdir(parents=True, mode=0o700, exist_ok=True)
            with standing_stack(environment, run_dir):
                joined = [_start(store, metadata, folder, private=False) for _ in range(runs)]
        finally:
            metadata.close()
    print(f"startup, medians of {runs} (min-max), seconds")
    print("kind    since        manifest request     first chunk request   budget")
    for kind, starts in (("cold", cold), ("joined", joined)):
        budget = " / ".join("-" if b is None else f"{b:g}" for b in BUDGETS_SEC[kind])
        manifests = [s.manifest_sec for s in starts]
        chunks = [s.first_chunk_sec for s in starts]
        print(f"{kind:<7} command      {_spread(manifests)}   {_spread(chunks)}   {budget}")
        taken = [c - m for c, m in zip(chunks, manifests, strict=True)]
        print(f"{kind:<7} manifest     {'':<18}   {_spread(taken)}")


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.3f} ({min(values):.3f}-{max(values):.3f})"


def _start(
    store: EmbeddedCluster, metadata: NotingMetadata, folder: Path, *, private: bool
) -> Start:
    before = {url: len(store.requests(url)) for url in store.node_urls}
    metadata.asked_unix_sec.clear()
    command = [sys.executable, "main.py", VIDEO_ID, "--metadata-url", metadata.url]
    command += ["--player", "none", "--no-pace", "--quiet", *(["--private"] if private else [])]
    began_unix_sec = time.time()
    done = subprocess.run(
        command, cwd=PROJECT_DIR, env=client_environment(str(folder)), check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"main.py ended with {done.returncode}")
    asked = [
        request["start_unix_sec"]
        for url in store.node_urls
        for request in store.requests(url)[before[url] :]
        if request["path"].startswith("/chunk/")
    ]
    return Start(min(metadata.asked_unix_sec) - began_unix_sec, min(asked) - began_unix_sec)
