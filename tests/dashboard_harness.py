"""A stack made of real sockets and locks, and a dashboard process that watches it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from common.endpoints import Endpoints, RoleLock, prepare_run_dir
from common.messages import (
    ChunkMap,
    CommandResult,
    LogEvent,
    NodeScores,
    PlayVideo,
    SchedulerStatus,
    SeekTo,
    SessionStatus,
    SetPaused,
    StopSession,
)
from common.service import Service

ROOT = Path(__file__).resolve().parents[1]
# A command of this session is never answered.
DEAF = "deaf"
REFUSED = "refused"


class FakeStack:
    """Publishes what it is told and takes commands; holds the locks of a real stack."""

    def __init__(self, run_dir: Path) -> None:
        prepare_run_dir(run_dir)
        self._locks = [RoleLock(run_dir, role) for role in ("monitor", "scheduler", "buffer")]
        self.commands: list[Any] = []
        self._service = Service(Endpoints(run_dir), watch_parent=False)
        self._monitor = self._service.publisher("monitor.events")
        self._scheduler = self._service.publisher("scheduler.events")
        self._buffer = self._service.publisher("buffer.events")
        inbox = self._service.endpoints.address("buffer.commands")
        kinds = (SetPaused, StopSession, SeekTo, PlayVideo)
        self._service.pull(inbox, dict.fromkeys(kinds, self._take))
        self._thread = threading.Thread(target=self._service.run)
        self._thread.start()

    def say(self, *messages: object) -> None:
        """Publish, keeping snapshots for who joins later."""
        for msg in messages:
            self._service.call_soon(partial(self._publish, msg))

    def _publish(self, msg: object) -> None:
        if isinstance(msg, NodeScores):
            self._monitor.publish(msg)
        elif isinstance(msg, SchedulerStatus):
            self._scheduler.publish(msg)
        elif isinstance(msg, SessionStatus | ChunkMap):
            self._buffer.publish(msg, msg.session_id)
        else:
            self._buffer.publish(msg, None if isinstance(msg, LogEvent | CommandResult) else "")

    def say_garbage(self) -> None:
        """Publish what no codec of ours would."""
        for frames in ([b"x"], [b"buffer.session", b"\xc1"], [b"event", b"\x80", b"", b""]):
            self._service.call_soon(partial(self._send_raw, frames))

    def _send_raw(self, frames: list[bytes]) -> None:
        self._buffer.socket.send_multipart(frames)

    def _take(self, command: Any) -> None:
        self.commands.append(command)
        if command.session_id == DEAF:
            return
        ok = command.session_id != REFUSED
        text = "done" if ok else "not now"
        self._publish(
            CommandResult(
                command_id=command.command_id,
                session_id=command.session_id,
                ok=ok,
                exit_code=0,
                text=text,
            )
        )

    def close(self) -> None:
        self._service.stop()
        self._thread.join()
        for lock in self._locks:
            lock.release()


class Dashboard:
    """A dashboard process and a client of it."""

    def __init__(self, *command: str, port: int | None = None, **environment: str) -> None:
        self.port = port or free_port()
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("VSTACK_")}
        self.process = subprocess.Popen(
            [sys.executable, *command, "--port", str(self.port)],
            cwd=ROOT,
            env=inherited | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_listening(self) -> None:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line == f"Dashboard: http://localhost:{self.port}\n", self.finish()

    def request(
        self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        raw = body if body is None or isinstance(body, str | bytes) else json.dumps(body)
        sent = {"Content-Type": "application/json"} if body is not None else {}
        try:
            connection.request(method, path, raw, sent | (headers or {}))
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read().decode()
        finally:
            connection.close()

    def json(self, path: str) -> Any:
        status, _, text = self.request("GET", path)
        assert status == 200, text
        return json.loads(text)

    def control(self, body: object, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        status, _, text = self.request("POST", "/api/control", body, headers)
        return status, json.loads(text)

    @contextlib.contextmanager
    def stream(self, **headers: str) -> Iterator[http.client.HTTPResponse]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request("GET", "/api/events", headers=named)
            with connection.getresponse() as answer:
                yield answer
        finally:
            connection.close()

    def finish(self) -> tuple[int, str]:
        """Wait for the end; return exit code and what was written to stderr."""
        try:
            _, errors = self.process.communicate(timeout=10)
        finally:
            self.process.kill()
        return self.process.returncode, errors

    def stop(self) -> tuple[int, str]:
        self.process.send_signal(signal.SIGTERM)
        return self.finish()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def read_event(answer: http.client.HTTPResponse, name: str) -> tuple[str, Any]:
    """Return id and data of the next event of this name."""
    fields: dict[str, str] = {}
    while line := answer.readline().decode():
        key, _, value = line.rstrip("\n").partition(": ")
        if key:
            fields[key] = value
        elif fields.get("event") == name:
            return fields.get("id", ""), json.loads(fields["data"])
        else:
            fields = {}
    raise AssertionError(f"the stream ended before {name}")
