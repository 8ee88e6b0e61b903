"""The timeline: nominal durations until the media tells better."""

from __future__ import annotations

from buffer.timeline import Timeline


def starts(timeline: Timeline, count: int) -> list[float]:
    return [timeline.start_sec(number) for number in range(count + 1)]


def test_nominal_durations_stand_in_at_first_the_last_one_being_the_rest() -> None:
    timeline = Timeline(3, 10, 25)
    assert starts(timeline, 3) == [0, 10, 20, 25]
    assert (timeline.end_sec, timeline.known) == (25, False)


def test_a_film_longer_than_its_chunks_changes_nothing() -> None:
    assert Timeline(2, 10, 60).end_sec == 20


def test_a_film_of_unknown_length_is_its_chunks() -> None:
    assert Timeline(2, 10, 0).end_sec == 20


def test_measured_durations_move_what_follows() -> None:
    timeline = Timeline(3, 10, 30)
    timeline.set_duration(1, 12.5)
    assert starts(timeline, 3) == [0, 10, 22.5, 32.5]


def test_the_length_is_known_when_every_chunk_was_measured() -> None:
    timeline = Timeline(2, 10, 20)
    timeline.set_duration(0, 10)
    assert not timeline.known
    timeline.set_duration(1, 8)
    assert timeline.known


def test_positions_find_their_chunk() -> None:
    timeline = Timeline(3, 10, 30)
    timeline.set_duration(0, 12)
    found = [timeline.chunk_at(p) for p in (-1, 0, 11.9, 12, 21.9, 22, 31.9, 32, 99)]
    assert found == [0, 0, 0, 1, 1, 2, 2, 2, 2]
