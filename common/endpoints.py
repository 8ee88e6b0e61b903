"""Where the processes of a stack meet: the run directory, its locks, and the address of every channel.

Singletons (monitor, scheduler, buffer, dashboard) hold a lock file in the run directory: ZeroMQ lets a second process
bind the same ipc path without a word and then steals its traffic. The locks also tell others what is running.
"""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import os
import shutil
import stat
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args
from urllib.parse import urlsplit

from common.errors import ConfigError, StackError

Channel = Literal[
    "monitor.events",
    "scheduler.events",
    "scheduler.requests",
    "scheduler.reports",
    "buffer.events",
    "buffer.chunks",
    "buffer.commands",
]
CHANNELS: tuple[Channel, ...] = (
    "monitor.events",
    "scheduler.events",
    "scheduler.requests",
    "scheduler.reports",
    "buffer.events",
    "buffer.chunks",
    "buffer.commands",
)
Role = Literal["monitor", "scheduler", "buffer", "dashboard"]

# A UNIX socket's path may have 107 bytes; the longest name below the run directory is a worker's inbox.
MAX_RUN_DIR_BYTES = 107 - len("/worker.") - 48 - len(".jobs")
_PRIVATE_PREFIX = "run-"
# Whoever asks `is_running` holds the lock for an instant: not every holder is another process of the role.
_LOCK_PATIENCE_SEC = 0.3
_LOCK_RETRY_SEC = 0.01
# A private stack holds its locks within seconds of its directory's making.
_ABANDONED_SEC = 60.0


def base_dir() -> Path:
    """Return the folder below which stacks of this user keep their run directories."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and Path(runtime).is_dir() and os.access(runtime, os.W_OK):
        return Path(runtime) / "vstack"
    return Path(tempfile.gettempdir()) / f"vstack-{os.getuid()}"


def shared_run_dir() -> Path:
    """Return the run directory of the user's standing stack: `VSTACK_RUN_DIR`, or a fixed place."""
    chosen = os.environ.get("VSTACK_RUN_DIR")
    return Path(chosen).absolute() if chosen else base_dir() / "shared"


def prepare_run_dir(path: Path) -> Path:
    """Make `path` a directory only we can enter; raise ConfigError when it cannot be one."""
    if len(os.fsencode(path)) > MAX_RUN_DIR_BYTES:
        raise ConfigError(
            f"VSTACK_RUN_DIR: {path} is too long for UNIX sockets, at most {MAX_RUN_DIR_BYTES} bytes"
        )
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (path, *((path.parent,) if path.parent == base_dir() else ())):
            found = folder.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
                raise ConfigError(f"VSTACK_RUN_DIR: {folder} is not a directory of yours")
            if stat.S_IMODE(found.st_mode) & 0o077:
                folder.chmod(0o700)
    except OSError as error:
        raise ConfigError(f"VSTACK_RUN_DIR: {path} cannot be used: {error.strerror}") from error
    return path


def make_private_run_dir() -> Path:
    """Make a run directory for one private stack; its owner removes it.

    What owners that were killed left behind is removed here.
    """
    prepare_run_dir(base_dir() / "shared")
    for path in base_dir().glob(f"{_PRIVATE_PREFIX}*"):
        with contextlib.suppress(OSError):
            old = time.time() - path.stat().st_mtime > _ABANDONED_SEC
            if old and not any(is_running(path, role) for role in get_args(Role)):
                shutil.rmtree(path, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=_PRIVATE_PREFIX, dir=base_dir()))


class RoleLock:
    """The right to be the one process of a role in a run directory; released by the kernel at the latest."""

    def __init__(self, run_dir: Path, role: Role) -> None:
        self._path = run_dir / f"{role}.lock"
        try:
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StackError(f"{self._path} cannot be made: {error.strerror}") from error
        deadline_sec = time.monotonic() + _LOCK_PATIENCE_SEC
        while not self._take():
            if time.monotonic() > deadline_sec:
                os.close(self._fd)
                raise StackError(f"another {role} runs in {run_dir} already")
            threading.Event().wait(_LOCK_RETRY_SEC)
        os.truncate(self._fd, 0)
        os.write(self._fd, f"{os.getpid()}\n".encode())

    def _take(self) -> bool:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def release(self) -> None:
        """Let go; the file stays, an unlocked one means nothing."""
        with contextlib.suppress(OSError):
            os.close(self._fd)


def is_running(run_dir: Path, role: Role) -> bool:
    """Tell whether a live process holds `role` in `run_dir`."""
    try:
        fd = os.open(run_dir / f"{role}.lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False


def is_stack_running(run_dir: Path) -> bool:
    """Tell whether a stack that can play lives in `run_dir`."""
    return is_running(run_dir, "buffer") and is_running(run_dir, "scheduler")


def find_run_dir() -> Path:
    """Return the run directory worth watching: the standing stack, else the newest private one.

    Without any stack this is the standing stack's place: whoever connects there waits for it.
    """
    shared = shared_run_dir()
    if "VSTACK_RUN_DIR" in os.environ or is_running(shared, "buffer"):
        return shared
    with contextlib.suppress(OSError):
        private = sorted(
            base_dir().glob(f"{_PRIVATE_PREFIX}*"), key=lambda p: p.stat().st_mtime, reverse=True
        )
        for path in private:
            if is_running(path, "buffer"):
                return path
    return shared


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Addresses of one stack: ipc below its run directory, or tcp from `tcp_base` on.

    `tcp_base` is `tcp://HOST:PORT`; the channels take consecutive ports. Only loopback is accepted: sockets carry
    no keys yet, and whoever reaches them controls the player.
    """

    run_dir: Path
    tcp_base: str | None = None

    def __post_init__(self) -> None:
        if self.tcp_base is None:
            return
        try:
            parts = urlsplit(self.tcp_base)
            port = parts.port or 0
        except ValueError as error:
            raise ConfigError(f"VSTACK_TCP_BASE: {self.tcp_base!r}: {error}") from error
        try:
            loopback = ipaddress.IPv4Address(parts.hostname or "").is_loopback
        except ValueError:
            loopback = parts.hostname == "localhost"
        if parts.scheme != "tcp" or not 1024 <= port <= 65535 - len(CHANNELS):
            raise ConfigError(
                f"VSTACK_TCP_BASE: {self.tcp_base!r} is not tcp://HOST:PORT with a port of "
                f"1024-{65535 - len(CHANNELS)}"
            )
        if not loopback:
            raise ConfigError(
                f"VSTACK_TCP_BASE: {parts.hostname} is not an IPv4 loopback address; messages are neither "
                "encrypted nor authenticated, so other hosts are refused"
            )

    def address(self, channel: Channel) -> str:
        """Return the ZeroMQ address of a channel."""
        if self.tcp_base is None:
            return f"ipc://{self.run_dir / channel}"
        parts = urlsplit(self.tcp_base)
        return f"tcp://{parts.hostname}:{(parts.port or 0) + CHANNELS.index(channel)}"

    def worker_inbox(self, worker_id: str) -> str:
        """Return the address a worker binds for its jobs; a tcp port is chosen by the system."""
        if self.tcp_base is None:
            return f"ipc://{self.run_dir / f'worker.{worker_id[:48]}.jobs'}"
        return f"tcp://{urlsplit(self.tcp_base).hostname}:*"


def endpoints_from_environment(run_dir: Path | None = None) -> Endpoints:
    """Return the endpoints of the standing stack (or of `run_dir`), its directory made and checked."""
    chosen = prepare_run_dir(run_dir or shared_run_dir())
    return Endpoints(chosen, os.environ.get("VSTACK_TCP_BASE") or None)
