"""`from network_monitor import NetworkMonitor`: the class under its documented module name."""

from monitor.network_monitor import NetworkMonitor

__all__ = ["NetworkMonitor"]
