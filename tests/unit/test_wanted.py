"""Wanted chunks: parts, free spans, suspects."""

from __future__ import annotations

from common.messages import ChunkSpec
from scheduler.wanted import WHOLE, Job, Wanted
from tests.builders import MB, A, B, C, a_chunk, a_coded_chunk


def wanted(spec: ChunkSpec) -> Wanted:
    return Wanted(
        session_id="s1", spec=spec, deadline_sec=0, seen_sec=0, deliver_to="inproc://buffer"
    )


def running(chunk: Wanted, part: int, start: int, end: int, *, cancelled: bool = False) -> Job:
    job = Job(
        job_id=f"{part}/{start}",
        chunk=chunk,
        part=part,
        node_url=A,
        start=start,
        end=end,
        received_until=start,
        begun_sec=0,
        progress_sec=0,
        silence_sec=1,
        cancelled=cancelled,
    )
    chunk.jobs[job.job_id] = job
    return job


def test_a_replicated_chunk_has_one_part_and_its_replicas_as_sources() -> None:
    chunk = wanted(a_chunk(0, [A, B]))
    assert [(s.part, s.node_url) for s in chunk.sources()] == [(WHOLE, A), (WHOLE, B)]
    assert (chunk.coded, chunk.needed_parts, chunk.free_parts()) == (False, 1, [WHOLE])


def test_a_coded_chunk_needs_any_three_of_its_fragments() -> None:
    chunk = wanted(a_coded_chunk())
    assert (chunk.coded, chunk.needed_parts, chunk.free_parts()) == (True, 3, [0, 1, 2, 3, 4])
    for part in (0, 3, 4):
        assert not chunk.complete
        chunk.parts[part].add(0, MB, A)
    assert chunk.complete
    assert chunk.free_parts() == []


def test_never_more_than_three_parts_are_in_work() -> None:
    chunk = wanted(a_coded_chunk())
    chunk.parts[0].add(0, MB, A)
    running(chunk, 1, 0, MB)
    assert chunk.free_parts() == [2, 3, 4]
    running(chunk, 4, 0, MB)
    assert chunk.free_parts() == []


def test_what_a_cancelled_range_may_still_bring_is_not_free() -> None:
    chunk = wanted(a_chunk())
    running(chunk, WHOLE, 0, MB, cancelled=True)
    assert chunk.free_spans(WHOLE) == [(MB, 2 * MB)]


def test_a_chunk_being_verified_has_nothing_free() -> None:
    chunk = wanted(a_chunk())
    chunk.verifying_sec = 1.0
    assert chunk.free_parts() == []


def test_fresh_replicas_do_not_make_another_chunk() -> None:
    chunk = wanted(a_chunk(0, [A]))
    assert chunk.is_of(a_chunk(0, [B, C]))
    assert not chunk.is_of(a_chunk(0, [A], checksum_sha256="f" * 64))
    assert not chunk.is_of(a_coded_chunk(0))


def test_shares_are_summed_over_the_parts() -> None:
    chunk = wanted(a_coded_chunk())
    chunk.parts[0].add(0, 10, A)
    chunk.parts[3].add(0, 5, A)
    chunk.parts[1].add(0, 7, B)
    assert chunk.bytes_by_node() == {A: 15, B: 7}


def test_a_lonely_contributor_is_guilty() -> None:
    chunk = wanted(a_chunk())
    chunk.parts[WHOLE].add(0, 2 * MB, A)
    assert chunk.next_suspect(WHOLE) == (A, True)


def test_suspects_are_named_once_the_largest_first() -> None:
    chunk = wanted(a_chunk())
    chunk.parts[WHOLE].add(0, 10, A)
    chunk.parts[WHOLE].add(10, 30, B)
    assert chunk.next_suspect(WHOLE) == (B, False)
    chunk.suspects.append(B)
    assert chunk.next_suspect(WHOLE) == (A, False)
    chunk.suspects.append(A)
    assert chunk.next_suspect(WHOLE) is None
