"""The report's page: alone, well-formed and readable by everybody, whatever a recording says."""

from __future__ import annotations

import dataclasses
import typing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from client.recording.chunk_maps import ChunkFolder
from client.recording.records import MAX_CHUNKS
from client.recording.values import ChunkChanges, End, Header, Item, Lost
from client.report.builder import ReportBuilder
from client.report.chunk_chart import MAX_COLUMNS
from client.report.files import check_report_path, write_report
from client.report.page import MAX_CHUNK_ROWS, render
from client.report.palette import Palette
from client.report.svg import time_ticks, value_ticks
from common.errors import ConfigError
from common.messages import (
    ChunkMap,
    ChunkRecord,
    LogEvent,
    NodeScores,
    SchedulerStatus,
    SessionStatus,
    Transfer,
)
from tests.pages import assert_alone, assert_told_to_everybody, rows_of
from tests.recordings import a_header, an_end
from tests.status_builders import (
    NODE_A,
    NODE_B,
    a_chunk,
    a_load,
    a_session,
    a_transfer,
    an_event,
    scheduler_status,
    traffic,
)
from tests.wire_values import values_of

EVIL = '</title></style><script>alert(1)</script><img src="https://evil.example/x" onload=x>&\0\x1b'


def page_of(*items: tuple[float, Item], **header: Any) -> str:
    builder = ReportBuilder(a_header(**header))
    for at_sec, item in items:
        builder.add(at_sec, item)
    return render(builder.figures())


def whole_map(*chunks: ChunkRecord, total_chunks: int = 12) -> ChunkChanges:
    found = ChunkFolder().changes_to(
        ChunkMap(session_id="s1", total_chunks=total_chunks, chunks=chunks)
    )
    assert found is not None
    return found


def a_session_with_everything() -> list[tuple[float, Item]]:
    """Return a session in which a node fails, and playback stalls, pauses and goes on."""
    return [
        (0.3, a_session(state="startup", startup_latency_sec=None, wall_sec=0.3)),
        (0.8, a_session(wall_sec=0.8)),
        (1.0, a_transfer(NODE_A, chunk_id="c0", busy_sec=0.4)),
        (2.0, a_transfer(NODE_B, chunk_id="c1", outcome="silent", size_bytes=70_000)),
        (2.0, scheduler_status(nodes=(a_load(NODE_A), a_load(NODE_B, breaker="open")))),
        (2.1, an_event("node-b:8082 suspended for 1.1 s: is silent", kind="suspended")),
        (3.0, a_session(state="rebuffering", rebuffering_events=1, stalled_sec=0.5)),
        (5.0, a_session(rebuffering_events=1, stalled_sec=2.5, longest_stall_sec=2.5)),
        (6.0, a_session(state="paused", rebuffering_events=1, stalled_sec=2.5)),
        (7.0, a_session(rebuffering_events=1, stalled_sec=2.5, longest_stall_sec=2.5)),
        (7.5, whole_map(a_chunk(0, state="played"), a_chunk(1, {NODE_A: 1, NODE_B: 3}))),
        (7.6, whole_map(a_chunk(0, state="played"), a_chunk(1), a_chunk(2, {}, state="missing"))),
        (8.0, an_end(outcome="holes", exit_code=9)),
    ]


def test_a_page_needs_nothing_and_is_told_to_everybody() -> None:
    tree = assert_alone(page_of(*a_session_with_everything()))
    assert_told_to_everybody(tree)
    assert [svg.get("aria-labelledby") for svg in tree.iter("svg")] == [
        f"{name}-title {name}-words" for name in ("startup", "level", "rates", "chunks")
    ]


def test_everything_that_happened_is_on_the_page() -> None:
    page = page_of(*a_session_with_everything())
    tree = assert_alone(page)
    assert [row[1] for row in rows_of(tree, "stall-table")] == ["2.50 s"]
    nodes = rows_of(tree, "node-table")
    assert [row[0] for row in nodes] == ["Anode-a:8081", "Bnode-b:8082", "Cnode-c:8083"]
    assert [row[-1] for row in nodes] == ["0", "1", "0"]
    assert nodes[1][-2] == "1 silent"
    chunks = rows_of(tree, "chunk-table")
    assert [row[1] for row in chunks] == ["played", "held", "missing"]
    assert chunks[1][-1] == "1 at B node-b:8082"
    assert [row[1] for row in rows_of(tree, "event-table")] == ["suspended"]
    assert len(rows_of(tree, "floor-table")) == 2
    for text in ("played with holes", "exit code 9", "0.80 s", "target 30 s", "low water 15 s"):
        assert text in page
    spans = [r.get("class") for r in tree.iter("rect") if "span" in (r.get("class") or "")]
    assert spans == ["span startup", "span rebuffering", "span paused"] * 2


def test_light_and_dark_have_colours_of_their_own() -> None:
    page = page_of()
    assert "color-scheme: light dark" in page
    assert "@media (prefers-color-scheme: dark)" in page
    assert '<meta name="viewport"' in page


def test_a_session_that_never_began_has_a_page() -> None:
    end = an_end(session_id="", outcome="failed", exit_code=3, error="http://store is away")
    page = page_of((0.4, end))
    assert_told_to_everybody(assert_alone(page))
    assert "http://store is away" in page
    assert "Playback never started." in page
    assert "No chunk was asked for." in page


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (an_end(), "played to the end"),
        (an_end(outcome="stopped"), "stopped"),
        (an_end(outcome="stopped", exit_code=130), "stopped, interrupted"),
        (an_end(outcome="", exit_code=130), "not started, interrupted"),
        (an_end(outcome="failed", exit_code=5), "failed"),
    ],
)
def test_how_it_ended_is_said(end: End, words: str) -> None:
    assert f'">{words}</span>' in page_of((1.0, a_session()), (2.0, end))


def test_a_recording_that_breaks_off_says_so() -> None:
    page = page_of((1.0, a_session()))
    assert "recording breaks off" in page
    assert "The recording has no end" in page


def test_records_that_were_left_out_are_counted() -> None:
    assert "17 records were left out" in page_of((1.0, Lost(count=17)), (2.0, an_end()))


def test_a_command_that_waited_for_its_stack_says_how_long() -> None:
    page = page_of((1.5, a_session(wall_sec=0.8)), (2.0, an_end()))
    assert "waiting for the stack to start 0.70 s" in page
    assert "and 0.70 s until the stack took the command" in page
    assert "waiting for the stack" not in page_of((0.8, a_session(wall_sec=0.8)), (2.0, an_end()))


def test_texts_from_outside_stay_texts() -> None:
    page = page_of(
        (1.0, a_session(title=EVIL, message=EVIL, node_urls=(EVIL, NODE_A), session_id=EVIL)),
        (1.0, an_event(EVIL)),
        (1.0, a_transfer(EVIL, chunk_id=EVIL)),
        (2.0, whole_map(a_chunk(0, {EVIL: 3}, chunk_id=EVIL))),
        (3.0, an_end(error=EVIL, session_id=EVIL, outcome="failed")),
        video_id=EVIL,
        policy=EVIL,
        output=EVIL,
        on_missing=EVIL,
    )
    assert_told_to_everybody(assert_alone(page))
    assert "<script" not in page
    assert "<img" not in page


def test_a_long_film_makes_no_endless_page() -> None:
    count = 20_000
    chunks = tuple(a_chunk(n, {f"http://node-{n % 5}:80": 5}) for n in range(count))
    page = page_of((1.0, a_session()), (2.0, whole_map(*chunks, total_chunks=count)))
    tree = assert_alone(page)
    assert len(rows_of(tree, "chunk-table")) == MAX_CHUNK_ROWS
    assert f"{count - MAX_CHUNK_ROWS} more are left out." in page
    picture = next(s for s in tree.iter("svg") if "chunks" in str(s.get("aria-labelledby")))
    assert 0 < len(picture.findall("g")) <= MAX_COLUMNS
    assert len(page) < 4_000_000


def test_letters_tell_any_number_of_nodes_apart() -> None:
    urls = [f"http://node-{n}:80" for n in range(100)]
    palette = Palette(urls)
    assert len({palette.letter(url) for url in urls}) == 100
    assert (palette.letter(urls[0]), palette.letter(urls[26])) == ("A", "A1")
    assert palette.letter("http://stranger:80") == "–"


@given(st.floats(1.0, 1e12))
def test_an_axis_of_time_has_a_few_ticks(top_sec: float) -> None:
    ticks = time_ticks(top_sec)
    assert 1 <= len(ticks) <= 13
    assert ticks[-1] <= top_sec


@given(st.floats(0.01, 1e12))
def test_an_axis_of_values_has_a_few_ticks(top: float) -> None:
    ticks = value_ticks(top)
    assert 2 <= len(ticks) <= 7
    assert ticks[-1] <= top * 1.001


# ---------------------------------------------------------------- whatever a recording says


def changes_of_any_kind() -> st.SearchStrategy[ChunkChanges]:
    """Return changes as a reader lets them pass: numbers of chunks that can be."""
    hints = typing.get_type_hints(ChunkRecord)
    fields = {f.name: values_of(hints[f.name]) for f in dataclasses.fields(ChunkRecord)}
    fields |= {"sequence_num": st.integers(0, 30), "size_bytes": st.integers(0, 2**63)}
    return st.builds(
        ChunkChanges,
        session_id=st.sampled_from(["", "s1"]),
        total_chunks=st.integers(31, MAX_CHUNKS),
        changed=st.lists(st.builds(ChunkRecord, **fields), max_size=4).map(tuple),
        gone=st.lists(st.integers(-5, 40), max_size=3).map(tuple),
    )


KINDS = (SessionStatus, SchedulerStatus, NodeScores, Transfer, LogEvent, Lost, End)
ANYTHING = st.one_of(changes_of_any_kind(), *(values_of(kind) for kind in KINDS))
TIMES = st.one_of(st.floats(0, 100), st.floats(0, 10**7))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(values_of(Header), st.lists(st.tuples(TIMES, ANYTHING), max_size=12))
def test_no_recording_breaks_the_page(header: Header, found: list[tuple[float, Item]]) -> None:
    builder = ReportBuilder(header)
    for at_sec, item in sorted(found, key=lambda pair: pair[0]):
        builder.add(at_sec, item)
    assert_told_to_everybody(assert_alone(render(builder.figures())))


# ---------------------------------------------------------------- the file


def figures_of(*items: tuple[float, Item]) -> Any:
    builder = ReportBuilder(a_header())
    for at_sec, item in items:
        builder.add(at_sec, item)
    return builder.figures()


def test_a_report_takes_the_place_of_an_older_one(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("older")
    check_report_path(path)
    write_report(path, figures_of((1.0, an_end())))
    assert path.read_text("utf-8") == page_of((1.0, an_end()))
    assert list(tmp_path.iterdir()) == [path]


def test_a_report_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    (tmp_path / "report.html.part").mkdir()
    with pytest.raises(ConfigError, match="Is a directory") as caught:
        write_report(path, figures_of())
    assert caught.value.exit_code == 7
    assert not path.exists()


@pytest.mark.parametrize(
    ("name", "reason", "code"),
    [
        ("report.txt", "ends with none of .html, .htm", 2),
        ("missing/report.html", "there is no such directory", 7),
        ("folder.html", "is a directory", 7),
    ],
)
def test_what_is_no_place_for_a_report_is_refused(
    tmp_path: Path, name: str, reason: str, code: int
) -> None:
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(ConfigError) as caught:
        check_report_path(tmp_path / name)
    assert str(caught.value).startswith("--report: ")
    assert reason in str(caught.value)
    assert caught.value.exit_code == code


def test_a_summary_of_traffic_is_on_the_page() -> None:
    page = page_of((1.0, a_session()), (2.0, scheduler_status(sessions=(traffic(),))))
    assert "8.1 MB" in page
    assert "for 8.0 MB needed" in page
