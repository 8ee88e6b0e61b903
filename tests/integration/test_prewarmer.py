"""Connections opened ahead of need, against real nodes: used by requests, replaced when lost, given up at a stop."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from scheduler import prewarmer
from scheduler.connections import NodePool, new_http_session, pool_of
from scheduler.prewarmer import Prewarmer
from tests.needs import needs
from tests.ping_nodes import PingNode, ping_nodes
from tests.range_nodes import with_range
from tests.range_reads import DATA, Sink, a_read
from tests.waiting import wait_until


@pytest.fixture
def http() -> Iterator[requests.Session]:
    session = new_http_session()
    yield session
    session.close()


@pytest.fixture
def warm(http: requests.Session) -> Iterator[Prewarmer]:
    made = Prewarmer(http)
    yield made
    made.stop()


def read(http: requests.Session, url: str) -> str:
    sink = Sink()
    result = a_read(http, url, sink).run()
    assert result.outcome != "complete" or sink.data == DATA
    return result.outcome


def pool(http: requests.Session, url: str) -> NodePool:
    found = pool_of(http, url)
    assert found is not None
    return found


def opened(http: requests.Session, node: PingNode, wanted: int = 2) -> bool:
    """Whether so many connections wait to be used."""
    return pool(http, node.url).missing(wanted) == 0


def test_requests_use_the_connections_that_wait(http: requests.Session, warm: Prewarmer) -> None:
    with ping_nodes(with_range(DATA)) as (node,):
        warm.want((node.url,), 2)
        wait_until(lambda: opened(http, node) and node.connections == 2)
        for _ in range(4):
            assert read(http, node.url) == "complete"
        assert (len(node.requests), node.connections) == (4, 2)


def test_a_connection_that_broke_off_is_not_waited_for_while_others_are_open(
    http: requests.Session, warm: Prewarmer
) -> None:
    with ping_nodes(with_range(DATA)) as (node,):
        warm.want((node.url,), 3)
        wait_until(lambda: opened(http, node, 3) and node.connections == 3)
        broken = pool(http, node.url)._get_conn()
        broken.close()
        pool(http, node.url)._put_conn(broken)
        assert read(http, node.url) == "complete"
        assert node.connections == 3


def test_a_connection_that_was_used_is_taken_before_a_fresh_one(
    http: requests.Session, warm: Prewarmer
) -> None:
    with ping_nodes(with_range(DATA)) as (node,):
        warm.want((node.url,), 1)
        wait_until(lambda: opened(http, node, 1))
        used = pool(http, node.url)._get_conn()
        pool(http, node.url)._put_conn(used)
        warm.want((node.url,), 3)
        wait_until(lambda: opened(http, node, 3) and node.connections == 3)
        taken = pool(http, node.url)._get_conn()
        pool(http, node.url)._put_conn(taken)
        assert taken is used


def test_a_connection_in_use_counts(http: requests.Session, warm: Prewarmer) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def answer(node: PingNode, connection: socket.socket) -> bool:
        begun.set()
        go_on.wait(10)
        return with_range(DATA)(node, connection)

    with ping_nodes(answer) as (node,):
        reading = threading.Thread(target=read, args=(http, node.url))
        reading.start()
        assert begun.wait(10)
        warm.want((node.url,), 2)
        wait_until(lambda: opened(http, node) and node.connections == 2)
        go_on.set()
        reading.join()
        assert node.connections == 2


def test_a_connection_the_node_has_closed_is_opened_again(
    http: requests.Session, warm: Prewarmer
) -> None:
    with ping_nodes(with_range(DATA)) as (node,):
        warm.want((node.url,), 2)
        wait_until(lambda: node.connections == 2)
        node.drop_connections()
        wait_until(lambda: not opened(http, node))
        warm.keep()
        wait_until(lambda: opened(http, node))
        assert node.connections == 4
        assert read(http, node.url) == "complete"
        assert node.connections == 4


def test_a_connection_that_a_read_used_up_is_replaced(
    http: requests.Session, warm: Prewarmer
) -> None:
    with ping_nodes(with_range(DATA)) as (node,):
        warm.want((node.url,), 1)
        wait_until(lambda: opened(http, node, 1))
        pool(http, node.url).close_idle()
        warm.refill(node.url)
        wait_until(lambda: opened(http, node, 1))
        assert node.connections == 2


def test_a_connection_lost_while_others_were_opened_is_replaced(
    http: requests.Session, warm: Prewarmer, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached, go_on = threading.Event(), threading.Event()
    reach = NodePool.warm

    def held_back(self: NodePool, wanted: int, timeout_sec: float) -> bool:
        result = reach(self, wanted, timeout_sec)
        reached.set()
        return go_on.wait(10) and result

    monkeypatch.setattr(NodePool, "warm", held_back)
    with ping_nodes(with_range(DATA)) as (node,):
        warm.want((node.url,), 1)
        assert reached.wait(10)
        pool(http, node.url).close_idle()
        warm.refill(node.url)
        go_on.set()
        wait_until(lambda: opened(http, node, 1))
        assert node.connections == 2


def test_a_node_that_refuses_is_left_alone_for_a_while(
    http: requests.Session, warm: Prewarmer, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []
    reach = NodePool.warm

    def counted(self: NodePool, wanted: int, timeout_sec: float) -> bool:
        tried.append(self.host)
        return reach(self, wanted, timeout_sec)

    monkeypatch.setattr(NodePool, "warm", counted)
    monkeypatch.setattr(prewarmer, "RETRY_BASE_SEC", 1000.0)
    monkeypatch.setattr(prewarmer, "RETRY_MAX_SEC", 1000.0)
    with socket.socket() as unheard, ping_nodes(with_range(DATA)) as (node,):
        unheard.bind(("127.0.0.1", 0))
        warm.want((f"http://127.0.0.1:{unheard.getsockname()[1]}", node.url), 2)
        wait_until(lambda: opened(http, node) and len(tried) == 2)
        warm.stop()
        for _ in range(20):
            warm.keep()
        assert len(tried) == 2


def test_nodes_no_longer_named_lose_their_idle_connections(
    http: requests.Session, warm: Prewarmer
) -> None:
    with ping_nodes(with_range(DATA), with_range(DATA)) as (first, second):
        warm.want((first.url,), 2)
        wait_until(lambda: opened(http, first))
        warm.want((second.url,), 2)
        wait_until(lambda: opened(http, second))
        assert pool(http, first.url).missing(2) == 2
        assert read(http, first.url) == "complete"


def test_connections_are_bounded(http: requests.Session, warm: Prewarmer) -> None:
    with ping_nodes(with_range(DATA)) as (node,):
        # More than a node gets even if it is the only one.
        warm.want((node.url,), 10_000)
        wait_until(lambda: node.connections >= 8)
        warm.stop()
        assert node.connections <= 9


@pytest.mark.parametrize("url", ["http://", "nonsense", "ftp://x", "http://[::1"])
def test_a_node_nobody_can_reach_is_no_reason_to_fail(warm: Prewarmer, url: str) -> None:
    warm.want((url,), 2)
    warm.keep()
    warm.refill(url)


def test_nothing_is_opened_after_a_stop(http: requests.Session, warm: Prewarmer) -> None:
    warm.stop()
    with ping_nodes(with_range(DATA)) as (node,):
        warm.want((node.url,), 2)
        warm.keep()
        assert node.connections == 0


# ---------------------------------------------------------------- TLS


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    path = tmp_path / "node.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(path), "-out", "-"]
    made = subprocess.run(command, check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + made.stdout)
    return path


@needs("openssl")
def test_connections_over_tls_wait_with_their_handshake_done(
    http: requests.Session, warm: Prewarmer, certificate: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    http.verify = str(certificate)
    with ping_nodes(with_range(DATA), tls=context) as (node,):
        warm.want((node.url,), 2)
        wait_until(lambda: node.connections == 2 and opened(http, node))
        for _ in range(4):
            # The tickets that the server sends after the handshake are not the end of the connection.
            assert read(http, node.url) == "complete"
        assert (len(node.requests), node.connections) == (4, 2)
        node.drop_connections()
        wait_until(lambda: not opened(http, node))
        assert read(http, node.url) == "complete"
