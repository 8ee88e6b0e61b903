"""What a viewer got, from what the nodes noted."""

import pytest

from bench.deliveries import Body, Film, StoredObject, bodies_of, film_of
from bench.quality import Outage, play, reaction_sec, ready_times, reuse_sec, traffic

SIZE = 1000
FILM = Film(chunk_sec=4.0, chunk_bytes=(SIZE,), part_bytes=(SIZE,), needed=(1,), objects={})
CODED = Film(chunk_sec=4.0, chunk_bytes=(3 * SIZE,), part_bytes=(SIZE,), needed=(3,), objects={})


def a_body(
    node: int,
    start: int,
    end: int,
    *,
    at: float = 0.0,
    until: float | None = None,
    sent: int | None = None,
    part: int = 0,
    wrong_at: tuple[int, ...] = (),
) -> Body:
    """A body of one byte a millisecond from `at` on, `sent` bytes of it, over at `until`."""
    sent = end - start if sent is None else sent
    steps = range(50, sent + 50, 50)
    return Body(
        node=node,
        stored=StoredObject(chunk=0, part=part, size_bytes=SIZE),
        asked_sec=at,
        ended_sec=at + sent / 1000 if until is None else until,
        asked_from=start,
        asked_until=end,
        sent=tuple((at + min(n, sent) / 1000, min(n, sent)) for n in steps),
        sent_bytes=sent,
        status=206,
        outcome="complete",
        wrong_at=wrong_at,
    )


def test_a_chunk_is_ready_when_the_last_of_its_bytes_has_come_from_anywhere() -> None:
    bodies = [a_body(0, 0, 600), a_body(1, 600, 1000, at=0.5)]
    assert ready_times(FILM, bodies) == [pytest.approx(0.9)]


def test_the_first_copy_of_a_byte_counts() -> None:
    bodies = [a_body(0, 0, 1000), a_body(1, 500, 1000, at=0.1)]
    assert ready_times(FILM, bodies) == [pytest.approx(0.6)]


def test_a_chunk_with_a_hole_is_never_ready() -> None:
    assert ready_times(FILM, [a_body(0, 0, 400), a_body(1, 401, 1000)]) == [None]


def test_a_lie_does_not_count_until_the_truth_has_come() -> None:
    bodies = [a_body(0, 0, 1000, wrong_at=(700,))]
    assert ready_times(FILM, bodies) == [None]
    bodies.append(a_body(1, 650, 750, at=2.0))
    assert ready_times(FILM, bodies) == [pytest.approx(2.1)]


def test_any_three_fragments_are_enough_at_each_position() -> None:
    bodies = [a_body(part, 0, SIZE, part=part) for part in (0, 4)]
    assert ready_times(CODED, bodies) == [None]
    bodies += [a_body(2, 0, 500, part=2), a_body(3, 500, SIZE, part=3, at=1.0)]
    assert ready_times(CODED, bodies) == [pytest.approx(1.5)]


def test_chunks_in_time_do_not_stall() -> None:
    told = play([0.5, 4.4, 8.5, 12.0], 4.0, end_sec=20.0)
    assert (told.startup_sec, told.stalls, told.stalled_sec) == (0.5, 0, 0.0)


def test_a_stall_moves_all_that_follows() -> None:
    told = play([0.5, 6.5, 10.0, 15.5], 4.0, end_sec=30.0)
    # Due at 4.5, 10.5, 14.5.
    assert told.stalls == 2
    assert told.stalled_sec == pytest.approx(2.0 + 1.0)
    assert told.lost_sec == pytest.approx(3.5)


def test_a_film_cut_short_stalls_to_the_end_and_the_rest_is_lost() -> None:
    told = play([1.0, None, 3.0], 4.0, end_sec=12.0)
    assert (told.stalls, told.stalled_sec, told.unplayed_sec) == (1, 7.0, 8.0)


def test_a_film_that_never_starts_is_lost() -> None:
    told = play([None, 3.0], 4.0, end_sec=12.0)
    assert (told.startup_sec, told.unplayed_sec, told.stalls) == (12.0, 8.0, 0)


def test_waste_leaves_corruption_out() -> None:
    lie = a_body(0, 0, 500, wrong_at=(7,))
    told = traffic(FILM, [lie, a_body(1, 0, 500), a_body(1, 400, 1000)])
    assert told.useful_bytes == 1000
    assert told.waste_ratio == pytest.approx(0.1)


def test_a_client_that_takes_lies_wastes_nothing_by_it() -> None:
    told = traffic(FILM, [a_body(0, 0, 500, wrong_at=(7,)), a_body(1, 500, 1000)])
    assert (told.useful_bytes, told.honest_bytes, told.waste_ratio) == (999, 500, 0.0)


SILENT = Outage(node=0, from_sec=0.2, until_sec=3.0)


def test_a_reaction_is_over_when_the_last_due_byte_was_asked_for_elsewhere() -> None:
    bodies = [
        a_body(0, 0, 1000, sent=200, until=5.0),
        a_body(1, 200, 500, at=0.6),
        a_body(2, 500, 1000, at=0.8),
    ]
    assert reaction_sec(FILM, bodies, SILENT) == pytest.approx(0.6)


def test_bytes_others_were_bringing_need_no_reaction() -> None:
    bodies = [a_body(0, 0, 1000, sent=200, until=5.0), a_body(1, 150, 1000, at=0.1)]
    assert reaction_sec(FILM, bodies, SILENT) == 0.0


def test_a_failed_request_from_before_is_no_reaction() -> None:
    bodies = [
        a_body(1, 0, 1000, sent=100, until=0.1),
        a_body(0, 100, 1000, at=0.1, sent=100, until=5.0),
    ]
    bodies.append(a_body(2, 100, 1000, at=1.2))
    assert reaction_sec(FILM, bodies, SILENT) == pytest.approx(1.0)


def test_bytes_the_node_brings_after_all_need_nobody_else() -> None:
    assert reaction_sec(FILM, [a_body(0, 0, 1000)], SILENT) == pytest.approx(0.8)


def test_nothing_due_means_no_reaction() -> None:
    assert reaction_sec(FILM, [a_body(0, 0, 100), a_body(1, 100, 1000)], SILENT) is None


def test_another_fragment_replaces_a_lost_one() -> None:
    bodies = [a_body(part, 0, SIZE, part=part) for part in (1, 2)]
    bodies.append(a_body(0, 0, SIZE, part=0, sent=200, until=5.0))
    bodies.append(a_body(4, 200, SIZE, part=4, at=0.7))
    assert reaction_sec(CODED, bodies, SILENT) == pytest.approx(0.5)


def test_one_more_fragment_than_before_replaces_a_lost_one() -> None:
    bodies = [a_body(1, 0, SIZE, part=1), a_body(0, 0, SIZE, part=0, sent=200, until=5.0)]
    bodies.append(a_body(4, 200, SIZE, part=4, at=0.7))
    assert reaction_sec(CODED, bodies, SILENT) == pytest.approx(0.5)


def test_reuse_counts_from_the_end_of_the_trouble() -> None:
    bodies = [a_body(0, 0, 100, at=2.0), a_body(1, 0, 100, at=3.5), a_body(0, 0, 100, at=9.0)]
    assert reuse_sec(bodies, SILENT) == pytest.approx(6.0)
    assert reuse_sec(bodies[:2], SILENT) is None


def a_record(**fields: object) -> dict[str, object]:
    base = {
        "start_unix_sec": 100.0,
        "method": "GET",
        "path": "/chunk/v-chunk-000",
        "range": "bytes=100-199",
        "status": 206,
        "sent_bytes": 100,
        "duration_sec": 0.5,
        "outcome": "complete",
        "sent_at": [[100.4, 60], [100.5, 100]],
    }
    return {**base, **fields}


def a_manifest() -> dict[str, object]:
    fragments = [
        {"fragment_id": f"v-chunk-001-f{n}", "fragment_index": n, "size_bytes": 334}
        for n in range(5)
    ]
    chunks = [
        {"chunk_id": "v-chunk-001", "sequence_num": 1, "size_bytes": 1000, "fragments": fragments},
        {"chunk_id": "v-chunk-000", "sequence_num": 0, "size_bytes": 900, "fragments": None},
    ]
    return {"chunk_duration_sec": 4, "chunks": chunks}


def test_records_are_read_in_the_films_terms() -> None:
    film = film_of(a_manifest())
    assert (film.part_bytes, film.needed, film.needed_bytes) == ((900, 334), (1, 3), 900 + 1002)
    records = [
        a_record(),
        a_record(range=None, status=200, start_unix_sec=99.0),
        a_record(path="/chunk/v-chunk-001-f4", range="bytes=300-"),
        a_record(status=404, sent_bytes=28, start_unix_sec=101.0),
        a_record(path="/ping"),
        a_record(method="HEAD"),
    ]
    bodies = bodies_of(film, 2, records, zero_unix_sec=98.0)
    asked = [(b.stored.chunk, b.stored.part, b.asked_from, b.asked_until) for b in bodies]
    assert asked == [(0, 0, 0, 900), (0, 0, 100, 200), (1, 4, 300, 334), (0, 0, 100, 200)]
    assert bodies[1].sent_until(2.45) == 160
    assert bodies[1].good_spans(2.5) == [(100, 200)]
    assert (bodies[3].sent_bytes, bodies[3].sent) == (0, ())
