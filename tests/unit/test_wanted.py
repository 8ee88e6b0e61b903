"""Wanted chunks: parts, free spans, exclusions, suspects."""

from __future__ import annotations

import pytest

from scheduler.wanted import SECOND_CHANCE_SEC, WHOLE
from tests.builders import FIVE_NODES, MB, A, B, C, a_chunk, a_coded_chunk, a_job, a_wanted

# ---------------------------------------------------------------- bytes


def test_a_replicated_chunk_has_one_part_and_its_replicas_as_sources() -> None:
    chunk = a_wanted(a_chunk(0, [A, B]))
    assert [(s.part, s.node_url) for s in chunk.sources()] == [(WHOLE, A), (WHOLE, B)]
    assert (chunk.coded, chunk.needed_parts, chunk.part_bytes) == (False, 1, 2 * MB)
    assert chunk.free_spans(WHOLE) == [(0, 2 * MB)]


def test_free_bytes_are_neither_held_nor_being_read() -> None:
    chunk = a_wanted()
    chunk.parts[WHOLE].add(0, 100, A)
    a_job(chunk, A, start=100, end=500, received_until=200)
    a_job(chunk, B, start=1000, end=2 * MB)
    chunk.parts[WHOLE].add(100, 200, A)
    assert chunk.free_spans(WHOLE) == [(500, 1000)]
    assert chunk.free_bytes == 500


def test_bytes_of_a_range_that_ended_early_are_free_again() -> None:
    chunk = a_wanted()
    job = a_job(chunk, A)
    assert chunk.free_bytes == 0
    del chunk.jobs[job.job_id]
    chunk.parts[WHOLE].add(0, 700, A)
    assert chunk.free_spans(WHOLE) == [(700, 2 * MB)]


def test_a_chunk_being_verified_has_nothing_free() -> None:
    chunk = a_wanted()
    chunk.verifying_sec = 1.0
    assert chunk.free_spans(WHOLE) == []


def test_a_chunk_is_complete_when_every_byte_is_held() -> None:
    chunk = a_wanted()
    chunk.parts[WHOLE].add(1, 2 * MB, A)
    before = chunk.complete
    chunk.parts[WHOLE].add(0, 1, B)
    assert (before, chunk.complete, chunk.free_bytes) == (False, True, 0)


def test_a_coded_chunk_is_complete_when_any_three_fragments_cover_each_position() -> None:
    chunk = a_wanted(a_coded_chunk())
    assert (chunk.coded, chunk.needed_parts, chunk.part_bytes) == (True, 3, MB)
    halves = [(0, 0, MB), (3, 0, MB), (1, 0, MB // 2), (4, MB // 2, MB)]
    for part, start, end in halves:
        assert not chunk.complete
        chunk.parts[part].add(start, end, A)
    assert chunk.complete


def test_positions_that_three_fragments_bring_are_not_free_in_the_others() -> None:
    chunk = a_wanted(a_coded_chunk())
    a_job(chunk, A, part=0)
    a_job(chunk, B, part=1)
    a_job(chunk, C, part=4, end=400_000)
    assert [chunk.free_spans(part) for part in range(5)] == [
        [],
        [],
        [(400_000, MB)],
        [(400_000, MB)],
        [(400_000, MB)],
    ]
    assert chunk.free_bytes == 600_000


def test_fragments_begin_where_the_fewest_bring_the_positions() -> None:
    chunk = a_wanted(a_coded_chunk())
    a_job(chunk, FIVE_NODES[0], part=0, end=600_000)
    assert chunk.next_spans(1) == [(600_000, MB), (0, 600_000)]
    a_job(chunk, FIVE_NODES[1], part=1, start=600_000, end=MB)
    assert chunk.next_spans(2)[0][0] == 0, "a ring: it starts again"


# ---------------------------------------------------------------- identity


def test_fresh_replicas_do_not_make_another_chunk() -> None:
    chunk = a_wanted(a_chunk(0, [A]))
    assert chunk.is_of(a_chunk(0, [B, C]))
    assert not chunk.is_of(a_chunk(0, [A], checksum_sha256="f" * 64))
    assert not chunk.is_of(a_coded_chunk(0))


def test_shares_are_summed_over_the_parts() -> None:
    chunk = a_wanted(a_coded_chunk())
    chunk.parts[0].add(0, 10, A)
    chunk.parts[3].add(0, 5, A)
    chunk.parts[1].add(0, 7, B)
    assert chunk.bytes_by_node() == {A: 15, B: 7}


# ---------------------------------------------------------------- exclusions


def test_a_node_that_failed_is_asked_again_while_others_bring_the_chunk() -> None:
    chunk = a_wanted()
    chunk.exclude(A, 10.0)
    a_job(chunk, B, received_until=1000)
    chunk.give_second_chance(10.0 + SECOND_CHANCE_SEC - 0.01)
    assert chunk.excluded == {A}
    chunk.give_second_chance(10.0 + SECOND_CHANCE_SEC + 0.01)
    assert chunk.excluded == set()


def test_each_second_chance_is_longer_in_coming_until_a_new_round_begins() -> None:
    chunk = a_wanted()
    a_job(chunk, B, received_until=1000)

    def waits(times: int) -> bool:
        chunk.exclude(A, 10.0)
        chunk.give_second_chance(10.0 + times * SECOND_CHANCE_SEC - 0.01)
        waited = chunk.excluded == {A}
        chunk.give_second_chance(10.0 + times * SECOND_CHANCE_SEC + 0.01)
        return waited and not chunk.excluded

    assert [waits(times) for times in (1, 2, 4)] == [True] * 3
    chunk.begin_round()
    assert waits(1)


@pytest.mark.parametrize("headed_sec", [None, 10.0])
def test_there_is_no_second_chance_while_nobody_brings_anything(headed_sec: float | None) -> None:
    # Then the round is over, and the viewer is told; a body may have begun, but comes to bytes held already.
    chunk = a_wanted()
    chunk.exclude(A, 10.0)
    a_job(chunk, B, start=1000, headed_sec=headed_sec, whole_body=True)
    chunk.give_second_chance(99.0)
    assert chunk.excluded == {A}


def test_a_second_chance_does_not_clear_a_suspect() -> None:
    chunk = a_wanted()
    chunk.banned.add(A)
    chunk.exclude(B, 10.0)
    a_job(chunk, C, headed_sec=10.0)
    chunk.give_second_chance(99.0)
    assert chunk.banned == {A}


# ---------------------------------------------------------------- blame


def test_a_lonely_contributor_is_guilty() -> None:
    chunk = a_wanted(a_chunk())
    chunk.parts[WHOLE].add(0, 2 * MB, A)
    assert chunk.next_suspect(WHOLE) == (A, True)


def test_suspects_are_named_once_the_largest_first() -> None:
    chunk = a_wanted(a_chunk())
    chunk.parts[WHOLE].add(0, 10, A)
    chunk.parts[WHOLE].add(10, 30, B)
    assert chunk.next_suspect(WHOLE) == (B, False)
    chunk.suspects.append(B)
    assert chunk.next_suspect(WHOLE) == (A, False)
    chunk.suspects.append(A)
    assert chunk.next_suspect(WHOLE) is None


def test_who_had_a_share_in_most_wrong_versions_comes_before_the_larger_share() -> None:
    chunk = a_wanted()
    chunk.parts[WHOLE].add(0, 10, A)
    chunk.parts[WHOLE].add(10, 1000, B)
    chunk.vote(WHOLE)
    chunk.parts[WHOLE].remove(10, 1000)
    chunk.parts[WHOLE].add(10, 1000, C)
    chunk.vote(WHOLE)
    assert chunk.next_suspect(WHOLE) == (A, False)


def test_a_fragment_is_judged_by_its_own_contributors() -> None:
    chunk = a_wanted(a_coded_chunk())
    chunk.parts[0].add(0, 10, A)
    chunk.parts[1].add(0, 1000, B)
    assert chunk.next_suspect(0) == (A, True)
    assert chunk.next_suspect(WHOLE) == (B, False), "decoded, any of them may be wrong"


def test_suspicions_that_are_cleared_unban_the_suspects_alone() -> None:
    chunk = a_wanted()
    chunk.suspect(A)
    chunk.banned.update({A, B})
    chunk.clear_suspicions()
    assert (chunk.banned, chunk.suspects, chunk.accused) == ({B}, [], "")


def test_a_new_round_without_suspicions_asks_everybody() -> None:
    chunk = a_wanted()
    chunk.parts[WHOLE].add(0, 10, A)
    chunk.exclude(B, 1.0)
    chunk.begin_round()
    assert (chunk.excluded, chunk.banned) == (set(), set())


def test_a_new_round_after_a_wrong_chunk_does_without_those_whose_bytes_are_held() -> None:
    chunk = a_wanted()
    chunk.parts[WHOLE].add(0, 10, A)
    chunk.parts[WHOLE].add(10, 30, B)
    chunk.vote(WHOLE)
    chunk.suspect(B)
    chunk.parts[WHOLE].remove(10, 30)
    chunk.begin_round()
    assert (chunk.banned, chunk.accused) == ({A}, A)


def test_starting_over_forgets_every_byte() -> None:
    chunk = a_wanted()
    chunk.parts[WHOLE].add(0, 10, A)
    chunk.verifying_sec = 1.0
    chunk.reset_parts()
    assert (chunk.bytes_by_node(), chunk.free_bytes) == ({}, 2 * MB)
