"""Many nodes from one thread, and what one byte of a chunk tells; real sockets."""

import socket
import threading
from collections.abc import Iterator

import pytest

from monitor.pinger import Pinger
from monitor.probe import Probe, RangeCheck
from monitor.prober import check_ranges, new_session
from tests.ping_nodes import Answer, PingNode, drip, hang, outcomes, ping_nodes, say
from tests.waiting import wait_until


@pytest.fixture
def pinger() -> Iterator[Pinger]:
    made = Pinger(timeout_sec=2.0)
    yield made
    made.request_stop()
    made.request_stop()
    assert made.join(10)


# ---------------------------------------------------------------- does it answer ranges


def whole_chunk(told: list[int]) -> Answer:
    """Send a chunk of 4 MiB whatever is asked, until the other side has had enough."""

    def answer(_node: PingNode, connection: socket.socket) -> bool:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4194304\r\n\r\n")
        try:
            for _ in range(4194304 // 4096):
                connection.sendall(bytes(4096))
                told.append(4096)
        except OSError:
            return False
        return True

    return answer


PARTIAL = say("206 Partial Content", "Content-Range: bytes 0-0/9", keep=False)


@pytest.mark.parametrize("way", ["sockets", "requests"])
@pytest.mark.parametrize(
    ("answer", "honoured"),
    [
        (PARTIAL, True),
        (whole_chunk([]), False),
        (say("404 Not Found"), None),
        (say("302 Found", "Location: http://127.0.0.1:9/"), None),
        (say("503 Busy"), None),
        (lambda _node, _connection: False, None),
    ],
)
def test_one_byte_tells_whether_ranges_are_answered(
    pinger: Pinger, way: str, answer: Answer, honoured: bool | None
) -> None:
    with ping_nodes(answer) as (node,):
        if way == "sockets":
            pinger.check_ranges(node.url, f"{node.url}/chunk/c1")
            (found,) = outcomes(pinger, 1)
        else:
            with new_session() as session:
                url = f"{node.url}/chunk/c1"
                found = check_ranges(session, node.url, url, timeout_sec=2)
        assert isinstance(found, RangeCheck)
        assert (found.node_url, found.honoured) == (node.url, honoured)
        (request,) = node.requests
        assert request.startswith(b"GET /chunk/c1 HTTP/1.1\r\n")
        assert b"Range: bytes=0-0" in request


def test_a_whole_chunk_is_cut_off_after_its_head(pinger: Pinger) -> None:
    sent: list[int] = []
    with ping_nodes(whole_chunk(sent)) as (node,):
        pinger.check_ranges(node.url, f"{node.url}/chunk/c1")
        outcomes(pinger, 1)
    # What the sender's own buffer took never crossed the network; the rest was not even sent.
    assert sum(sent) < 4194304


def test_check_and_ping_do_not_wait_for_each_other(pinger: Pinger) -> None:
    def ping_only(node: PingNode, connection: socket.socket) -> bool:
        if node.requests[-1].startswith(b"GET"):
            return hang(node, connection)
        return say()(node, connection)

    with ping_nodes(ping_only) as (node,):
        pinger.check_ranges(node.url, f"{node.url}/chunk/c1")
        for _ in range(2):
            pinger.submit(node.url)
            (found,) = outcomes(pinger, 1)
            assert isinstance(found, Probe)
            assert found.latency_ms is not None
        assert node.connections == 2


# ---------------------------------------------------------------- many nodes, one thread


def test_hanging_nodes_delay_no_other_and_need_no_thread(pinger: Pinger) -> None:
    before = threading.active_count()
    with ping_nodes(hang, drip, say(), say()) as (hanging, dripping, *good):
        serving = threading.active_count()
        for node in (hanging, dripping, *good):
            pinger.submit(node.url)
        ended = outcomes(pinger, 2)
        assert {outcome.node_url for outcome in ended} == {node.url for node in good}
        late = {each.node_url: each for each in outcomes(pinger, 2)}
        assert late.keys() == {hanging.url, dripping.url}
        assert all("timed out" in each.detail for each in late.values())
        assert serving > before
    assert threading.active_count() == before


def test_host_names_are_looked_up(pinger: Pinger) -> None:
    with ping_nodes(say()) as (node,):
        named = node.url.replace("127.0.0.1", "localhost")
        for _ in range(2):
            pinger.submit(named)
            (found,) = outcomes(pinger, 1)
            assert isinstance(found, Probe)
            assert found.latency_ms is not None
        assert node.connections == 1


def test_what_a_node_says_unasked_is_no_answer_to_the_next_ping(pinger: Pinger) -> None:
    said: list[int] = []

    def answers_twice(node: PingNode, connection: socket.socket) -> bool:
        for _ in range(2):
            say()(node, connection)
        said.append(1)
        return True

    with ping_nodes(answers_twice) as (node,):
        for count in (1, 2):
            pinger.submit(node.url)
            (found,) = outcomes(pinger, 1)
            assert isinstance(found, Probe)
            assert found.latency_ms is not None
            wait_until(lambda count=count: len(said) == count)  # type: ignore[misc]
            assert node.connections == count


def test_no_more_connections_are_kept_than_there_may_be() -> None:
    pinger = Pinger(timeout_sec=2.0, max_kept=1)
    with ping_nodes(say(), say()) as nodes:
        for _ in range(3):
            for node in nodes:
                pinger.submit(node.url)
            outcomes(pinger, 2)
        # Whose answer comes last keeps its own: which node that is may change from round to round.
        assert sum(node.connections for node in nodes) == 4
        pinger.request_stop()


def test_a_node_forgotten_during_its_ping_ends_as_failed(pinger: Pinger) -> None:
    with ping_nodes(hang) as (node,):
        pinger.submit(node.url)
        pinger.forget(node.url)
        (found,) = outcomes(pinger, 1)
        assert isinstance(found, Probe)
        assert found.latency_ms is None


def test_a_forgotten_node_loses_its_kept_connection(pinger: Pinger) -> None:
    def until_closed(node: PingNode, connection: socket.socket) -> bool:
        say()(node, connection)
        connection.settimeout(10)
        closed.append(connection.recv(1))
        return False

    closed: list[bytes] = []
    with ping_nodes(until_closed) as (node,):
        pinger.submit(node.url)
        outcomes(pinger, 1)
        pinger.forget(node.url)
        wait_until(lambda: closed == [b""])


def test_nodes_behind_tls_are_pinged_by_threads(pinger: Pinger) -> None:
    # It speaks no TLS: what matters here is that the handshake blocks nobody and fails by itself.
    with ping_nodes(say()) as (node,):
        url = node.url.replace("http://", "https://")
        pinger.submit(url)
        pinger.submit(node.url)
        pinger.check_ranges(url, f"{url}/chunk/c1")
        ended = outcomes(pinger, 3)
        assert {type(each) for each in ended if each.node_url == url} == {Probe, RangeCheck}
        (plain,) = [each for each in ended if each.node_url == node.url]
        assert isinstance(plain, Probe)
        assert plain.latency_ms is not None
