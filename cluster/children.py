"""The child processes of a cluster: their sockets, start, readiness and end."""

import errno
import json
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from threading import Thread

from cluster.client import CallError, call
from cluster.profiles import LinkProfile
from cluster.state import UsageError

_PROJECT_DIR = Path(__file__).resolve().parent.parent
# Free ports are taken from here: below the range from which the kernel picks ports for outgoing
# connections, which could otherwise take a port while its node is down.
_FREE_PORTS = range(20_000, 30_000)
_FREE_PORT_TRIES = 500
# An answer to /health may take this long beyond the link's own delays.
_HEALTH_LIMIT_SEC = 2.0
_LOG_TAIL_LINES = 5


def bind_socket(host: str, port: int, what: str) -> socket.socket:
    """Bind a TCP socket without listening; port 0 picks a free one. Raises UsageError."""
    for _ in range(_FREE_PORT_TRIES):
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host, port or random.choice(_FREE_PORTS)))
        except OSError as error:
            sock.close()
            if port == 0 and error.errno == errno.EADDRINUSE:
                continue
            reason = "is in use" if error.errno == errno.EADDRINUSE else f"failed: {error.strerror}"
            raise UsageError(f"{what} port {host}:{port} {reason}") from error
        except OverflowError as error:
            sock.close()
            raise UsageError(f"{what} port must be 0 to 65535, got {port}") from error
        # A free port is bound exclusively, so that clusters started at the same time cannot share
        # it; from here on old connections in TIME_WAIT must not keep the socket from listening.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return sock
    raise UsageError(f"no free port found for {what} in {_FREE_PORTS.start}-{_FREE_PORTS.stop - 1}")


class Child:
    """One child process and the sockets it serves, which outlive it so that it can be restarted."""

    def __init__(
        self,
        name: str,
        url: str,
        sockets: Sequence[socket.socket],
        command: Sequence[str],
        log_path: Path,
        health_limit_sec: float,
    ) -> None:
        self.name = name
        self.url = url
        self.sockets = sockets
        self.expected_to_run = False
        self._command = [sys.executable, "-m", *command]
        self._log_path = log_path
        self._health_limit_sec = health_limit_sec
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher: Thread | None = None

    @property
    def pid(self) -> int:
        """Return the process id of the last start."""
        return self._process.pid if self._process else 0

    def start(self, on_exit: Callable[["Child", int], None]) -> None:
        """Start the process; `on_exit` is called from another thread when it has ended."""
        path = [str(_PROJECT_DIR), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._log_path.parent.mkdir(parents=True, exist_ok=True)
        with self._log_path.open("ab") as log:
            process = subprocess.Popen(  # pylint: disable=consider-using-with
                self._command,
                # The pipe's end tells the child that this process is gone, however it went.
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=[sock.fileno() for sock in self.sockets],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
                # Not in the terminal's group: Ctrl-C reaches the parent alone.
                process_group=0,
            )
        self._process = process
        self.expected_to_run = True

        def watch() -> None:
            on_exit(self, process.wait())

        self._watcher = Thread(target=watch, name=f"watch {self.name}")
        self._watcher.start()

    def ask_to_stop(self) -> None:
        """Send SIGTERM and close the child's stdin."""
        self.expected_to_run = False
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        if self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()

    def wait_stopped(self, limit_sec: float) -> None:
        """Wait for the end, at most `limit_sec`, then kill; the port refuses from then on."""
        if self._process is not None:
            try:
                self._process.wait(timeout=max(0.0, limit_sec))
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._watcher is not None:
            self._watcher.join()
        for sock in self.sockets:
            # Only a listening socket: on another, Linux remembers the shutdown and passes it on to
            # every connection accepted after a later listen().
            if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def answers(self) -> bool:
        """Say whether the child answers GET /health, whatever it says there."""
        try:
            call("GET", f"{self.url}/health", timeout_sec=self._health_limit_sec)
        except CallError:
            return False
        return True

    def log_tail(self) -> str:
        """Return the last lines the child wrote."""
        try:
            lines = self._log_path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return ""
        return "\n".join(lines[-_LOG_TAIL_LINES:])


def metadata_child(sock: socket.socket, data: Path, host: str) -> Child:
    """Prepare the metadata service."""
    command = ["cluster.metadata", "--listen-fd", str(sock.fileno())]
    command += ["--database", str(data / "metadata.sqlite3")]
    url = f"http://{host}:{sock.getsockname()[1]}"
    return Child("metadata", url, [sock], command, data / "metadata.log", _HEALTH_LIMIT_SEC)


def node_child(
    node_id: str,
    sock: socket.socket,
    control_sock: socket.socket,
    *,
    data: Path,
    host: str,
    metadata_url: str,
    profile: LinkProfile,
    limits: dict[str, int | None],
) -> Child:
    """Prepare a storage node; `limits` are the sizes of its options."""
    url = f"http://{host}:{sock.getsockname()[1]}"
    options = {
        "node_id": node_id,
        "node_url": url,
        "metadata_url": metadata_url,
        "folder": str(data / node_id),
        "profile": json.dumps(asdict(profile)),
        **limits,
    }
    command = ["cluster.node", "--listen-fd", str(sock.fileno())]
    command += ["--control-fd", str(control_sock.fileno()), "--options", json.dumps(options)]
    delay_sec = (2 * (profile.rtt_ms or 0) + profile.jitter_ms) / 1000
    # A trace's latency is not looked up here: one second covers every trace.
    limit_sec = _HEALTH_LIMIT_SEC + delay_sec + (1.0 if profile.trace else 0.0)
    log_path = data / node_id / "node.log"
    return Child(node_id, url, [sock, control_sock], command, log_path, limit_sec)
