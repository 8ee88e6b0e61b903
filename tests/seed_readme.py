"""The seed's README taken apart, who checks which part of it, and how its commands are run."""

from __future__ import annotations

import http.client
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[1]
VIDEO = "test-video-001"
# A command that hangs is a failure; how long it takes is not.
LIMIT_SEC = 60
README = Path(__file__).with_name("seed") / "README.seed.md"
F = TypeVar("F", bound=Callable[..., Any])
# What the dashboard is said to show, and where `/api/status` has it.
SHOWN = {
    "**Buffer Status**": (
        "buffer.buffer_level_sec",
        "buffer.buffer_health_percent",
        "buffer.state",
    ),
    "**Playback Statistics**": (
        "startup_latency",
        "buffer_stats.rebuffering_events",
        "buffer_stats.total_chunks_played",
    ),
    "**Storage Node Performance**": ("network_stats", "node_scores"),
    "**Download Statistics**": (
        "scheduler_stats.total_downloads",
        "scheduler_stats.success_rate",
        "scheduler_stats.failover_count",
    ),
    "**Chunk Source Visualization**": ("scheduler_stats.downloads_per_node",),
}


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its language (empty for none) and its text."""

    language: str
    text: str

    def commands(self) -> list[str]:
        """Return the command lines of a shell block: no comments, continued lines joined."""
        joined = self.text.replace("\\\n", " ")
        lines = [" ".join(line.split()) for line in joined.splitlines()]
        return [line for line in lines if line and not line.startswith("#")]


@dataclass(frozen=True, slots=True)
class Method:
    """A bullet of a "Key Methods" list."""

    bullet: str
    module: str
    class_name: str
    name: str
    parameters: tuple[str, ...]


def _without_blocks(text: str) -> str:
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


TEXT = README.read_text(encoding="utf-8")
BLOCKS = [
    Block(language, text.strip("\n"))
    for language, text in re.findall(r"```(\w*)\n(.*?)```", TEXT, flags=re.DOTALL)
]
ITEMS = [
    match.group(1).strip()
    for match in re.finditer(r"^(?:-|\d+\.) (.+)$", _without_blocks(TEXT), flags=re.MULTILINE)
]


def _methods() -> list[Method]:
    found: list[Method] = []
    for section in TEXT.split("\n### ")[1:]:
        title = re.match(r"(\w+) \(`(\w+)\.py`\)", section)
        if title is None:
            continue
        for bullet, name, arguments in re.findall(
            r"^- (`(\w+)\((.*?)\)` - .+)$", section, flags=re.MULTILINE
        ):
            parameters = tuple(a.strip() for a in arguments.split(",") if a.strip())
            found.append(Method(bullet, title.group(2), title.group(1), name, parameters))
    return found


METHODS = _methods()


def block(start: str) -> Block:
    """Return the block that begins with `start`."""
    return next(b for b in BLOCKS if b.text.startswith(start))


def item(start: str) -> str:
    """Return the list item that begins with `start`."""
    return next(i for i in ITEMS if i.startswith(start))


def code_in(text: str) -> str:
    """Return what stands between backticks."""
    return text.split("`")[1]


CHECKED: set[str] = set()


def checks(*starts: str) -> Callable[[F], F]:
    """Say which blocks and items, by how they begin, the test below executes or compares."""
    CHECKED.update(starts)
    return lambda test: test


def unchecked() -> list[str]:
    """Return blocks and items no test has claimed."""
    everything = [*(b.text for b in BLOCKS), *ITEMS]
    return [text for text in everything if not any(text.startswith(s) for s in CHECKED)]


def unfounded() -> list[str]:
    """Return claims of tests that the README does not bear out."""
    everything = [*(b.text for b in BLOCKS), *ITEMS]
    return [s for s in CHECKED if not any(text.startswith(s) for text in everything)]


def words_of(command: str) -> list[str]:
    """Split a command line like a shell."""
    return shlex.split(command)


# ---------------------------------------------------------------- commands


def argv_of(command: str) -> list[str]:
    """Return what to start for a documented command: its tool of this environment, the video for its place."""
    words = words_of(command.replace("<video_id>", VIDEO))
    tool, rest = words[0], words[1:]
    if tool == "python":
        return [sys.executable, *rest]
    files = [f for w in rest for f in (sorted(map(str, ROOT.glob(w))) if "*" in w else [w])]
    return [sys.executable, "-m", tool, *files]


def run(
    argv: list[str], environment: dict[str, str], **more: str
) -> subprocess.CompletedProcess[str]:
    """Run a command in the project's folder to its end."""
    done = subprocess.run(
        argv,
        cwd=ROOT,
        env={**environment, **more},
        capture_output=True,
        text=True,
        timeout=LIMIT_SEC,
        check=False,
    )
    assert done.returncode == 0, f"{argv}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


@contextmanager
def running(
    argv: list[str], environment: dict[str, str], **more: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command in the background, interrupted at the end."""
    process = subprocess.Popen(
        argv, cwd=ROOT, env={**environment, **more}, stdout=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(LIMIT_SEC)
        finally:
            process.kill()
            process.wait()


def get(url: str) -> tuple[int, bytes]:
    """Answer of a GET; status 0 when nobody listens."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    try:
        connection.request("GET", parts.path or "/")
        response = connection.getresponse()
        return response.status, response.read()
    except ConnectionError:
        return 0, b""
    finally:
        connection.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
