"""Static files of the page: compressed for who takes gzip, and kept by browsers where the address tells the version."""

from __future__ import annotations

import gzip
import io
from functools import lru_cache
from pathlib import Path
from typing import Any

from flask import Flask, Response, abort, request, send_file
from werkzeug.security import safe_join

# What tools/frontend.py fetches; the page cannot show everything without.
LIBRARIES = ("hls.light.min.js", "uPlot.iife.min.js", "uPlot.min.css")
HOW_TO_GET_THEM = (
    "`make setup`, or `python tools/frontend.py`, fetches them; then load this page again."
)
# The machine's own table of types may say anything, and browsers run no script of a wrong type.
TYPES = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
}
KEEP_SEC = 365 * 24 * 3600


def add_assets(app: Flask) -> None:
    """Serve `/static/` from here; templates get addresses with versions, and `missing_libraries()`."""
    folder = Path(app.static_folder or "")

    def static(filename: str) -> Response:
        return _serve(folder, filename)

    @app.url_defaults
    def add_version(endpoint: str, values: dict[str, Any]) -> None:
        path = folder / str(values.get("filename", ""))
        if endpoint == "static" and path.is_file():
            values.setdefault("v", _version(path))

    app.view_functions["static"] = static
    app.jinja_env.globals["missing_libraries"] = lambda: missing_libraries(folder)


def missing_libraries(folder: Path) -> str:
    """Return what to tell the viewer when libraries were not fetched; nothing when all are there."""
    names = [name for name in LIBRARIES if not (folder / "vendor" / name).is_file()]
    if not names:
        return ""
    return f"Libraries of this page are missing ({', '.join(names)}). {HOW_TO_GET_THEM}"


def _serve(folder: Path, filename: str) -> Response:
    joined = safe_join(str(folder), filename)
    if joined is None or not (path := Path(joined)).is_file():
        abort(404)
    version = _version(path)
    # An address of an earlier version gives the present one, which must not be kept under it.
    keep = request.args.get("v") == version
    content: Path | io.BytesIO = path
    packed = path.suffix in TYPES and request.accept_encodings["gzip"] > 0
    if packed:
        content = io.BytesIO(_gzipped(path, version))
    response = send_file(
        content,
        mimetype=TYPES.get(path.suffix),
        download_name=path.name,
        etag=f"{version}-gzip" if packed else version,
        max_age=KEEP_SEC if keep else None,
    )
    response.cache_control.immutable = keep
    if path.suffix in TYPES:
        response.vary.add("Accept-Encoding")
    if packed:
        response.content_encoding = "gzip"
    return response


def _version(path: Path) -> str:
    """Return what changes with the file; no two files of one name share it."""
    stat = path.stat()
    return f"{stat.st_mtime_ns:x}-{stat.st_size:x}"


@lru_cache(maxsize=32)
def _gzipped(path: Path, _version: str) -> bytes:
    """Return the file compressed: its twin `.gz`, where it was fetched with one."""
    twin = path.with_name(f"{path.name}.gz")
    return twin.read_bytes() if twin.is_file() else gzip.compress(path.read_bytes(), mtime=0)
