"""Pings over real sockets: what counts as an answer, what is measured, what is cut off."""

import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from monitor.pinger import Pinger
from monitor.probe import Probe
from monitor.prober import ProbePool, new_session, ping
from tests.ping_nodes import PingNode, drip, hang, outcomes, ping_nodes, say
from tests.waiting import wait_until

Ping = Callable[..., Probe]


@pytest.fixture(params=["sockets", "requests"])
def probe(request: pytest.FixtureRequest) -> Iterator[Ping]:
    """Return a function that pings a node once, by either way; connections are kept between calls."""
    if request.param == "requests":
        with new_session() as session:
            yield lambda node_url, timeout_sec: ping(session, node_url, timeout_sec=timeout_sec)
        return
    made: list[Pinger] = []

    def by_sockets(node_url: str, timeout_sec: float) -> Probe:
        if not made:
            made.append(Pinger(timeout_sec=timeout_sec))
        made[0].submit(node_url)
        (ended,) = outcomes(made[0], 1)
        assert isinstance(ended, Probe)
        return ended

    yield by_sockets
    for each in made:
        each.request_stop()


def test_ping_is_a_head_request_on_a_kept_connection(probe: Ping) -> None:
    with ping_nodes(say()) as (node,):
        for _ in range(3):
            assert probe(node.url, timeout_sec=2).latency_ms is not None
        assert [request.splitlines()[0] for request in node.requests] == [
            b"HEAD /ping HTTP/1.1"
        ] * 3
        assert node.connections == 1


@pytest.mark.parametrize(
    ("status", "alive"),
    [
        ("200 OK", True),
        ("204 No Content", True),
        ("302 Found", True),
        ("404 Not Found", True),
        ("405 Method Not Allowed", True),
        ("500 Internal Server Error", False),
        ("503 Service Unavailable", False),
    ],
)
def test_any_answer_below_500_means_alive(probe: Ping, status: str, alive: bool) -> None:
    with ping_nodes(say(status, "Location: http://127.0.0.1:9/elsewhere")) as (node,):
        found = probe(node.url, timeout_sec=2)
        assert (found.latency_ms is not None) is alive
        assert len(node.requests) == 1


@pytest.mark.parametrize(
    ("header", "accepts_ranges"),
    [("Accept-Ranges: bytes", True), ("Accept-Ranges: none", False), ("X-Node-ID: n1", None)],
)
def test_range_support_is_what_the_header_tells(
    probe: Ping, header: str, accepts_ranges: bool | None
) -> None:
    with ping_nodes(say("200 OK", header)) as (node,):
        assert probe(node.url, timeout_sec=2).accepts_ranges is accepts_ranges


def test_connecting_does_not_count_as_latency(probe: Ping, monkeypatch: pytest.MonkeyPatch) -> None:
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex

    def slow_connect(self: socket.socket, address: object) -> None:
        threading.Event().wait(0.3)
        connect(self, address)  # type: ignore[arg-type]  # as it came

    def slow_connect_ex(self: socket.socket, address: object) -> int:
        threading.Event().wait(0.3)
        return connect_ex(self, address)  # type: ignore[arg-type]  # as it came

    monkeypatch.setattr(socket.socket, "connect", slow_connect)
    monkeypatch.setattr(socket.socket, "connect_ex", slow_connect_ex)
    with ping_nodes(say()) as (node,):
        began_sec = time.monotonic()
        found = probe(node.url, timeout_sec=2)
        assert time.monotonic() - began_sec >= 0.3
        assert found.latency_ms is not None
        assert found.latency_ms < 200


def test_time_until_the_headers_is_the_latency(probe: Ping) -> None:
    def answer(node: PingNode, connection: socket.socket) -> bool:
        node.closing.wait(0.15)
        return say()(node, connection)

    with ping_nodes(answer) as (node,):
        found = probe(node.url, timeout_sec=2)
        assert found.latency_ms is not None
        assert found.latency_ms >= 150


def test_connection_the_node_closed_meanwhile_is_no_failure(probe: Ping) -> None:
    def close_on_second(node: PingNode, connection: socket.socket) -> bool:
        # The second request on a connection is met by its end, as when an idle limit strikes.
        if len(node.requests) == 2:
            return False
        return say()(node, connection)

    with ping_nodes(close_on_second) as (node,):
        assert probe(node.url, timeout_sec=2).latency_ms is not None
        assert probe(node.url, timeout_sec=2).latency_ms is not None
        assert node.connections == 2


def test_node_that_closes_every_connection_fails(probe: Ping) -> None:
    with ping_nodes(lambda _node, _connection: False) as (node,):
        assert probe(node.url, timeout_sec=2).latency_ms is None
        assert len(node.requests) == 1


def test_silent_node_fails_after_the_timeout(probe: Ping) -> None:
    with ping_nodes(hang) as (node,):
        began_sec = time.monotonic()
        found = probe(node.url, timeout_sec=0.2)
        assert found.latency_ms is None
        assert "timed out" in found.detail
        assert 0.2 <= time.monotonic() - began_sec < 5


@pytest.mark.parametrize(
    "node_url",
    ["http://127.0.0.1:1", "http://no such host:80", "http://[::1", "ftp://127.0.0.1", "x", ""],
)
def test_unusable_node_is_a_failure_and_no_exception(probe: Ping, node_url: str) -> None:
    found = probe(node_url, timeout_sec=0.5)
    assert found.latency_ms is None
    assert found.detail


def test_answer_that_is_no_http_is_a_failure(probe: Ping) -> None:
    def garbage(_node: PingNode, connection: socket.socket) -> bool:
        connection.sendall(b"\xff\xfe SSH-2.0\r\n\r\n")
        return False

    with ping_nodes(garbage) as (node,):
        assert probe(node.url, timeout_sec=1).latency_ms is None


def test_proxies_and_cookies_play_no_part(probe: Ping, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    with ping_nodes(say("200 OK", "Set-Cookie: a=b")) as (node,):
        for _ in range(2):
            assert probe(node.url, timeout_sec=2).latency_ms is not None
        assert b"ookie" not in node.requests[1]


# ---------------------------------------------------------------- the pool


class Pool:
    """A pool that is closed at the end, and what it delivered."""

    def __init__(self, timeout_sec: float = 2.0, max_threads: int = 32) -> None:
        self.delivered: queue.SimpleQueue[Probe] = queue.SimpleQueue()
        self.pool = ProbePool(self.delivered.put, timeout_sec=timeout_sec, max_threads=max_threads)

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *_: object) -> None:
        self.pool.request_stop()
        assert self.pool.join(10)


def test_hanging_node_does_not_delay_the_others() -> None:
    with ping_nodes(hang, say(), say()) as (hanging, *good), Pool(timeout_sec=30) as pool:
        for node in (hanging, *good):
            pool.pool.submit(node.url)
        answered = {pool.delivered.get(timeout=10).node_url for _ in good}
        assert answered == {node.url for node in good}


def test_threads_are_used_again() -> None:
    with ping_nodes(say()) as (node,), Pool() as pool:
        before = threading.active_count()
        for _ in range(5):
            pool.pool.submit(node.url)
            assert pool.delivered.get(timeout=10).latency_ms is not None
        # A node that is asked again the moment it answered may meet its thread still on the way.
        assert threading.active_count() - before <= 3
        assert node.connections == 1


def test_threads_are_bounded() -> None:
    with ping_nodes(*[say()] * 6) as nodes, Pool(max_threads=2) as pool:
        for node in nodes:
            pool.pool.submit(node.url)
        answered = {pool.delivered.get(timeout=10).node_url for _ in nodes}
        assert len(answered) == 6
        probers = [t for t in threading.enumerate() if t.name == "prober"]
        assert len(probers) == 2


def test_node_that_drips_its_headers_can_be_cut_off() -> None:
    with ping_nodes(drip) as (node,), Pool(timeout_sec=0.5) as pool:
        pool.pool.submit(node.url)
        wait_until(lambda: node.requests)
        pool.pool.abort(node.url)
        assert pool.delivered.get(timeout=10).latency_ms is None


def test_stop_ends_probes_that_hang() -> None:
    with ping_nodes(hang, hang) as nodes, Pool(timeout_sec=30) as pool:
        for node in nodes:
            pool.pool.submit(node.url)
        wait_until(lambda: all(node.requests for node in nodes))
        began_sec = time.monotonic()
        pool.pool.request_stop()
        pool.pool.request_stop()
        assert pool.pool.join(10)
        assert time.monotonic() - began_sec < 2
        assert pool.delivered.empty()
        pool.pool.submit(nodes[0].url)
        assert not any(t.name == "prober" for t in threading.enumerate())


def test_forgotten_node_loses_its_connection() -> None:
    def until_closed(node: PingNode, connection: socket.socket) -> bool:
        say()(node, connection)
        connection.settimeout(10)
        closed.append(connection.recv(1))
        return False

    closed: list[bytes] = []
    with ping_nodes(until_closed) as (node,), Pool() as pool:
        pool.pool.submit(node.url)
        pool.delivered.get(timeout=10)
        pool.pool.forget(node.url)
        wait_until(lambda: closed == [b""])
