"""What the dashboard can tell of a single chunk, and how much of it is kept."""

from __future__ import annotations

from typing import Any

from common.messages import RangeSource
from dashboard.feed import Feed
from dashboard.stories import MAX_ATTEMPTS, MAX_ENTRIES, MAX_PIECES, ChunkStories
from tests.status_builders import (
    NODE_A,
    NODE_B,
    a_chunk,
    a_range,
    a_session,
    a_transfer,
    a_verdict,
    chunk_map,
    scheduler_status,
)


def a_part(node_url: str, start: int, end: int, part: int = -1) -> RangeSource:
    return RangeSource(part=part, start_bytes=start, end_bytes=end, node_url=node_url)


def brought(node_url: str, start: int, until: int, end: int = 1000, **changed: Any) -> Any:
    return a_transfer(
        node_url, start_bytes=start, received_until_bytes=until, end_bytes=end, **changed
    )


def told(*messages: Any) -> dict[str, Any]:
    """Return the story of chunk 1 after these messages."""
    stories = ChunkStories()
    for second, msg in enumerate(messages):
        stories.add(msg, 1000.0 + second)
    return stories.story("s1", 1).json()


def spans(story: dict[str, Any]) -> list[tuple[int, int, int, str]]:
    return [tuple(piece.values()) for piece in story["ranges"]]


def test_a_chunk_tells_which_bytes_each_node_brought_and_where_another_went_on() -> None:
    story = told(
        brought(NODE_A, 0, 400, outcome="silent"),
        brought(NODE_B, 400, 1000),
        a_verdict(a_part(NODE_A, 0, 400), a_part(NODE_B, 400, 1000)),
    )
    assert spans(story) == [(-1, 0, 400, NODE_A), (-1, 400, 1000, NODE_B)]
    assert [(a["outcome"], a["end_bytes"]) for a in story["attempts"]] == [
        ("silent", 1000),
        ("complete", 1000),
    ]
    assert [v["verdict"] for v in story["verdicts"]] == ["delivered"]


def test_neighbouring_ranges_of_one_node_are_one() -> None:
    assert spans(told(brought(NODE_A, 0, 400), brought(NODE_A, 400, 900))) == [(-1, 0, 900, NODE_A)]


def test_bytes_of_a_suspect_are_held_no_longer() -> None:
    judged = (a_part(NODE_A, 0, 400, 0), a_part(NODE_B, 0, 400, 1), a_part(NODE_A, 0, 400, 2))
    wrong = a_verdict(*judged, verdict="corrupt", corrupt_part=0, suspect_url=NODE_A, certain=True)
    assert spans(told(wrong)) == [(1, 0, 400, NODE_B), (2, 0, 400, NODE_A)]
    whole = a_verdict(*judged, verdict="corrupt", suspect_url=NODE_A)
    assert spans(told(whole)) == [(1, 0, 400, NODE_B)]
    nobody_left = a_verdict(*judged, verdict="corrupt")
    assert spans(told(nobody_left)) == []


def test_another_worker_begins_with_nothing() -> None:
    story = told(brought(NODE_A, 0, 400), brought(NODE_B, 0, 100, worker_id="w2"))
    assert spans(story) == [(-1, 0, 100, NODE_B)]


def test_who_joins_late_learns_of_the_last_verdicts_and_of_none_twice() -> None:
    stories = ChunkStories()
    late = a_verdict(a_part(NODE_A, 0, 1000), sequence_num=0)
    stories.add(a_verdict(a_part(NODE_B, 0, 1000)), 1000.0)
    stories.add_missed((late, a_verdict(a_part(NODE_A, 0, 1000))))
    before, known = stories.story("s1", 0), stories.story("s1", 1)
    assert [piece.node_url for piece in before.pieces] == [NODE_A]
    assert [v.at_unix_sec for v in before.verdicts] == [None]
    assert [v.at_unix_sec for v in known.verdicts] == [1000.0]


def test_what_does_not_say_which_chunk_it_was_is_passed_over() -> None:
    stories = ChunkStories()
    stories.add(a_transfer(sequence_num=-1), 1000.0)
    assert stories.entries == 0


def test_one_chunk_that_nobody_has_takes_a_bounded_place() -> None:
    stories = ChunkStories()
    for number in range(3 * MAX_PIECES):
        stories.add(brought(NODE_A, number * 10, number * 10 + 1, outcome="broken"), 1000.0)
    story = stories.story("s1", 1)
    assert (len(story.attempts), len(story.pieces)) == (MAX_ATTEMPTS, MAX_PIECES)
    assert story.json()["attempts_left_out"] == 3 * MAX_PIECES - MAX_ATTEMPTS
    assert stories.entries == story.entries


def test_a_day_of_chunks_takes_a_bounded_place_and_the_newest_are_kept() -> None:
    stories = ChunkStories()
    for number in range(MAX_ENTRIES // 4):
        for start in (0, 500):
            stories.add(brought(NODE_A, start, start + 100, sequence_num=number), 1000.0)
        stories.add(a_verdict(a_part(NODE_A, 0, 1000), sequence_num=number), 1000.0)
        assert stories.entries <= MAX_ENTRIES
    assert stories.story("s1", 0).attempts_count == 0
    assert stories.story("s1", MAX_ENTRIES // 4 - 1).attempts_count == 2


# ---------------------------------------------------------------- what readers get


def a_feed() -> Feed:
    feed = Feed(boot_id="boot", started_unix_sec=1000.0)
    feed.apply(a_session(), 1000.0)
    feed.apply(chunk_map(a_chunk(1), a_chunk(3, {}, state="wanted")), 1000.0)
    return feed


def test_a_chunk_is_told_with_its_place_its_ranges_and_what_is_in_flight() -> None:
    feed = a_feed()
    feed.apply(a_verdict(a_part(NODE_A, 0, 2_000_000)), 1000.0)
    feed.apply(scheduler_status(in_flight=(a_range(), a_range(start_bytes=1))), 1000.0)
    held, fetched = feed.chunk(1), feed.chunk(3)
    assert held is not None
    assert fetched is not None
    assert (held["state"], held["in_flight"]) == ("held", [])
    assert spans(held) == [(-1, 0, 2_000_000, NODE_A)]
    assert [f["start_bytes"] for f in fetched["in_flight"]] == [0, 1]


def test_an_untouched_chunk_has_a_story_and_a_chunk_beyond_the_film_has_none() -> None:
    feed = a_feed()
    untouched = feed.chunk(11)
    assert untouched is not None
    assert untouched["state"] == "untouched"
    assert feed.chunk(12) is None
    assert feed.chunk(1, "other") is None


def test_a_status_tells_what_is_held_of_the_chunks_in_flight() -> None:
    feed = a_feed()
    feed.apply(brought(NODE_B, 500, 800, sequence_num=3), 1000.0)
    feed.apply(scheduler_status(in_flight=(a_range(),)), 1000.0)
    assert [(f["sequence_num"], list(f["pieces"])) for f in feed.status()["fetching"]] == [
        (3, [(-1, 500, 800, NODE_B)])
    ]
