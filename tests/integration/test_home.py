"""The home of chunks against real nodes: assembling, verifying, decoding, delivering, and what goes wrong."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence

import pytest

from common.messages import (
    ChunkFinished,
    ChunkSpec,
    DiscardRange,
    SourceShare,
)
from scheduler.erasure import encode_fragments
from tests.builders import a_chunk, a_coded_chunk
from tests.home_rig import DATA, WHOLE, WRONG, Home
from tests.ping_nodes import Answer, ping_nodes, say
from tests.range_nodes import head, stall_after, with_range, without_range
from tests.waiting import wait_until


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
