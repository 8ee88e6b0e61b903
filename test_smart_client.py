"""The public contract of the four documented classes: `pytest test_smart_client.py -v`."""

from __future__ import annotations

import asyncio
import hashlib
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from buffer_manager import BufferManager
from cluster import EmbeddedCluster
from main import PlayOptions, SmartClient
from network_monitor import NetworkMonitor
from scheduler import ChunkScheduler

VIDEO = "contract-film"
CHUNK_BYTES = 100_000
FILM = random.Random(7).randbytes(5 * CHUNK_BYTES - 123)
CHUNKS = {f"{VIDEO}-chunk-{n:03}": FILM[n * CHUNK_BYTES : (n + 1) * CHUNK_BYTES] for n in range(5)}
FIRST = f"{VIDEO}-chunk-000"


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedCluster]:
    with EmbeddedCluster(nodes=3, data=tmp_path_factory.mktemp("cluster")) as cluster:
        cluster.add_raw(FILM, VIDEO, "--chunk-bytes", str(CHUNK_BYTES))
        yield cluster


@pytest.fixture
def cluster(started: EmbeddedCluster) -> Iterator[EmbeddedCluster]:
    yield started
    for number in range(1, 4):
        started.set_fault(number, "none")


async def until(predicate: Callable[[], object], timeout_sec: float = 20) -> None:
    async with asyncio.timeout(timeout_sec):
        while not predicate():  # noqa: ASYNC110  # nobody tells us
            await asyncio.sleep(0.01)


class TestNetworkMonitor:
    """Pings, scores, health, history."""

    def test_defaults_are_a_ping_every_3_seconds_and_10_measurements(self) -> None:
        monitor = NetworkMonitor()
        assert (monitor.ping_interval, monitor.history_size) == (3.0, 10)

    def test_score_is_bandwidth_times_reliability_over_latency(self) -> None:
        monitor = NetworkMonitor()
        monitor.latencies["http://node:1"].append(50.0)
        monitor.update_bandwidth("http://node:1", 24.0)
        monitor.success_rates["http://node:1"].append(0.5)
        assert monitor.get_node_score("http://node:1") == pytest.approx((24 * 0.5) / (1 + 50 * 0.1))

    def test_quicker_wider_and_more_reliable_nodes_score_higher(self) -> None:
        monitor = NetworkMonitor()
        figures = {
            "best": (10, 40, 1),
            "far": (90, 40, 1),
            "thin": (10, 4, 1),
            "flaky": (10, 40, 0),
        }
        for name, (latency_ms, bandwidth_mbps, success) in figures.items():
            monitor.latencies[name].append(latency_ms)
            monitor.update_bandwidth(name, bandwidth_mbps)
            monitor.success_rates[name].append(success)
        scores = monitor.get_all_node_scores()
        assert max(scores, key=lambda name: scores[name]) == "best"
        assert scores["flaky"] == 0

    def test_unknown_node_has_no_score_and_is_not_healthy(self) -> None:
        monitor = NetworkMonitor()
        assert monitor.get_node_score("http://nowhere:1") == 0
        assert not monitor.is_node_healthy("http://nowhere:1")

    def test_history_keeps_the_newest_measurements(self) -> None:
        monitor = NetworkMonitor(history_size=10)
        for rate_mbps in range(25):
            monitor.update_bandwidth("http://node:1", rate_mbps)
        assert list(monitor.bandwidths["http://node:1"]) == list(range(15, 25))

    async def test_monitoring_scores_every_node_until_it_is_stopped(
        self, cluster: EmbeddedCluster
    ) -> None:
        monitor = NetworkMonitor()
        await monitor.start_monitoring(cluster.node_urls)
        try:
            await until(lambda: all(map(monitor.is_node_healthy, cluster.node_urls)))
            scores = monitor.get_all_node_scores()
            assert set(scores) == set(cluster.node_urls)
            assert all(score > 0 for score in scores.values())
        finally:
            await monitor.stop_monitoring()
        assert not monitor.monitoring
        assert not [t for t in threading.enumerate() if t.name == "prober"]

    async def test_node_that_stops_answering_becomes_unhealthy(
        self, cluster: EmbeddedCluster
    ) -> None:
        monitor = NetworkMonitor(ping_interval=0.05)
        ill, well = cluster.node_urls[:2]
        await monitor.start_monitoring([ill, well])
        try:
            await until(lambda: monitor.is_node_healthy(ill))
            cluster.set_fault(ill, "down")
            await until(lambda: not monitor.is_node_healthy(ill))
            assert monitor.is_node_healthy(well)
            await until(lambda: monitor.get_node_score(ill) < monitor.get_node_score(well))
        finally:
            await monitor.stop_monitoring()


class TestChunkScheduler:
    """Choice of nodes, downloads, failover, statistics."""

    def test_default_is_four_downloads_at_once(self) -> None:
        assert ChunkScheduler(network_monitor=NetworkMonitor()).max_concurrent_downloads == 4

    def test_node_with_the_best_score_is_selected(self) -> None:
        monitor = NetworkMonitor()
        for node_url, rate_mbps in (("http://a:1", 5.0), ("http://b:1", 50.0)):
            monitor.update_bandwidth(node_url, rate_mbps)
        scheduler = ChunkScheduler(network_monitor=monitor)
        assert scheduler.select_best_node("chunk", ["http://a:1", "http://b:1"]) == "http://b:1"

    def test_busy_node_is_spared(self) -> None:
        monitor = NetworkMonitor()
        for node_url in ("http://a:1", "http://b:1"):
            monitor.update_bandwidth(node_url, 10.0)
        scheduler = ChunkScheduler(network_monitor=monitor)
        scheduler.node_load["http://a:1"] = 3
        assert scheduler.select_best_node("chunk", ["http://a:1", "http://b:1"]) == "http://b:1"

    def test_without_replicas_no_node_is_selected(self) -> None:
        assert ChunkScheduler().select_best_node("chunk", []) is None

    async def test_chunk_is_downloaded_and_its_source_remembered(
        self, cluster: EmbeddedCluster
    ) -> None:
        monitor = NetworkMonitor()
        async with ChunkScheduler(network_monitor=monitor) as scheduler:
            assert await scheduler.download_chunk(FIRST, cluster.node_urls) == CHUNKS[FIRST]
            source = scheduler.get_chunk_source(FIRST)
        assert source in cluster.node_urls
        assert monitor.bandwidths[source]
        assert scheduler.get_statistics()["downloads_per_node"] == {source: 1}

    async def test_parallel_downloads_bring_every_chunk(self, cluster: EmbeddedCluster) -> None:
        wanted = [{"chunk_id": name, "replicas": cluster.node_urls} for name in CHUNKS]
        async with ChunkScheduler() as scheduler:
            assert await scheduler.download_chunks_parallel(wanted) == CHUNKS
            figures = scheduler.get_statistics()
        assert (figures["total_downloads"], figures["failed_downloads"]) == (len(CHUNKS), 0)
        assert (figures["success_rate"], figures["active_downloads"]) == (1.0, 0)

    @pytest.mark.parametrize("fault", ["down", "503", "corrupt", "silent_data"])
    async def test_failing_node_is_replaced_by_another_replica(
        self, cluster: EmbeddedCluster, fault: str
    ) -> None:
        bad, good = cluster.node_urls[:2]
        cluster.set_fault(bad, fault)
        monitor = NetworkMonitor()
        for node_url, rate_mbps in ((bad, 100.0), (good, 1.0)):
            monitor.update_bandwidth(node_url, rate_mbps)
        checksum = hashlib.sha256(CHUNKS[FIRST]).hexdigest()
        async with ChunkScheduler(network_monitor=monitor) as scheduler:
            data = await scheduler.download_chunk(FIRST, [bad, good], checksum=checksum)
            assert data == CHUNKS[FIRST]
            assert scheduler.failover_count == 1
            assert scheduler.get_chunk_source(FIRST) == good

    async def test_chunk_that_no_replica_has_is_none_and_a_failure(
        self, cluster: EmbeddedCluster
    ) -> None:
        async with ChunkScheduler(max_rounds=1) as scheduler:
            assert await scheduler.download_chunk("no-such-chunk", cluster.node_urls) is None
            assert scheduler.get_chunk_source("no-such-chunk") is None
            assert scheduler.get_statistics()["failed_downloads"] == 1


class TestBufferManager:
    """Levels, order, marks, rebuffering."""

    def test_defaults_are_30_seconds_with_a_low_water_mark_of_15(self) -> None:
        buffer = BufferManager()
        assert (buffer.target_buffer_sec, buffer.low_water_mark_sec) == (30, 15)
        assert (buffer.chunk_duration_sec, buffer.start_playback_sec) == (10, 10)

    def test_buffer_level_calculation(self) -> None:
        buffer = BufferManager(chunk_duration_sec=10)
        assert buffer.get_buffer_level_seconds() == 0
        for number in range(3):
            assert buffer.add_chunk(f"chunk-{number}", number, b"data")
        assert buffer.get_buffer_level_seconds() == 30
        assert buffer.get_buffer_status()["buffer_level_sec"] == 30
        buffer.get_next_chunk_for_playback()
        assert buffer.get_buffer_level_seconds() == 20
        # Behind a hole there is nothing to play.
        buffer.add_chunk("chunk-9", 9, b"data")
        assert buffer.get_buffer_level_seconds() == 20

    def test_chunks_play_in_order_whatever_order_they_came_in(self) -> None:
        buffer = BufferManager()
        for number in (2, 0, 1):
            buffer.add_chunk(f"chunk-{number}", number, bytes([number]))
        played = [buffer.get_next_chunk_for_playback() for _ in range(3)]
        assert [chunk and chunk.data for chunk in played] == [b"\0", b"\1", b"\2"]

    def test_duplicates_and_played_chunks_are_refused(self) -> None:
        buffer = BufferManager()
        assert buffer.add_chunk("chunk-0", 0, b"data")
        assert not buffer.add_chunk("chunk-0", 0, b"data")
        buffer.get_next_chunk_for_playback()
        assert not buffer.add_chunk("chunk-0", 0, b"data")

    def test_more_chunks_are_needed_below_the_low_water_mark(self) -> None:
        buffer = BufferManager()
        needed = []
        for number in range(3):
            needed.append(buffer.needs_more_chunks())
            buffer.add_chunk(f"chunk-{number}", number, b"data")
        assert [*needed, buffer.needs_more_chunks()] == [True, True, False, False]

    def test_playback_can_start_with_the_first_ten_seconds(self) -> None:
        buffer = BufferManager()
        assert not buffer.can_start_playback()
        buffer.add_chunk("chunk-0", 0, b"data")
        assert buffer.can_start_playback()

    def test_running_dry_is_one_rebuffering_event(self) -> None:
        buffer = BufferManager()
        buffer.add_chunk("chunk-0", 0, b"data")
        buffer.get_next_chunk_for_playback()
        assert [buffer.get_next_chunk_for_playback() for _ in range(3)] == [None] * 3
        assert buffer.get_statistics()["rebuffering_events"] == 1

    def test_missing_chunk_is_asked_for_before_later_ones(self) -> None:
        buffer = BufferManager()
        for number in (0, 2):
            buffer.add_chunk(f"chunk-{number}", number, b"data")
        assert buffer.get_next_chunk_sequences(2) == [1, 3]


class TestSmartClient:
    """The whole client: a stack of processes against a real store."""

    async def test_video_plays_to_its_end(self, cluster: EmbeddedCluster, tmp_path: Path) -> None:
        client = SmartClient(metadata_service_url=cluster.metadata_url, private=True)
        film = tmp_path / "film.raw"
        options = PlayOptions(output="file", output_path=str(film), container="raw", paced=False)
        try:
            assert await client.initialize()
            assert await client.play_video(VIDEO, options)
            # The last figures of the scheduler process may still be under way.
            await until(lambda: client.scheduler.get_statistics()["total_downloads"] == len(CHUNKS))
            status = client.get_status()
        finally:
            await client.stop()
        assert film.read_bytes() == FILM
        assert set(status) >= {
            *("is_initialized", "video_id", "playing", "startup_latency", "playback_duration"),
            *("buffer", "buffer_stats", "scheduler_stats", "network_stats", "node_scores"),
        }
        assert (status["video_id"], status["playing"]) == (VIDEO, False)
        assert status["buffer_stats"]["rebuffering_events"] == 0
        assert status["buffer_stats"]["total_chunks_played"] == len(CHUNKS)
        assert status["scheduler_stats"]["success_rate"] == 1.0

    async def test_status_is_printed_for_people(
        self, cluster: EmbeddedCluster, capsys: pytest.CaptureFixture[str]
    ) -> None:
        client = SmartClient(metadata_service_url=cluster.metadata_url, private=True)
        try:
            assert await client.play_video(VIDEO, PlayOptions(paced=False))
            client.print_status()
        finally:
            await client.stop()
        assert VIDEO in capsys.readouterr().out

    async def test_unknown_video_is_refused_with_a_reason(self, cluster: EmbeddedCluster) -> None:
        client = SmartClient(metadata_service_url=cluster.metadata_url, private=True)
        try:
            assert await client.initialize()
            assert not await client.play_video("no-such-video")
            assert "no-such-video" in str(client.error)
        finally:
            await client.stop()

    async def test_client_without_a_metadata_service_does_not_initialize(
        self, cluster: EmbeddedCluster
    ) -> None:
        cluster.stop_metadata()
        client = SmartClient(metadata_service_url=cluster.metadata_url, private=True)
        try:
            assert not await client.initialize()
            assert client.error is not None
        finally:
            await client.stop()
            cluster.start_metadata()
