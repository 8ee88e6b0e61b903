"""One whole body over HTTP within the limits a client sets itself."""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import dataclass

import requests
import urllib3

_READ_BYTES = 64 * 1024
_local = threading.local()


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a client waits: for a connection, for the first byte, for any further one, for all."""

    connect_sec: float = 10.0
    first_byte_sec: float = 10.0
    silence_sec: float = 10.0
    total_sec: float = float("inf")


class FetchFailed(Exception):
    """A body did not come, did not come in time or was not whole; the text says why."""


def session() -> requests.Session:
    """Return the calling thread's session: kept connections, nothing from the environment."""
    if not hasattr(_local, "session"):
        made = requests.Session()
        made.trust_env = False
        made.headers["Accept-Encoding"] = "identity"
        _local.session = made
    found: requests.Session = _local.session
    return found


def close_session() -> None:
    """Close the calling thread's connections."""
    if hasattr(_local, "session"):
        _local.session.close()
        del _local.session


def fetch(url: str, size_bytes: int, limits: Limits, *, stop_after_bytes: int = 0) -> bytearray:
    """Return the body of `size_bytes`, or only its start with `stop_after_bytes`; raise FetchFailed."""
    deadline_sec = time.monotonic() + limits.total_sec
    waits = (
        min(limits.connect_sec, limits.total_sec),
        min(limits.first_byte_sec, limits.total_sec),
    )
    try:
        with session().get(url, stream=True, timeout=waits) as answer:
            if answer.status_code != 200:
                raise FetchFailed(f"answered {answer.status_code}")
            body = _read(answer.raw, stop_after_bytes or size_bytes, limits, deadline_sec)
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        raise FetchFailed(f"{type(error).__name__}: {error}") from error
    if not stop_after_bytes and len(body) != size_bytes:
        raise FetchFailed(f"{len(body)} bytes of {size_bytes}")
    return body


def _read(
    raw: urllib3.BaseHTTPResponse, wanted_bytes: int, limits: Limits, deadline_sec: float
) -> bytearray:
    body = bytearray()
    # Gone where the node has announced the end of the connection: then the wait for the first byte goes on to hold.
    sock: socket.socket | None = getattr(raw.connection, "sock", None)
    while len(body) < wanted_bytes:
        left_sec = deadline_sec - time.monotonic()
        if left_sec <= 0:
            raise FetchFailed(f"not whole within {limits.total_sec:g} s")
        if sock is not None:
            wait_sec = min(limits.silence_sec, left_sec)
            sock.settimeout(None if wait_sec == float("inf") else wait_sec)
        data = raw.read1(_READ_BYTES)
        if not data:
            break
        body += data
    return body
