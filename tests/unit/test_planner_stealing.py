"""What happens at the end of a chunk: idle nodes help slow ones, later ranges make way, nothing is read twice."""

from __future__ import annotations

import itertools
import random

import pytest

from common.messages import CancelRange, FetchRange, ResizeRange, WantedChunk
from common.units import node_of
from scheduler.theft import MIN_STEAL_BYTES
from scheduler.wanted import SECOND_CHANCE_SEC
from tests.builders import MB, A, B, C, a_chunk, a_demand, a_score
from tests.planner_flow import flow
from tests.planner_rig import PlannerRig, sent

ALL = (A, B, C)


def a_rig(*nodes: str, mbps: float = 20.0) -> PlannerRig:
    """Return a planner that has had bytes of equal nodes."""
    rig = PlannerRig()
    rig.know(*(a_score(node, mbps=mbps) for node in nodes))
    rig.prove(*nodes, mbps=mbps)
    return rig


def test_a_node_turned_slow_loses_most_of_its_range_to_the_others() -> None:
    rig = a_rig(*ALL)
    chunk = a_chunk(size_bytes=1_200_000)
    rig.feed(a_demand(chunk))
    slow = rig.fetch(A)
    flow(rig, {A: 1.0, B: 20.0, C: 20.0}, 5.0)
    assert rig.state_of(chunk).complete
    shares = rig.state_of(chunk).bytes_by_node()
    assert shares[A] < (slow.end_bytes - slow.start_bytes) / 4
    assert rig.now_sec - 100 < 0.6, "A alone would have taken three seconds"
    assert sent(rig.commands, ResizeRange) != []


def test_the_thief_begins_where_the_victim_ends() -> None:
    rig = a_rig(A, B)
    rig.feed(a_demand(a_chunk(0, [A, B], size_bytes=800_000)))
    made = flow(rig, {A: 2.0, B: 20.0}, 5.0)
    cuts = {(r.job_id, r.end_bytes) for r in sent(made, ResizeRange)}
    starts = {f.start_bytes for f in sent(made, FetchRange)}
    assert cuts
    assert {end for _, end in cuts} <= starts
    (account,) = (a for a in rig.planner.accounts.all if a.session_id == "s1")
    assert account.received_bytes == 800_000, "and no byte is read twice"


def test_nobody_helps_where_all_end_together_anyway() -> None:
    rig = a_rig(*ALL)
    rig.feed(a_demand(a_chunk(size_bytes=900_000)))
    flow(rig, dict.fromkeys(ALL, 20.0), 5.0, report_sec=0.02)
    assert sent(rig.commands, ResizeRange) == []
    assert len(sent(rig.commands, FetchRange)) <= 3 + 3 + 3


def test_a_node_excluded_from_a_chunk_does_not_steal_in_it() -> None:
    rig = a_rig(A, B)
    chunk = a_chunk(0, [A, B], size_bytes=800_000)
    rig.feed(a_demand(chunk))
    rig.end(rig.fetch(B), "missing")
    rig.commands.clear()
    flow(rig, {A: 2.0}, SECOND_CHANCE_SEC - 0.1)
    assert {node_of(f.replica.url) for f in sent(rig.commands, FetchRange)} <= {A}
    assert sent(rig.commands, ResizeRange) == []


def test_an_unproven_node_does_not_steal() -> None:
    rig = PlannerRig()
    rig.know(a_score(A), a_score(B, mbps=50))
    rig.prove(A)
    chunk = a_chunk(0, [A], size_bytes=400_000)
    rig.feed(a_demand(chunk))
    slow = rig.fetch(A)
    rig.feed(a_demand(a_chunk(0, [A, B], size_bytes=400_000)))
    for step in range(1, 8):
        rig.pass_time(0.1)
        rig.progress(slow, step * 2000)
    assert list(rig.running) == [slow.job_id]


def test_a_range_is_not_stolen_from_before_its_first_byte_is_due() -> None:
    rig = a_rig(A, B)
    rig.feed(a_demand(a_chunk(0, [A, B], size_bytes=400_000)))
    rig.pass_time(0.02)
    made = rig.end(rig.fetch(B))
    made += rig.pass_time(0.01)
    assert sent(made, ResizeRange) == []
    made = rig.pass_time(0.3)
    assert sent(made, ResizeRange) != [], "now it is overdue"


def test_a_range_that_was_cut_is_not_cut_to_crumbs() -> None:
    rig = a_rig(*ALL)
    rig.feed(a_demand(a_chunk(size_bytes=2 * MB)))
    made = flow(rig, {A: 0.5, B: 20.0, C: 19.0}, 5.0, report_sec=0.05)
    cut_off = [
        next(f for f in sent(made, FetchRange) if f.start_bytes == r.end_bytes)
        for r in sent(made, ResizeRange)
    ]
    assert len(cut_off) < 12
    assert all(f.end_bytes - f.start_bytes >= MIN_STEAL_BYTES for f in cut_off)


def test_with_time_to_spare_nothing_is_stolen() -> None:
    rig = a_rig(A, B)
    rig.feed(a_demand(a_chunk(0, [A, B], size_bytes=800_000), due_sec=60))
    flow(rig, {A: 2.0, B: 2.0}, 2.0)
    assert sent(rig.commands, ResizeRange) == []


# ---------------------------------------------------------------- making way


def test_later_ranges_make_way_for_urgent_bytes_that_come_back() -> None:
    rig = a_rig(A, B)
    first = a_chunk(0, [A, B], size_bytes=600_000)
    later = a_chunk(1, [B], size_bytes=2 * MB)
    rig.feed(a_demand(first, WantedChunk(chunk=later, deadline_in_sec=14), due_sec=2))
    # B is through with its part and has begun a later chunk, when A fails.
    failed = rig.fetch(A)
    rig.end(rig.fetch(B))
    busy = rig.fetch(B)
    assert rig.chunk_of(busy) == later.chunk_id
    rig.head(busy)
    rig.now_sec += 0.095
    rig.progress(busy, round(0.095 * 20e6 / 8))
    assert list(rig.running) == [failed.job_id, busy.job_id]
    made = rig.end(failed, "refused")
    made += rig.pass_time(0.05)
    assert [r.job_id for r in sent(made, ResizeRange)] == [busy.job_id]
    again = [f for f in sent(made, FetchRange) if rig.chunk_of(f) == first.chunk_id]
    assert [node_of(f.replica.url) for f in again] == [B]


# ---------------------------------------------------------------- limits that always hold


@pytest.mark.parametrize("seed", range(12))
def test_whatever_happens_limits_hold_and_no_byte_is_claimed_twice(seed: int) -> None:
    rng = random.Random(seed)
    limit = rng.choice([1, 2, 4])
    rig = PlannerRig(*("w1", "w2")[: rng.choice([1, 2])], max_active_chunks=limit, seed=seed)
    rig.know(*(a_score(node, mbps=rng.choice([2.0, 20.0])) for node in ALL))
    chunks = {n: a_chunk(n, rng.sample(ALL, 2), size_bytes=300_000) for n in range(6)}
    deadlines = {n: rng.choice([0.0, 5.0, 30.0]) for n in chunks}
    for _ in range(300):
        if not chunks:
            break
        what = rng.random()
        if rig.running and what < 0.7:
            fetch = rng.choice(list(rig.running.values()))
            at = rng.randint(fetch.start_bytes, fetch.end_bytes)
            if fetch.job_id in rig.cancelled:
                rig.end(fetch, "cancelled")
            elif what < 0.3:
                rig.progress(fetch, at)
            elif what < 0.6:
                rig.end(fetch)
            else:
                rig.end(fetch, rng.choice(["broken", "silent", "missing"]), until=at)
        elif what < 0.8:
            number = rng.choice(list(chunks))
            deadlines[number] = rng.choice([0.0, 5.0, 30.0])
        rig.pass_time(rng.choice([0.0, 0.05, 0.3]))
        items = [
            WantedChunk(chunk=chunk, deadline_in_sec=deadlines[number])
            for number, chunk in chunks.items()
        ]
        rig.feed(a_demand(*items))
        for number, chunk in list(chunks.items()):
            state = rig.state_of(chunk)
            if state.complete and state.lease_id and not rig.fetches(chunk):
                last = next(
                    f for f in sent(rig.commands, FetchRange) if f.lease_id == state.lease_id
                )
                rig.verdict(last)
                del chunks[number]
        _check(rig, limit)
    assert sent(rig.commands, FetchRange)


def _check(rig: PlannerRig, limit: int) -> None:
    assert len(rig.chunks_read()) <= limit, "never more chunks in work than allowed, not by one"
    for node in ALL:
        assert len(rig.fetches_at(node)) <= 2
    by_chunk: dict[str, list[FetchRange]] = {}
    for fetch in rig.running.values():
        if fetch.job_id not in rig.cancelled:
            by_chunk.setdefault(fetch.lease_id, []).append(fetch)
    for fetches in by_chunk.values():
        spans = sorted((f.start_bytes, f.end_bytes) for f in fetches)
        assert all(a[1] <= b[0] for a, b in itertools.pairwise(spans)), spans
    cancels = sent(rig.commands, CancelRange)
    assert len({c.job_id for c in cancels}) == len(cancels), "nothing is cancelled twice"
