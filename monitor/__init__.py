"""Network monitor: pings the storage nodes and scores them; process and `NetworkMonitor`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from monitor.network_monitor import NetworkMonitor

__all__ = ["NetworkMonitor"]


def __getattr__(name: str) -> object:
    # Imported on first use: `python -m monitor` needs no asyncio.
    if name == "NetworkMonitor":
        from monitor.network_monitor import NetworkMonitor

        return NetworkMonitor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
