"""aria2: chunks as downloads with every replica as a mirror, given to aria2c as playback allows.

`aria2` runs with its defaults: five downloads at a time, a chunk from one server (nothing below 20 MiB is split), 60 s
timeout, no checksum. `aria2-tuned` has what its manual offers for this: one chunk at a time, split at 1 MiB over the
mirrors in order, servers below 20 KiB/s dropped, short timeouts, its checksum. A download that aria2 gives up is
added again after a second, beginning with the next mirror.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from bench.clients.viewing import ROUND_PAUSE_SEC, Viewing
from cluster.ports import free_port
from common.messages import ChunkSpec

POLL_SEC = 0.02
READY_SEC = 10.0
TUNED = {
    # One chunk after the other: aria2 has no deadlines, and later chunks would take the links from the first.
    "max-concurrent-downloads": "1",
    "split": "4",
    "min-split-size": "1M",
    "max-connection-per-server": "2",
    "lowest-speed-limit": "20K",
    "stream-piece-selector": "inorder",
    "connect-timeout": "2",
    "timeout": "5",
    "max-tries": "2",
}


class Aria2Missing(Exception):
    """aria2c is not installed."""


@dataclass(slots=True)
class _Download:
    chunk: ChunkSpec
    gid: str
    attempt: int


class Aria2:
    """A running aria2c, spoken to by JSON-RPC on loopback."""

    def __init__(self, url: str, secret: str) -> None:
        self._url = url
        self._secret = secret
        self._http = requests.Session()
        self._http.trust_env = False

    def call(self, method: str, *arguments: object) -> Any:
        """Return what a method returns; raise RuntimeError with aria2's words when it refuses."""
        asked = {
            "jsonrpc": "2.0",
            "id": "1",
            "method": f"aria2.{method}",
            "params": [f"token:{self._secret}", *arguments],
        }
        answer = self._http.post(self._url, json=asked, timeout=10).json()
        if "error" in answer:
            raise RuntimeError(f"aria2c: {answer['error'].get('message')}")
        return answer["result"]

    def close(self) -> None:
        """Close the connection."""
        self._http.close()


def play(viewing: Viewing, work_dir: Path, *, tuned: bool) -> None:
    """Fetch the film; raises Aria2Missing."""
    with running_aria2(work_dir, TUNED if tuned else {}) as aria2:
        waiting = list(viewing.chunks)
        running: list[_Download] = []
        retries: list[tuple[float, ChunkSpec, int]] = []
        while not viewing.complete:
            while waiting and viewing.may_fetch(waiting[0].sequence_num):
                running.append(_add(aria2, waiting.pop(0), 0, checked=tuned))
            for due in [r for r in retries if r[0] <= time.monotonic()]:
                retries.remove(due)
                running.append(_add(aria2, due[1], due[2], checked=tuned))
            for download in list(running):
                state = aria2.call("tellStatus", download.gid, ["status", "errorCode"])["status"]
                path = work_dir / download.chunk.chunk_id
                if state == "complete":
                    running.remove(download)
                    data = path.read_bytes()
                    path.unlink()
                    viewing.arrive(download.chunk, data)
                elif state in ("error", "removed"):
                    running.remove(download)
                    viewing.note_failure()
                    path.unlink(missing_ok=True)
                    again_sec = time.monotonic() + ROUND_PAUSE_SEC
                    retries.append((again_sec, download.chunk, download.attempt + 1))
            time.sleep(POLL_SEC)


@contextlib.contextmanager
def running_aria2(work_dir: Path, options: dict[str, str]) -> Iterator[Aria2]:
    """Run aria2c for as long as the block; what it fetches goes to `work_dir`."""
    program = shutil.which("aria2c")
    if program is None:
        raise Aria2Missing("aria2c is not on the PATH")
    secret = secrets.token_hex(16)
    port = free_port()
    lines = {
        "enable-rpc": "true",
        "rpc-listen-port": str(port),
        "rpc-secret": secret,
        "dir": str(work_dir),
        "quiet": "true",
        "stop-with-process": str(os.getpid()),
        "file-allocation": "none",
        "allow-overwrite": "true",
        "auto-file-renaming": "false",
        **options,
    }
    # In a file only we can read: everybody sees a command line.
    config = work_dir / "aria2.conf"
    config.touch(mode=0o600)
    config.write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
    child = subprocess.Popen(
        [program, f"--conf-path={config}"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    aria2 = Aria2(f"http://127.0.0.1:{port}/jsonrpc", secret)
    try:
        _wait_ready(aria2, child)
        yield aria2
    finally:
        aria2.close()
        # Asked politely it waits for its connections.
        child.kill()
        child.wait()


def _add(aria2: Aria2, chunk: ChunkSpec, attempt: int, *, checked: bool) -> _Download:
    urls = [replica.url for replica in chunk.replicas]
    turn = attempt % len(urls)
    options = {"out": chunk.chunk_id}
    if checked:
        options["checksum"] = f"sha-256={chunk.checksum_sha256}"
    gid = aria2.call("addUri", urls[turn:] + urls[:turn], options)
    return _Download(chunk, gid, attempt)


def _wait_ready(aria2: Aria2, child: subprocess.Popen[bytes]) -> None:
    deadline_sec = time.monotonic() + READY_SEC
    while True:
        try:
            aria2.call("getVersion")
            return
        except requests.RequestException as error:
            if child.poll() is not None or time.monotonic() > deadline_sec:
                raise RuntimeError("aria2c does not start") from error
            time.sleep(0.01)
