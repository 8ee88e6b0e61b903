"""NetworkMonitor in one process, against real HTTP nodes."""

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Callable

import pytest

import network_monitor as documented_module
from common.errors import ConfigError
from monitor import NetworkMonitor
from tests.ping_nodes import drip, hang, ping_nodes, say

A = "http://node-a:8081"
B = "http://node-b:8082"


async def until(predicate: Callable[[], object], timeout_sec: float = 10) -> None:
    async with asyncio.timeout(timeout_sec):
        while not predicate():  # noqa: ASYNC110  # the monitor tells nobody
            await asyncio.sleep(0.005)


def probers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "prober"]


# ---------------------------------------------------------------- without a network


def test_class_has_its_documented_names_and_defaults() -> None:
    assert documented_module.NetworkMonitor is NetworkMonitor
    monitor = NetworkMonitor()
    assert (monitor.ping_interval, monitor.history_size) == (3.0, 10)
    assert (monitor.monitoring, monitor.node_urls) == (False, [])


@pytest.mark.parametrize("ping_interval", [0, -1, math.nan, math.inf, 3601])
def test_wrong_interval_names_the_range(ping_interval: float) -> None:
    with pytest.raises(ConfigError, match=r"ping_interval: .* above 0 and up to 3600"):
        NetworkMonitor(ping_interval=ping_interval)


@pytest.mark.parametrize("history_size", [0, -5, 10_001])
def test_wrong_history_size_names_the_range(history_size: int) -> None:
    with pytest.raises(ConfigError, match=r"history_size: .* 1 to 10000"):
        NetworkMonitor(history_size=history_size)


def test_score_follows_histories_filled_by_the_user() -> None:
    monitor = NetworkMonitor()
    assert monitor.get_node_score(A) == 0
    monitor.latencies[A].append(20)
    monitor.bandwidths[A] = deque([50])
    monitor.success_rates[A].append(1.0)
    assert monitor.get_node_score(A) == pytest.approx(50 / 3)
    assert monitor.get_all_node_scores() == {A: pytest.approx(50 / 3)}


def test_histories_keep_the_last_samples() -> None:
    monitor = NetworkMonitor(history_size=3)
    for rate_mbps in range(5):
        monitor.update_bandwidth(A, rate_mbps)
    assert monitor.bandwidths[A] == deque([2, 3, 4])


@pytest.mark.parametrize("rate_mbps", [-1, math.nan, math.inf])
def test_impossible_bandwidth_is_refused(rate_mbps: float) -> None:
    with pytest.raises(ConfigError, match="bandwidth_mbps"):
        NetworkMonitor().update_bandwidth(A, rate_mbps)


def test_health_follows_the_last_update_set_by_the_user() -> None:
    monitor = NetworkMonitor()
    monitor.success_rates[A].append(1.0)
    assert not monitor.is_node_healthy(A)
    now_unix_sec = time.time()
    monitor.last_update[A] = now_unix_sec
    assert monitor.last_update[A] == now_unix_sec
    assert monitor.is_node_healthy(A)
    monitor.last_update[A] = now_unix_sec - 20
    assert not monitor.is_node_healthy(A)
    assert monitor.is_node_healthy(A, timeout_sec=60)
    assert dict(monitor.last_update) == {A: now_unix_sec - 20}
    del monitor.last_update[A]
    assert len(monitor.last_update) == 0
    assert not monitor.is_node_healthy(A, timeout_sec=60)


def test_downloads_feed_bandwidth_and_reliability() -> None:
    monitor = NetworkMonitor()
    monitor.record_transfer(A, size_bytes=2_500_000, transfer_sec=1.0)
    assert monitor.bandwidths[A] == deque([20])
    assert monitor.is_node_healthy(A)
    monitor.record_failure(A)
    monitor.record_result(A, False)
    assert monitor.success_rates[A] == deque([1, 0, 0])
    assert not monitor.is_node_healthy(A)


def test_statistics_have_the_documented_keys() -> None:
    monitor = NetworkMonitor()
    monitor.latencies[A].extend([30, 10])
    monitor.update_bandwidth(A, 12)
    monitor.record_result(A, True)
    found = monitor.get_node_stats(A)
    assert found["node_url"] == A
    assert found["latency_ms"] == {
        "current": 10,
        "average": pytest.approx(24.8),
        "min": 10,
        "max": 30,
    }
    assert found["bandwidth_mbps"] == {"current": 12, "average": 12}
    assert found["success_rate"] == 1
    assert found["score"] == pytest.approx(12 / 3.48)
    assert found["last_update"] == pytest.approx(time.time(), abs=10)
    assert found["measurements_count"] == 2
    assert monitor.get_all_stats() == {A: found}


def test_statistics_of_an_unknown_node_claim_nothing() -> None:
    found = NetworkMonitor().get_node_stats(A)
    assert found["latency_ms"]["current"] is None
    assert found["score"] == 0
    assert found["measurements_count"] == 0


# ---------------------------------------------------------------- with nodes


async def test_nodes_are_pinged_and_ranked() -> None:
    with ping_nodes(say(), say("503 Service Unavailable")) as (good, bad):
        monitor = NetworkMonitor()
        given = [good.url + "/", bad.url]
        await monitor.start_monitoring(given, wait_for_answers_sec=10)
        assert monitor.monitoring
        assert monitor.node_urls == given
        assert monitor.is_node_healthy(good.url)
        assert not monitor.is_node_healthy(bad.url)
        assert list(monitor.get_all_node_scores()) == given
        assert monitor.get_node_score(good.url) > 0 == monitor.get_node_score(bad.url)
        assert monitor.get_healthy_nodes() == [good.url + "/"]
        await monitor.stop_monitoring()
    assert monitor.get_node_score(good.url) > 0


async def test_start_returns_at_once_and_one_hung_node_delays_no_other() -> None:
    with ping_nodes(hang, say()) as (hanging, good):
        monitor = NetworkMonitor(ping_interval=0.1)
        await monitor.start_monitoring([hanging.url, good.url])
        await until(lambda: len(monitor.latencies[good.url]) >= 5)
        await until(lambda: len(monitor.success_rates[hanging.url]) >= 2)
        assert set(monitor.success_rates[hanging.url]) == {0.0}
        assert good.connections == 1
        await monitor.stop_monitoring()


async def test_dripping_node_is_cut_off_and_pinged_again() -> None:
    with ping_nodes(drip) as (node,):
        monitor = NetworkMonitor(ping_interval=0.1)
        await monitor.start_monitoring([node.url])
        await until(lambda: len(monitor.success_rates[node.url]) >= 2)
        assert not monitor.is_node_healthy(node.url)
        await monitor.stop_monitoring()


async def test_node_that_comes_back_is_healthy_again() -> None:
    with ping_nodes(say("503 Busy")) as (node,):
        monitor = NetworkMonitor(ping_interval=0.05)
        await monitor.start_monitoring([node.url])
        await until(lambda: len(monitor.success_rates[node.url]) >= 3)
        assert not monitor.is_node_healthy(node.url)
        node.answer = say()
        await until(lambda: monitor.is_node_healthy(node.url))
        await monitor.stop_monitoring()


async def test_stop_is_idempotent_and_leaves_no_thread_or_task() -> None:
    with ping_nodes(say(), hang) as nodes:
        monitor = NetworkMonitor(ping_interval=2.0)
        await monitor.stop_monitoring()
        await monitor.start_monitoring([node.url for node in nodes])
        await until(lambda: all(node.requests for node in nodes))
        await monitor.stop_monitoring()
        await monitor.stop_monitoring()
        assert not monitor.monitoring
        assert probers() == []
        assert len(asyncio.all_tasks()) == 1


async def test_second_start_goes_on_with_the_new_nodes() -> None:
    with ping_nodes(say(), say()) as (first, second):
        monitor = NetworkMonitor(ping_interval=60.0)
        await monitor.start_monitoring([first.url], wait_for_answers_sec=10)
        await monitor.start_monitoring([second.url], wait_for_answers_sec=10)
        assert monitor.node_urls == [second.url]
        assert monitor.is_node_healthy(second.url)
        assert len(monitor.latencies[first.url]) == 1
        assert len(asyncio.all_tasks()) == 2
        await monitor.stop_monitoring()


async def test_start_and_stop_in_one_breath() -> None:
    monitor = NetworkMonitor()
    await monitor.start_monitoring([A, B])
    await monitor.stop_monitoring()
    assert not monitor.monitoring


@pytest.mark.parametrize("node_url", ["node-a", "ftp://a", "http://", ""])
async def test_node_that_is_no_url_is_refused(node_url: str) -> None:
    monitor = NetworkMonitor()
    with pytest.raises(ConfigError, match="node_urls"):
        await monitor.start_monitoring([node_url])
    assert not monitor.monitoring


def test_end_of_the_event_loop_ends_the_pings() -> None:
    with ping_nodes(say()) as (node,):
        monitor = NetworkMonitor(ping_interval=0.05)
        asyncio.run(monitor.start_monitoring([node.url], wait_for_answers_sec=10))
        asyncio.run(monitor.stop_monitoring())
        assert probers() == []
