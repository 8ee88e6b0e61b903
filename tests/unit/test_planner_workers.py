"""The planner and its workers: homes, leases, accounts, last words."""

from __future__ import annotations

import pytest

from common.messages import CloseChunk, FetchRange, OpenChunk, ResizeRange
from scheduler.commands import Command, ForgetWorker, SendJob
from scheduler.leases import WORKER_SILENT_SEC
from tests.builders import (
    MB,
    A,
    B,
    C,
    a_beat,
    a_chunk,
    a_coded_chunk,
    a_demand,
    a_score,
)
from tests.planner_rig import PlannerRig, announced, sent


def a_rig(*workers: str, max_active_chunks: int = 4) -> PlannerRig:
    """Return a planner that knows three equal nodes."""
    rig = PlannerRig(*workers, max_active_chunks=max_active_chunks)
    rig.know()
    return rig


# ---------------------------------------------------------------- workers


@pytest.mark.parametrize("count", [1, 2, 4])
def test_any_number_of_workers_gets_the_same_ranges_and_exact_accounts(count: int) -> None:
    workers = [f"w{n}" for n in range(count)]
    rig = a_rig(*workers)
    rig.prove(A, B, C)
    chunks = [a_chunk(n) for n in range(4)]
    made = rig.feed(a_demand(*chunks, due_sec=60))
    for chunk in chunks:
        made += rig.deliver(chunk)
    ranges = [(f.replica.url, f.start_bytes, f.end_bytes) for f in sent(made, FetchRange)]
    alone = a_rig()
    alone.prove(A, B, C)
    expected = alone.feed(a_demand(*chunks, due_sec=60))
    for chunk in chunks:
        expected += alone.deliver(chunk)
    assert ranges == [
        (f.replica.url, f.start_bytes, f.end_bytes) for f in sent(expected, FetchRange)
    ]
    homes = {c.jobs_endpoint for c in made if isinstance(c, SendJob)}
    assert len(homes) == min(count, 3), "three nodes read three chunks, in as many homes"
    account = next(a for a in rig.planner.accounts.all if a.session_id == "s1")
    assert account.received_bytes == account.needed_bytes == 8 * MB
    assert (account.total_downloads, account.failed_downloads, account.failover_count) == (4, 0, 0)
    assert sum(n.received_bytes for n in rig.planner.nodes) == 8 * MB + 3 * 512 * 1024
    assert all(worker.leases == set() for worker in rig.planner.workers.workers)


def test_all_ranges_of_a_chunk_go_to_its_home() -> None:
    rig = a_rig("w1", "w2")
    made = rig.feed(a_demand(a_chunk(0), a_chunk(1), due_sec=60))
    for chunk in (a_chunk(0), a_chunk(1)):
        made += rig.deliver(chunk)
    homes: dict[str, set[str]] = {}
    for command in made:
        if isinstance(command, SendJob) and isinstance(command.msg, FetchRange | OpenChunk):
            homes.setdefault(command.msg.lease_id, set()).add(command.jobs_endpoint)
    assert [len(endpoints) for endpoints in homes.values()] == [1, 1]


def test_a_silent_worker_loses_its_chunk_to_another() -> None:
    rig = a_rig("w1", "w2")
    rig.feed(a_demand(a_chunk()))
    fetch = rig.fetch(A)
    owner = rig.leases[fetch.lease_id][0]
    rig.progress(fetch, 100_000)
    rig.beating.discard(owner)
    rig.commands.clear()
    rig.pass_time(WORKER_SILENT_SEC - 0.5)
    rig.feed(a_demand(a_chunk()))
    rig.pass_time(1)
    made = rig.commands
    (opened,) = sent(made, OpenChunk)
    again = [f for f in sent(made, FetchRange) if f.lease_id == opened.lease_id]
    assert rig.leases[opened.lease_id][0] != owner
    assert min(f.start_bytes for f in again) == 0, "the bytes went with the worker"
    assert [c.jobs_endpoint for c in made if isinstance(c, ForgetWorker)] == [f"inproc://{owner}"]


def test_a_draining_worker_gives_its_chunks_away_at_once() -> None:
    rig = a_rig("w1", "w2")
    rig.feed(a_demand(a_chunk()))
    owner = rig.leases[rig.fetch(A).lease_id][0]
    made = rig.feed(a_beat(owner, draining=True))
    (opened,) = sent(made, OpenChunk)
    assert rig.leases[opened.lease_id][0] != owner
    assert {f.lease_id for f in sent(made, FetchRange)} == {opened.lease_id}


def test_reports_of_a_lost_worker_change_nothing() -> None:
    rig = a_rig("w1", "w2")
    rig.feed(a_demand(a_chunk(0, [A])))
    fetch = rig.only_fetch()
    owner = rig.leases[fetch.lease_id][0]
    rig.feed(a_beat(owner, draining=True))
    rig.running.pop(fetch.job_id)
    again = rig.only_fetch()
    rig.end(fetch)
    rig.verdict(fetch)
    assert rig.state_of(a_chunk()).delivered_sec is None
    assert rig.state_of(a_chunk()).bytes_by_node() == {}
    assert rig.planner.nodes.node(A).active == 1
    assert again.job_id in rig.running


def test_leases_of_an_earlier_life_are_closed() -> None:
    rig = a_rig()
    made = rig.feed(a_beat("w9", leases=["old.1", "old.2"]))
    assert [c.lease_id for c in sent(made, CloseChunk)] == ["old.1", "old.2"]


def test_known_leases_are_left_alone() -> None:
    rig = a_rig()
    rig.feed(a_demand(a_chunk()))
    assert sent(rig.beat(), CloseChunk) == []


def test_two_planners_never_use_the_same_ids() -> None:
    ids = set()
    for seed in (1, 2):
        rig = PlannerRig(seed=seed)
        rig.know()
        rig.feed(a_demand(a_chunk(0, [A])))
        ids.add(rig.only_fetch().job_id)
    assert len(ids) == 2


def test_a_worker_that_beats_but_never_reports_loses_the_chunk_once() -> None:
    rig = a_rig("w1", "w2")
    rig.feed(a_demand(a_coded_chunk()))
    hung = {f.job_id for f in rig.running.values()}
    made = []
    for _ in range(5):
        made += rig.pass_time(1)
        rig.feed(a_demand(a_coded_chunk()))
    assert hung.isdisjoint(rig.running)
    assert len(announced(made, "worker")) == 1


def test_a_prefix_read_through_is_a_sign_of_life() -> None:
    # A node without Range sends from byte 0: nothing of use arrives for a long time.
    rig = PlannerRig()
    rig.know(a_score(A, accepts_ranges=False))
    rig.feed(a_demand(a_chunk(0, [A])))
    rig.end(rig.only_fetch(), "broken", until=int(1.9 * MB), range_honoured=False)
    rig.pass_time(1)
    rig.feed(a_demand(a_chunk(0, [A])))
    fetch = rig.only_fetch()
    assert fetch.start_bytes == int(1.9 * MB)
    for second in range(1, 8):
        rig.pass_time(1)
        rig.feed(a_demand(a_chunk(0, [A])))
        rig.progress(fetch, fetch.start_bytes, received_bytes=second * 200_000)
    assert list(rig.running) == [fetch.job_id]


def moved(rig: PlannerRig, chunk_lease: str) -> str:
    """Keep asking for the chunk until it has another home; return its lease."""
    for _ in range(8):
        rig.pass_time(1)
        rig.feed(a_demand(a_chunk()))
        if rig.running and chunk_lease not in rig.leases:
            break
    (lease_id,) = rig.leases
    return lease_id


def test_a_verdict_that_never_comes_is_not_waited_for() -> None:
    rig = a_rig()
    rig.feed(a_demand(a_chunk()))
    last = rig.bring(a_chunk())
    assert moved(rig, last.lease_id) != last.lease_id
    assert rig.spans(a_chunk())[0][0] == 0


def test_all_bytes_held_but_the_last_range_cancelled_still_ends_in_a_verdict_or_a_new_home() -> (
    None
):
    rig = a_rig()
    rig.feed(a_demand(a_chunk(0, [A], size_bytes=500_000)))
    fetch = rig.only_fetch()
    rig.progress(fetch, fetch.end_bytes)
    rig.end(fetch, "cancelled", until=fetch.end_bytes)
    assert moved(rig, fetch.lease_id) != fetch.lease_id
    assert rig.spans(a_chunk())[0][0] == 0


# ---------------------------------------------------------------- last words


def test_a_chunk_delivered_as_its_session_ends_is_counted() -> None:
    rig = a_rig()
    rig.feed(a_demand(a_chunk()))
    last = rig.bring(a_chunk())
    rig.feed(a_demand(closed=True))
    rig.verdict(last)
    (account,) = rig.planner.accounts.all
    assert (account.total_downloads, account.needed_bytes) == (1, a_chunk().size_bytes)


def test_bytes_of_a_range_nobody_wants_any_more_are_counted() -> None:
    rig = a_rig()
    rig.feed(a_demand(a_chunk()))
    fetches = list(rig.running.values())
    rig.feed(a_demand(closed=True))
    for fetch in fetches:
        rig.end(fetch, "cancelled", until=fetch.start_bytes + 5000)
    (account,) = rig.planner.accounts.all
    assert account.received_bytes == 5000 * len(fetches)


def test_bytes_that_come_beyond_a_nearer_end_are_kept() -> None:
    rig = a_rig()
    rig.prove(A, B)
    chunk = a_chunk(0, [A, B], size_bytes=800_000)
    rig.feed(a_demand(chunk))
    slow = rig.fetches_at(A)[0]
    rig.pass_time(0.1)
    rig.progress(slow, slow.start_bytes + 20_000)
    made: list[Command] = []
    while not (stolen := [r for r in sent(made, ResizeRange) if r.job_id == slow.job_id]):
        for fetch in rig.fetches_at(B):
            made += rig.end(fetch)
        rig.now_sec += 0.05
        made += rig.progress(slow, rig.state_of(chunk).jobs[slow.job_id].received_until + 1000)
    beyond = stolen[-1].end_bytes + 3000
    rig.end(slow, until=beyond)
    rig.bring(chunk)
    shares = rig.state_of(chunk).bytes_by_node()
    assert shares[A] == beyond - slow.start_bytes
    assert sum(shares.values()) == 800_000
