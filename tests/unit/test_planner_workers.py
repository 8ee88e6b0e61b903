"""The planner and its workers; late ranges; erasure coding."""

from __future__ import annotations

from common.messages import (
    CancelRange,
    CloseChunk,
    DiscardRange,
    FetchRange,
    OpenChunk,
)
from scheduler.commands import ForgetWorker
from tests.builders import MB, A, B, a_beat, a_chunk, a_coded_chunk, a_demand, a_score
from tests.planner_rig import PlannerRig, announced, sent


def a_rig(*workers: str, max_active_chunks: int = 4) -> PlannerRig:
    """Return a planner that knows three equal nodes."""
    rig = PlannerRig(*workers, max_active_chunks=max_active_chunks)
    rig.know()
    return rig


# ---------------------------------------------------------------- workers


def test_a_silent_worker_loses_its_chunk_to_another() -> None:
    rig = a_rig("w1", "w2")
    rig.feed(a_demand(a_chunk()))
    fetch = rig.only_fetch()
    owner = rig.leases[fetch.lease_id][0]
    rig.progress(fetch, MB)
    rig.beating.discard(owner)
    made = rig.pass_time(3.2)
    rig.feed(a_demand(a_chunk()))
    (opened,) = sent(made, OpenChunk)
    (again,) = sent(made, FetchRange)
    assert opened.lease_id == again.lease_id != fetch.lease_id
    assert rig.leases[again.lease_id][0] != owner
    assert again.start_bytes == 0, "the bytes went with the worker"
    assert [c.jobs_endpoint for c in made if isinstance(c, ForgetWorker)] == [f"inproc://{owner}"]


def test_a_draining_worker_gives_its_chunks_away_at_once() -> None:
    rig = a_rig("w1", "w2")
    rig.feed(a_demand(a_chunk()))
    owner = rig.leases[rig.only_fetch().lease_id][0]
    made = rig.feed(a_beat(owner, draining=True))
    (again,) = sent(made, FetchRange)
    assert rig.leases[again.lease_id][0] != owner


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
        rig.feed(a_demand(a_chunk()))
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
    rig.end(rig.only_fetch(), "broken", until=int(1.9 * MB))
    rig.pass_time(1)
    rig.feed(a_demand(a_chunk(0, [A])))
    fetch = rig.only_fetch()
    assert fetch.start_bytes == int(1.9 * MB)
    for second in range(1, 8):
        rig.pass_time(1)
        rig.feed(a_demand(a_chunk(0, [A])))
        rig.progress(fetch, fetch.start_bytes, received_bytes=second * 200_000)
    assert list(rig.running) == [fetch.job_id]


def test_a_verdict_that_never_comes_is_not_waited_for() -> None:
    rig = a_rig()
    rig.feed(a_demand(a_chunk()))
    fetch = rig.only_fetch()
    rig.end(fetch)
    for _ in range(6):
        rig.pass_time(1)
        rig.feed(a_demand(a_chunk()))
    assert rig.only_fetch().lease_id != fetch.lease_id


def test_all_bytes_held_but_the_last_range_cancelled_still_ends_in_a_verdict_or_a_new_home() -> (
    None
):
    rig = a_rig()
    rig.feed(a_demand(a_chunk()))
    fetch = rig.only_fetch()
    rig.progress(fetch, fetch.end_bytes)
    rig.end(fetch, "cancelled", until=fetch.end_bytes)
    for _ in range(6):
        rig.pass_time(1)
        rig.feed(a_demand(a_chunk()))
    assert rig.only_fetch().start_bytes == 0


# ---------------------------------------------------------------- late ranges


def test_a_late_range_moves_from_a_node_turned_slow_to_an_idle_one() -> None:
    rig = PlannerRig()
    rig.know(a_score(A, mbps=50), a_score(B, mbps=10))
    rig.feed(a_demand(a_chunk(0, [A, B]), due_sec=3))
    slow = rig.fetch(A)
    for step in range(1, 10):
        # 0.4 Mbit/s where 50 were promised
        rig.pass_time(0.1)
        rig.progress(slow, 5000 * step)
    assert [c.job_id for c in sent(rig.commands, CancelRange)] == [slow.job_id]
    rig.end(slow, "cancelled", until=50_000)
    assert (rig.busy_nodes(), rig.only_fetch().start_bytes) == ([B], 50_000)


def test_a_slow_range_that_will_be_in_time_stays() -> None:
    rig = PlannerRig()
    rig.know(a_score(A, mbps=50), a_score(B, mbps=10))
    rig.feed(a_demand(a_chunk(0, [A, B]), due_sec=200))
    slow = rig.fetch(A)
    for step in range(1, 10):
        rig.pass_time(0.1)
        rig.progress(slow, 5000 * step)
    assert sent(rig.commands, CancelRange) == []


def test_bytes_of_a_cancelled_range_are_not_asked_for_twice() -> None:
    rig = PlannerRig()
    rig.know(a_score(A, mbps=50), a_score(B, mbps=10))
    rig.feed(a_demand(a_chunk(0, [A, B]), due_sec=3))
    slow = rig.fetch(A)
    for step in range(1, 10):
        rig.pass_time(0.1)
        rig.progress(slow, 5000 * step)
    assert list(rig.running) == [slow.job_id]


# ---------------------------------------------------------------- erasure coding


def test_three_data_fragments_are_fetched_and_no_parity() -> None:
    rig = PlannerRig()
    rig.know()
    rig.feed(a_demand(a_coded_chunk()))
    rig.pass_time(0.3)
    assert sorted(f.part for f in rig.running.values()) == [0, 1, 2]
    assert {f.end_bytes for f in rig.running.values()} == {MB}


def test_a_parity_takes_the_place_of_a_data_fragment_that_fails() -> None:
    rig = PlannerRig()
    rig.feed(a_demand(a_coded_chunk()))
    rig.pass_time(0.3)
    lost = next(f for f in rig.running.values() if f.part == 1)
    made = rig.end(lost, "refused")
    (instead,) = sent(made, FetchRange)
    assert instead.part in (3, 4)
    assert len(rig.running) == 3


def test_two_lost_nodes_still_give_the_chunk() -> None:
    rig = PlannerRig()
    chunk = a_coded_chunk()
    rig.feed(a_demand(chunk))
    rig.pass_time(0.3)
    for part in (0, 2):
        rig.end(next(f for f in rig.running.values() if f.part == part), "refused")
    for fetch in list(rig.running.values()):
        rig.end(fetch)
    assert rig.state_of(chunk).complete
    rig.verdict(fetch)
    assert rig.state_of(chunk).delivered_sec is not None
    assert sent(rig.commands, DiscardRange) == []


# ---------------------------------------------------------------- last words


def test_a_chunk_delivered_as_its_session_ends_is_counted() -> None:
    rig = a_rig()
    rig.feed(a_demand(a_chunk()))
    (fetch,) = rig.running.values()
    rig.end(fetch)
    owner = rig.leases[fetch.lease_id]
    rig.feed(a_demand(closed=True))
    rig.leases[fetch.lease_id] = owner
    rig.verdict(fetch)
    (account,) = rig.planner.accounts.all
    assert (account.total_downloads, account.needed_bytes) == (1, a_chunk().size_bytes)


def test_bytes_of_a_range_nobody_wants_any_more_are_counted() -> None:
    rig = a_rig()
    rig.feed(a_demand(a_chunk()))
    (fetch,) = rig.running.values()
    owner = rig.leases[fetch.lease_id]
    rig.feed(a_demand(closed=True))
    rig.leases[fetch.lease_id] = owner
    rig.end(fetch, "cancelled", until=fetch.start_bytes + 5000)
    (account,) = rig.planner.accounts.all
    assert account.received_bytes == 5000
