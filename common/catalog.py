"""The metadata client: manifests, the lists of videos and nodes, the view counter.

Blocking; callers run it where blocking is allowed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import requests

from common.errors import CatalogError
from common.node_urls import check_node_url
from common.units import node_of

# The largest manifest a sane service sends; read in pieces so that an endless body is cut off here.
_MAX_BODY_BYTES = 256 * 1024 * 1024
# Some ten thousand nodes.
_MAX_NODES_BYTES = 4 * 1024 * 1024
_PIECE_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoEntry:
    """One row of `GET /videos`."""

    video_id: str
    title: str
    duration_sec: float
    total_chunks: int
    status: str


class Catalog:
    """A V-Stack metadata service at a base URL."""

    def __init__(self, metadata_url: str, *, timeout_sec: float = 5.0) -> None:
        self._base = metadata_url.rstrip("/")
        self._timeout_sec = timeout_sec
        self._http = requests.Session()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def is_healthy(self) -> bool:
        """Tell whether `GET /health` answers 200."""
        try:
            return self._request("GET", "/health")[0] == 200
        except CatalogError:
            return False

    def manifest_json(self, video_id: str, *, max_bytes: int | None = None) -> bytes:
        """Return the manifest as it was sent; raise CatalogError `unreachable` or `not_found`."""
        path = f"/manifest/{quote(video_id, safe='')}"
        status, body = self._request("GET", path, max_bytes=max_bytes)
        if status == 404:
            raise CatalogError(f"no video {video_id!r} at {self._base}", fault="not_found")
        if status != 200:
            raise CatalogError(
                f"metadata service {self._base} answered {status} for the manifest of {video_id!r}",
                fault="unreachable",
            )
        return body

    def videos(self, *, limit: int = 100) -> list[VideoEntry]:
        """Return the videos the service lists; raise CatalogError."""
        status, body = self._request("GET", f"/videos?limit={limit}&offset=0")
        if status != 200:
            raise CatalogError(
                f"metadata service {self._base} answered {status} to /videos", fault="unreachable"
            )
        try:
            rows: Any = json.loads(body)
            if isinstance(rows, dict):
                rows = rows["videos"]
            return [
                VideoEntry(
                    video_id=str(row["video_id"]),
                    title=str(row.get("title") or ""),
                    duration_sec=float(row.get("duration_sec") or 0),
                    total_chunks=int(row.get("total_chunks") or 0),
                    status=str(row.get("status") or ""),
                )
                for row in rows
            ]
        except (
            ValueError,
            TypeError,
            LookupError,
            AttributeError,
            ArithmeticError,
            RecursionError,
        ) as error:
            raise CatalogError(
                f"metadata service {self._base}: /videos is not the list we know", fault="invalid"
            ) from error

    def healthy_nodes(self) -> tuple[str, ...]:
        """Return the nodes the service holds for healthy, as origins, each once; raise CatalogError.

        What is no http(s) URL is left out. A service that lists no nodes at all is `unreachable` for this purpose.
        """
        status, body = self._request("GET", "/nodes/healthy", max_bytes=_MAX_NODES_BYTES)
        if status != 200:
            raise CatalogError(
                f"metadata service {self._base} answered {status} to /nodes/healthy",
                fault="unreachable",
            )
        try:
            rows: Any = json.loads(body)
            if isinstance(rows, dict):
                rows = rows["nodes"]
            if not isinstance(rows, list):
                raise TypeError
            named = [row["node_url"] if isinstance(row, dict) else row for row in rows]
        except (ValueError, TypeError, LookupError, RecursionError) as error:
            raise CatalogError(
                f"metadata service {self._base}: /nodes/healthy is not the list we know",
                fault="invalid",
            ) from error
        return tuple(dict.fromkeys(origin for origin in map(_origin, named) if origin))

    def post_view(self, video_id: str) -> None:
        """Count one view; a service that does not know views is no error."""
        self._request("POST", f"/video/{quote(video_id, safe='')}/view")

    def _request(
        self, method: str, path: str, *, max_bytes: int | None = None
    ) -> tuple[int, bytes]:
        limit_bytes = _MAX_BODY_BYTES if max_bytes is None else max_bytes
        try:
            with self._http.request(
                method,
                self._base + path,
                timeout=self._timeout_sec,
                stream=True,
                allow_redirects=False,
                headers={"Accept": "application/json"},
            ) as response:
                body = bytearray()
                for piece in response.iter_content(_PIECE_BYTES):
                    body += piece
                    if len(body) > limit_bytes:
                        raise CatalogError(
                            f"metadata service {self._base}: {path} is larger than "
                            f"{limit_bytes} bytes",
                            fault="invalid",
                        )
                return response.status_code, bytes(body)
        except (requests.RequestException, ValueError) as error:
            raise CatalogError(
                f"metadata service {self._base} does not answer: {_reason(error)}",
                fault="unreachable",
            ) from error


def _origin(node_url: Any) -> str:
    """Return the node as sessions name it; empty when it is no URL of a node."""
    try:
        return node_of(check_node_url(node_url)) if isinstance(node_url, str) else ""
    except ValueError:
        return ""


def _reason(error: Exception) -> str:
    if isinstance(error, requests.ConnectTimeout | requests.ReadTimeout):
        return "timed out"
    text = str(error)
    if "refused" in text:
        return "connection refused"
    if "resolve" in text or "Name or service" in text:
        return "host not found"
    return text[:200] or type(error).__name__
