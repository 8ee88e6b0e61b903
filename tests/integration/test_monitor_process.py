"""The monitor as a process: real queues, real nodes, real signals."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from common.endpoints import is_running
from tests.monitor_rig import ROOT, Stack, Start
from tests.ping_nodes import drip, hang, ping_nodes, say
from tests.waiting import wait_until


def test_scores_of_a_sessions_nodes_arrive(start: Start, stack: Stack) -> None:
    with ping_nodes(say("200 OK", "Accept-Ranges: bytes"), hang) as (good, hanging):
        start(PING_INTERVAL="0.5")
        stack.session(good.url, hanging.url)
        wait_until(stack.says(good.url, lambda node: node.healthy))
        node = stack.node(good.url)
        assert node is not None
        assert node.score > 0
        assert node.latency_ms is not None
        assert node.accepts_ranges is True
        wait_until(stack.says(hanging.url, lambda node: node.measurements_count >= 2))
        assert stack.says(hanging.url, lambda node: not node.healthy and node.score == 0)()


def test_transfers_change_bandwidth_and_reliability(start: Start, stack: Stack) -> None:
    with ping_nodes(say()) as (node,):
        start(PING_INTERVAL="60", HISTORY_SIZE="4")
        stack.session(node.url)
        wait_until(stack.says(node.url, lambda node: node.measurements_count >= 2))
        stack.transfer(node.url, goodput_mbps=50.0, range_honoured=False)
        wait_until(stack.says(node.url, lambda node: node.bandwidth_mbps == 50))
        found = stack.node(node.url)
        assert found is not None
        assert found.latency_average_ms is not None
        assert found.score == pytest.approx(50 / (1 + found.latency_average_ms * 0.1))
        assert found.accepts_ranges is False
        for _ in range(4):
            stack.transfer(node.url, outcome="silent", goodput_mbps=None, size_bytes=0)
        wait_until(stack.says(node.url, lambda node: node.score == 0 and not node.healthy))
        assert stack.says(node.url, lambda node: node.measurements_count == 4)()


def test_evidence_about_nodes_of_no_session_is_ignored(start: Start, stack: Stack) -> None:
    with ping_nodes(say()) as (node,):
        start()
        stack.session(node.url)
        wait_until(stack.says(node.url, lambda node: node.healthy))
        stack.transfer("http://stranger:1")
        stack.transfer(node.url, goodput_mbps=7.0)
        wait_until(stack.says(node.url, lambda node: node.bandwidth_mbps == 7))
        assert stack.node("http://stranger:1") is None


def test_monitor_speaks_each_second_even_without_nodes(start: Start, stack: Stack) -> None:
    start()
    wait_until(lambda: len(stack.snapshots) >= 4)
    times_sec = [at_sec for at_sec, _ in stack.snapshots]
    gaps_sec = [b - a for a, b in itertools.pairwise(times_sec)]
    assert sum(gaps_sec) / len(gaps_sec) < 1.2


def test_bursts_are_told_at_most_five_times_a_second(start: Start, stack: Stack) -> None:
    with ping_nodes(say()) as (node,):
        start(PING_INTERVAL="60")
        stack.session(node.url)
        wait_until(stack.says(node.url, lambda node: node.healthy))
        before, began_sec = len(stack.snapshots), time.monotonic()
        for rate_mbps in range(1, 201):
            stack.transfer(node.url, goodput_mbps=float(rate_mbps))
        wait_until(stack.says(node.url, lambda node: node.bandwidth_mbps == 200))
        heard = len(stack.snapshots) - before
        assert heard <= (time.monotonic() - began_sec) / 0.2 + 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_it_cleanly_even_while_a_node_hangs(
    start: Start, stack: Stack, run_dir: Path, number: signal.Signals
) -> None:
    with ping_nodes(hang, drip, say()) as nodes:
        process = start()
        stack.session(*(node.url for node in nodes))
        wait_until(lambda: all(node.requests for node in nodes))
        process.send_signal(number)
        assert process.wait(timeout=3) == 0
        assert process.communicate()[1] == ""
        assert not is_running(run_dir, "monitor")


def test_second_monitor_is_refused(start: Start, stack: Stack) -> None:
    start()
    wait_until(lambda: stack.snapshots)
    second = start()
    _, told = second.communicate(timeout=20)
    assert second.returncode == 1
    assert told.startswith("monitor: another monitor runs in ")
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"PING_INTERVAL": "0"}, "PING_INTERVAL: '0' is not a number of 0.1 to 3600"),
        ({"HISTORY_SIZE": "ten"}, "HISTORY_SIZE: 'ten' is not a whole number of 1 to 10000"),
        ({"VSTACK_RUN_DIR": "/tmp/" + "x" * 100}, "too long for UNIX sockets"),
        ({"VSTACK_TCP_BASE": "tcp://8.8.8.8:5000"}, "not an IPv4 loopback address"),
    ],
)
def test_wrong_setting_is_told_with_its_exit_code(
    start: Start, environment: dict[str, str], told: str
) -> None:
    process = start(**environment)
    _, error_text = process.communicate(timeout=20)
    assert process.returncode == 78
    assert told in error_text
    assert "Traceback" not in error_text


def test_killed_monitor_comes_back_without_restarting_others(start: Start, stack: Stack) -> None:
    with ping_nodes(say()) as (node,):
        first = start()
        stack.session(node.url)
        wait_until(stack.says(node.url, lambda node: node.healthy))
        first.kill()
        first.wait(10)
        stack.snapshots.clear()
        start()
        wait_until(stack.says(node.url, lambda node: node.healthy))
        assert node.connections == 2


def test_monitor_that_starts_late_learns_the_nodes(start: Start, stack: Stack) -> None:
    with ping_nodes(say(), say()) as (first, second):
        stack.session(first.url)
        stack.session(second.url, session_id="s2", outcome="played")
        start()
        wait_until(stack.says(first.url, lambda node: node.healthy))
        wait_until(stack.says(second.url, lambda node: node.healthy))


def test_node_that_leaves_the_session_is_no_longer_pinged(start: Start, stack: Stack) -> None:
    with ping_nodes(say(), say()) as (first, second):
        start(PING_INTERVAL="0.1")
        stack.session(first.url, second.url)
        wait_until(stack.says(second.url, lambda node: node.healthy))
        stack.session(first.url)
        wait_until(lambda: stack.node(first.url) and not stack.node(second.url))
        settled = len(second.requests)
        seen = len(first.requests)
        wait_until(lambda: len(first.requests) >= seen + 5)
        assert len(second.requests) == settled


def test_orphaned_monitor_ends_by_itself(run_dir: Path) -> None:
    shell = subprocess.Popen(
        ["sh", "-c", f"'{sys.executable}' -m monitor & wait"],
        cwd=ROOT,
        env={**os.environ, "VSTACK_RUN_DIR": str(run_dir), "VSTACK_WATCH_PARENT": "1"},
    )
    bound = run_dir / "monitor.events"
    try:
        wait_until(bound.exists)
    finally:
        shell.kill()
        shell.wait(10)
    command_line = Path(f"/proc/{(run_dir / 'monitor.lock').read_text().strip()}/cmdline")
    wait_until(lambda: not command_line.exists() or not command_line.read_bytes())
    assert not is_running(run_dir, "monitor")
