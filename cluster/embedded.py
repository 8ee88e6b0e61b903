"""A cluster as a context manager, for tests and the demo."""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from cluster.client import call
from cluster.profiles import LinkProfile
from cluster.state import ClusterError, ClusterState, NodeState, read_state

_PROJECT_DIR = Path(__file__).resolve().parent.parent
_START_LIMIT_SEC = 30.0
_REPLY_LIMIT_SEC = 30.0
_STOP_LIMIT_SEC = 5.0


class EmbeddedCluster:
    """Run `python -m cluster up` on free ports for the length of a `with` block.

    `links` gives node 1, 2, ... its link: a LinkProfile, the text `--link` takes after `NODE=`
    ("rate=5,rtt=80") or None for the profile's. `data` survives: a second cluster on the same
    directory has the same videos. `log_path` holds what the cluster wrote to stderr.
    """

    def __init__(
        self,
        nodes: int = 3,
        data: Path | str = ".data/cluster",
        links: Sequence[LinkProfile | str | None] = (),
        *,
        profile: str = "unshaped",
        arguments: Sequence[str] = (),
    ) -> None:
        self.data = Path(data)
        self.log_path = self.data / "cluster.log"
        self._command = [sys.executable, "-m", "cluster", "up", "--stdin-commands"]
        self._command += ["--nodes", str(nodes), "--data", str(self.data), "--profile", profile]
        self._command += ["--metadata-port", "0", "--node-port", "0", *arguments]
        for number, link in enumerate(links, start=1):
            if link is not None:
                spec = link if isinstance(link, str) else link.as_link_spec()
                self._command += ["--link", f"{number}={spec}"]
        self._process: subprocess.Popen[bytes] | None = None
        self._output = b""
        self._state: ClusterState | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def state(self) -> ClusterState:
        """Return addresses and process ids."""
        if self._state is None:
            raise ClusterError("the cluster is not running")
        return self._state

    @property
    def metadata_url(self) -> str:
        """Return the metadata service's base URL."""
        return self.state.metadata_url

    @property
    def node_urls(self) -> list[str]:
        """Return the storage nodes' base URLs in order."""
        return [node.url for node in self.state.nodes]

    def start(self) -> None:
        """Start the cluster and wait until it is ready; raises ClusterError with its reason."""
        self.data.mkdir(parents=True, exist_ok=True)
        path = [str(_PROJECT_DIR), *filter(None, [os.environ.get("PYTHONPATH")])]
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(  # pylint: disable=consider-using-with
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
            )
        try:
            deadline_sec = time.monotonic() + _START_LIMIT_SEC
            while self._read_line(deadline_sec) != "cluster ready":
                pass
            self._state = read_state(self.data)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> int | None:
        """Stop the cluster and return its exit code; does nothing when it does not run."""
        process, self._process, self._state = self._process, None, None
        if process is None:
            return None
        try:
            # The end of its stdin tells the cluster to stop.
            _pipe(process.stdin).close()
            return process.wait(timeout=_STOP_LIMIT_SEC)
        except subprocess.TimeoutExpired:
            return None
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            _pipe(process.stdout).close()

    def set_fault(
        self,
        node: int | str,
        kind: str,
        *,
        for_sec: float | None = None,
        chunk_id: str | None = None,
    ) -> dict[str, Any]:
        """Put a fault in force at a node (number from 1, id or URL); returns its status then.

        `chunk_id` limits the fault "missing" to one chunk.
        """
        from cluster.commands import set_fault

        return set_fault(self.node(node).control_url, kind, for_sec, chunk_id)

    def restart_link(self, node: int | str) -> dict[str, Any]:
        """Play a node's trace from its beginning again; returns the node's status."""
        status: dict[str, Any] = call("POST", f"{self.node(node).control_url}/restart-link").json()
        return status

    def requests(self, node: int | str) -> list[dict[str, Any]]:
        """Return the records of the node's finished requests in the order of their arrival.

        Complete as soon as the client has seen the end of its answer, and within a moment after a
        client has hung up. Records of earlier runs on the same data directory come first.
        """
        state = self.node(node)
        if self.is_running(node):
            call("POST", f"{state.control_url}/settle")
        path = self.data / state.id / "requests.jsonl"
        records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        # Two connections may write their records in another order than their requests came.
        return sorted(records, key=lambda record: float(record["start_unix_sec"]))

    def status(self, node: int | str) -> dict[str, Any]:
        """Return a node's counters, fault and link log."""
        status: dict[str, Any] = call("GET", f"{self.node(node).control_url}/status").json()
        return status

    def is_running(self, node: int | str) -> bool:
        """Say whether a node's process runs."""
        return Path(f"/proc/{self.node(node).pid}").exists()

    def stop_node(self, node: int | str) -> None:
        """End a node's process; its port refuses connections."""
        self._send(f"stop {self.node(node).id}")

    def start_node(self, node: int | str) -> None:
        """Start a node's process again on the same port; returns when it answers."""
        self._send(f"start {self.node(node).id}")
        self._state = read_state(self.data)

    def stop_metadata(self) -> None:
        """End the metadata service; its port refuses connections."""
        self._send("stop metadata")

    def start_metadata(self) -> None:
        """Start the metadata service again; returns when the running nodes are registered."""
        self._send("start metadata")
        self._state = read_state(self.data)

    def node(self, node: int | str) -> NodeState:
        """Return a node by number from 1, id or URL."""
        return self.state.find_node(str(node))

    def run(self, *arguments: str) -> str:
        """Run `python -m cluster ARGUMENTS` against this cluster and return what it printed.

        For instance `run("add", "film.mp4", "--id", "film")`. Raises ClusterError when it fails.
        """
        path = [str(_PROJECT_DIR), *filter(None, [os.environ.get("PYTHONPATH")])]
        done = subprocess.run(
            [sys.executable, "-m", "cluster", *arguments, "--data", str(self.data)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
        )
        if done.returncode:
            raise ClusterError(f"exit code {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def add_raw(self, data: bytes, video_id: str, *arguments: str) -> dict[str, Any]:
        """Upload bytes that are no media (see `add --raw` for arguments); return the manifest."""
        path = self.data / f"{video_id}.raw"
        path.write_bytes(data)
        try:
            self.run("add", str(path), "--raw", "--id", video_id, *arguments)
        finally:
            path.unlink()
        return self.manifest(video_id)

    def manifest(self, video_id: str) -> dict[str, Any]:
        """Return a video's manifest."""
        manifest: dict[str, Any] = call("GET", f"{self.metadata_url}/manifest/{video_id}").json()
        return manifest

    def _send(self, text: str) -> None:
        process = self._running()
        pipe = _pipe(process.stdin)
        pipe.write(f"{text}\n".encode())
        pipe.flush()
        reply = self._read_line(time.monotonic() + _REPLY_LIMIT_SEC)
        if reply != f"done {text}":
            raise ClusterError(reply)

    def _read_line(self, deadline_sec: float) -> str:
        """Return the cluster's next line; raises ClusterError at its end or the deadline."""
        process = self._running()
        handle = _pipe(process.stdout).fileno()
        while b"\n" not in self._output:
            rest_sec = max(0.0, deadline_sec - time.monotonic())
            if not select.select([handle], [], [], rest_sec)[0]:
                raise ClusterError("the cluster gave no answer in time")
            data = os.read(handle, 4096)
            if not data:
                log = self.log_path.read_text(encoding="utf-8", errors="replace")
                raise ClusterError(f"the cluster ended: {log.strip()}")
            self._output += data
        line, _, self._output = self._output.partition(b"\n")
        return line.decode("utf-8", "replace")

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise ClusterError("the cluster is not running")
        return self._process


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None  # all pipes are asked for
    return pipe
