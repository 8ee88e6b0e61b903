"""The planner and erasure coding: any three fragments at every byte position."""

from __future__ import annotations

import itertools

import pytest

from common.messages import DiscardRange, FetchRange
from tests.builders import (
    FIVE_NODES,
    MB,
    a_coded_chunk,
    a_demand,
    a_score,
)
from tests.planner_flow import flow
from tests.planner_rig import PlannerRig, sent


def a_coded_rig() -> PlannerRig:
    rig = PlannerRig()
    rig.know(*(a_score(node) for node in FIVE_NODES))
    return rig


# ---------------------------------------------------------------- erasure coding


def test_no_position_of_a_coded_chunk_is_read_from_more_than_three_fragments() -> None:
    rig = a_coded_rig()
    rig.feed(a_demand(a_coded_chunk()))
    assert {f.part for f in rig.running.values()} == {0, 1, 2, 3, 4}, "all five nodes help"
    edges = {edge for f in rig.running.values() for edge in (f.start_bytes, f.end_bytes)}
    for edge in edges:
        assert sum(f.start_bytes <= edge < f.end_bytes for f in rig.running.values()) <= 3


@pytest.mark.parametrize("rates", [(20, 20, 20, 20, 20), (20, 20, 20, 20, 5), (30, 30, 30, 2, 2)])
def test_all_five_nodes_of_an_urgent_coded_chunk_end_together(rates: tuple[float, ...]) -> None:
    rig = a_coded_rig()
    links = dict(zip(FIVE_NODES, rates, strict=True))
    rig.know(*(a_score(node, mbps=mbps) for node, mbps in links.items()))
    chunk = a_coded_chunk(size_bytes=6 * MB)
    rig.feed(a_demand(chunk))
    flow(rig, links, 10.0, report_sec=0.02)
    assert rig.state_of(chunk).complete
    # No node can bring more than its own fragment.
    fastest_sec = max(6 * MB * 8e-6 / sum(rates), 2 * MB * 8e-6 / sorted(rates)[2])
    assert rig.now_sec - 100 < 1.15 * fastest_sec + 0.06
    (account,) = rig.planner.accounts.all
    assert account.received_bytes == 6 * MB


def test_a_parity_takes_the_place_of_a_data_fragment_that_fails() -> None:
    rig = a_coded_rig()
    rig.feed(a_demand(a_coded_chunk(), due_sec=60))
    lost = next(f for f in rig.running.values() if f.part == 1)
    made = rig.end(lost, "refused")
    (instead,) = sent(made, FetchRange)
    assert instead.part in (3, 4)
    assert len(rig.running) == 3


@pytest.mark.parametrize("lost", [*itertools.combinations(range(5), 2)])
@pytest.mark.parametrize("due_sec", [0.0, 60.0])
def test_two_lost_nodes_still_give_the_chunk(lost: tuple[int, int], due_sec: float) -> None:
    rig = a_coded_rig()
    chunk = a_coded_chunk()
    rig.feed(a_demand(chunk, due_sec=due_sec))
    while found := rig.fetches(chunk):
        last = found[0]
        rig.end(last, "refused" if last.part in lost else "complete")
    assert rig.state_of(chunk).complete
    rig.verdict(last)
    assert rig.state_of(chunk).delivered_sec is not None
    assert sent(rig.commands, DiscardRange) == []
    (account,) = rig.planner.accounts.all
    assert account.received_bytes == account.needed_bytes, "no position was read a fourth time"


def test_bytes_of_a_fragment_that_broke_off_are_kept() -> None:
    rig = a_coded_rig()
    chunk = a_coded_chunk()
    rig.feed(a_demand(chunk, due_sec=60))
    broken = next(f for f in rig.running.values() if f.part == 0)
    made = rig.end(broken, "broken", until=400_000)
    (instead,) = sent(made, FetchRange)
    assert (instead.part in (3, 4), instead.start_bytes, instead.end_bytes) == (True, 400_000, MB)
