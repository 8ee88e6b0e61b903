"""The home of chunks against real nodes: assembling, verifying, decoding, delivering, and what goes wrong."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import random
import socket
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from common.messages import (
    CancelRange,
    ChunkDelivery,
    ChunkFinished,
    ChunkSpec,
    CloseChunk,
    DiscardRange,
    FetchRange,
    OpenChunk,
    RangeFinished,
    RangeProgress,
    SourceShare,
    WarmNodes,
)
from common.units import node_of
from scheduler.erasure import encode_fragments
from scheduler.home import ChunkHome
from tests.builders import a_chunk, a_coded_chunk
from tests.ping_nodes import Answer, PingNode, hang, ping_nodes, say
from tests.range_nodes import head, stall_after, with_range, without_range
from tests.waiting import wait_until

DATA = random.Random(1).randbytes(300_001)
WRONG = bytes(b ^ 1 for b in DATA)
WHOLE = -1
PATIENT_SEC = 50.0


class Home:
    """A ChunkHome and everything it has said."""

    def __init__(self) -> None:
        self.said: list[RangeProgress | RangeFinished | ChunkFinished] = []
        self.delivered: list[tuple[ChunkDelivery, bytes, str]] = []
        self.raw: list[memoryview] = []
        self.real = ChunkHome(
            "w1",
            report=self.said.append,
            deliver=self._deliver,
        )
        self.verdicts_before_delivery: list[str] = []
        self._ids = itertools.count(1)

    def _deliver(self, msg: ChunkDelivery, data: memoryview, deliver_to: str) -> None:
        self.verdicts_before_delivery += [m.verdict for m in self.verdicts()]
        self.raw.append(data)
        self.delivered.append((msg, bytes(data), deliver_to))

    def open(self, chunk: ChunkSpec, lease_id: str = "L") -> None:
        self.real.handle(
            OpenChunk(lease_id=lease_id, session_id="s1", chunk=chunk, deliver_to="inproc://buffer")
        )

    def fetch(
        self,
        node: PingNode,
        start: int = 0,
        end: int = len(DATA),
        *,
        part: int = WHOLE,
        lease_id: str = "L",
        **changed: Any,
    ) -> str:
        job_id = f"J{next(self._ids)}"
        fields: dict[str, Any] = {"silence_sec": 5.0, "accepts_ranges": None}
        chunk = a_chunk(0, [node.url])
        self.real.handle(
            FetchRange(
                job_id=job_id,
                lease_id=lease_id,
                part=part,
                replica=chunk.replicas[0],
                start_bytes=start,
                end_bytes=end,
                **(fields | changed),
            )
        )
        return job_id

    def ended(self, job_id: str) -> RangeFinished:
        """Wait for the end of a range."""

        def found() -> list[RangeFinished]:
            return [m for m in self.said if isinstance(m, RangeFinished) and m.job_id == job_id]

        wait_until(found)
        return found()[0]

    def verdicts(self) -> list[ChunkFinished]:
        return [m for m in self.said if isinstance(m, ChunkFinished)]

    def verdict(self, count: int = 1) -> ChunkFinished:
        """Wait for the verdict that is the `count`th."""
        wait_until(lambda: len(self.verdicts()) >= count)
        return self.verdicts()[count - 1]


@pytest.fixture
def home() -> Iterator[Home]:
    made = Home()
    yield made
    made.real.stop()


def coded_spec() -> tuple[ChunkSpec, list[bytes]]:
    fragments = [bytes(f) for f in encode_fragments(DATA)]
    spec = a_coded_chunk(
        size_bytes=len(DATA),
        checksums=[hashlib.sha256(f).hexdigest() for f in fragments],
        checksum_sha256=hashlib.sha256(DATA).hexdigest(),
    )
    return spec, fragments


def test_a_chunk_is_assembled_verified_and_delivered(home: Home) -> None:
    home.open(a_chunk(data=DATA))
    with ping_nodes(with_range(DATA)) as (node,):
        job = home.fetch(node)
        assert home.verdict().verdict == "delivered"
    assert home.ended(job).outcome == "complete"
    wait_until(lambda: home.delivered)
    ((msg, data, deliver_to),) = home.delivered
    assert (data, deliver_to) == (DATA, "inproc://buffer")
    assert (msg.session_id, msg.sequence_num, msg.size_bytes) == ("s1", 0, len(DATA))
    assert msg.sources == (SourceShare(node_url=node.url, size_bytes=len(DATA)),)
    assert home.real.leases() == ()
    assert home.real.received_bytes == len(DATA)


def test_the_verdict_is_given_before_the_chunk(home: Home) -> None:
    # Whoever gets the last chunk may end the session at once, and what comes later is no longer counted.
    home.open(a_chunk(data=DATA))
    with ping_nodes(with_range(DATA)) as (node,):
        home.fetch(node)
        wait_until(lambda: home.delivered)
    assert home.verdicts_before_delivery == ["delivered"]


def test_each_range_remembers_its_node(home: Home) -> None:
    home.open(a_chunk(data=DATA))
    with ping_nodes(with_range(DATA), without_range(DATA)) as (first, second):
        home.ended(home.fetch(first, 0, 100_000))
        home.ended(home.fetch(second, 100_000))
        home.verdict()
    wait_until(lambda: home.delivered)
    msg = home.delivered[0][0]
    assert [(r.start_bytes, r.end_bytes, r.node_url) for r in msg.ranges] == [
        (0, 100_000, first.url),
        (100_000, len(DATA), second.url),
    ]
    assert [s.node_url for s in msg.sources] == [second.url, first.url], "the largest share first"


def test_ranges_of_one_chunk_may_run_side_by_side_with_one_verdict(home: Home) -> None:
    home.open(a_chunk(data=DATA))
    with ping_nodes(*[with_range(DATA)] * 4) as nodes:
        step = len(DATA) // 4 + 1
        for index, node in enumerate(nodes):
            home.fetch(node, index * step, min(len(DATA), (index + 1) * step))
        assert home.verdict().verdict == "delivered"
    home.real.stop()
    assert len(home.verdicts()) == len(home.delivered) == 1
    assert isinstance(home.said[-1], ChunkFinished), "no verdict overtakes the end of a range"


@pytest.mark.parametrize("answers", [[with_range(WRONG[:150_000] + DATA[150_000:])] * 2])
def test_wrong_bytes_of_ranges_that_end_together_are_reported_once(
    home: Home, answers: Sequence[Answer]
) -> None:
    home.open(a_chunk(data=DATA))
    with ping_nodes(*answers) as (first, second):
        home.fetch(first, 0, 150_000)
        home.fetch(second, 150_000)
        verdict = home.verdict()
    home.real.stop()
    assert (verdict.verdict, verdict.corrupt_part) == ("corrupt", WHOLE)
    assert len(home.verdicts()) == 1
    assert home.delivered == []


def test_bytes_discarded_are_fetched_again_and_the_chunk_is_right(home: Home) -> None:
    home.open(a_chunk(data=DATA))
    with ping_nodes(with_range(WRONG), with_range(DATA)) as (liar, honest):
        home.ended(home.fetch(liar, 0, 1000))
        home.ended(home.fetch(honest, 1000))
        assert home.verdict().verdict == "corrupt"
        home.real.handle(DiscardRange(lease_id="L", part=WHOLE, start_bytes=0, end_bytes=1000))
        home.fetch(honest, 0, 1000)
        assert home.verdict(2).verdict == "delivered"
    wait_until(lambda: home.delivered)
    assert home.delivered[0][1] == DATA
    assert home.delivered[0][0].sources == (SourceShare(node_url=honest.url, size_bytes=len(DATA)),)


def test_a_chunk_without_a_checksum_is_taken_as_it_is(home: Home) -> None:
    home.open(a_chunk(data=DATA, checksum_sha256=""))
    with ping_nodes(with_range(WRONG)) as (node,):
        home.fetch(node)
        assert home.verdict().verdict == "delivered"


def test_a_failed_range_keeps_its_bytes_for_the_next_node(home: Home) -> None:
    home.open(a_chunk(data=DATA))
    broken = stall_after(head("200 OK", len(DATA)) + DATA[:70_000])
    with ping_nodes(broken, with_range(DATA)) as (first, second):
        done = home.ended(home.fetch(first, silence_sec=0.2))
        assert (done.outcome, done.received_until_bytes) == ("silent", 70_000)
        home.fetch(second, 70_000)
        assert home.verdict().verdict == "delivered"
    wait_until(lambda: home.delivered)
    assert home.delivered[0][1] == DATA


def test_a_refusal_is_reported_with_its_reason(home: Home) -> None:
    home.open(a_chunk(data=DATA))
    with ping_nodes(say("503 Service Unavailable", "Retry-After: 3")) as (node,):
        done = home.ended(home.fetch(node))
    assert (done.outcome, done.retry_after_sec, done.detail) == ("unavailable", 3.0, "answered 503")
    assert home.verdicts() == []


# ---------------------------------------------------------------- erasure coding


@pytest.mark.parametrize("lost", list(itertools.combinations(range(5), 2)), ids=str)
def test_any_two_fragments_may_be_lost(home: Home, lost: tuple[int, int]) -> None:
    spec, fragments = coded_spec()
    home.open(spec)
    used = [index for index in range(5) if index not in lost]
    with ping_nodes(*(with_range(fragments[index]) for index in used)) as nodes:
        for index, node in zip(used, nodes, strict=True):
            home.fetch(node, 0, len(fragments[index]), part=index)
        assert home.verdict().verdict == "delivered"
    wait_until(lambda: home.delivered)
    assert home.delivered[0][1] == DATA
    assert {r.part for r in home.delivered[0][0].ranges} == set(used)


def test_a_wrong_fragment_is_named_and_said_once(home: Home) -> None:
    spec, fragments = coded_spec()
    home.open(spec)
    answers = [with_range(bytes(len(fragments[0]))), *(with_range(f) for f in fragments[1:4])]
    with ping_nodes(*answers) as nodes:
        home.ended(home.fetch(nodes[0], 0, len(fragments[0]), part=0))
        verdict = home.verdict()
        assert (verdict.verdict, verdict.corrupt_part) == ("corrupt", 0)
        for part in (1, 2, 3):
            home.fetch(nodes[part], 0, len(fragments[part]), part=part)
        assert home.verdict(2).verdict == "delivered", "three others are enough"
    assert len(home.verdicts()) == 2


def test_right_fragments_of_another_chunk_are_noticed(home: Home) -> None:
    spec, fragments = coded_spec()
    home.open(
        a_coded_chunk(
            size_bytes=len(DATA),
            checksums=[f.checksum_sha256 for f in spec.fragments],
            checksum_sha256="f" * 64,
        )
    )
    with ping_nodes(*(with_range(f) for f in fragments[:3])) as nodes:
        for part, node in enumerate(nodes):
            home.fetch(node, 0, len(fragments[part]), part=part)
        verdict = home.verdict()
    assert (verdict.verdict, verdict.corrupt_part) == ("corrupt", WHOLE)


# ---------------------------------------------------------------- ending early


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
        (first,) = home.real.progress(only_first=True)
        assert (first.job_id, first.received_until_bytes) == (job, 10_000)
        go_on.set()
        wait_until(lambda: home.real.progress()[0].received_bytes == 20_000)
        assert home.real.progress(only_first=True) == (), "these are not the first"
        (more,) = home.real.progress(only_new=True)
        assert more.received_until_bytes == 20_000
        home.real.handle(CancelRange(job_id=job))
        assert home.ended(job).received_until_bytes == 20_000


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
        home.real.handle(WarmNodes(node_urls=(node.url,), connections_per_node=2))
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
