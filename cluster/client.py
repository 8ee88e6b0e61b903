"""One HTTP request at a time, with what the standard library has."""

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

# An answer above this is refused: the largest real one is a chunk or a long manifest.
_MAX_ANSWER_BYTES = 64 * 1024 * 1024


class CallError(Exception):
    """No usable HTTP answer came; the message names the address and the cause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A complete HTTP answer; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    data: bytes

    def json(self) -> Any:
        """Return the body as JSON, None when it is none."""
        try:
            return json.loads(self.data)
        except ValueError:
            return None

    def detail(self) -> str:
        """Return the `detail` of an error answer, or the status alone."""
        body = self.json()
        text = body.get("detail") if isinstance(body, dict) else None
        return f"{text} (status {self.status})" if text else f"status {self.status}"


def origin_of(url: str) -> tuple[str, int]:
    """Return host and port of an http URL; raises CallError for anything else."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise CallError(f"{url}: {error}") from error
    if parts.scheme != "http" or not host:
        raise CallError(f"{url}: expected http://HOST:PORT")
    return host, 80 if port is None else port


def call(
    method: str,
    url: str,
    *,
    data: bytes | None = None,
    json_body: object = None,
    headers: Mapping[str, str] | None = None,
    timeout_sec: float = 10.0,
) -> Answer:
    """Send one request on a fresh connection and return its answer, whatever the status.

    `timeout_sec` bounds each wait for the peer. Raises CallError when no answer comes.
    """
    host, port = origin_of(url)
    parts = urlsplit(url)
    target = parts.path or "/"
    if parts.query:
        target += f"?{parts.query}"
    fields = dict(headers or {})
    if json_body is not None:
        data = json.dumps(json_body).encode()
        fields["Content-Type"] = "application/json"
    connection = http.client.HTTPConnection(host, port, timeout=timeout_sec)
    try:
        connection.request(method, target, body=data, headers=fields)
        response = connection.getresponse()
        body = response.read(_MAX_ANSWER_BYTES)
        answer_headers = {name.lower(): text for name, text in response.getheaders()}
        return Answer(status=response.status, headers=answer_headers, data=body)
    except (OSError, http.client.HTTPException, UnicodeError) as error:
        cause = str(error) or type(error).__name__
        raise CallError(f"{method} {url}: {cause}") from error
    finally:
        connection.close()
