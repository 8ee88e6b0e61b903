"""ChunkScheduler against servers of odd kinds, and how it ends."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator

import psutil
import pytest

from cluster import EmbeddedCluster
from monitor import NetworkMonitor
from scheduler import ChunkScheduler
from tests.chunk_nodes import (
    CHUNKS,
    FIRST,
    OddNode,
    Opinions,
    heal,
    range_threads,
    stocked_cluster,
    until,
)
from tests.ping_nodes import drip, hang, ping_nodes
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedCluster]:
    with stocked_cluster(tmp_path_factory.mktemp("nodes")) as cluster:
        yield cluster


@pytest.fixture
def cluster(started: EmbeddedCluster) -> Iterator[EmbeddedCluster]:
    yield started
    heal(started)


# ---------------------------------------------------------------- servers of other kinds


async def test_server_that_knows_only_get_is_read_unverified() -> None:
    with OddNode(b"no etag, no head", only_get=True) as url:
        async with ChunkScheduler() as scheduler:
            assert await scheduler.download_chunk("c", [url]) == b"no etag, no head"


async def test_wrong_size_told_first_is_corrected_by_the_other_replica(
    cluster: EmbeddedCluster,
) -> None:
    late = cluster.node_urls[2]
    with OddNode(b"", head_size=77) as liar:
        async with ChunkScheduler() as scheduler:
            assert await scheduler.download_chunk(FIRST, [liar, late]) == CHUNKS[FIRST]
            assert scheduler.get_chunk_source(FIRST) == late


@pytest.mark.parametrize("answer", [hang, drip], ids=["hang", "drip"])
async def test_node_that_never_finishes_its_answer_is_left_and_close_does_not_wait_for_it(
    cluster: EmbeddedCluster, answer: object
) -> None:
    good = cluster.node_urls[0]
    data = CHUNKS[FIRST]
    with ping_nodes(answer) as [endless]:  # type: ignore[arg-type]  # one of the two above
        opinions = Opinions(endless=9, good=1).of(endless=endless.url, good=good)
        async with ChunkScheduler(opinions) as scheduler:
            got = await scheduler.download_chunk(FIRST, [endless.url, good], size_bytes=len(data))
            assert got == data
            assert scheduler.get_chunk_source(FIRST) == good
            async with asyncio.timeout(10):
                await scheduler.close()
        assert not range_threads()


# ---------------------------------------------------------------- ending


async def test_cancelled_download_is_withdrawn(cluster: EmbeddedCluster) -> None:
    cluster.set_fault(1, "stall")
    async with ChunkScheduler() as scheduler:
        download = asyncio.create_task(
            scheduler.download_chunk(FIRST, cluster.node_urls[:1], size_bytes=len(CHUNKS[FIRST]))
        )
        await until(lambda: scheduler.get_statistics()["active_downloads"] == 1)
        download.cancel()
        with pytest.raises(asyncio.CancelledError):
            await download
        assert scheduler.get_statistics()["active_downloads"] == 0
        assert scheduler.node_load == {cluster.node_urls[0]: 0}
        assert scheduler.total_downloads == 0


async def test_close_ends_downloads_threads_and_connections(cluster: EmbeddedCluster) -> None:
    scheduler = ChunkScheduler()
    wanted = [{"chunk_id": name, "replicas": cluster.node_urls} for name in CHUNKS]
    await scheduler.download_chunks_parallel(wanted)
    cluster.set_fault(1, "silent_data")
    pending = asyncio.create_task(
        scheduler.download_chunk(FIRST, cluster.node_urls[:1], size_bytes=5, checksum="0" * 64)
    )
    await until(lambda: scheduler.get_statistics()["active_downloads"] == 1)
    await scheduler.close()
    await scheduler.close()
    assert await pending is None
    assert not range_threads()
    ports = {int(url.rpartition(":")[2]) for url in cluster.node_urls}
    open_connections = psutil.Process().net_connections("tcp")
    assert not [c for c in open_connections if c.raddr and c.raddr.port in ports]


async def test_closed_scheduler_may_be_used_again(cluster: EmbeddedCluster) -> None:
    scheduler = ChunkScheduler()
    for _ in range(2):
        assert await scheduler.download_chunk(FIRST, cluster.node_urls) == CHUNKS[FIRST]
        await scheduler.close()
    assert scheduler.total_downloads == 2


def test_event_loops_may_come_and_go_in_the_midst_of_downloads(cluster: EmbeddedCluster) -> None:
    scheduler = ChunkScheduler()

    async def leave_early() -> asyncio.Task[bytes | None]:
        task = asyncio.create_task(
            scheduler.download_chunk(FIRST, cluster.node_urls[:1], size_bytes=5, checksum="0" * 64)
        )
        await until(lambda: scheduler.get_statistics()["active_downloads"] == 1)
        return task

    cluster.set_fault(1, "silent_data")
    assert asyncio.run(leave_early()).cancelled()
    assert asyncio.run(scheduler.download_chunk(FIRST, cluster.node_urls)) == CHUNKS[FIRST]
    asyncio.run(scheduler.close())
    assert not range_threads()


def test_scheduler_nobody_closed_leaves_nothing_behind(cluster: EmbeddedCluster) -> None:
    async def play() -> None:
        scheduler = ChunkScheduler(NetworkMonitor())
        assert await scheduler.download_chunk(FIRST, cluster.node_urls) == CHUNKS[FIRST]

    asyncio.run(play())

    def collected() -> bool:
        # Again and again: a thread may hold on to the scheduler for a moment. An unclosed socket would be a
        # ResourceWarning here, and so a failure.
        gc.collect()
        return not range_threads()

    wait_until(collected)
