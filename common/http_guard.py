"""Who may ask what: host names, origins and the headers of answers.

No I/O, no clock, no randomness. A page of another site must neither read the state of the player
nor control it, not even through a host name that resolves to this machine (DNS rebinding).
"""

from __future__ import annotations

import ipaddress
from typing import Protocol
from urllib.parse import urlsplit

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "object-src 'none'; media-src 'self' blob:"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Headers(Protocol):
    """Request headers by name, whatever the case."""

    def get(self, key: str, /) -> str | None: ...


def is_loopback(host: str) -> bool:
    """Tell whether a bind address is reachable from this machine alone."""
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def host_allowed(header: str, bound_host: str, configured: frozenset[str] = frozenset()) -> bool:
    """Tell whether a `Host` header names us.

    Bound to every address of the machine, any address will do, and the names `configured`.
    """
    name = _host_name(header)
    if name is None:
        return False
    if name in LOOPBACK_NAMES or name == bound_host.lower() or name in configured:
        return True
    bound, named = _address(bound_host), _address(name)
    return bound is not None and bound.is_unspecified and named is not None


def same_site(headers: Headers) -> bool:
    """Tell whether a browser says that another site's page makes this request."""
    return (headers.get("Sec-Fetch-Site") or "none") in ("same-origin", "none")


def same_origin(headers: Headers) -> bool:
    """Tell whether `Origin`, when a browser sent one, is the page we served."""
    origin = headers.get("Origin")
    if origin is None:
        return True
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc == headers.get("Host")


def _host_name(header: str) -> str | None:
    """Return the name in a `Host` header, lower case and without port and brackets."""
    try:
        parts = urlsplit(f"//{header}")
        _ = parts.port  # raises for a port that is none
    except ValueError:
        return None
    if parts.path or parts.query or parts.fragment or "@" in header:
        return None
    return parts.hostname


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None
