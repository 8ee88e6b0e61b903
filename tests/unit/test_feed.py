"""What the dashboard remembers, streams, accepts and refuses, without sockets."""

from __future__ import annotations

import json
import zlib
from typing import Any

import pytest

from common import http_guard as guard
from common.config import Settings
from common.messages import PlayVideo, SeekTo, SetPaused, StopSession
from common.status import StatusModel
from dashboard.control import Command, NoSession, command_from
from dashboard.feed import HISTORY_SEC, MAX_VIEWERS, Feed, History, StackSight, json_text
from dashboard.fields import BadRequest
from dashboard.stream import HEARTBEAT_SEC, Viewer, compressed
from tests.status_builders import (
    NODE_A,
    NODE_B,
    a_chunk,
    a_load,
    a_session,
    an_event,
    chunk_map,
    scheduler_status,
)


def a_feed() -> Feed:
    return Feed(boot_id="boot", started_unix_sec=1000.0)


def a_viewer(feed: Feed, last_event_id: str = "") -> Viewer:
    return Viewer(feed, session_id=None, last_event_id=last_event_id)


def events_of(text: str) -> list[tuple[str, str, Any]]:
    """Return (event, id, data) of a piece of an event stream."""
    found = []
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        if "data" in lines:
            found.append((lines["event"], lines.get("id", ""), json.loads(lines["data"])))
    return found


def names_of(text: str) -> list[str]:
    return [name for name, _, _ in events_of(text)]


# ---------------------------------------------------------------- history


def model_receiving(*received: int) -> tuple[StatusModel, History]:
    """Return a model and a history that sampled these byte counters second by second."""
    model, history = StatusModel(), History()
    model.apply(a_session(), 1000.0)
    for second, size_bytes in enumerate(received):
        nodes = (a_load(NODE_A, received_bytes=size_bytes),)
        model.apply(scheduler_status(nodes=nodes), 1000.0 + second)
        history.sample(model, 1000.0 + second)
    return model, history


def test_history_turns_received_bytes_into_megabits_per_second() -> None:
    _, history = model_receiving(1_000_000, 3_000_000)
    assert history.samples()[-1]["node_mbps"] == {NODE_A: pytest.approx(16.0)}


def test_history_of_a_restarted_scheduler_has_no_negative_rate() -> None:
    _, history = model_receiving(9_000_000, 500_000)
    assert history.samples()[-1]["node_mbps"] == {NODE_A: pytest.approx(4.0)}


def test_history_keeps_one_hour() -> None:
    model, history = StatusModel(), History()
    model.apply(a_session(), 0.0)
    for second in range(HISTORY_SEC + 10):
        history.sample(model, float(second))
    assert len(history.samples()) == HISTORY_SEC
    assert history.samples()[0]["at_unix_sec"] == 10.0


def test_history_marks_seconds_that_stalled() -> None:
    model, history = StatusModel(), History()
    model.apply(a_session(state="rebuffering"), 0.0)
    history.sample(model, 0.0)
    assert history.samples()[0]["stalled"] is True


def test_history_rests_while_nothing_plays() -> None:
    model, history = StatusModel(), History()
    history.sample(model, 0.0)
    model.apply(a_session(outcome="played"), 1.0)
    history.sample(model, 1.0)
    assert history.samples() == []


def test_samples_may_be_asked_for_by_age_and_number() -> None:
    _, history = model_receiving(*range(10))
    assert [s["number"] for s in history.samples(seconds=3)] == [8, 9, 10]
    assert [s["number"] for s in history.samples(after_number=8)] == [9, 10]


def test_an_hour_of_columns_is_small_and_says_the_same() -> None:
    _, history = model_receiving(*range(0, 30_000_000, 10_000))
    found = history.columns()
    assert found is not None
    assert found.last_number == 3000
    assert {len(found.body[name]) for name in ("at_sec", "state", "level_sec")} == {3000}
    assert found.body["mbps"][NODE_A][-1] == pytest.approx(0.08)
    assert (found.body["from_unix_sec"], found.body["at_sec"][-1]) == (1000.0, 2999.0)
    assert len(zlib.compress(json_text(found.body).encode())) < 30_000


def test_later_columns_begin_after_what_is_known() -> None:
    _, history = model_receiving(*range(10))
    found = history.columns(after_number=8)
    assert found is not None
    assert (found.last_number, found.body["at_sec"]) == (10, [0.0, 1.0])
    assert history.columns(after_number=10) is None


# ---------------------------------------------------------------- feed


def test_json_has_no_numbers_that_json_does_not_know() -> None:
    assert (
        json_text({"a": float("nan"), "b": [float("inf"), 1.00004]}) == '{"a":null,"b":[null,1.0]}'
    )


def test_a_lost_buffer_ends_its_sessions_and_keeps_what_was_shown() -> None:
    feed = a_feed()
    feed.tick(StackSight(run_dir="/a", buffer=True), 1000.0)
    feed.apply(a_session(), 1000.0)
    feed.tick(StackSight(run_dir="/a"), 1001.0)
    assert feed.live_session_id() is None
    assert feed.status()["video_id"] == "test-video-001"


def test_a_session_of_another_stack_takes_over() -> None:
    feed = a_feed()
    feed.tick(StackSight(run_dir="/a", buffer=True), 1000.0)
    feed.apply(a_session(session_id="old", started_unix_sec=2000.0), 1000.0)
    feed.tick(StackSight(run_dir="/b", buffer=True), 1001.0)
    feed.apply(a_session(session_id="new", started_unix_sec=1001.0), 1001.0)
    assert feed.status()["session_id"] == "new"


def test_a_feed_is_live_unless_it_is_named_a_recording() -> None:
    feed = a_feed()
    assert feed.status()["recording"] == ""
    feed.name_recording("Recording of yesterday")
    assert feed.status()["recording"] == "Recording of yesterday"


def test_viewers_are_limited() -> None:
    feed = a_feed()
    assert all(feed.enter_viewer() for _ in range(MAX_VIEWERS))
    assert not feed.enter_viewer()
    feed.leave_viewer()
    assert feed.enter_viewer()


# ---------------------------------------------------------------- event stream


def test_a_status_is_sent_once_until_it_changes() -> None:
    feed = a_feed()
    viewer = a_viewer(feed)
    assert names_of(viewer.next_text(0.0)) == ["status"]
    assert viewer.next_text(0.5) == ""
    feed.apply(a_session(), 1000.0)
    assert names_of(viewer.next_text(1.0)) == ["status"]


def test_only_chunks_that_changed_are_sent_again() -> None:
    feed = a_feed()
    feed.apply(a_session(), 1000.0)
    feed.apply(chunk_map(a_chunk(0), a_chunk(1, {}, state="wanted")), 1000.0)
    viewer = a_viewer(feed)
    first = {n: d for n, _, d in events_of(viewer.next_text(0.0))}["chunks"]
    feed.apply(chunk_map(a_chunk(0), a_chunk(1, {NODE_B: 5})), 1001.0)
    second = {n: d for n, _, d in events_of(viewer.next_text(0.5))}["chunks"]
    assert (first["reset"], len(first["chunks"])) == (True, 2)
    assert second["reset"] is False
    assert [c["sequence_num"] for c in second["chunks"]] == [1]


def test_chunks_of_another_session_replace_the_old_ones() -> None:
    feed = a_feed()
    feed.apply(a_session(), 1000.0)
    feed.apply(chunk_map(a_chunk(0)), 1000.0)
    viewer = a_viewer(feed)
    viewer.next_text(0.0)
    feed.apply(a_session(session_id="s2", started_unix_sec=2000.0), 1001.0)
    sent = {n: d for n, _, d in events_of(viewer.next_text(0.5))}["chunks"]
    assert sent == {"session_id": None, "total_chunks": 0, "reset": True, "chunks": []}


def test_a_viewer_that_comes_back_gets_the_log_entries_it_missed() -> None:
    feed = a_feed()
    for number in range(3):
        feed.apply(an_event(f"event {number}"), 1000.0)
    logs = [d for n, _, d in events_of(a_viewer(feed, "boot-2").next_text(0.0)) if n == "log"]
    assert [entry["text"] for entry in logs] == ["event 2"]


@pytest.mark.parametrize("last_event_id", ["", "other-2", "boot-x", "boot-²", "-", "boot--1"])
def test_an_id_of_another_process_starts_from_the_beginning(last_event_id: str) -> None:
    feed = a_feed()
    feed.apply(an_event(), 1000.0)
    assert "log" in names_of(a_viewer(feed, last_event_id).next_text(0.0))


def test_a_viewer_gets_the_hour_that_was_and_then_each_second() -> None:
    feed = a_feed()
    feed.apply(a_session(), 1000.0)
    for second in range(HISTORY_SEC + 5):
        feed.tick(StackSight(buffer=True), 1000.0 + second)
    viewer = a_viewer(feed)
    first = {n: d for n, _, d in events_of(viewer.next_text(0.0))}["history"]
    feed.tick(StackSight(buffer=True), 1000.0 + HISTORY_SEC + 5)
    second = {n: d for n, _, d in events_of(viewer.next_text(0.5))}["history"]
    assert (first["reset"], len(first["level_sec"])) == (True, HISTORY_SEC)
    assert (second["reset"], second["level_sec"]) == (False, [20.0])


def test_a_compressed_stream_gives_each_text_at_once_and_repeats_cost_little() -> None:
    text = "event: status\ndata: " + json_text(a_feed().status()) + "\n\n"
    unpacker, sizes = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16), []
    for piece in list(compressed(iter([text] * 3)))[:3]:
        assert unpacker.decompress(piece).decode() == text
        sizes.append(len(piece))
    assert sizes[-1] < 100


def test_a_quiet_stream_is_kept_alive() -> None:
    viewer = a_viewer(a_feed())
    viewer.next_text(0.0)
    assert viewer.next_text(HEARTBEAT_SEC - 0.1) == ""
    assert viewer.next_text(HEARTBEAT_SEC).startswith(":")
    assert viewer.next_text(HEARTBEAT_SEC + 0.5) == ""


# ---------------------------------------------------------------- control


def command(body: Any, live_session_id: str | None = "live") -> Command:
    return command_from(body, live_session_id=live_session_id, settings=Settings(), command_id="id")


def test_commands_are_meant_for_the_live_session_unless_one_is_named() -> None:
    assert command({"action": "pause"}) == SetPaused(
        command_id="id", session_id="live", paused=True
    )
    assert command({"action": "resume", "session_id": "x"}) == SetPaused(
        command_id="id", session_id="x", paused=False
    )
    assert command({"action": "stop"}) == StopSession(command_id="id", session_id="live")
    assert command({"action": "seek", "position_sec": 12}) == SeekTo(
        command_id="id", session_id="live", position_sec=12.0
    )


def test_play_starts_a_paced_session_without_output_or_owner() -> None:
    made = command({"action": "play", "video_id": "v"}, live_session_id=None)
    assert isinstance(made, PlayVideo)
    assert (made.session_id, made.metadata_url) == ("id", "http://localhost:8080")
    assert (made.output, made.paced, made.owner_lease_sec) == ("none", True, 0.0)


def test_a_command_without_a_session_is_refused() -> None:
    with pytest.raises(NoSession):
        command({"action": "stop"}, live_session_id=None)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ([], "body"),
        ({}, "action"),
        ({"action": "explode"}, "action"),
        ({"action": ["pause"]}, "action"),
        ({"action": "pause", "sesion": "x"}, "sesion"),
        ({"action": "pause", "session_id": 5}, "session_id"),
        ({"action": "pause", "session_id": None}, "session_id"),
        ({"action": "seek"}, "position_sec"),
        ({"action": "seek", "position_sec": "5"}, "position_sec"),
        ({"action": "seek", "position_sec": True}, "position_sec"),
        ({"action": "seek", "position_sec": -1}, "position_sec"),
        ({"action": "seek", "position_sec": float("nan")}, "position_sec"),
        ({"action": "seek", "position_sec": 10**400}, "position_sec"),
        ({"action": "play"}, "video_id"),
        ({"action": "play", "video_id": "v" * 3000}, "video_id"),
        ({"action": "play", "video_id": "v", "metadata_url": "file:///x"}, "metadata_url"),
    ],
)
def test_bad_input_is_refused_by_the_name_of_the_field(body: Any, field: str) -> None:
    with pytest.raises(BadRequest, match=f"^{field}"):
        command(body)


# ---------------------------------------------------------------- guard


@pytest.mark.parametrize(
    ("header", "bound", "allowed"),
    [
        ("localhost:8888", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.1", True),
        ("[::1]:8888", "127.0.0.1", True),
        ("LOCALHOST", "127.0.0.1", True),
        ("evil.example:8888", "127.0.0.1", False),
        ("192.168.1.5:8888", "127.0.0.1", False),
        ("192.168.1.5:8888", "0.0.0.0", True),
        ("192.168.1.5:8888", "192.168.1.5", True),
        ("evil.example", "0.0.0.0", False),
        ("box:8888", "0.0.0.0", True),
        ("", "127.0.0.1", False),
        ("localhost@evil.example", "127.0.0.1", False),
        ("localhost/x", "127.0.0.1", False),
        ("localhost:x", "127.0.0.1", False),
    ],
)
def test_only_our_own_names_are_answered(header: str, bound: str, allowed: bool) -> None:
    assert guard.host_allowed(header, bound, frozenset({"box"})) is allowed


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (None, True),
        ("http://localhost:8888", True),
        ("http://localhost:9999", False),
        ("https://evil.example", False),
        ("null", False),
        ("http://[", False),
    ],
)
def test_only_our_own_page_may_control(origin: str | None, allowed: bool) -> None:
    headers = {"Host": "localhost:8888"} | ({"Origin": origin} if origin else {})
    assert guard.same_origin(headers) is allowed
