"""URLs of nodes and of what lies on them. No I/O, no clock, no randomness."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

MAX_URL_CHARS = 1024


def check_node_url(url: str) -> str:
    """Return a node's base URL without a trailing slash; raise ValueError when it is no http(s) URL."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    # urlsplit overlooks line breaks; a name and password would be sent to whoever the manifest names.
    odd = any(c.isspace() or not c.isprintable() for c in url) or len(url) > MAX_URL_CHARS
    if not usable or odd or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError(f"{url[:120]!r} is no http(s) URL of a node")
    return url.rstrip("/")


def chunk_url(node_base_url: str, chunk_id: str) -> str:
    """Return the URL of a chunk or fragment on a V-Stack node."""
    return f"{node_base_url.rstrip('/')}/chunk/{quote(chunk_id, safe='')}"
