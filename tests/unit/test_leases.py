"""Workers: registration by heartbeat, room, and when one is gone."""

from __future__ import annotations

from scheduler.leases import WORKER_SILENT_SEC, WorkerBook
from tests.builders import a_beat


def test_the_first_beat_registers() -> None:
    book = WorkerBook()
    _, is_new = book.seen(a_beat("w1"), 0)
    _, is_new_again = book.seen(a_beat("w1"), 1)
    assert (is_new, is_new_again) == (True, False)
    assert book.endpoint_of("w1") == "inproc://w1"


def test_a_beat_brings_the_address_up_to_date() -> None:
    book = WorkerBook()
    book.seen(a_beat("w1"), 0)
    book.seen(a_beat("w1", jobs_endpoint="inproc://other", slots=2), 1)
    assert book.endpoint_of("w1") == "inproc://other"
    assert book.workers[0].slots == 2


def test_the_worker_with_most_room_is_chosen() -> None:
    book = WorkerBook()
    small, _ = book.seen(a_beat("small", slots=2), 0)
    large, _ = book.seen(a_beat("large", slots=8), 0)
    small.leases.add("1")
    large.leases.update("234")
    assert book.freest() is large


def test_a_full_worker_gets_nothing() -> None:
    book = WorkerBook()
    worker, _ = book.seen(a_beat("w1", slots=1), 0)
    worker.leases.add("1")
    assert book.freest() is None
    book.release("w1", "1")
    assert book.freest() is worker


def test_a_worker_is_gone_after_three_seconds_of_silence() -> None:
    book = WorkerBook()
    book.seen(a_beat("w1"), 10)
    assert book.take_silent(10 + WORKER_SILENT_SEC) == []
    assert [w.worker_id for w in book.take_silent(10 + WORKER_SILENT_SEC + 0.01)] == ["w1"]
    assert book.workers == []


def test_releasing_what_nobody_holds_is_harmless() -> None:
    book = WorkerBook()
    book.release("nobody", "1")
    assert book.take("nobody") is None
    assert book.endpoint_of("nobody") is None
