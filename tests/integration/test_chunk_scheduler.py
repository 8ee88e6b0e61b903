"""ChunkScheduler in one process, against real storage nodes."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator

import pytest

from cluster import EmbeddedCluster
from common.errors import ConfigError
from monitor import NetworkMonitor
from scheduler import ChunkScheduler
from tests.chunk_nodes import CHUNKS, FIRST, Opinions, heal, known, stocked_cluster, until

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedCluster]:
    with stocked_cluster(tmp_path_factory.mktemp("nodes")) as cluster:
        yield cluster


@pytest.fixture
def cluster(started: EmbeddedCluster) -> Iterator[EmbeddedCluster]:
    yield started
    heal(started)


def data_requests(cluster: EmbeddedCluster, node: int, chunk_id: str) -> int:
    paths = [r for r in cluster.requests(node) if r["method"] == "GET"]
    return sum(r["path"] == f"/chunk/{chunk_id}" for r in paths)


# ---------------------------------------------------------------- choosing

A, B, C = "http://a:1", "http://b:1", "http://c:1"


def test_best_score_is_chosen() -> None:
    scheduler = ChunkScheduler(Opinions(a=1, b=3, c=2).of(a=A, b=B, c=C))
    assert scheduler.select_best_node("c", [A, B, C]) == B


def test_load_lowers_the_score() -> None:
    scheduler = ChunkScheduler(Opinions(a=2, b=3).of(a=A, b=B))
    scheduler.node_load[B] = 1
    assert scheduler.select_best_node("c", [A, B]) == A


def test_unhealthy_node_is_chosen_only_when_there_is_no_other() -> None:
    scheduler = ChunkScheduler(Opinions(a=1).of(a=A))
    assert scheduler.select_best_node("c", [B, A]) == A
    assert scheduler.select_best_node("c", [B]) == B


def test_without_scores_the_least_loaded_is_chosen_then_the_first() -> None:
    scheduler = ChunkScheduler()
    assert scheduler.select_best_node("c", [B, A]) == B
    scheduler.node_load[B] = 1
    assert scheduler.select_best_node("c", [B, A]) == A


def test_no_replica_is_no_node() -> None:
    assert ChunkScheduler().select_best_node("c", []) is None


# ---------------------------------------------------------------- arguments


@pytest.mark.parametrize("count", [0, 65, 2.5])
def test_wrong_concurrency_names_the_range(count: int) -> None:
    with pytest.raises(ConfigError, match=r"max_concurrent_downloads: .* 1 to 64"):
        ChunkScheduler(max_concurrent_downloads=count)


async def test_wrong_download_arguments_are_refused() -> None:
    scheduler = ChunkScheduler()
    with pytest.raises(ConfigError, match="available_replicas"):
        await scheduler.download_chunk("c", "http://a:1")
    with pytest.raises(ConfigError, match="size_bytes: 0 "):
        await scheduler.download_chunk("c", [A], size_bytes=0)
    with pytest.raises(ConfigError, match="checksum"):
        await scheduler.download_chunk("c", [A], checksum="beef")
    with pytest.raises(ConfigError, match="'replicas'"):
        await scheduler.download_chunks_parallel([{"chunk_id": "c"}])


async def test_chunk_without_a_usable_replica_is_a_failed_download() -> None:
    async with ChunkScheduler() as scheduler:
        assert await scheduler.download_chunk("c", ["ftp://a/"]) is None
        assert (scheduler.total_downloads, scheduler.failed_downloads) == (1, 1)
        assert scheduler.get_statistics()["success_rate"] == 0


# ---------------------------------------------------------------- downloading


async def test_chunk_known_by_name_only_is_downloaded(cluster: EmbeddedCluster) -> None:
    replicas = [f"{url}/" for url in cluster.node_urls]
    async with ChunkScheduler() as scheduler:
        assert await scheduler.download_chunk(FIRST, replicas) == CHUNKS[FIRST]
        source = scheduler.get_chunk_source(FIRST)
        assert source in replicas
        figures = scheduler.get_statistics()
    assert figures["downloads_per_node"] == {source: 1}
    assert (figures["total_downloads"], figures["failed_downloads"]) == (1, 0)
    assert (figures["success_rate"], figures["active_downloads"]) == (1, 0)
    assert scheduler.get_chunk_source("another") is None


async def test_etag_of_the_head_verifies_the_bytes(cluster: EmbeddedCluster) -> None:
    bad, good = cluster.node_urls[:2]
    cluster.set_fault(bad, "corrupt")
    opinions = Opinions(bad=9, good=1).of(bad=bad, good=good)
    async with ChunkScheduler(opinions) as scheduler:
        assert await scheduler.download_chunk(FIRST, [bad, good]) == CHUNKS[FIRST]
        assert scheduler.get_chunk_source(FIRST) == good


async def test_wrong_bytes_everywhere_are_never_returned(cluster: EmbeddedCluster) -> None:
    for url in cluster.node_urls[:2]:
        cluster.set_fault(url, "corrupt")
    async with ChunkScheduler(max_rounds=1) as scheduler:
        assert await scheduler.download_chunk(FIRST, cluster.node_urls[:2]) is None
        assert scheduler.get_chunk_source(FIRST) is None


async def test_bytes_that_do_not_match_the_given_checksum_are_not_returned(
    cluster: EmbeddedCluster,
) -> None:
    async with ChunkScheduler(max_rounds=1) as scheduler:
        assert (
            await scheduler.download_chunk(
                FIRST, cluster.node_urls[:1], checksum=hashlib.sha256(b"other").hexdigest()
            )
            is None
        )


@pytest.mark.parametrize(
    "fault", ["down", "silent", "silent_data", "503", "stall", "truncate", "corrupt", "missing"]
)
@pytest.mark.parametrize("all_told", [True, False], ids=["known", "unknown"])
async def test_next_replica_takes_over(
    cluster: EmbeddedCluster, fault: str, all_told: bool
) -> None:
    bad, good = cluster.node_urls[:2]
    cluster.set_fault(bad, fault)
    opinions = Opinions(bad=9, good=1).of(bad=bad, good=good)
    replicas = [bad, good]
    chunk = known(FIRST, replicas) if all_told else {"chunk_id": FIRST, "replicas": replicas}
    async with ChunkScheduler(opinions) as scheduler:
        assert await scheduler.download_chunks_parallel([chunk]) == {FIRST: CHUNKS[FIRST]}
        assert scheduler.failover_count == 1
        assert scheduler.node_load == dict.fromkeys(scheduler.node_load, 0)
    assert data_requests(cluster, 2, FIRST) > 0


async def test_node_without_ranges_serves_and_takes_over(cluster: EmbeddedCluster) -> None:
    first, whole_only = cluster.node_urls[0], cluster.node_urls[3]
    cluster.set_fault(first, "stall")
    opinions = Opinions(first=9, last=1).of(first=first, last=whole_only)
    async with ChunkScheduler(opinions) as scheduler:
        assert await scheduler.download_chunk(FIRST, [first, whole_only]) == CHUNKS[FIRST]


async def test_chunk_that_nobody_has_is_none_and_counted(cluster: EmbeddedCluster) -> None:
    async with ChunkScheduler(max_rounds=2) as scheduler:
        assert await scheduler.download_chunk("nowhere", cluster.node_urls) is None
        assert await scheduler.download_chunk("nowhere", cluster.node_urls, size_bytes=9) is None
        assert (scheduler.total_downloads, scheduler.failed_downloads) == (2, 2)


async def test_parallel_downloads_answer_for_every_chunk(cluster: EmbeddedCluster) -> None:
    wanted = [{"chunk_id": name, "replicas": cluster.node_urls} for name in [*CHUNKS, "nowhere"]]
    async with ChunkScheduler(max_rounds=1) as scheduler:
        got = await scheduler.download_chunks_parallel(wanted)
    assert got == {**CHUNKS, "nowhere": None}
    assert list(got) == [*CHUNKS, "nowhere"]


async def test_chunk_that_cannot_be_had_does_not_hold_up_the_others(
    cluster: EmbeddedCluster,
) -> None:
    wanted = [known(name, cluster.node_urls) for name in ["nowhere", *CHUNKS]]
    async with ChunkScheduler(max_concurrent_downloads=1, max_rounds=50) as scheduler:
        everything = asyncio.create_task(scheduler.download_chunks_parallel(wanted))
        await until(lambda: len(scheduler.chunk_sources) == len(CHUNKS))
        assert not everything.done()
        everything.cancel()
        await asyncio.gather(everything, return_exceptions=True)


class Peak(dict[str, int]):
    """A node load that remembers how many chunks were in work at most, whenever it changes."""

    def __init__(self, scheduler: ChunkScheduler) -> None:
        super().__init__()
        self._scheduler = scheduler
        self.largest = 0

    def __setitem__(self, key: str, load: int) -> None:
        super().__setitem__(key, load)
        self.largest = max(self.largest, self._scheduler.get_statistics()["active_downloads"])


@pytest.mark.parametrize("limit", [1, 3])
async def test_no_more_chunks_are_read_at_once_than_allowed(
    cluster: EmbeddedCluster, limit: int
) -> None:
    async with ChunkScheduler(max_concurrent_downloads=limit) as scheduler:
        scheduler.node_load = peak = Peak(scheduler)
        wanted = [{"chunk_id": name, "replicas": cluster.node_urls} for name in CHUNKS]
        assert await scheduler.download_chunks_parallel(wanted) == CHUNKS
    assert peak.largest == limit


async def test_chunks_are_begun_in_the_order_of_the_list(cluster: EmbeddedCluster) -> None:
    replicas = cluster.node_urls[1:2]
    wanted = [known(name, replicas) for name in reversed(CHUNKS)]
    already = len(cluster.requests(2))
    async with ChunkScheduler() as scheduler:
        await scheduler.download_chunks_parallel(wanted)
    records = cluster.requests(2)[already:]
    read = [r["path"].removeprefix("/chunk/") for r in records if r["method"] == "GET"]
    assert sorted(read) == sorted(CHUNKS)
    # A node is asked for two at a time, and may log the second of them first.
    order = list(reversed(CHUNKS))
    assert all(abs(order.index(name) - place) <= 1 for place, name in enumerate(read))


# ---------------------------------------------------------------- the monitor


async def test_best_node_serves(cluster: EmbeddedCluster) -> None:
    slow, best = cluster.node_urls[:2]
    opinions = Opinions(slow=1, best=50).of(slow=slow, best=best)
    async with ChunkScheduler(opinions) as scheduler:
        await scheduler.download_chunk(FIRST, [slow, best])
        assert scheduler.get_chunk_source(FIRST) == best
    assert [url for url, _ in opinions.bandwidths] == [best]


async def test_unhealthy_nodes_send_nothing_while_healthy_ones_do(
    cluster: EmbeddedCluster,
) -> None:
    well, ill = cluster.node_urls[:2]
    opinions = Opinions(well=1).of(well=well, ill=ill)
    before = len([r for r in cluster.requests(2) if r["method"] == "GET"])
    async with ChunkScheduler(opinions) as scheduler:
        wanted = [{"chunk_id": name, "replicas": [ill, well]} for name in CHUNKS]
        assert await scheduler.download_chunks_parallel(wanted) == CHUNKS
        assert set(scheduler.chunk_sources.values()) == {well}
        assert len([r for r in cluster.requests(2) if r["method"] == "GET"]) == before
        cluster.set_fault(well, "down")
        assert await scheduler.download_chunk(FIRST, [ill, well]) == CHUNKS[FIRST]
        assert scheduler.get_chunk_source(FIRST) == ill


async def test_results_reach_the_network_monitor(cluster: EmbeddedCluster) -> None:
    good, bad = cluster.node_urls[:2]
    cluster.set_fault(bad, "503")
    monitor = NetworkMonitor()
    async with ChunkScheduler(monitor, max_rounds=1) as scheduler:
        assert await scheduler.download_chunk(FIRST, [good]) == CHUNKS[FIRST]
        await scheduler.download_chunks_parallel([known(FIRST, [bad])])
    assert len(monitor.bandwidths[good]) > 0
    assert set(monitor.success_rates[good]) == {1.0}
    assert set(monitor.success_rates[bad]) == {0.0}


class BrokenMonitor:
    def get_node_score(self, node_url: str) -> float:
        raise RuntimeError("score")

    def is_node_healthy(self, node_url: str) -> bool:
        raise RuntimeError("health")

    def update_bandwidth(self, node_url: str, bandwidth_mbps: float) -> None:
        raise RuntimeError("bandwidth")


async def test_monitor_that_raises_does_not_end_a_download(cluster: EmbeddedCluster) -> None:
    async with ChunkScheduler(BrokenMonitor()) as scheduler:
        assert await scheduler.download_chunk(FIRST, cluster.node_urls) == CHUNKS[FIRST]
