"""What of a stack's messages a recording keeps, and how much that can become."""

from __future__ import annotations

import dataclasses
import random
from itertools import pairwise

import pytest
from hypothesis import given, strategies as st

from client.recording.chunk_maps import CHUNKS_PER_PIECE, ChunkFolder
from client.recording.records import MAX_RECORD_BYTES, Writer, pack_record
from client.recording.thinning import (
    BUDGET_BYTES_PER_SEC,
    BURST_BYTES,
    OVERDUE_SEC,
    Thinner,
)
from client.recording.values import ChunkChanges, Item, Lost
from common.messages import (
    ChunkMap,
    CommandResult,
    KeepAlive,
    NodeScores,
    RecentEvents,
    SchedulerStatus,
    SessionStatus,
    SourceShare,
)
from tests.recordings import recorded
from tests.status_builders import (
    NODE_A,
    NODE_B,
    a_chunk,
    a_load,
    a_range,
    a_score,
    a_session,
    a_transfer,
    an_event,
    chunk_map,
    scheduler_status,
    scores,
    traffic,
)

IDLE = {"in_flight": ()}


def a_thinner(session_id: str | None = "s1", started_unix_sec: float = 0.0) -> Thinner:
    return Thinner(lambda: session_id, started_unix_sec=started_unix_sec)


def items(*messages: object, session_id: str = "s1") -> list[Item]:
    """Return what is kept of messages that come a second apart."""
    numbered = ((float(n), msg) for n, msg in enumerate(messages))
    return [record.item for record in recorded(*numbered, session_id=session_id)]


# ---------------------------------------------------------------- one session's


def test_another_sessions_messages_are_left_out() -> None:
    other = "s2"
    assert (
        items(
            a_session(session_id=other),
            a_transfer(session_id=other),
            an_event(session_id=other),
            chunk_map(a_chunk(0), session_id=other),
            CommandResult(command_id="c", session_id=other, ok=True, exit_code=0, text=""),
            RecentEvents(events=(an_event(session_id=other),)),
        )
        == []
    )


def test_of_the_schedulers_work_that_for_another_session_is_left_out() -> None:
    mine, other = a_range(), a_range(session_id="s2")
    both = scheduler_status(in_flight=(mine, other), sessions=(traffic(session_id="s2"), traffic()))
    (kept,) = items(both)
    assert isinstance(kept, SchedulerStatus)
    assert (kept.in_flight, kept.sessions, kept.nodes) == ((mine,), (traffic(),), both.nodes)


def test_before_there_is_a_session_the_stacks_own_words_are_kept() -> None:
    thinner = a_thinner(session_id=None)
    kept = [
        k.item
        for msg in (an_event(session_id=""), an_event(), a_session(), scores(a_score()))
        for k in thinner.take(msg, 0.0)
    ]
    assert kept == [an_event(session_id=""), scores(a_score())]


def test_words_of_the_stack_from_before_the_command_are_left_out() -> None:
    thinner = a_thinner(started_unix_sec=500.0)
    old, new = (an_event(session_id="", at_unix_sec=at) for at in (499.0, 501.0))
    kept = thinner.take(RecentEvents(events=(old, new)), 0.0)
    assert [k.item for k in kept] == [new]


def test_what_nobody_reads_is_left_out() -> None:
    assert items(KeepAlive(session_id="s1"), object()) == []


# ---------------------------------------------------------------- one by one


def test_events_that_come_again_are_kept_once() -> None:
    first, second = an_event("first"), an_event("second")
    assert items(first, RecentEvents(events=(first, second)), second) == [first, second]


def test_every_ended_range_and_outcome_of_a_command_is_kept() -> None:
    result = CommandResult(command_id="c", session_id="s1", ok=True, exit_code=0, text="stops")
    found = [a_transfer(size_bytes=n) for n in range(50)]
    assert items(*found, result) == [*found, result]


def test_of_a_chunk_map_the_changes_are_kept() -> None:
    first, second = a_chunk(0), a_chunk(1, state="wanted")
    held = dataclasses.replace(second, state="held")
    whole = chunk_map(first, held)
    assert items(chunk_map(first, second), chunk_map(first, second), whole, chunk_map(held)) == [
        ChunkChanges(session_id="s1", total_chunks=12, changed=(first, second), gone=()),
        ChunkChanges(session_id="s1", total_chunks=12, changed=(held,), gone=()),
        ChunkChanges(session_id="s1", total_chunks=12, changed=(), gone=(0,)),
    ]


CHUNKS = st.dictionaries(
    st.integers(0, 5), st.sampled_from(["wanted", "held", "played", "missing"]), max_size=6
)


@given(st.lists(st.tuples(st.sampled_from(["s1", "s2"]), CHUNKS), max_size=8))
def test_changes_make_the_same_maps_again(states: list[tuple[str, dict[int, str]]]) -> None:
    maps = [
        chunk_map(*(a_chunk(n, state=found[n]) for n in sorted(found)), session_id=session_id)
        for session_id, found in states
    ]
    writer, reader = ChunkFolder(), ChunkFolder()
    for whole in maps:
        changes = writer.changes_to(whole)
        if changes is not None:
            writer.apply(changes)
            reader.apply(changes)
            assert reader.map() == whole


def test_the_first_map_of_a_long_film_comes_in_pieces() -> None:
    count = 2 * CHUNKS_PER_PIECE + 1
    whole = ChunkMap(
        session_id="s1", total_chunks=count, chunks=tuple(a_chunk(n) for n in range(count))
    )
    folder = ChunkFolder()
    found = items(whole)
    for changes in found:
        assert isinstance(changes, ChunkChanges)
        folder.apply(changes)
    assert len(found) == 3
    assert folder.map() == whole


# ---------------------------------------------------------------- snapshots


def times_of(kind: type, *messages: tuple[float, object]) -> list[float]:
    thinner = a_thinner()
    return [
        at_sec
        for at_sec, msg in messages
        for kept in thinner.take(msg, at_sec)
        if isinstance(kept.item, kind)
    ]


def test_a_session_that_plays_is_kept_four_times_a_second() -> None:
    playing = [(n / 4, a_session(playhead_sec=n / 4, wall_sec=n / 4)) for n in range(40)]
    assert times_of(SessionStatus, *playing) == [at_sec for at_sec, _ in playing]


def test_a_session_in_which_nothing_moves_is_kept_once_a_second() -> None:
    paused = [(n / 4, a_session(state="paused", wall_sec=n / 4)) for n in range(41)]
    assert times_of(SessionStatus, *paused) == [float(n) for n in range(11)]


def test_a_change_of_state_does_not_wait() -> None:
    found = [
        (0.0, a_session(playhead_sec=1.0)),
        (0.01, a_session(playhead_sec=1.01)),
        (0.02, a_session(playhead_sec=1.02, state="rebuffering", rebuffering_events=1)),
        (0.03, a_session(playhead_sec=1.02, rebuffering_events=1, stalled_sec=0.01)),
    ]
    assert times_of(SessionStatus, *found) == [0.0, 0.02, 0.03]


def test_a_suspension_does_not_wait() -> None:
    suspended = scheduler_status(nodes=(a_load(NODE_A, breaker="open"), a_load(NODE_B)))
    found = [(0.0, scheduler_status()), (0.01, suspended), (0.02, suspended)]
    assert times_of(SchedulerStatus, *found) == [0.0, 0.01]


def test_more_chunks_at_once_than_ever_do_not_wait() -> None:
    two = scheduler_status(in_flight=(a_range(), a_range(chunk_id="c4")))
    assert times_of(SchedulerStatus, (0.0, scheduler_status()), (0.01, two)) == [0.0, 0.01]


def test_a_scheduler_that_works_is_kept_four_times_a_second_while_nodes_are_few() -> None:
    ranges = tuple(a_range(node_url=f"http://node-{n}:80") for n in range(10))
    loads = tuple(a_load(f"http://node-{n}:80") for n in range(10))
    busy = [
        (n / 4, scheduler_status(in_flight=ranges, nodes=loads, published_unix_sec=n / 4))
        for n in range(40)
    ]
    assert len(times_of(SchedulerStatus, *busy)) == 40


def test_a_scheduler_without_work_is_kept_once_a_second() -> None:
    idle = [(n / 4, scheduler_status(**IDLE, published_unix_sec=n / 4)) for n in range(41)]
    assert times_of(SchedulerStatus, *idle) == [float(n) for n in range(11)]


def test_scores_that_have_not_changed_are_kept_once() -> None:
    same = [
        (float(n), dataclasses.replace(scores(a_score()), published_unix_sec=n)) for n in range(9)
    ]
    assert times_of(NodeScores, *same) == [0.0]


def test_snapshots_of_many_nodes_are_kept_less_often() -> None:
    def many(at_sec: float) -> NodeScores:
        return scores(*(a_score(f"http://node-{n}:80", score=at_sec) for n in range(1000)))

    kept = times_of(NodeScores, *((float(n), many(float(n))) for n in range(120)))
    assert 2 <= len(kept) <= 4


def test_the_last_snapshots_are_kept_at_the_end() -> None:
    last = a_session(playhead_sec=1.01)
    found = recorded((0.0, a_session(playhead_sec=1.0)), (0.01, last))
    assert [record.item for record in found][-1] == last


# ---------------------------------------------------------------- budget


def a_flood(seed: int, seconds: int) -> list[tuple[float, object]]:
    """Return what no stack says: hundreds of messages a second, long texts, a thousand nodes."""
    rng = random.Random(seed)
    found: list[tuple[float, object]] = []
    for n in range(seconds * 100):
        text = "".join(rng.choices("abcdefghij", k=rng.randrange(2000)))
        found.append((n / 100, an_event(text)))
        found.append((n / 100, a_transfer(chunk_id=text, size_bytes=rng.randrange(10**9))))
        found.append((n / 100, a_session(playhead_sec=rng.random(), message=text)))
        if n % 50 == 0:
            nodes = tuple(a_load(f"http://{text}{k}", rate_mbps=rng.random()) for k in range(200))
            found.append((n / 100, scheduler_status(nodes=nodes)))
            share = (SourceShare(node_url=text, size_bytes=n),)
            chunks = tuple(a_chunk(k, sources=share) for k in range(100))
            found.append((n / 100, ChunkMap(session_id="s1", total_chunks=100, chunks=chunks)))
    return found


def test_whatever_comes_a_recording_stays_within_its_budget() -> None:
    seconds = 60
    thinner = a_thinner()
    size_bytes, lost = 0, 0
    for at_sec, msg in a_flood(1, seconds):
        for kept in thinner.take(msg, at_sec):
            size_bytes += kept.size_bytes
            lost += kept.item.count if isinstance(kept.item, Lost) else 0
    # The word of the losses may come on credit.
    assert size_bytes <= BURST_BYTES + seconds * BUDGET_BYTES_PER_SEC + 100
    assert size_bytes > seconds * BUDGET_BYTES_PER_SEC
    assert lost > 0


def test_in_a_flood_changes_of_the_chunk_map_are_late_and_not_lost() -> None:
    flood = a_flood(2, 10)
    last = next(msg for _, msg in reversed(flood) if isinstance(msg, ChunkMap))
    folder = ChunkFolder()
    for record in recorded(*flood):
        if isinstance(record.item, ChunkChanges):
            folder.apply(record.item)
    assert folder.map() == last


def test_without_room_nothing_is_kept_and_losses_are_told() -> None:
    thinner = a_thinner()
    for msg in (a_transfer(), an_event(), a_session(), chunk_map(a_chunk(0))):
        assert thinner.take(msg, 1.0, room=False) == []
    kept = [k.item for k in thinner.take(an_event("another"), 2.0)]
    assert kept == [Lost(count=2), an_event("another")]
    rest = [k.item for k in thinner.rest()]
    assert [type(item) for item in rest] == [ChunkChanges, SessionStatus]


def test_losses_at_the_very_end_are_told() -> None:
    thinner = a_thinner()
    thinner.take(a_transfer(), 1.0, room=False)
    assert [k.item for k in thinner.rest()] == [Lost(count=1)]


def test_what_is_larger_than_a_record_may_be_is_lost() -> None:
    thinner = a_thinner()
    huge = an_event("x" * MAX_RECORD_BYTES)
    assert thinner.take(huge, 0.0) == []
    assert [k.item for k in thinner.rest()] == [Lost(count=1)]


def test_a_snapshot_of_each_kind_comes_through_a_flood_of_events() -> None:
    thinner = a_thinner()
    kept: list[float] = []
    for n in range(3000):
        at_sec = n / 100
        thinner.take(an_event(f"{n}" + "x" * 380), at_sec)
        found = thinner.take(a_session(playhead_sec=at_sec), at_sec)
        kept += [at_sec for k in found if isinstance(k.item, SessionStatus)]
    assert max(b - a for a, b in pairwise(kept)) < 2 * OVERDUE_SEC


# ---------------------------------------------------------------- an hour


def a_busy_second(rng: random.Random, second: int, urls: list[str]) -> list[tuple[float, object]]:
    """Return what a stack says while every node works, with figures of chance: nothing repeats itself."""
    found: list[tuple[float, object]] = []
    for quarter in range(4):
        at_sec = second + quarter / 4
        playing = {"playhead_sec": at_sec, "buffer_level_sec": rng.uniform(20, 40)}
        found.append((at_sec, a_session(wall_sec=at_sec, **playing)))
        ranges = tuple(
            a_range(node_url=url, received_until_bytes=rng.randrange(10**6), age_sec=rng.random())
            for url in rng.sample(urls, min(20, len(urls)))
        )
        loads = tuple(
            a_load(url, received_bytes=rng.randrange(10**9), rate_mbps=rng.uniform(5, 20))
            for url in urls
        )
        found.append((at_sec, scheduler_status(in_flight=ranges, nodes=loads)))
        found += [
            (at_sec, a_transfer(url, size_bytes=rng.randrange(10**6), busy_sec=rng.random()))
            for url in rng.choices(urls, k=5)
        ]
        nodes = tuple(a_score(url, score=rng.random(), latency_ms=rng.random()) for url in urls)
        found.append((at_sec, scores(*nodes)))
    return found


@pytest.mark.parametrize(("nodes", "most_bytes"), [(3, 10e6), (100, 30e6)])
def test_an_hour_of_nodes_that_always_work_takes_some_megabytes(
    nodes: int, most_bytes: float
) -> None:
    rng, urls = random.Random(3), [f"http://node-{n}.example:8081" for n in range(nodes)]
    thinner, writer = a_thinner(), Writer()
    sizes = []
    for second in range(60):
        batch = [
            pack_record(at_sec, kept.tag, kept.body)
            for at_sec, msg in a_busy_second(rng, second, urls)
            for kept in thinner.take(msg, at_sec)
        ]
        sizes.append(len(writer.block(batch)))
    # The first seconds may take what the budget allows at once.
    assert sum(sizes[20:]) / 40 * 3600 < most_bytes
