"""A recording shown again: what whoever watched it live was told, in the same order, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from client.recording import open_recording
from client.recording.playing import Step, steps
from client.recording.values import Item
from client.replay import ReplayLink, name_of, read_figures
from client.report.builder import ReportBuilder
from common.messages import StopSession
from common.stack_state import Folded
from dashboard.control import StackAbsent
from dashboard.feed import Feed, StackSight
from tests.recordings import (
    STARTED_UNIX_SEC,
    a_header,
    a_recording,
    an_end,
    reader_of,
    recorded,
)
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
from tests.waiting import wait_until


def a_feed() -> Feed:
    return Feed(boot_id="boot", started_unix_sec=0.0)


def a_session_as_it_was_heard() -> list[tuple[float, Folded]]:
    """Return what a stack says in a minute: snapshots four times a second, and all that happens in between."""
    found: list[tuple[float, Folded]] = [(0.1, scores(a_score(NODE_A), a_score(NODE_B)))]
    chunks = {0: a_chunk(0, {}, state="wanted")}
    for quarter in range(1, 240):
        at_sec = quarter / 4
        number = quarter // 40
        found.append(
            (at_sec, a_session(playhead_sec=at_sec, wall_sec=at_sec, chunks_played=number))
        )
        ranges = (a_range(received_until_bytes=quarter * 1000),) if quarter < 120 else ()
        loads = (a_load(NODE_A, received_bytes=quarter * 10_000), a_load(NODE_B))
        tally = traffic(received_bytes=quarter * 10_000)
        found.append((at_sec, scheduler_status(in_flight=ranges, nodes=loads, sessions=(tally,))))
        if quarter % 10 == 0:
            found.append((at_sec, a_transfer(NODE_B, outcome="silent" if number else "complete")))
            found.append((at_sec, an_event(f"event {quarter}", at_unix_sec=STARTED_UNIX_SEC)))
            chunks[number] = a_chunk(number, {NODE_A: quarter})
            found.append((at_sec, chunk_map(*chunks.values())))
            found.append((at_sec, scores(a_score(NODE_A, last_update_unix_sec=at_sec))))
    found.append((60.1, a_session(state="ended", outcome="played", playhead_sec=60.0)))
    return found


def seconds_between(
    messages: list[tuple[float, Folded]],
) -> Iterator[tuple[float, Folded | None]]:
    """Yield messages with the ticks of a dashboard that was started with the command."""
    tick_sec = 1
    for at_sec, msg in messages:
        while tick_sec <= at_sec:
            yield float(tick_sec), None
            tick_sec += 1
        yield at_sec, msg


def filled(found: Iterator[tuple[float, Folded | None]] | Iterator[Step]) -> Feed:
    feed, sight = a_feed(), StackSight()
    for at_sec, msg in found:
        if msg is None:
            feed.tick(sight, STARTED_UNIX_SEC + at_sec)
        else:
            feed.apply(msg, STARTED_UNIX_SEC + at_sec)
    return feed


def test_a_feed_from_a_recording_ends_as_the_live_one_did() -> None:
    messages = a_session_as_it_was_heard()
    live = filled(seconds_between(messages))
    data = a_recording(*((record.at_sec, record.item) for record in recorded(*messages)))
    again = filled(steps(reader_of(data)))
    assert again.status() == live.status()
    assert again.stats() == live.stats()
    assert again.chunks() == live.chunks()
    assert again.performance() == live.performance()
    assert again.events() == live.events()
    assert again.history() == live.history()


def test_there_is_a_tick_for_every_second() -> None:
    found = list(steps(reader_of(a_recording((0.5, an_event("a")), (3.0, an_event("b"))))))
    assert [(at_sec, msg is None) for at_sec, msg in found] == [
        (0.5, False),
        (1, True),
        (2, True),
        (3, True),
        (3.0, False),
    ]


def test_a_report_from_a_file_is_that_of_the_live_session(tmp_path: Path) -> None:
    found = recorded(*a_session_as_it_was_heard())
    items: list[tuple[float, Item]] = [(r.at_sec, r.item) for r in found]
    items.append((61.0, an_end()))
    builder = ReportBuilder(a_header())
    for at_sec, item in items:
        # In a file times are whole milliseconds.
        builder.add(round(at_sec * 1000) / 1000, item)
    path = tmp_path / "session.vsrec"
    path.write_bytes(a_recording(*items))
    assert read_figures(path) == builder.figures()


# ---------------------------------------------------------------- at its pace


@pytest.fixture
def show(tmp_path: Path) -> Iterator[Callable[..., tuple[ReplayLink, Feed]]]:
    """Return what shows the bytes of a recording; everything is stopped at the end."""
    shown: list[ReplayLink] = []
    opened: list[Any] = []

    def start(data: bytes, speed: float = 1000.0) -> tuple[ReplayLink, Feed]:
        path = tmp_path / f"{len(shown)}.vsrec"
        path.write_bytes(data)
        recording = open_recording(path)
        opened.append(recording)
        feed = a_feed()
        link = ReplayLink(feed, recording, speed)
        shown.append(link)
        link.start()
        return link, feed

    yield start
    for link in shown:
        link.stop()
        link.stop()
    for recording in opened:
        recording.close()


SESSION = a_recording(
    (1.0, a_session()),
    (2.0, an_event()),
    (3.0, a_session(state="ended", outcome="played")),
    (4.0, an_end()),
)
Show = Callable[..., tuple[ReplayLink, Feed]]


def test_at_the_end_the_last_state_stays(show: Show) -> None:
    link, feed = show(SESSION)
    wait_until(lambda: "this is its end" in feed.status()["recording"])
    assert feed.status()["outcome"] == "played"
    assert not feed.sight.running
    assert not feed.stopping.is_set()
    assert (link.failed, link.damage) == (False, "")


def test_the_page_is_told_what_it_shows_before_anything_else(show: Show) -> None:
    data = a_recording((5000.0, a_session()))
    _, feed = show(data, speed=2.0)
    assert feed.status()["recording"] == f"{name_of(reader_of(data))}, 2 times as fast as it was"
    assert feed.status()["recording"].startswith("Recording of 1970-01-1")


def test_it_waits_until_it_is_time_and_stops_at_once(show: Show) -> None:
    link, feed = show(a_recording((0.0, an_event()), (5000.0, a_session())), speed=1.0)
    wait_until(feed.events)
    assert feed.session() is None
    link.stop()
    assert feed.session() is None


def test_a_recording_takes_no_commands(show: Show) -> None:
    link, _ = show(SESSION)
    with pytest.raises(StackAbsent, match=r"^Recording of .*: a recording can be watched, not"):
        link.ask(StopSession(command_id="c", session_id="s1"), 1.0)


def test_a_recording_that_breaks_off_says_so(show: Show) -> None:
    _, feed = show(a_recording((65.0, a_session())))
    wait_until(lambda: "it breaks off after 1:05" in feed.status()["recording"])
    assert feed.session() is not None


def test_a_damaged_recording_is_shown_up_to_the_damage(
    show: Show, capsys: pytest.CaptureFixture[str]
) -> None:
    data = bytearray(
        a_recording((1.0, a_session()), (2.0, an_event()), (3.0, an_event()), per_block=2)
    )
    data[-5] ^= 1
    link, feed = show(bytes(data) + b"something else")
    wait_until(lambda: "the file is damaged after 0:01" in feed.status()["recording"])
    assert feed.session() is not None
    assert "at byte" in link.damage
    assert f"{link.damage}; shown up to there" in capsys.readouterr().err
    assert not feed.stopping.is_set()


def test_a_bug_ends_the_dashboard(show: Show, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_records: object) -> Iterator[Step]:
        raise ValueError("a bug")

    monkeypatch.setattr("client.replay.steps", broken)
    link, feed = show(SESSION)
    wait_until(feed.stopping.is_set)
    assert link.failed


def test_a_recording_that_was_never_begun_is_shown_as_nothing() -> None:
    reader = reader_of(a_recording((0.4, an_end(session_id="", outcome="failed", exit_code=4))))
    assert filled(steps(reader)).status()["session_id"] is None
