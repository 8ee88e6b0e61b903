"""Which node reads a range: score, load, and the guard by predicted finish."""

from __future__ import annotations

import random

import pytest

from common.messages import ChunkSpec, NodeScore
from scheduler.assignment import Choice, Exhausted, choose, late_jobs, measure, remaining_sec
from scheduler.selection import NodeBook
from scheduler.wanted import WHOLE, Job, Wanted
from tests.builders import MB, A, B, C, a_chunk, a_coded_chunk, a_score

NOW_SEC = 100.0


def a_wanted(spec: ChunkSpec | None = None, due_sec: float = 0.0) -> Wanted:
    """Return a chunk wanted since a second."""
    return Wanted(
        session_id="s1",
        spec=spec or a_chunk(),
        deadline_sec=NOW_SEC + due_sec,
        seen_sec=NOW_SEC - 1,
        deliver_to="inproc://buffer",
    )


def a_book(*nodes: NodeScore) -> NodeBook:
    book = NodeBook()
    book.update(nodes)
    return book


def a_job(chunk: Wanted, book: NodeBook, node_url: str, **changed: float) -> Job:
    """Return a range that runs since a second, entered in the books."""
    job = Job(
        job_id=f"job at {node_url}",
        chunk=chunk,
        part=WHOLE,
        node_url=node_url,
        start=0,
        end=chunk.spec.size_bytes,
        received_until=0,
        begun_sec=NOW_SEC - 1,
        progress_sec=NOW_SEC,
        silence_sec=1,
    )
    for name, value in changed.items():
        setattr(job, name, value)
    chunk.jobs[job.job_id] = job
    book.node(node_url).active += 1
    return job


def chosen(
    chunk: Wanted, book: NodeBook, *jobs: Job, urgent: bool = True, seed: int = 1
) -> str | None:
    """Return the node that gets the next range."""
    choice = choose(chunk, book, jobs, NOW_SEC, urgent=urgent, rng=random.Random(seed))
    assert not isinstance(choice, Exhausted)
    return choice.source.node_url if choice is not None else None


def test_a_fast_far_node_beats_a_slow_near_one_for_an_urgent_chunk() -> None:
    book = a_book(a_score(A, mbps=15, latency_ms=5), a_score(B, mbps=50, latency_ms=80))
    assert book.node(A).score > book.node(B).score, "the score alone would choose the other"
    assert chosen(a_wanted(a_chunk(0, [A, B])), book) == B


def test_with_time_to_spare_the_score_decides() -> None:
    book = a_book(a_score(A, mbps=15, latency_ms=5), a_score(B, mbps=50, latency_ms=80))
    assert chosen(a_wanted(a_chunk(0, [A, B]), due_sec=30), book) == A


def test_a_node_that_would_be_late_is_passed_over_whatever_its_score() -> None:
    book = a_book(a_score(A, mbps=2, latency_ms=0), a_score(B, mbps=20, latency_ms=200))
    assert chosen(a_wanted(a_chunk(0, [A, B]), due_sec=2), book) == B


def test_waiting_for_a_fast_node_beats_starting_on_a_slow_one() -> None:
    book = a_book(a_score(A, mbps=50), a_score(B, mbps=0.5))
    other = a_wanted(a_chunk(1))
    job = a_job(other, book, A, rate_mbps=50.0, received_until=1_900_000)
    assert chosen(a_wanted(a_chunk(0, [A, B])), book, job) is None


def test_a_busy_fast_node_is_not_waited_for_when_the_idle_one_is_in_time() -> None:
    book = a_book(a_score(A, mbps=50), a_score(B, mbps=5))
    job = a_job(a_wanted(a_chunk(1)), book, A, rate_mbps=50.0, received_until=1_900_000)
    assert chosen(a_wanted(a_chunk(0, [A, B]), due_sec=20), book, job) == B


def test_an_unreliable_node_scores_less() -> None:
    book = a_book(a_score(A, success_rate_ratio=0.5), a_score(B))
    assert chosen(a_wanted(a_chunk(0, [A, B]), due_sec=30), book) == B


def test_equals_are_drawn_so_that_clients_do_not_herd() -> None:
    book = a_book(a_score(A), a_score(B))
    chunk = a_wanted(a_chunk(0, [A, B]), due_sec=30)
    assert {chosen(chunk, book, seed=seed) for seed in range(20)} == {A, B}


def test_an_excluded_node_is_not_chosen() -> None:
    book = a_book(a_score(A, mbps=100), a_score(B))
    chunk = a_wanted(a_chunk(0, [A, B]))
    chunk.excluded.add(A)
    assert chosen(chunk, book) == B


def test_a_convicted_node_is_the_last_resort() -> None:
    book = a_book(a_score(A, mbps=100), a_score(B))
    book.node(A).offences = 2
    assert chosen(a_wanted(a_chunk(0, [A, B])), book) == B
    assert chosen(a_wanted(a_chunk(0, [A])), book) == A


def test_nobody_left_is_said() -> None:
    chunk = a_wanted(a_chunk(0, [A]))
    chunk.excluded.add(A)
    choice = choose(chunk, a_book(), (), NOW_SEC, urgent=True, rng=random.Random(1))
    assert isinstance(choice, Exhausted)


def test_a_stale_rate_is_tried_with_a_small_range_when_there_is_time() -> None:
    book = a_book(a_score(A))
    book.node(A).note_progress(100_000, 0.1, NOW_SEC - 60)
    choice = choose(
        a_wanted(a_chunk(0, [A]), due_sec=60), book, (), NOW_SEC, urgent=False, rng=random.Random(1)
    )
    assert isinstance(choice, Choice)
    assert (choice.start, choice.end) == (0, 64 * 1024)


def test_an_urgent_chunk_is_no_place_for_trials() -> None:
    book = a_book(a_score(A))
    book.node(A).note_progress(100_000, 0.1, NOW_SEC - 60)
    choice = choose(a_wanted(a_chunk(0, [A])), book, (), NOW_SEC, urgent=True, rng=random.Random(1))
    assert isinstance(choice, Choice)
    assert choice.end == 2 * MB


def test_parities_are_left_out_while_the_data_can_be_had() -> None:
    chunk = a_wanted(a_coded_chunk(), due_sec=60)
    book = a_book(*(a_score(node, mbps=1) for node in chunk.node_urls()))
    book.update((a_score(chunk.spec.fragments[4].replicas[0].url.rsplit("/chunk", 1)[0], mbps=99),))
    choice = choose(chunk, book, (), NOW_SEC, urgent=False, rng=random.Random(1))
    assert isinstance(choice, Choice)
    assert choice.source.part < 3


def test_a_parity_is_read_when_an_urgent_chunks_data_node_is_busy() -> None:
    chunk = a_wanted(a_coded_chunk())
    nodes = [f.replicas[0].url.rsplit("/chunk", 1)[0] for f in chunk.spec.fragments]
    book = a_book(*(a_score(node) for node in nodes))
    job = a_job(a_wanted(a_chunk(9)), book, nodes[0], rate_mbps=1.0)
    parts = []
    for _ in range(3):
        choice = choose(chunk, book, (job,), NOW_SEC, urgent=True, rng=random.Random(1))
        assert isinstance(choice, Choice)
        parts.append(choice.source.part)
        a_job(chunk, book, choice.source.node_url).part = choice.source.part
    assert 0 not in parts
    assert choose(chunk, book, (job,), NOW_SEC, urgent=True, rng=random.Random(1)) is None


# ---------------------------------------------------------------- pace and lateness


def test_remaining_time_follows_the_ranges_own_pace() -> None:
    book = a_book(a_score(A, mbps=50))
    job = a_job(a_wanted(), book, A, rate_mbps=8.0, received_until=MB)
    assert remaining_sec(job, book.node(A), NOW_SEC) == pytest.approx(1.0)


def test_remaining_time_without_a_pace_counts_what_was_waited() -> None:
    book = a_book(a_score(A, mbps=8, latency_ms=100))
    job = a_job(a_wanted(), book, A)
    assert remaining_sec(job, book.node(A), NOW_SEC) == pytest.approx(0.1 + 2.0 - 1.0)


def test_the_pace_is_measured_from_the_first_bytes_on() -> None:
    book = a_book(a_score(A))
    job = a_job(a_wanted(), book, A, received_until=100_000)
    measure(job, book.node(A), NOW_SEC)
    job.received_until = 350_000
    measure(job, book.node(A), NOW_SEC + 0.1)
    assert job.rate_mbps is None, "too short to tell"
    measure(job, book.node(A), NOW_SEC + 0.25)
    assert job.rate_mbps == pytest.approx(8.0)


def a_late_job(book: NodeBook, due_sec: float = 1) -> Job:
    """Return a range at A that needs 16 s."""
    chunk = a_wanted(a_chunk(0, [A, B, C]), due_sec)
    return a_job(chunk, book, A, rate_mbps=1.0)


def test_a_late_range_is_reported_when_an_idle_node_is_much_faster() -> None:
    book = a_book(a_score(A), a_score(B), a_score(C))
    job = a_late_job(book)
    assert late_jobs([job], book, NOW_SEC) == [job]


def test_a_range_in_time_is_left_alone() -> None:
    book = a_book(a_score(A), a_score(B), a_score(C))
    assert late_jobs([a_late_job(book, due_sec=17)], book, NOW_SEC) == []


def test_nobody_is_moved_to_a_node_that_is_hardly_better() -> None:
    book = a_book(a_score(A), a_score(B, mbps=1.5), a_score(C, mbps=1.5))
    assert late_jobs([a_late_job(book)], book, NOW_SEC) == []


def test_one_idle_node_rescues_one_range() -> None:
    book = a_book(a_score(A), a_score(B), a_score(C))
    first, second = a_late_job(book), a_late_job(book)
    book.node(C).active = 1
    assert late_jobs([first, second], book, NOW_SEC) == [first]


def test_a_rescuer_without_range_would_have_to_send_the_prefix_too() -> None:
    book = a_book(a_score(A), a_score(B, mbps=4, accepts_ranges=False))
    chunk = a_wanted(a_chunk(0, [A, B]), 1)
    job = a_job(chunk, book, A, rate_mbps=1.0, received_until=1_700_000)
    assert late_jobs([job], book, NOW_SEC) == [], "0.3 MB here are sooner than 2 MB there"
