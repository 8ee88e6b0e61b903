"""Addresses of host names, found in threads: the system's resolver blocks."""

from __future__ import annotations

import contextlib
import ipaddress
import queue
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

Address = tuple[socket.AddressFamily, Any]

# A node that moved is found again when connecting to its old address fails; this is for the others.
KEPT_SEC = 60.0
# Names that hang wait in a thread each; few hosts are named, and most answers come from a cache.
MAX_THREADS = 8
_THREAD_NAME = "resolver"


class Resolver:
    """Looks up host names, each once at a time; all methods belong to one thread, the owner's.

    `wake` is called in another thread when something was found; the owner then takes it with `found`. The threads
    are daemons: they own nothing, and a resolver that hangs must not keep the process from ending.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._kept: dict[tuple[str, int], tuple[float, list[Address]]] = {}
        self._asked: set[tuple[str, int]] = set()
        self._jobs: queue.SimpleQueue[tuple[str, int] | None] = queue.SimpleQueue()
        self._found: queue.SimpleQueue[tuple[tuple[str, int], list[Address]]] = queue.SimpleQueue()
        self._threads = 0
        self._stopped = False

    def addresses(self, host: str, port: int) -> list[Address] | None:
        """Return the addresses known, or None and have them looked up."""
        literal = _literal(host, port)
        if literal is not None:
            return [literal]
        kept = self._kept.get((host, port))
        if kept is not None and time.monotonic() < kept[0]:
            return kept[1]
        if (host, port) not in self._asked:
            self._asked.add((host, port))
            self._jobs.put((host, port))
            if self._threads < min(MAX_THREADS, len(self._asked)):
                self._threads += 1
                threading.Thread(target=self._work, name=_THREAD_NAME, daemon=True).start()
        return None

    def forget(self, host: str, port: int) -> None:
        """Look a name up again the next time: its addresses did not answer."""
        self._kept.pop((host, port), None)

    def found(self) -> list[tuple[tuple[str, int], list[Address]]]:
        """Return what was looked up since the last call; no addresses: there is no such host."""
        taken = []
        with contextlib.suppress(queue.Empty):
            while True:
                name, addresses = self._found.get_nowait()
                self._asked.discard(name)
                if addresses:
                    self._kept[name] = (time.monotonic() + KEPT_SEC, addresses)
                taken.append((name, addresses))
        return taken

    def _work(self) -> None:
        while (name := self._jobs.get()) is not None and not self._stopped:
            try:
                infos = socket.getaddrinfo(*name, type=socket.SOCK_STREAM)
                addresses: list[Address] = [(info[0], info[4]) for info in infos]
            except (OSError, UnicodeError):
                addresses = []
            self._found.put((name, addresses))
            self._wake()

    def close(self) -> None:
        """Let idle threads end; `wake` may be called once more by one that is busy."""
        self._stopped = True
        for _ in range(self._threads):
            self._jobs.put(None)


def _literal(host: str, port: int) -> Address | None:
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        return None
    # A scope id (fe80::1%eth0) needs the resolver, which is quick where there is no name.
    if "%" in host:
        return None
    return (socket.AF_INET, (host, port)) if version == 4 else (socket.AF_INET6, (host, port, 0, 0))
