"""One nginx process as metadata service and as all nodes: it holds nothing back."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.bulk.film import Film, manifest_of

# Below the ephemeral ports, which clients' sockets are given.
_PORTS = range(21000, 31000)
_READY_SEC = 10.0
_SETTLED_SEC = 5.0
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@dataclass(frozen=True, slots=True)
class Served:
    """What the nodes sent since a mark in their log."""

    requests: int
    body_bytes: int
    manifest_unix_sec: float | None
    last_end_unix_sec: float


class NginxStore:
    """A running nginx; `log_path` has a line for each request that has ended."""

    def __init__(self, pid: int, metadata_url: str, node_urls: list[str], log_path: Path) -> None:
        self.pid = pid
        self.metadata_url = metadata_url
        self.node_urls = node_urls
        self._log_path = log_path

    def mark(self) -> int:
        """Return the place in the log from which `served` is to count."""
        return self._log_path.stat().st_size

    def served(self, mark: int, *, at_least_bytes: int) -> Served:
        """Return what was sent since `mark`; waits for lines of answers whose end a client saw first."""
        deadline_sec = time.monotonic() + _SETTLED_SEC
        while True:
            found = self._read(mark)
            if found.body_bytes >= at_least_bytes or time.monotonic() > deadline_sec:
                return found
            time.sleep(0.02)

    def _read(self, mark: int) -> Served:
        with self._log_path.open("rb") as log:
            log.seek(mark)
            text = log.read()
        requests = body_bytes = 0
        manifest_unix_sec, last_end_unix_sec = None, 0.0
        for line in text[: text.rfind(b"\n") + 1].decode().splitlines():
            end, lasted, path, sent = line.split(" ")
            if path.startswith("/manifest/"):
                manifest_unix_sec = float(end) - float(lasted)
            elif path.startswith("/chunk/"):
                requests += 1
                body_bytes += int(sent)
                last_end_unix_sec = max(last_end_unix_sec, float(end))
        return Served(requests, body_bytes, manifest_unix_sec, last_end_unix_sec)


@contextlib.contextmanager
def nginx_store(film: Film, nodes: int) -> Iterator[NginxStore]:
    """Serve the film from `nodes` ports of one nginx process, with all its files below the film's folder."""
    program = find_nginx()
    if program is None:
        raise FileNotFoundError("nginx")
    folder = film.folder / "nginx"
    folder.mkdir()
    metadata_port, *node_ports = free_ports(1 + nodes)
    node_urls = [f"http://127.0.0.1:{port}" for port in node_ports]
    (film.folder / "manifest").mkdir()
    (film.folder / "manifest" / film.video_id).write_bytes(manifest_of(film, node_urls))
    config = folder / "nginx.conf"
    config.write_text(_config(film.folder, folder, metadata_port, node_ports))
    child = subprocess.Popen(
        [program, "-p", str(folder), "-c", str(config), "-e", str(folder / "error.log")],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    metadata_url = f"http://127.0.0.1:{metadata_port}"
    try:
        _wait_ready(child, metadata_url, folder / "error.log")
        yield NginxStore(child.pid, metadata_url, node_urls, folder / "access.log")
    finally:
        child.terminate()
        child.wait()


def find_nginx() -> str | None:
    """Return nginx's path; its folder is often not on an ordinary user's PATH."""
    return shutil.which("nginx", path=os.environ.get("PATH", "") + os.pathsep + "/usr/sbin")


def _config(root: Path, folder: Path, metadata_port: int, node_ports: list[int]) -> str:
    healthy = json.dumps(
        [
            {"node_url": f"http://127.0.0.1:{port}", "node_id": f"node-{port}", "status": "healthy"}
            for port in node_ports
        ]
    )
    temporary = "\n".join(f"    {name}_temp_path {folder}/{name};" for name in _TEMPORARY)
    listen = "\n".join(f"        listen 127.0.0.1:{port};" for port in node_ports)
    return f"""
daemon off;
master_process off;
worker_processes 1;
pid {folder}/nginx.pid;
events {{ worker_connections 1024; }}
http {{
    log_format ended '$msec $request_time $uri $body_bytes_sent';
    access_log {folder}/access.log ended;
{temporary}
    default_type application/octet-stream;
    sendfile on;
    tcp_nopush on;
    keepalive_timeout 75;
    keepalive_requests 1000000;
    server {{
        listen 127.0.0.1:{metadata_port};
        default_type application/json;
        location /manifest/ {{ root {root}; }}
        location = /health {{ return 200 '{{"status":"healthy"}}'; }}
        location = /nodes/healthy {{ return 200 '{healthy}'; }}
        location /video/ {{ return 200 '{{}}'; }}
    }}
    server {{
{listen}
        location /chunk/ {{ root {root}; }}
        location = /ping {{ return 200; }}
    }}
}}
"""


def free_ports(count: int) -> list[int]:
    """Return ports nobody listens on, where no client's socket will be."""
    found: list[int] = []
    for port in _PORTS:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError("no free ports")


def _wait_ready(child: subprocess.Popen[bytes], metadata_url: str, error_log: Path) -> None:
    deadline_sec = time.monotonic() + _READY_SEC
    while True:
        if child.poll() is not None or time.monotonic() > deadline_sec:
            said = error_log.read_text() if error_log.exists() else ""
            raise RuntimeError(f"nginx does not start: {said.strip()}")
        try:
            with urllib.request.urlopen(f"{metadata_url}/health", timeout=1):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.02)
