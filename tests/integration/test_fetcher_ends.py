"""One ranged read against real nodes that ends before its time: cancelled, cut shorter, or on a worn connection."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from scheduler.connections import new_http_session
from scheduler.fetcher import RangeResult
from tests.ping_nodes import Answer, PingNode, hang, ping_nodes
from tests.range_nodes import head, stall_after, with_range
from tests.range_reads import DATA, PATIENT_SEC, SIZE, Sink, a_read
from tests.waiting import wait_until


@pytest.fixture
def http() -> Iterator[requests.Session]:
    session = new_http_session()
    yield session
    session.close()


# ---------------------------------------------------------------- cancelling


def run_and_cancel(
    http: requests.Session, answer: Answer, ready: Any, **changed: Any
) -> tuple[RangeResult, Sink]:
    """Cancel a read as soon as `ready(node, sink)`; the node itself never ends it."""
    sink, results = Sink(), list[RangeResult]()
    with ping_nodes(answer) as (node,):
        reading = a_read(http, node.url, sink, **({"silence_sec": PATIENT_SEC} | changed))
        thread = threading.Thread(target=lambda: results.append(reading.run()))
        thread.start()
        wait_until(lambda: ready(node, sink))
        reading.cancel()
        wait_until(lambda: results)
        thread.join()
    return results[0], sink


def test_a_read_that_waits_for_bytes_is_cancelled_at_once(http: requests.Session) -> None:
    answer = stall_after(head("200 OK", SIZE) + DATA[:1000])
    result, sink = run_and_cancel(http, answer, lambda _, sink: len(sink.data) == 1000)
    assert (result.outcome, sink.data) == ("cancelled", DATA[:1000])
    assert result.received_until == 1000


def test_a_read_from_a_node_that_will_close_is_cancelled_at_once(http: requests.Session) -> None:
    # http.client gives the socket away when the connection will not be kept.
    answer = stall_after(head("200 OK", SIZE, "Connection: close") + DATA[:1000])
    result, sink = run_and_cancel(http, answer, lambda _, sink: len(sink.data) == 1000)
    assert (result.outcome, sink.data) == ("cancelled", DATA[:1000])


def test_a_read_that_waits_for_headers_ends_with_its_silence(http: requests.Session) -> None:
    result, sink = run_and_cancel(http, hang, lambda node, _: node.requests, silence_sec=0.3)
    assert (result.outcome, sink.data) == ("cancelled", b"")


def test_a_read_cancelled_before_it_began_brings_nothing(http: requests.Session) -> None:
    sink = Sink()
    with ping_nodes(with_range(DATA)) as (node,):
        reading = a_read(http, node.url, sink)
        reading.cancel()
        assert reading.run().outcome == "cancelled"
    assert sink.data == b""


def test_cancelling_a_finished_read_disturbs_nobody(http: requests.Session) -> None:
    with ping_nodes(with_range(DATA)) as (node,):
        first = a_read(http, node.url, Sink())
        assert first.run().outcome == "complete"
        first.cancel()
        assert a_read(http, node.url, Sink()).run().outcome == "complete"
        assert node.connections == 1


# ---------------------------------------------------------------- moving the end


def resized(
    http: requests.Session, first: int, end: int, *, answer: Answer, **changed: Any
) -> tuple[RangeResult, Sink]:
    """Move the end of a read once it has brought `first` bytes."""
    sink, results = Sink(), list[RangeResult]()
    with ping_nodes(answer) as (node,):
        reading = a_read(http, node.url, sink, **({"silence_sec": PATIENT_SEC} | changed))
        thread = threading.Thread(target=lambda: results.append(reading.run()))
        thread.start()
        wait_until(lambda: len(sink.data) == first)
        reading.resize(end)
        wait_until(lambda: results)
        thread.join()
    return results[0], sink


@pytest.mark.parametrize("end", [0, 999, 1000])
def test_a_read_whose_end_is_behind_it_ends_at_once(http: requests.Session, end: int) -> None:
    answer = stall_after(head("200 OK", SIZE) + DATA[:1000])
    result, sink = resized(http, 1000, end, answer=answer)
    assert (result.outcome, result.received_until) == ("complete", 1000)
    assert sink.data == DATA[:1000], "what has come beyond a nearer end is kept"


def test_no_byte_beyond_a_nearer_end_is_written(http: requests.Session) -> None:
    more = threading.Event()

    def answer(node: PingNode, connection: socket.socket) -> bool:
        connection.sendall(head("200 OK", SIZE) + DATA[:1000])
        more.wait(60)
        connection.sendall(DATA[1000:])
        return True

    sink, results = Sink(), list[RangeResult]()
    with ping_nodes(answer) as (node,):
        reading = a_read(http, node.url, sink, silence_sec=PATIENT_SEC)
        thread = threading.Thread(target=lambda: results.append(reading.run()))
        thread.start()
        wait_until(lambda: len(sink.data) == 1000)
        reading.resize(1500)
        more.set()
        thread.join(10)
    assert (results[0].outcome, results[0].received_until) == ("complete", 1500)
    assert sink.data == DATA[:1500]
    assert bytes(sink.room_after(1500)) == bytes(SIZE - 1500)


def test_only_a_body_that_goes_on_anyway_can_end_later(http: requests.Session) -> None:
    sink = Sink()
    with ping_nodes(with_range(DATA)) as (node,):
        reading = a_read(http, node.url, sink, end=1000)
        reading.resize(2000)
        assert reading.run().received_until == 1000
    assert sink.data == DATA[:1000]


# ---------------------------------------------------------------- connections that were idle


class Resting:
    """Answers some requests on each connection, then resets it at the next one."""

    def __init__(self, *good: int) -> None:
        self.good = list(good)
        self.answered: dict[socket.socket, int] = {}

    def __call__(self, node: PingNode, connection: socket.socket) -> bool:
        count = self.answered[connection] = self.answered.get(connection, 0) + 1
        if count > self.good[min(len(self.answered), len(self.good)) - 1]:
            return False
        return with_range(DATA)(node, connection)


def test_a_request_on_a_connection_that_idled_long_is_made_again(
    http: requests.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scheduler.fetcher.LONG_IDLE_SEC", 0.0)
    with ping_nodes(Resting(1)) as (node,):
        for _ in range(2):
            assert a_read(http, node.url, Sink()).run().outcome == "complete"
        assert (len(node.requests), node.connections) == (3, 2)


def test_a_request_on_a_busy_connection_that_breaks_is_the_nodes_failure(
    http: requests.Session,
) -> None:
    with ping_nodes(Resting(1)) as (node,):
        assert a_read(http, node.url, Sink()).run().outcome == "complete"
        assert a_read(http, node.url, Sink()).run().outcome == "refused"
        assert len(node.requests) == 2


def test_a_new_connection_that_breaks_is_not_tried_again(
    http: requests.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scheduler.fetcher.LONG_IDLE_SEC", 0.0)
    with ping_nodes(Resting(0)) as (node,):
        assert a_read(http, node.url, Sink()).run().outcome == "refused"
        assert len(node.requests) == 1
