"""One scenario in both worlds: simulated nodes and a simulated worker, then real ones over real sockets.

Where timing cannot matter the planner makes the same choices in the same order.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.scenarios import FaultEvent
from cluster import EmbeddedCluster
from cluster.client import call
from cluster.faults import FaultKind
from cluster.profiles import LinkProfile
from common.messages import ChunkSpec, FetchRange, NodeScores, Policy
from common.units import node_of
from scheduler.commands import Command, SendJob
from simulation.world import NodePlan, World
from tests.builders import a_chunk, a_score, replica, scores
from tests.simulation.asker import Asked, Asker
from tests.simulation.real_world import RealWorld

CHUNKS = 6
# Below the least length of a range, so that no measured rate divides it.
SMALL_BYTES = 40_000
LARGE_BYTES = 100_000
LIMIT_SEC = 30.0
RATE_MBPS = 200.0
# The second node is so slow that no measurement puts it before the first; the third has no ranges.
LINKS = (
    LinkProfile(rate_mbps=RATE_MBPS, rtt_ms=2.0),
    LinkProfile(rate_mbps=4.0, rtt_ms=20.0),
    LinkProfile(rate_mbps=RATE_MBPS, rtt_ms=2.0, no_range=True),
)

# The chunk, its bytes [start, end), and the number of the node.
Choice = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What is fetched where: `nodes` hold all chunks, the first one looks the best by far."""

    policy: Policy
    nodes: tuple[int, ...]
    chunk_bytes: int
    max_active_chunks: int
    # Of the first node.
    fault: FaultKind | None = None
    # The only chunk that the fault concerns.
    fault_chunk: int | None = None


PLAYED = {
    "small chunks of one node": Played(
        policy="deadline", nodes=(0,), chunk_bytes=SMALL_BYTES, max_active_chunks=4
    ),
    "chunks of one node without Range": Played(
        policy="deadline", nodes=(2,), chunk_bytes=LARGE_BYTES, max_active_chunks=4
    ),
    "whole chunks, four at a time": Played(
        policy="score", nodes=(0,), chunk_bytes=LARGE_BYTES, max_active_chunks=4
    ),
    "whole chunks of the best node": Played(
        policy="score", nodes=(0, 1), chunk_bytes=LARGE_BYTES, max_active_chunks=1
    ),
    "a chunk that the best node lacks": Played(
        policy="score",
        nodes=(0, 1),
        chunk_bytes=LARGE_BYTES,
        max_active_chunks=1,
        fault="missing",
        fault_chunk=2,
    ),
    "a best node that lies": Played(
        policy="score",
        nodes=(0, 1),
        chunk_bytes=LARGE_BYTES,
        max_active_chunks=1,
        fault="corrupt",
    ),
}


class Choices:
    """Reads what a planner chose from its commands."""

    def __init__(self, urls: Sequence[str], chunks: Sequence[ChunkSpec]) -> None:
        self.made: list[Choice] = []
        self._urls = urls
        self._numbers = {chunk.chunk_id: chunk.sequence_num for chunk in chunks}

    def watch(self, commands: list[Command]) -> None:
        for command in commands:
            if isinstance(command, SendJob) and isinstance(command.msg, FetchRange):
                fetch = command.msg
                number = self._numbers[fetch.replica.url.rpartition("/")[2]]
                node = self._urls.index(node_of(fetch.replica.url))
                self.made.append((number, fetch.start_bytes, fetch.end_bytes, node))


def bytes_of(number: int, size_bytes: int) -> bytes:
    return random.Random(number).randbytes(size_bytes)


def chunks_on(urls: Sequence[str], size_bytes: int) -> list[ChunkSpec]:
    return [
        a_chunk(
            number,
            data=bytes_of(number, size_bytes),
            chunk_id=(name := f"{size_bytes}-{number}"),
            replicas=tuple(replica(url, name) for url in urls),
        )
        for number in range(CHUNKS)
    ]


def known(urls: Sequence[str]) -> NodeScores:
    """Return what a monitor says of all nodes."""
    return scores(
        *(
            a_score(
                url,
                mbps=link.rate_mbps,
                latency_ms=link.rtt_ms or 0.0,
                accepts_ranges=not link.no_range,
            )
            for url, link in zip(urls, LINKS, strict=True)
        )
    )


def in_virtual_time(played: Played) -> list[Choice]:
    """Return the choices made against simulated nodes."""
    all_urls = [f"http://node-{number}:80" for number in range(len(LINKS))]
    urls = [all_urls[number] for number in played.nodes]
    chunks = chunks_on(urls, played.chunk_bytes)
    choices = Choices(all_urls, chunks)
    fault: tuple[FaultEvent, ...] = ()
    if played.fault is not None:
        fault = (FaultEvent(node=0, kind=played.fault, chunk=played.fault_chunk),)
    world = World(
        {
            url: NodePlan(profile=LINKS[number], faults=fault if number == 0 else ())
            for number, url in enumerate(all_urls)
        },
        workers=1,
        max_active_chunks=played.max_active_chunks,
        monitor="none",
        watch=lambda _world, _event, commands: choices.watch(commands),
    )
    world.feed(known(all_urls))
    asker = started(world, chunks, played)
    world.agenda.run(LIMIT_SEC, lambda: asker.satisfied)
    assert asker.satisfied
    return choices.made


def over_sockets(played: Played, cluster: EmbeddedCluster) -> list[Choice]:
    """Return the choices made against real nodes."""
    all_urls = cluster.node_urls
    urls = [all_urls[number] for number in played.nodes]
    chunks = chunks_on(urls, played.chunk_bytes)
    choices = Choices(all_urls, chunks)
    if played.fault is not None:
        lacked = None if played.fault_chunk is None else chunks[played.fault_chunk].chunk_id
        cluster.set_fault(1, played.fault, chunk_id=lacked)
    try:
        with RealWorld(
            max_active_chunks=played.max_active_chunks, watch=choices.watch
        ) as real_world:
            real_world.feed(known(all_urls))
            asker = started(real_world, chunks, played)
            real_world.run(lambda: asker.satisfied, LIMIT_SEC)
    finally:
        cluster.set_fault(1, "none")
    return choices.made


def started(world: Asked, chunks: Sequence[ChunkSpec], played: Played) -> Asker:
    return Asker(world, chunks, policy=played.policy)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedCluster]:
    folder: Path = tmp_path_factory.mktemp("both")
    with EmbeddedCluster(nodes=len(LINKS), data=folder, links=LINKS) as running:
        for size_bytes in (SMALL_BYTES, LARGE_BYTES):
            for chunk in chunks_on(running.node_urls, size_bytes):
                data = bytes_of(chunk.sequence_num, size_bytes)
                for place in chunk.replicas:
                    assert call("PUT", place.url, data=data).status == 201
        yield running


@pytest.mark.parametrize("name", PLAYED)
def test_both_worlds_choose_the_same(name: str, cluster: EmbeddedCluster) -> None:
    played = PLAYED[name]
    simulated = in_virtual_time(played)
    assert over_sockets(played, cluster) == simulated
    assert len(simulated) >= CHUNKS


def test_what_is_compared_is_what_the_scenario_says() -> None:
    whole = [(number, 0, LARGE_BYTES) for number in range(CHUNKS)]
    at_the_best = [(*chunk, 0) for chunk in whole]
    assert in_virtual_time(PLAYED["whole chunks of the best node"]) == at_the_best
    lacking = in_virtual_time(PLAYED["a chunk that the best node lacks"])
    assert lacking == [*at_the_best[:3], (*whole[2], 1), *at_the_best[3:]]
    lying = in_virtual_time(PLAYED["a best node that lies"])
    assert lying == [at_the_best[0], *((*chunk, 1) for chunk in whole)]
