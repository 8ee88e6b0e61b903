"""mpv as its user holds it: what it says of itself, and keys, over its IPC socket."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from tests.process.support import Viewer
from tests.waiting import wait_until


class MpvSocket:
    """A second connection to the mpv of a viewer's run."""

    def __init__(self, viewer: Viewer) -> None:
        wait_until(lambda: _paths(viewer), 20)
        self.path = _paths(viewer)[0]
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(20)
        # It is there a moment before it listens.
        wait_until(lambda: self._socket.connect_ex(str(self.path)) == 0)
        self._lines = self._socket.makefile("rb")

    def close(self) -> None:
        """Close the connection; mpv does not mind."""
        self._lines.close()
        self._socket.close()

    def ask(self, *words: Any) -> Any:
        """Send a command; return its data, None also when it failed."""
        self._socket.sendall(json.dumps({"command": words, "request_id": 7}).encode() + b"\n")
        while line := self._lines.readline():
            told = json.loads(line)
            if told.get("request_id") == 7:
                return told.get("data")
        return None

    def get(self, name: str) -> Any:
        """Return a property, None while there is none."""
        return self.ask("get_property", name)


def _paths(viewer: Viewer) -> list[Path]:
    return list((viewer.folder / "vstack").glob("mpv-*/socket"))
