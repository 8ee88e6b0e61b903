"""The books: what starting, shortening, ending and losing work does to chunks, nodes and workers."""

from __future__ import annotations

import random

from common.messages import CancelRange, CloseChunk, FetchRange, OpenChunk, ResizeRange
from scheduler.assignment import Choice
from scheduler.commands import Command, ForgetWorker
from scheduler.schedule import KEPT_AFTERWARDS, Schedule
from scheduler.wanted import WHOLE, Job, Wanted
from tests.builders import MB, A, B, a_beat, a_chunk, a_score, a_wanted
from tests.planner_rig import announced, sent

NOW_SEC = 100.0


def a_schedule(*workers: str, slots: int = 8) -> Schedule:
    schedule = Schedule(random.Random(1))
    schedule.nodes.update((a_score(A), a_score(B)))
    for worker in workers or ("w1",):
        schedule.workers.seen(a_beat(worker, slots=slots), NOW_SEC)
    return schedule


def a_chunk_in(schedule: Schedule, number: int = 0, session_id: str = "s1") -> Wanted:
    chunk = a_wanted(a_chunk(number), session_id=session_id)
    schedule.add(chunk)
    return chunk


def start(
    schedule: Schedule, chunk: Wanted, node: str = A, first: int = 0, last: int = 2 * MB
) -> tuple[Job, list[Command]]:
    """Give a range to a node; return it and what was sent."""
    made: list[Command] = []
    source = next(s for s in chunk.sources() if s.node_url == node)
    assert schedule.start(chunk, Choice(source, first, last), NOW_SEC, made)
    (fetch,) = sent(made, FetchRange)
    return schedule.jobs[fetch.job_id], made


def test_a_first_range_opens_a_home_and_the_next_goes_there() -> None:
    schedule = a_schedule("w1", "w2")
    chunk = a_chunk_in(schedule)
    _, made = start(schedule, chunk, A, 0, MB)
    assert [o.lease_id for o in sent(made, OpenChunk)] == [chunk.lease_id]
    _, made = start(schedule, chunk, B, MB)
    assert sent(made, OpenChunk) == []
    assert [f.lease_id for f in sent(made, FetchRange)] == [chunk.lease_id]
    assert schedule.by_lease(chunk.lease_id) is chunk


def test_without_room_at_a_worker_nothing_starts() -> None:
    schedule = a_schedule("w1", slots=1)
    start(schedule, a_chunk_in(schedule, 0))
    waiting = a_chunk_in(schedule, 1)
    made: list[Command] = []
    assert not schedule.start(waiting, Choice(waiting.sources()[0], 0, MB), NOW_SEC, made)
    assert (made, waiting.jobs, waiting.lease_id) == ([], {}, "")


def test_a_range_is_entered_at_its_chunk_its_node_and_its_session() -> None:
    schedule = a_schedule()
    chunk, other = a_chunk_in(schedule, 0), a_chunk_in(schedule, 1, "s2")
    job, _ = start(schedule, chunk, A, 0, MB)
    start(schedule, chunk, A, MB)
    start(schedule, other, A)
    assert [j.chunk for j in schedule.jobs_at(A)] == [chunk, chunk, other]
    assert (schedule.reading("s1"), schedule.reading("s2"), schedule.reading(None)) == (1, 1, 2)
    assert schedule.nodes.node(A).active == 3
    schedule.end_job(job)
    schedule.end_job(job)
    assert schedule.nodes.node(A).active == 2, "an end is entered once"
    assert schedule.reading("s1") == 1


def test_a_shortened_range_frees_its_tail_at_once() -> None:
    schedule = a_schedule()
    chunk = a_chunk_in(schedule)
    job, _ = start(schedule, chunk)
    made: list[Command] = []
    schedule.resize(job, MB, made)
    assert [(r.job_id, r.end_bytes) for r in sent(made, ResizeRange)] == [(job.job_id, MB)]
    assert chunk.free_spans(WHOLE) == [(MB, 2 * MB)]
    assert schedule.nodes.node(A).active == 1


def test_a_cancelled_range_frees_its_bytes_but_not_its_node() -> None:
    schedule = a_schedule()
    chunk = a_chunk_in(schedule)
    job, _ = start(schedule, chunk)
    chunk.parts[WHOLE].add(0, 100, A)
    job.received_until = 100
    made: list[Command] = []
    schedule.cancel(job, made)
    assert [c.job_id for c in sent(made, CancelRange)] == [job.job_id]
    assert chunk.free_spans(WHOLE) == [(100, 2 * MB)]
    assert schedule.nodes.node(A).active == 1, "until the worker has ended it"


def test_a_dropped_chunk_leaves_nothing_but_last_words() -> None:
    schedule = a_schedule()
    chunk = a_chunk_in(schedule)
    job, _ = start(schedule, chunk)
    lease_id = chunk.lease_id
    made: list[Command] = []
    schedule.drop(chunk, made)
    assert [c.lease_id for c in sent(made, CloseChunk)] == [lease_id]
    assert (schedule.jobs, schedule.chunks, schedule.of_session("s1")) == ({}, {}, [])
    assert (schedule.nodes.node(A).active, schedule.reading(None)) == (0, 0)
    assert schedule.by_lease(lease_id) is None
    assert schedule.workers.workers[0].leases == set()
    assert {schedule.afterwards[job.job_id], schedule.afterwards[lease_id]} == {chunk}


def test_last_words_are_not_kept_for_ever() -> None:
    schedule = a_schedule()
    for number in range(KEPT_AFTERWARDS):
        chunk = a_chunk_in(schedule, number)
        start(schedule, chunk)
        schedule.drop(chunk, [])
    assert len(schedule.afterwards) == KEPT_AFTERWARDS


def test_a_delivered_chunk_ends_what_is_still_read_for_it() -> None:
    schedule = a_schedule()
    chunk = a_chunk_in(schedule)
    start(schedule, chunk)
    lease_id = chunk.lease_id
    made: list[Command] = []
    schedule.deliver(chunk, NOW_SEC, made)
    assert [c.lease_id for c in sent(made, CloseChunk)] == [lease_id]
    assert (chunk.delivered_sec, chunk.jobs, schedule.jobs) == (NOW_SEC, {}, {})


def test_a_chunk_delivered_with_nothing_in_flight_needs_no_close() -> None:
    schedule = a_schedule()
    chunk = a_chunk_in(schedule)
    job, _ = start(schedule, chunk)
    schedule.end_job(job)
    made: list[Command] = []
    schedule.deliver(chunk, NOW_SEC, made)
    assert made == []


def test_a_broken_lease_takes_the_bytes_with_it() -> None:
    schedule = a_schedule()
    chunk = a_chunk_in(schedule)
    start(schedule, chunk)
    chunk.parts[WHOLE].add(0, MB, A)
    chunk.retry_at_sec = NOW_SEC + 5
    made: list[Command] = []
    schedule.break_lease(chunk, NOW_SEC, made, "no reason")
    assert (chunk.bytes_by_node(), chunk.jobs, chunk.lease_id) == ({}, {}, "")
    assert chunk.retry_at_sec == NOW_SEC, "it need not wait any more"
    assert len(sent(made, CloseChunk)) == 1
    assert announced(made, "worker") == ["chunk 0 moves: no reason"]


def test_a_lost_worker_loses_its_chunks_and_no_others() -> None:
    schedule = a_schedule("w1", "w2")
    mine, other = a_chunk_in(schedule, 0), a_chunk_in(schedule, 1)
    start(schedule, mine)
    start(schedule, other, B)
    assert mine.worker_id != other.worker_id
    worker = schedule.workers.take(mine.worker_id)
    assert worker is not None
    made: list[Command] = []
    schedule.lose_worker(worker, NOW_SEC, made)
    assert (mine.lease_id, bool(other.lease_id)) == ("", True)
    assert [c.jobs_endpoint for c in made if isinstance(c, ForgetWorker)] == [worker.jobs_endpoint]
    assert sent(made, CloseChunk) == [], "nobody hears it any more"


def test_going_on_at_another_node_is_announced_once() -> None:
    schedule = a_schedule()
    chunk = a_chunk_in(schedule)
    chunk.failed_at = A
    _, made = start(schedule, chunk, B, 500, MB)
    assert announced(made, "failover") == ["chunk 0 continues at byte 500 from node-b:8082"]
    _, made = start(schedule, chunk, A, MB)
    assert announced(made, "failover") == []
    assert schedule.accounts.session("s1").failover_count == 1


def test_every_change_is_looked_at_again() -> None:
    schedule = a_schedule()
    chunk = a_chunk_in(schedule)
    job, _ = start(schedule, chunk)
    assert list(schedule.touched) == ["s1"]
    schedule.end_job(job)
    assert (list(schedule.changed), list(schedule.stirred)) == ([chunk], [A])
