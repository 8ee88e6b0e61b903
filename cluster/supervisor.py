"""`python -m cluster up`: run the metadata service and the storage nodes until told to stop."""

import os
import signal
import socket
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Literal

from cluster.children import Child, bind_socket, metadata_child, node_child
from cluster.client import CallError, call
from cluster.profiles import LinkProfile
from cluster.state import (
    ClusterError,
    ClusterState,
    NodeState,
    lock_data,
    remove_state,
    write_state,
)

_START_LIMIT_SEC = 20.0
_START_POLL_SEC = 0.03
# Children get this long before they are killed: the whole stop stays below 3 s.
_STOP_LIMIT_SEC = 2.3
_WILDCARD = "0.0.0.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterOptions:
    """What `up` was asked for; a port of 0 means any free port."""

    data: Path
    profiles: tuple[LinkProfile, ...]
    host: str
    advertise_host: str | None
    metadata_port: int
    node_port: int
    max_chunk_bytes: int
    quota_bytes: int | None
    free_floor_bytes: int
    stdin_commands: bool
    delivery_log: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Event:
    """Something the supervisor has to react to."""

    kind: Literal["stop", "exited", "command"]
    child: Child | None = None
    exit_code: int = 0
    text: str = ""


class Supervisor:
    """Own the children of one cluster. `run` returns the exit code."""

    def __init__(self, options: ClusterOptions) -> None:
        self._options = options
        self._events: SimpleQueue[_Event] = SimpleQueue()
        self._children: list[Child] = []
        self._sockets: list[socket.socket] = []
        advertised = options.advertise_host or options.host
        self._url_host = socket.gethostname() if advertised == _WILDCARD else advertised

    def run(self) -> int:
        """Start everything, serve, stop everything."""
        options = self._options
        with lock_data(options.data):
            remove_state(options.data)
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, self._on_signal)
            if options.stdin_commands:
                # A daemon thread: it owns nothing and sits in one system call.
                threading.Thread(target=self._read_commands, name="stdin", daemon=True).start()
            try:
                self._prepare()
                for child in self._children:
                    child.start(self._on_exit)
                return self._serve() if self._wait_ready() else 0
            finally:
                remove_state(options.data)
                self._stop_all()

    def _bind(self, host: str, port: int, what: str) -> socket.socket:
        sock = bind_socket(host, port, what)
        self._sockets.append(sock)
        return sock

    def _prepare(self) -> None:
        options = self._options
        sock = self._bind(options.host, options.metadata_port, "metadata")
        metadata = metadata_child(sock, options.data, self._url_host)
        self._children.append(metadata)
        # Nodes reach the metadata service on this host, whatever name the world knows it by.
        inner_host = "127.0.0.1" if options.host == _WILDCARD else options.host
        metadata_url = f"http://{inner_host}:{sock.getsockname()[1]}"
        for index, profile in enumerate(options.profiles):
            node_id = f"node-{index + 1}"
            port = options.node_port + index if options.node_port else 0
            child = node_child(
                node_id,
                self._bind(options.host, port, node_id),
                self._bind("127.0.0.1", 0, f"{node_id} control"),
                data=options.data,
                host=self._url_host,
                metadata_url=metadata_url,
                profile=profile,
                limits={
                    "max_chunk_bytes": options.max_chunk_bytes,
                    "quota_bytes": options.quota_bytes,
                    "free_floor_bytes": options.free_floor_bytes,
                    "delivery_log": options.delivery_log,
                },
            )
            self._children.append(child)

    def _wait_ready(self) -> bool:
        """Wait until all children answer and all nodes are registered; False when told to stop."""
        give_up_sec = time.monotonic() + _START_LIMIT_SEC
        waiting = list(self._children)
        while waiting or not self._all_registered():
            if time.monotonic() > give_up_sec:
                names = ", ".join(child.name for child in waiting) or "registration of the nodes"
                raise ClusterError(f"no answer within {_START_LIMIT_SEC:g} s: {names}")
            waiting = [child for child in waiting if not child.answers()]
            try:
                event = self._events.get(timeout=_START_POLL_SEC)
            except Empty:
                continue
            if event.kind == "stop":
                return False
            self._check_exit(event)
        self._write_state()
        for child in self._children:
            _say(f"{child.name} {child.url}")
        _say("cluster ready")
        return True

    def _all_registered(self) -> bool:
        if not self._children[0].expected_to_run:
            return True
        try:
            nodes = call("GET", f"{self._children[0].url}/nodes/healthy", timeout_sec=2.0).json()
        except CallError:
            return False
        known = {(node["node_id"], node["node_url"]) for node in nodes or ()}
        return all(
            (child.name, child.url) in known
            for child in self._children[1:]
            if child.expected_to_run
        )

    def _serve(self) -> int:
        while True:
            event = self._events.get()
            if event.kind == "stop":
                return 0
            if event.kind == "command":
                _say(self._command(event.text))
            self._check_exit(event)

    def _check_exit(self, event: _Event) -> None:
        child = event.child
        if event.kind == "exited" and child is not None and child.expected_to_run:
            raise ClusterError(
                f"{child.name} ended unexpectedly (exit code {event.exit_code})\n{child.log_tail()}"
            )

    def _command(self, text: str) -> str:
        """Carry out `stop NAME` or `start NAME` and return the reply."""
        verb, _, name = text.partition(" ")
        child = next((child for child in self._children if child.name == name), None)
        if child is None or verb not in ("stop", "start"):
            return f"error unknown command {text!r}"
        if verb == "stop":
            child.ask_to_stop()
            child.wait_stopped(_STOP_LIMIT_SEC)
        elif not child.expected_to_run:
            child.start(self._on_exit)
            give_up_sec = time.monotonic() + _START_LIMIT_SEC
            while not (child.answers() and self._all_registered()):
                if time.monotonic() > give_up_sec:
                    return f"error {name} does not answer"
                time.sleep(_START_POLL_SEC)
            self._write_state()
        return f"done {text}"

    def _write_state(self) -> None:
        nodes = tuple(
            NodeState(
                id=child.name,
                url=child.url,
                control_url=f"http://127.0.0.1:{child.sockets[1].getsockname()[1]}",
                pid=child.pid,
                profile=asdict(profile),
            )
            for child, profile in zip(self._children[1:], self._options.profiles, strict=True)
        )
        metadata = self._children[0]
        state = ClusterState(
            metadata_url=metadata.url, metadata_pid=metadata.pid, pid=os.getpid(), nodes=nodes
        )
        write_state(self._options.data, state)

    def _stop_all(self) -> None:
        give_up_sec = time.monotonic() + _STOP_LIMIT_SEC
        for child in self._children:
            child.ask_to_stop()
        for child in self._children:
            child.wait_stopped(give_up_sec - time.monotonic())
        for sock in self._sockets:
            sock.close()

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._events.put(_Event(kind="stop"))

    def _on_exit(self, child: Child, exit_code: int) -> None:
        self._events.put(_Event(kind="exited", child=child, exit_code=exit_code))

    def _read_commands(self) -> None:
        pending = b""
        while data := os.read(0, 4096):
            *lines, pending = (pending + data).split(b"\n")
            for line in lines:
                self._events.put(_Event(kind="command", text=line.decode("utf-8", "replace")))
        self._events.put(_Event(kind="stop"))


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
