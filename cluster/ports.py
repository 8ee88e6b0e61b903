"""Ports of this machine."""

import socket


def free_port() -> int:
    """Return a loopback port that nobody listens on, for a server that has to be told one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
