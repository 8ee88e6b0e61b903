"""The buffer's web server: where it listens, and what it says when it cannot."""

from __future__ import annotations

import urllib.error
import urllib.request

import pytest

from buffer.stream_server import StreamServer
from buffer.watch import Watch
from common.errors import ConfigError


def find_none(_: str) -> Watch | None:
    return None


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_it_answers_at_the_address_it_names(host: str) -> None:
    server = StreamServer(find_none, host=host, port=0)
    server.start()
    try:
        assert server.url.startswith(f"http://{host}:")
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{server.url}/stream/nobody/film.m3u8", timeout=10)
    finally:
        server.stop()


def test_a_host_that_is_none_is_named() -> None:
    server = StreamServer(find_none, host="nowhere.invalid", port=0)
    with pytest.raises(ConfigError, match=r"STREAM_HOST: 'nowhere\.invalid' is no address"):
        server.start()
    server.stop()


def test_a_port_in_use_is_named() -> None:
    first = StreamServer(find_none, host="127.0.0.1", port=0)
    first.start()
    port = int(first.url.rpartition(":")[2])
    second = StreamServer(find_none, host="127.0.0.1", port=port)
    try:
        with pytest.raises(ConfigError, match=f"STREAM_PORT: port {port} on 127.0.0.1 is in use"):
            second.start()
    finally:
        second.stop()
        first.stop()
