"""The home of chunks while ranges run, against real nodes: progress, two senders of the same bytes, early ends."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from common.messages import (
    CancelRange,
    CloseChunk,
    DiscardRange,
    RangeProgress,
    WarmNodes,
)
from common.units import node_of
from tests.builders import a_chunk
from tests.home_rig import DATA, PATIENT_SEC, WRONG, Home
from tests.ping_nodes import Answer, PingNode, hang, ping_nodes
from tests.range_nodes import head, stall_after, with_range, without_range
from tests.waiting import wait_until


@pytest.fixture
def home() -> Iterator[Home]:
    made = Home()
    yield made
    made.real.stop()


def test_progress_tells_how_far_each_range_is(home: Home) -> None:
    home.open(a_chunk(data=DATA))
    answer = stall_after(head("200 OK", len(DATA)) + DATA[:50_000])
    with ping_nodes(answer) as (node,):
        job = home.fetch(node, silence_sec=PATIENT_SEC)
        wait_until(
            lambda: [p.received_until_bytes for p in home.real.progress(only_new=False)] == [50_000]
        )
        home.real.progress(only_new=True)
        assert home.real.progress(only_new=True) == (), "nothing new"
        (seen,) = home.real.progress(only_new=False)
        assert (seen.job_id, seen.received_bytes) == (job, 50_000)
        home.real.handle(CancelRange(job_id=job))
        assert home.ended(job).outcome == "cancelled"
    assert home.real.progress(only_new=False) == ()


def test_the_first_bytes_of_a_range_are_told_of_apart(home: Home) -> None:
    home.open(a_chunk(data=DATA))
    go_on = threading.Event()

    def answer(node: PingNode, connection: socket.socket) -> bool:
        connection.sendall(head("200 OK", len(DATA)) + DATA[:10_000])
        go_on.wait(10)
        connection.sendall(DATA[10_000:20_000])
        node.closing.wait(60)
        return False

    with ping_nodes(answer) as (node,):
        job = home.fetch(node, silence_sec=PATIENT_SEC)
        wait_until(lambda: home.real.progress()[0].received_bytes == 10_000)
        (first,) = home.real.progress(only_new=True)
        assert (first.job_id, first.received_until_bytes) == (job, 10_000)
        assert home.real.progress(only_new=True) == ()
        go_on.set()
        wait_until(lambda: home.real.progress()[0].received_bytes == 20_000)
        (more,) = home.real.progress(only_new=True)
        assert more.received_until_bytes == 20_000
        home.real.handle(CancelRange(job_id=job))
        assert home.ended(job).received_until_bytes == 20_000


def heads(home: Home) -> list[bool | None]:
    """Return what was said of the heads of answers."""
    return [p.range_honoured for m in home.said if isinstance(m, RangeProgress) for p in m.running]


@pytest.mark.parametrize(("answer", "honoured"), [(with_range, True), (without_range, False)])
def test_the_head_of_an_answer_is_told_of_at_once(
    home: Home, answer: Callable[[bytes], Answer], honoured: bool
) -> None:
    data = DATA[:50_000]
    home.open(a_chunk(data=data))
    with ping_nodes(answer(data)) as (node,):
        home.ended(home.fetch(node, 0, len(data)))
    assert heads(home) == [honoured]
    assert isinstance(home.said[0], RangeProgress)


def test_a_burst_is_told_of_by_its_end_alone(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scheduler.fetcher.BURST_BYTES", 1)
    home.open(a_chunk(data=DATA))

    def all_at_once(node: PingNode, connection: socket.socket) -> bool:
        told = f"Content-Range: bytes 0-999/{len(DATA)}"
        connection.sendall(head("206 Partial Content", 1000, told) + DATA[:1000])
        return True

    with ping_nodes(all_at_once) as (node,):
        assert home.ended(home.fetch(node, 0, 1000)).range_honoured is True
    assert heads(home) == []


def test_two_senders_of_the_same_bytes_do_not_disturb_each_other(home: Home) -> None:
    home.open(a_chunk(data=DATA))
    go_on = threading.Event()

    def wrong_later(node: PingNode, connection: socket.socket) -> bool:
        connection.sendall(head("200 OK", len(DATA)) + DATA[:1000])
        go_on.wait(10)
        with contextlib.suppress(OSError):
            connection.sendall(WRONG[1000:])
        return True

    with ping_nodes(wrong_later, with_range(DATA)) as (slow, quick):
        behind = home.fetch(slow, silence_sec=PATIENT_SEC)
        wait_until(lambda: home.real.progress()[0].received_bytes == 1000)
        home.ended(home.fetch(quick, 1000))
        assert home.verdict().verdict == "delivered"
        wait_until(lambda: home.delivered)
        data = home.raw[0]
        go_on.set()
        assert home.ended(behind).outcome == "complete"
    assert bytes(data) == DATA, "delivered bytes stay as they are"
    assert [(r.end_bytes, r.node_url) for r in home.delivered[0][0].ranges] == [
        (1000, slow.url),
        (len(DATA), quick.url),
    ]


def test_a_home_keeps_connections_to_the_nodes_it_is_told(home: Home) -> None:
    with ping_nodes(with_range(DATA)) as (node,):
        home.real.handle(WarmNodes(node_urls=(node.url,), per_node_count=2))
        wait_until(lambda: node.connections == 2)
        home.open(a_chunk(data=DATA))
        home.fetch(node)
        assert home.verdict().verdict == "delivered"
        assert node.connections == 2
        node.drop_connections()

        def again() -> bool:
            home.real.keep_warm()
            return node.connections == 4

        wait_until(again)


def test_a_prefix_read_through_shows_in_the_progress(home: Home) -> None:
    home.open(a_chunk(data=DATA))
    answer = stall_after(head("200 OK", len(DATA)) + DATA[:50_000])
    with ping_nodes(answer) as (node,):
        job = home.fetch(node, 100_000, silence_sec=PATIENT_SEC, accepts_ranges=False)

        def received() -> list[tuple[int, int]]:
            running = home.real.progress(only_new=False)
            return [(p.received_until_bytes, p.received_bytes) for p in running]

        wait_until(lambda: received() == [(100_000, 50_000)])
        home.real.handle(CancelRange(job_id=job))
        assert home.ended(job).received_until_bytes == 100_000


def test_a_cancelled_range_keeps_what_it_read(home: Home) -> None:
    home.open(a_chunk(data=DATA))
    answer = stall_after(head("200 OK", len(DATA)) + DATA[:50_000])
    with ping_nodes(answer, with_range(DATA)) as (first, second):
        job = home.fetch(first, silence_sec=PATIENT_SEC)
        wait_until(lambda: home.real.progress(only_new=True))
        wait_until(lambda: home.real.progress(only_new=False)[0].received_until_bytes == 50_000)
        home.real.handle(CancelRange(job_id=job))
        assert home.ended(job).received_until_bytes == 50_000
        home.fetch(second, 50_000)
        assert home.verdict().verdict == "delivered"


def test_a_closed_chunk_cancels_its_ranges_and_forgets_its_bytes(home: Home) -> None:
    home.open(a_chunk(data=DATA))
    with ping_nodes(stall_after(head("200 OK", len(DATA)) + DATA[:1000])) as (node,):
        job = home.fetch(node, silence_sec=PATIENT_SEC)
        wait_until(lambda: home.real.progress(only_new=True))
        home.real.handle(CloseChunk(lease_id="L"))
        assert home.ended(job).outcome == "cancelled"
    assert home.real.leases() == ()
    assert home.verdicts() == []


def test_messages_about_nothing_are_harmless(home: Home) -> None:
    home.real.handle(CancelRange(job_id="none"))
    home.real.handle(CloseChunk(lease_id="none"))
    home.real.handle(DiscardRange(lease_id="none", part=0, start_bytes=0, end_bytes=9))
    with ping_nodes(with_range(DATA)) as (node,):
        home.fetch(node, lease_id="none")
        home.open(a_chunk(data=DATA))
        home.fetch(node, part=4)
        assert node.requests == []
    assert home.said == []


def test_stopping_ends_reads_that_wait(home: Home) -> None:
    home.open(a_chunk(data=DATA))
    with ping_nodes(hang, stall_after(head("200 OK", len(DATA)) + b"x")) as (mute, stalled):
        home.fetch(mute, 0, 1000, silence_sec=PATIENT_SEC)
        home.fetch(stalled, 1000, silence_sec=PATIENT_SEC)
        wait_until(lambda: mute.requests and stalled.requests)
        stopping = threading.Thread(target=home.real.stop)
        stopping.start()
        wait_until(lambda: not stopping.is_alive())
        stopping.join()
    assert home.delivered == []


def test_two_chunks_do_not_mix(home: Home) -> None:
    other = DATA[::-1]
    home.open(a_chunk(0, data=DATA), "L0")
    home.open(a_chunk(1, data=other), "L1")
    with ping_nodes(with_range(DATA), with_range(other)) as (first, second):
        home.fetch(second, lease_id="L1")
        home.fetch(first, lease_id="L0")
        home.verdict(2)
    wait_until(lambda: len(home.delivered) == 2)
    assert {msg.sequence_num: data for msg, data, _ in home.delivered} == {0: DATA, 1: other}
    assert {node_of(msg.sources[0].node_url) for msg, _, _ in home.delivered} == {
        first.url,
        second.url,
    }
