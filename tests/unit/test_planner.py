"""The planner when all goes well: order, limits, delivery, sessions that come and go."""

from __future__ import annotations

import pytest

from common.messages import CloseChunk, FetchRange, OpenChunk, Transfer, WantedChunk
from common.units import node_of
from scheduler.commands import PublishTransfer, SendJob
from scheduler.planner import DEMAND_LEASE_SEC, REDELIVER_AFTER_SEC
from tests.builders import MB, A, B, C, a_beat, a_chunk, a_demand, a_score
from tests.planner_rig import PlannerRig, sent


def a_rig(*workers: str, max_active_chunks: int = 4, shared_limit: bool = False) -> PlannerRig:
    """Return a planner that knows three equal nodes."""
    rig = PlannerRig(*workers, max_active_chunks=max_active_chunks, shared_limit=shared_limit)
    rig.know()
    return rig


# ---------------------------------------------------------------- order and limits


def test_the_home_is_opened_before_its_first_range() -> None:
    rig = a_rig()
    made = rig.feed(a_demand(a_chunk()))
    kinds = [type(c.msg) for c in made if isinstance(c, SendJob)]
    assert kinds == [OpenChunk, FetchRange, FetchRange, FetchRange]
    assert {f.lease_id for f in rig.running.values()} == set(rig.leases)


def test_most_urgent_chunk_goes_first_whatever_the_order_of_the_demand() -> None:
    rig = a_rig()
    late, soon = a_chunk(0, [A]), a_chunk(1, [A])
    rig.feed(
        a_demand(
            WantedChunk(chunk=late, deadline_in_sec=20), WantedChunk(chunk=soon, deadline_in_sec=2)
        )
    )
    assert rig.chunk_of(rig.only_fetch()) == soon.chunk_id


def test_earlier_chunk_goes_first_when_both_are_due_at_once() -> None:
    rig = a_rig()
    first, second = a_chunk(0, [A]), a_chunk(1, [A])
    rig.feed(a_demand(*(WantedChunk(chunk=c, deadline_in_sec=0) for c in (second, first))))
    assert rig.chunk_of(rig.only_fetch()) == first.chunk_id


def test_an_unproven_node_has_one_range() -> None:
    rig = a_rig()
    rig.feed(a_demand(*(a_chunk(n) for n in range(4))))
    assert sorted(rig.busy_nodes()) == [A, B, C]


def test_a_free_node_takes_the_next_chunk_without_waiting_for_the_others() -> None:
    rig = a_rig()
    chunks = [a_chunk(n) for n in range(4)]
    rig.feed(a_demand(*chunks))
    done = rig.fetches(chunks[0])[0]
    rig.end(done)
    assert rig.chunk_of(rig.fetch(node_of(done.replica.url))) == chunks[1].chunk_id
    assert len(rig.running) == 3


def test_a_node_without_the_most_urgent_chunk_reads_the_next_one() -> None:
    rig = a_rig()
    rig.feed(a_demand(a_chunk(0, [A, B]), a_chunk(1, [C])))
    assert rig.chunk_of(rig.fetch(C)) == a_chunk(1).chunk_id


def test_no_more_chunks_in_work_than_allowed() -> None:
    rig = a_rig(max_active_chunks=2)
    chunks = [a_chunk(n, [node]) for n, node in enumerate((A, B, C, A))]
    rig.feed(a_demand(*chunks))
    assert rig.chunks_read() == {c.chunk_id for c in chunks[:2]}


def test_a_chunk_that_overtakes_waits_for_a_place() -> None:
    rig = a_rig(max_active_chunks=2)
    rig.feed(a_demand(a_chunk(0, [A]), a_chunk(1, [B])))
    rig.feed(
        a_demand(
            WantedChunk(chunk=a_chunk(2, [C]), deadline_in_sec=0),
            WantedChunk(chunk=a_chunk(0, [A]), deadline_in_sec=5),
            WantedChunk(chunk=a_chunk(1, [B]), deadline_in_sec=10),
        )
    )
    assert rig.chunks_read() == {a_chunk(0).chunk_id, a_chunk(1).chunk_id}
    while rig.fetches_at(B):
        # The displaced chunk gets no further range; its place is free when the last one ends.
        assert len(rig.chunks_read()) == 2
        rig.end(rig.fetches_at(B)[0])
    assert rig.chunks_read() == {a_chunk(2).chunk_id, a_chunk(0).chunk_id}


def test_a_chunk_whose_verdict_is_on_its_way_is_still_in_work() -> None:
    rig = a_rig(max_active_chunks=1)
    rig.feed(a_demand(a_chunk(0, [A]), a_chunk(1, [B])))
    last = rig.bring(a_chunk(0))
    assert rig.running == {}
    rig.verdict(last)
    assert rig.chunks_read() == {a_chunk(1).chunk_id}


def test_each_session_has_a_limit_of_its_own() -> None:
    rig = a_rig(max_active_chunks=1)
    rig.feed(a_demand(a_chunk(0, [A]), a_chunk(1, [B])))
    rig.feed(a_demand(a_chunk(2, [B]), a_chunk(3, [C]), session_id="s2"))
    assert rig.chunks_read() == {a_chunk(0).chunk_id, a_chunk(2).chunk_id}


def test_sessions_can_share_one_limit() -> None:
    rig = a_rig(max_active_chunks=1, shared_limit=True)
    rig.feed(a_demand(a_chunk(0, [A]), due_sec=9))
    rig.feed(a_demand(a_chunk(1, [B]), due_sec=1, session_id="s2"))
    assert len(rig.chunks_read()) == 1


def test_deadlines_decide_between_sessions() -> None:
    rig = a_rig()
    rig.feed(a_demand(a_chunk(0, [A]), due_sec=9))
    rig.feed(a_demand(a_chunk(1, [A]), due_sec=8, session_id="s2"))
    rig.feed(a_demand(a_chunk(2, [A]), due_sec=1, session_id="s3"))
    rig.end(rig.only_fetch(), mbps=100.0)
    assert rig.chunk_of(rig.fetches_at(A)[0]) == a_chunk(2).chunk_id


def test_deadlines_decide_between_sessions_that_share_a_limit() -> None:
    rig = a_rig(max_active_chunks=1, shared_limit=True)
    rig.feed(a_demand(a_chunk(0), due_sec=9))
    rig.feed(a_demand(a_chunk(1), due_sec=8, session_id="s2"))
    rig.feed(a_demand(a_chunk(2), due_sec=1, session_id="s3"))
    rig.deliver(a_chunk(0))
    assert rig.chunks_read() == {a_chunk(2).chunk_id}


def test_chunks_are_spread_over_the_workers() -> None:
    rig = a_rig("w1", "w2")
    rig.feed(a_demand(a_chunk(0, [A]), a_chunk(1, [B])))
    assert sorted(owner for owner, _ in rig.leases.values()) == ["w1", "w2"]


def test_a_chunk_waits_for_the_first_worker() -> None:
    rig = PlannerRig()
    rig.pass_time(0.1)
    rig.feed(a_beat("w1", draining=True))
    rig.beating.clear()
    rig.know()
    rig.feed(a_demand(a_chunk()))
    assert rig.running == {}
    rig.join("w2")
    assert sorted(rig.busy_nodes()) == [A, B, C]


def test_a_full_worker_does_not_keep_a_chunk_with_a_home_from_going_on() -> None:
    rig = a_rig()
    rig.join("w1", slots=1)
    has_home, has_none = a_chunk(0, [A, B]), a_chunk(1, [A, B])
    rig.feed(a_demand(has_home, has_none))
    failing = rig.fetch(A)
    rig.end(rig.fetch(B))
    rig.feed(
        a_demand(
            WantedChunk(chunk=has_none, deadline_in_sec=0),
            WantedChunk(chunk=has_home, deadline_in_sec=10),
        )
    )
    rig.end(failing, "broken", until=failing.start_bytes + 1000)
    assert {f.start_bytes for f in rig.fetches(has_home)} == {failing.start_bytes + 1000}


def test_without_any_score_fetching_starts_all_the_same() -> None:
    rig = PlannerRig()
    rig.feed(a_demand(a_chunk()))
    rig.pass_time(0.3)
    assert sorted(rig.busy_nodes()) == [A, B, C]


# ---------------------------------------------------------------- delivery and demand


def test_a_delivered_chunk_is_not_fetched_again_while_it_travels() -> None:
    rig = a_rig()
    rig.feed(a_demand(a_chunk()))
    rig.deliver(a_chunk())
    rig.pass_time(1)
    rig.feed(a_demand(a_chunk()))
    assert rig.running == {}


def test_a_delivered_chunk_that_is_still_wanted_never_arrived() -> None:
    rig = a_rig()
    rig.feed(a_demand(a_chunk(0, [A])))
    rig.deliver(a_chunk())
    waited_sec = 0.0
    while not rig.running:
        rig.pass_time(0.5)
        waited_sec += 0.5
        rig.feed(a_demand(a_chunk(0, [A])))
        assert waited_sec < 2 * REDELIVER_AFTER_SEC
    assert waited_sec >= REDELIVER_AFTER_SEC
    assert rig.fetches_at(A)[0].start_bytes == 0


def test_a_chunk_no_longer_wanted_is_closed_and_its_node_is_free() -> None:
    rig = a_rig()
    rig.feed(a_demand(a_chunk(0, [A])))
    fetch = rig.only_fetch()
    made = rig.feed(a_demand(a_chunk(1, [A])))
    assert [c.lease_id for c in sent(made, CloseChunk)] == [fetch.lease_id]
    assert rig.chunk_of(rig.fetch(A)) == a_chunk(1).chunk_id


def test_a_closed_session_leaves_nothing() -> None:
    rig = a_rig()
    rig.feed(a_demand(a_chunk(0, [A]), a_chunk(1, [B])))
    made = rig.feed(a_demand(closed=True))
    assert len(sent(made, CloseChunk)) == 2
    assert (list(rig.planner.chunks), list(rig.planner.jobs)) == ([], [])
    assert [node.active for node in rig.planner.nodes] == [0, 0, 0]


def test_a_session_that_stops_asking_is_dropped() -> None:
    rig = a_rig()
    rig.feed(a_demand(a_chunk()))
    rig.pass_time(DEMAND_LEASE_SEC + 0.1)
    assert (rig.running, rig.leases) == ({}, {})
    assert list(rig.planner.chunks) == []


def test_a_session_that_asks_again_after_a_pause_keeps_its_account() -> None:
    rig = a_rig()
    rig.feed(a_demand(a_chunk()))
    rig.pass_time(DEMAND_LEASE_SEC + 0.1)
    rig.feed(a_demand(a_chunk()))
    (account,) = rig.planner.accounts.all
    assert not account.closed


def test_a_chunk_whose_size_changed_starts_over() -> None:
    rig = a_rig()
    rig.feed(a_demand(a_chunk(0, [A], size_bytes=200_000)))
    rig.progress(rig.only_fetch(), 100_000)
    rig.feed(a_demand(a_chunk(0, [A], size_bytes=300_000)))
    assert rig.spans(a_chunk(0)) == [(0, 300_000)]


def test_fresh_replicas_keep_the_bytes_that_are_held() -> None:
    rig = a_rig()
    rig.feed(a_demand(a_chunk(0, [A])))
    fetch = rig.only_fetch()
    rig.progress(fetch, 600_000)
    rig.feed(a_demand(a_chunk(0, [A, B])))
    rig.end(fetch, "broken", until=600_000)
    assert set(rig.busy_nodes()) == {B}
    rig.bring(a_chunk(0))
    assert rig.state_of(a_chunk(0)).bytes_by_node() == {A: 600_000, B: 2 * MB - 600_000}


def test_an_ended_range_is_published_as_evidence() -> None:
    rig = a_rig()
    rig.feed(a_demand(a_chunk(0, [A], size_bytes=500_000)))
    fetch = rig.only_fetch()
    made = rig.end(fetch, first_byte_sec=0.1, duration_sec=0.3)
    (published,) = (c.msg for c in made if isinstance(c, PublishTransfer))
    assert published.busy_sec == pytest.approx(0.2)
    assert published.goodput_mbps == pytest.approx(20.0)
    assert published == Transfer(
        node_url=A,
        session_id="s1",
        chunk_id=fetch.replica.url.rsplit("/", 1)[1],
        outcome="complete",
        size_bytes=500_000,
        first_byte_sec=0.1,
        busy_sec=published.busy_sec,
        goodput_mbps=published.goodput_mbps,
        range_honoured=True,
        sequence_num=0,
        part=-1,
        start_bytes=0,
        received_until_bytes=500_000,
        end_bytes=500_000,
        worker_id=published.worker_id,
    )


def test_accounts_tell_received_from_needed_bytes() -> None:
    rig = PlannerRig()
    rig.know(a_score(A), a_score(B, accepts_ranges=False))
    rig.feed(a_demand(a_chunk(0, [A], size_bytes=500_000)))
    rig.end(rig.only_fetch(), "silent", until=100_000)
    rig.feed(a_demand(a_chunk(0, [A, B], size_bytes=500_000)))
    # B has to send what A sent before, too.
    rig.end(rig.only_fetch(), received_bytes=500_000)
    rig.verdict(sent(rig.commands, FetchRange)[-1])
    (account,) = rig.planner.accounts.all
    assert (account.received_bytes, account.needed_bytes) == (600_000, 500_000)
    assert (account.total_downloads, account.failed_downloads, account.failover_count) == (1, 1, 1)
