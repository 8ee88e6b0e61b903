"""What an idle node takes from a late range, and where a later range makes way."""

from __future__ import annotations

import pytest

from common.estimators import Goodput
from scheduler.selection import Node, NodeBook
from scheduler.theft import (
    MIN_STEAL_BYTES,
    REST_GAIN_SEC,
    STEAL_GAIN_SEC,
    Theft,
    best_theft,
    way_out,
)
from scheduler.timing import (
    COMMAND_SEC,
    FIRST_REPORT_SEC,
    OVERDUE_RATIO,
    OVERDUE_SEC,
    ahead_sec,
    remaining_sec,
)
from scheduler.wanted import WHOLE, Job, Source, Wanted
from tests.builders import (
    FIVE_NODES,
    MB,
    A,
    B,
    C,
    a_chunk,
    a_coded_chunk,
    a_job,
    a_score,
    a_wanted,
)

NOW_SEC = 100.0
RTT_SEC = 0.02
FIRST_BYTE_SEC = RTT_SEC + COMMAND_SEC


def a_book(**rates: float) -> NodeBook:
    """Return nodes whose rates were measured."""
    book = NodeBook()
    nodes = {"a": A, "b": B, "c": C}
    book.update(tuple(a_score(nodes[name], latency_ms=RTT_SEC * 1000) for name in rates))
    for name, mbps in rates.items():
        book.node(nodes[name]).rate.add(mbps)
    return book


def a_slow_job(chunk: Wanted, node_url: str = A, *, mbps: float = 8.0, until: int = 0) -> Job:
    """Return a range that flows at its own pace and was reported just now."""
    return a_job(
        chunk,
        node_url,
        received_until=until,
        headed_sec=NOW_SEC - 0.2,
        progress_sec=NOW_SEC,
        rate_mbps=mbps,
        paced=True,
    )


def found(
    chunk: Wanted,
    book: NodeBook,
    thief: str = B,
    *,
    wait_sec: float = 0.0,
    now_sec: float = NOW_SEC,
) -> Theft | None:
    busy_sec = {thief: wait_sec}
    return best_theft(book.node(thief), chunk, chunk.sources(), book, now_sec, busy_sec=busy_sec)


def ends_sec(
    theft: Theft, slow_mbps: float, fast_mbps: float, wait_sec: float = 0.0
) -> list[float]:
    """Return when victim and thief will be through with their parts."""
    kept = theft.cut - theft.victim.received_until
    taken = theft.choice.end - theft.choice.start
    return [
        kept * 8e-6 / slow_mbps,
        max(wait_sec, FIRST_BYTE_SEC) + taken * 8e-6 / fast_mbps,
    ]


# ---------------------------------------------------------------- how much


@pytest.mark.parametrize(("slow_mbps", "fast_mbps"), [(8.0, 8.0), (2.0, 20.0), (8.0, 4.0)])
def test_the_rest_is_divided_so_that_both_end_together(slow_mbps: float, fast_mbps: float) -> None:
    chunk = a_wanted()
    job = a_slow_job(chunk, mbps=slow_mbps, until=MB)
    theft = found(chunk, a_book(a=20.0, b=fast_mbps))
    assert theft is not None
    assert theft.victim is job
    assert (theft.choice.start, theft.choice.end) == (theft.cut, job.end)
    victim_sec, thief_sec = ends_sec(theft, slow_mbps, fast_mbps)
    assert victim_sec == pytest.approx(thief_sec, abs=0.001)


def test_a_busy_thief_takes_less() -> None:
    chunk = a_wanted()
    a_slow_job(chunk, until=MB)
    book = a_book(a=20.0, b=8.0)
    idle, busy = found(chunk, book), found(chunk, book, wait_sec=0.2)
    assert idle is not None
    assert busy is not None
    assert busy.cut > idle.cut
    victim_sec, thief_sec = ends_sec(busy, 8.0, 8.0, wait_sec=0.2)
    assert victim_sec == pytest.approx(thief_sec, abs=0.001)


def test_the_slowest_of_two_ranges_is_relieved() -> None:
    chunk = a_wanted(a_chunk(0, [A, B, C]))
    a_slow_job(chunk, C, mbps=8.0, until=MB)
    slowest = a_slow_job(chunk, A, mbps=1.0, until=MB)
    theft = found(chunk, a_book(a=20.0, b=20.0, c=20.0))
    assert theft is not None
    assert theft.victim is slowest


@pytest.mark.parametrize(("gain_ratio", "pays"), [(0.75, False), (1.25, True)])
def test_a_theft_must_gain_time(gain_ratio: float, pays: bool) -> None:
    chunk, book = a_wanted(), a_book(a=80.0, b=80.0)
    # Of two equal nodes each brings half of what is left when the thief's first byte comes.
    left_sec = FIRST_BYTE_SEC + 2 * gain_ratio * STEAL_GAIN_SEC
    left_bytes = round(left_sec * 80e6 / 8)
    a_slow_job(chunk, mbps=80.0, until=2 * MB - left_bytes)
    chunk.parts[WHOLE].add(0, 2 * MB - left_bytes, A)
    assert (found(chunk, book) is not None) is pays


@pytest.mark.parametrize(("gain_ratio", "pays"), [(0.75, False), (1.25, True)])
def test_a_few_bytes_are_worth_a_request_where_they_take_long(
    gain_ratio: float, pays: bool
) -> None:
    left_bytes = MIN_STEAL_BYTES - 10
    left_sec = FIRST_BYTE_SEC + left_bytes * 8e-6 / 20.0 + gain_ratio * REST_GAIN_SEC
    slow_mbps = left_bytes * 8e-6 / left_sec
    chunk, book = a_wanted(), a_book(a=slow_mbps, b=20.0)
    job = a_slow_job(chunk, mbps=slow_mbps)
    job.received_until = job.end - left_bytes
    theft = found(chunk, book)
    assert (theft is not None) is pays
    if theft is not None:
        assert (theft.cut, theft.choice.start) == (job.received_until, job.received_until)


def test_nothing_is_taken_where_nothing_is_left() -> None:
    chunk = a_wanted()
    job = a_slow_job(chunk, mbps=0.01)
    job.received_until = job.end
    assert found(chunk, a_book(a=0.01, b=20.0)) is None


# ---------------------------------------------------------------- from whom


def test_a_range_about_to_begin_is_left_alone() -> None:
    chunk = a_wanted()
    job = a_job(chunk, A, begun_sec=NOW_SEC)
    book = a_book(a=1.0, b=100.0)
    overdue_sec = OVERDUE_RATIO * FIRST_BYTE_SEC + OVERDUE_SEC
    assert found(chunk, book, now_sec=NOW_SEC + overdue_sec - 0.001) is None
    theft = found(chunk, book, now_sec=NOW_SEC + overdue_sec + 0.001)
    assert theft is not None
    assert theft.victim is job


def test_a_range_whose_rate_nobody_knows_is_left_alone_until_its_first_report() -> None:
    chunk, book = a_wanted(), a_book(a=1.0, b=100.0)
    book.node(A).rate = Goodput()
    a_job(chunk, A, begun_sec=NOW_SEC - 0.1, headed_sec=NOW_SEC, progress_sec=NOW_SEC)
    assert found(chunk, book, now_sec=NOW_SEC + FIRST_REPORT_SEC - 0.001) is None
    assert found(chunk, book, now_sec=NOW_SEC + FIRST_REPORT_SEC + 0.001) is not None


def test_bytes_that_come_before_the_victim_is_told_are_not_asked_for_again() -> None:
    # The thief would be through with all of it sooner than the message arrives.
    chunk = a_wanted()
    job = a_slow_job(chunk, mbps=8.0)
    theft = found(chunk, a_book(a=8.0, b=1e6), now_sec=NOW_SEC + 0.01)
    assert theft is not None
    assert theft.cut >= job.received_until + 8.0 * 1e6 / 8 * (0.01 + COMMAND_SEC) - 1


def test_a_range_that_does_not_begin_loses_everything_in_the_end() -> None:
    chunk = a_wanted(a_chunk(size_bytes=200_000))
    job = a_job(chunk, A, begun_sec=NOW_SEC)
    book = a_book(a=20.0, b=20.0)
    # As late as another needs for all of it: nothing is left to hope for.
    theft = found(chunk, book, now_sec=NOW_SEC + 0.3)
    assert theft is not None
    assert (theft.cut, theft.choice.start, theft.choice.end) == (0, 0, job.end)


def test_a_range_that_stopped_loses_nearly_everything() -> None:
    chunk = a_wanted()
    job = a_slow_job(chunk, mbps=20.0, until=MB)
    theft = found(chunk, a_book(a=20.0, b=20.0), now_sec=NOW_SEC + 0.45)
    assert theft is not None
    assert theft.choice.end - theft.choice.start > 0.9 * (job.end - job.received_until)


def test_of_a_whole_body_only_what_nobody_else_brings_is_taken() -> None:
    chunk, book = a_wanted(), a_book(a=8.0, b=8.0)
    body = a_slow_job(chunk, mbps=4.0)
    body.whole_body = True
    chunk.parts[body.part].add(1_500_000, 2 * MB, C)
    theft = found(chunk, book)
    assert theft is not None
    assert 500_000 < theft.cut < theft.choice.end == 1_500_000
    chunk.parts[body.part].add(0, 2 * MB, C)
    assert found(chunk, book) is None


def test_nobody_steals_from_itself_or_from_a_cancelled_range() -> None:
    chunk, book = a_wanted(), a_book(a=20.0, b=20.0)
    job = a_slow_job(chunk, mbps=0.5)
    assert found(chunk, book, A) is None
    job.cancelled = True
    assert found(chunk, book) is None


# ---------------------------------------------------------------- who may


def test_a_node_that_has_sent_nothing_yet_steals_nothing() -> None:
    chunk, book = a_wanted(), a_book(a=20.0)
    book.update((a_score(B, mbps=100.0),))
    a_slow_job(chunk, mbps=0.5)
    assert found(chunk, book) is None


def test_a_suspended_node_steals_nothing_until_it_has_proven_itself() -> None:
    chunk, book = a_wanted(), a_book(a=20.0, b=20.0)
    a_slow_job(chunk, mbps=0.5)
    for open_until_sec in (NOW_SEC + 1, NOW_SEC - 1):
        book.node(B).breaker.open_until_sec = open_until_sec
        assert found(chunk, book) is None


def test_a_node_that_is_not_among_the_sources_steals_nothing() -> None:
    chunk, book = a_wanted(), a_book(a=20.0, b=20.0)
    a_slow_job(chunk, mbps=0.5)
    left = [s for s in chunk.sources() if s.node_url != B]
    assert best_theft(book.node(B), chunk, left, book, NOW_SEC, busy_sec={}) is None


def test_a_node_without_range_cannot_begin_in_the_middle() -> None:
    chunk, book = a_wanted(), a_book(a=20.0, b=200.0)
    a_slow_job(chunk, mbps=0.5)
    book.node(B).accepts_ranges = False
    assert found(chunk, book) is None


# ---------------------------------------------------------------- fragments


def a_coded_case(held_part: int) -> tuple[Wanted, Node, NodeBook, list[Source]]:
    chunk = a_wanted(a_coded_chunk())
    book = NodeBook()
    book.update(tuple(a_score(node) for node in FIVE_NODES))
    for node in FIVE_NODES:
        book.node(node).rate.add(20.0)
    for part in range(3):
        job = a_slow_job(chunk, FIVE_NODES[part], mbps=0.5 if part == 0 else 20.0)
        del chunk.jobs[job.job_id]
        job.part, job.end = part, MB
        chunk.jobs[f"part {part}"] = job
    return chunk, book.node(FIVE_NODES[held_part]), book, chunk.sources()


def test_a_parity_stands_in_for_a_slow_fragment() -> None:
    chunk, thief, book, sources = a_coded_case(3)
    theft = best_theft(thief, chunk, sources, book, NOW_SEC, busy_sec={})
    assert theft is not None
    assert theft.victim.part == 0
    assert theft.choice.source.part == 3


def test_a_fragment_that_is_read_at_these_bytes_already_is_no_stand_in() -> None:
    chunk, thief, book, sources = a_coded_case(1)
    assert best_theft(thief, chunk, sources, book, NOW_SEC, busy_sec={}) is None


def a_half_read_case(victim_until: int) -> tuple[Wanted, Node, NodeBook, list[Source]]:
    """Return a thief whose fragment is read in the middle of what an overdue, or stuck, fragment owes."""
    chunk, thief, book, sources = a_coded_case(3)
    victim = chunk.jobs["part 0"]
    victim.begun_sec = victim.progress_sec = NOW_SEC - 0.6
    if not victim_until:
        victim.headed_sec = victim.rate_mbps = None
    victim.received_until = victim_until
    a_job(chunk, thief.node_url, part=3, start=MB // 4, end=MB // 2, begun_sec=NOW_SEC)
    return chunk, thief, book, sources


def test_a_stretch_of_what_a_silent_fragment_owes_is_better_than_nothing() -> None:
    chunk, thief, book, sources = a_half_read_case(0)
    theft = best_theft(thief, chunk, sources, book, NOW_SEC, busy_sec={})
    assert theft is not None
    assert (theft.victim.part, theft.choice.source.part) == (0, 3)
    assert theft.cut == theft.choice.start >= MB // 2
    assert theft.choice.end == MB
    del chunk.jobs[f"{thief.node_url} 3 {MB // 4}"]
    a_job(chunk, thief.node_url, part=3, start=MB // 2, end=MB, begun_sec=NOW_SEC)
    theft = best_theft(thief, chunk, sources, book, NOW_SEC, busy_sec={})
    assert theft is not None
    assert theft.choice.end == MB // 2, "what lies behind it is free again"


def test_a_fragment_that_flows_is_only_cut_where_its_tail_can_be_taken() -> None:
    chunk, thief, book, sources = a_half_read_case(100)
    assert best_theft(thief, chunk, sources, book, NOW_SEC, busy_sec={}) is None


# ---------------------------------------------------------------- making way


def test_a_later_range_ends_in_time_for_the_next_request_to_follow_it() -> None:
    book = a_book(a=20.0)
    job = a_slow_job(a_wanted(), mbps=20.0)
    end = way_out(job, book.node(A), NOW_SEC)
    assert end is not None
    job.end = end
    assert remaining_sec(job, book.node(A), NOW_SEC) < ahead_sec(book.node(A))
    assert end > RTT_SEC * 20e6 / 8, "the link is not idle meanwhile"


def test_a_range_that_is_nearly_over_need_not_make_way() -> None:
    book = a_book(a=20.0)
    job = a_slow_job(a_wanted(), mbps=20.0, until=2 * MB - 100_000)
    assert way_out(job, book.node(A), NOW_SEC) is None


def test_a_whole_body_cannot_make_way() -> None:
    job = a_slow_job(a_wanted(), mbps=20.0)
    job.whole_body = True
    assert way_out(job, a_book(a=20.0).node(A), NOW_SEC) is None
