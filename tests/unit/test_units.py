"""Conversions and the texts people read."""

from __future__ import annotations

import pytest

from common.units import (
    bytes_text,
    clock_text,
    megabits_per_sec,
    node_of,
    short_node,
    transfer_sec,
)


def test_rates_and_durations_are_inverse() -> None:
    assert megabits_per_sec(1_000_000, 2) == pytest.approx(4)
    assert transfer_sec(1_000_000, 4) == pytest.approx(2)


def test_nothing_divides_by_zero() -> None:
    assert megabits_per_sec(100, 0) > 0
    assert transfer_sec(100, 0) > 1000


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1_540_000, "1.5 MB"), (5e12, "5000.0 GB")],
)
def test_sizes_are_decimal(size: float, text: str) -> None:
    assert bytes_text(size) == text


@pytest.mark.parametrize(
    ("position", "text"), [(-1, "0:00"), (59.9, "0:59"), (83, "1:23"), (3723, "1:02:03")]
)
def test_positions_read_like_a_clock(position: float, text: str) -> None:
    assert clock_text(position) == text


@pytest.mark.parametrize(
    ("url", "node"),
    [
        ("http://Node-A:8081/chunk/x", "http://node-a:8081"),
        ("https://host/a/b?c#d", "https://host"),
        ("http://[::1]:80/chunk/x", "http://[::1]:80"),
        ("http://host", "http://host"),
    ],
)
def test_the_node_of_a_replica_is_its_origin(url: str, node: str) -> None:
    assert node_of(url) == node


def test_a_node_is_named_by_host_and_port_where_there_is_little_room() -> None:
    assert short_node("http://node-a:8081") == "node-a:8081"
    assert short_node("node-a") == "node-a"
