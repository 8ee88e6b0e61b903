"""`--record` and `--report` with real sessions: played well, failed, interrupted, killed."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from client.recording import open_recording
from client.recording.values import End, Item
from client.replay import read_figures
from cluster import EmbeddedCluster
from common.messages import LogEvent, SchedulerStatus, SessionStatus, Transfer
from common.units import short_node
from tests.pages import assert_alone, assert_told_to_everybody, rows_of
from tests.process.kept import BEST, Kept, keep
from tests.process.support import FILM_ID, Viewer
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def kept(cluster: EmbeddedCluster, tmp_path_factory: pytest.TempPathFactory) -> Kept:
    return keep(cluster, tmp_path_factory.mktemp("kept"))


def items_of(path: Path) -> list[Item]:
    with open_recording(path) as reader:
        return [item for _, item, _ in reader]


def summary_of(line: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in line.items() if name != "event"}


# ---------------------------------------------------------------- played well


def test_a_recording_holds_all_that_happened(kept: Kept, cluster: EmbeddedCluster) -> None:
    items = items_of(kept.recording)
    last = items[-1]
    assert isinstance(last, End)
    assert (last.outcome, last.exit_code, last.error) == ("played", 0, "")
    events = [item.text for item in items if isinstance(item, LogEvent)]
    assert any("session starts" in text for text in events)
    assert any(text.startswith("playback started after") for text in events)
    assert events[-1] == "played to the end"
    ranges = [item for item in items if isinstance(item, Transfer)]
    assert {item.node_url for item in ranges} == set(cluster.node_urls)
    assert sum(item.size_bytes for item in ranges) >= kept.summary["needed_bytes"]
    assert any(item.outcome not in ("complete", "cancelled") for item in ranges)
    for kind in (SessionStatus, SchedulerStatus):
        assert sum(isinstance(item, kind) for item in items) >= 2


def test_the_reports_figures_are_those_of_the_summary(kept: Kept) -> None:
    figures = read_figures(kept.recording)
    assert json.loads(json.dumps(figures.summary)) == summary_of(kept.summary)
    delivered = {n.node_url: n.delivered_bytes for n in figures.nodes if n.delivered_bytes}
    assert delivered == kept.summary["bytes_by_node"]
    assert sum(c.size_bytes for c in figures.chunks) == kept.summary["needed_bytes"]
    assert sum(n.received_bytes for n in figures.nodes) == kept.summary["received_bytes"]
    assert len(figures.chunks) == figures.total_chunks == 4
    assert all(c.held_sec is not None for c in figures.chunks)


def test_the_report_tells_of_the_failover_and_of_every_node(
    kept: Kept, cluster: EmbeddedCluster
) -> None:
    tree = assert_alone(kept.page)
    assert_told_to_everybody(tree)
    nodes = {row[0]: row for row in rows_of(tree, "node-table")}
    names = {short_node(url) for url in cluster.node_urls}
    assert {name.lstrip("ABC") for name in nodes} == names
    dead = short_node(cluster.node_urls[BEST - 1])
    failures, suspensions = next(row[-2:] for name, row in nodes.items() if dead in name)
    assert failures != "none"
    assert int(suspensions) >= 1
    kinds = [row[1] for row in rows_of(tree, "event-table")]
    assert {"session", "playing", "failover", "suspended", "ended"} <= set(kinds)
    assert any(dead in row[-1] for row in rows_of(tree, "chunk-table"))
    startup = rows_of(tree, "floor-table")[0]
    assert startup[0] == "Startup"
    assert float(startup[2].removesuffix(" s")) <= float(startup[1].removesuffix(" s"))


def test_the_report_made_from_the_recording_is_the_same(
    kept: Kept, viewer: Viewer, tmp_path: Path
) -> None:
    report = tmp_path / "again.html"
    done = viewer.run("--replay", str(kept.recording), "--report", str(report))
    assert (done.code, done.out, done.err) == (0, f"report: {report}\n", "")
    assert report.read_text("utf-8") == kept.page


def test_the_summary_can_be_had_from_the_recording(
    kept: Kept, viewer: Viewer, tmp_path: Path
) -> None:
    report = tmp_path / "again.html"
    done = viewer.run("--replay", str(kept.recording), "--report", str(report), "--json")
    assert done.lines == [kept.summary]


# ---------------------------------------------------------------- otherwise


def test_an_interrupted_session_has_its_report(viewer: Viewer, tmp_path: Path) -> None:
    recording, report = tmp_path / "session.vsrec", tmp_path / "report.html"
    playing = viewer.play(FILM_ID, "--record", str(recording), "--report", str(report))
    playing.wait_for("playback started")
    playing.signal(signal.SIGINT)
    done = playing.finish()
    assert done.code == 130
    assert f"report: {report}" in done.out
    end = items_of(recording)[-1]
    assert isinstance(end, End)
    assert (end.outcome, end.exit_code) == ("stopped", 130)
    page = report.read_text("utf-8")
    assert "stopped, interrupted" in page
    assert_alone(page)


def test_a_session_that_never_began_has_its_report(viewer: Viewer, tmp_path: Path) -> None:
    recording, report = tmp_path / "session.vsrec", tmp_path / "report.html"
    files = ("--record", str(recording), "--report", str(report))
    done = viewer.run("no-such-video", "--json", *files)
    assert done.code == 4
    assert read_figures(recording).summary == summary_of(done.lines[-1])
    page = report.read_text("utf-8")
    assert "no-such-video" in page
    assert "Playback never started." in page
    assert_alone(page)


def test_an_id_that_is_no_text_is_kept_as_far_as_it_is_one(viewer: Viewer, tmp_path: Path) -> None:
    recording = tmp_path / "session.vsrec"
    script = rf"exec python main.py $'film-\xff' --quiet --record {recording}"
    done = viewer.start_command(["bash", "-c", script]).finish()
    assert done.code == 4
    assert "Traceback" not in done.err
    assert read_figures(recording).header.video_id == "film-?"


def test_a_killed_viewer_leaves_what_it_had_recorded(viewer: Viewer, tmp_path: Path) -> None:
    recording = tmp_path / "session.vsrec"
    playing = viewer.play(FILM_ID, "--record", str(recording))
    playing.wait_for("playback started")
    started = "playback started"
    wait_until(lambda: started in str(items_of(recording)) if recording.stat().st_size else False)
    playing.signal(signal.SIGKILL)
    playing.finish()
    figures = read_figures(recording)
    assert figures.end is None
    assert figures.summary["startup_latency_sec"] is not None
    wait_until(lambda: not viewer.processes())


def test_a_full_disk_ends_the_recording_and_not_the_film(viewer: Viewer, tmp_path: Path) -> None:
    recording = tmp_path / "session.vsrec"
    # No file may grow beyond two kilobytes, which for who writes is a full disk.
    script = f"ulimit -f 2; exec python main.py {FILM_ID} --no-pace --json --record {recording}"
    done = viewer.start_command(
        ["bash", "-c", script], PYTHONDONTWRITEBYTECODE="1", VSTACK_LOG_LEVEL="CRITICAL"
    ).finish()
    assert done.code == 0
    assert done.err.startswith(f"main.py: recording stopped: {recording}: File too large; ")
    assert len(done.err.splitlines()) == 1
    assert done.lines[-1]["outcome"] == "played"
    assert read_figures(recording).end is None


def test_a_recording_is_not_written_over(viewer: Viewer, kept: Kept) -> None:
    before = kept.recording.read_bytes()
    done = viewer.run(FILM_ID, "--record", str(kept.recording))
    assert done.code == 2
    assert done.err.startswith(f"main.py: --record: {kept.recording} exists and is not empty")
    assert kept.recording.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([FILM_ID, "--record", "/nowhere/x.vsrec"], 7, "--record: /nowhere/x.vsrec: cannot be"),
        ([FILM_ID, "--report", "/nowhere/x.html"], 7, "--report: /nowhere/x.html: there is no"),
        ([FILM_ID, "--report", "report.pdf"], 2, "--report: 'report.pdf' ends with none of"),
        ([FILM_ID, "--record", "a.ts", "--output", "a.ts"], 2, "is named twice"),
        (["--list", "--record", "x.vsrec"], 2, "--list: plays nothing"),
        ([FILM_ID, "--replay-speed", "2"], 2, "--replay-speed: says how to --replay"),
        ([FILM_ID, "--replay", "x.vsrec"], 2, "--replay: plays no video"),
        (["--replay", "x.vsrec", "--record", "y.vsrec"], 2, "--record: goes with playing"),
        (["--replay", "x.vsrec", "--output", "y.ts"], 2, "--output: goes with playing"),
        (["--replay", "x.vsrec", "--no-pace"], 2, "--no-pace: goes with playing"),
        (["--replay", "x.vsrec", "--replay-speed", "0"], 2, "--replay-speed: 0 is not 0.1 to 1000"),
        (["--replay", "x.vsrec", "--replay-speed", "nan"], 2, "--replay-speed: nan is not"),
        (["--replay", "x.vsrec", "--json"], 2, "--json: has nothing to say"),
        (["--replay", "no-such.vsrec"], 2, "no-such.vsrec: no such file"),
        (["--replay", "README.md"], 2, "README.md: at byte 0: does not begin as a recording does"),
        (["--replay", "README.md", "--report", "/tmp/x.html"], 2, "README.md: at byte 0"),
    ],
    ids=lambda value: " ".join(value)[-40:] if isinstance(value, list) else "",
)
def test_what_makes_no_sense_is_refused(
    viewer: Viewer, arguments: list[str], code: int, words: str
) -> None:
    done = viewer.run(*arguments)
    assert done.code == code, done
    assert done.err.startswith("main.py: "), done
    assert len(done.err.splitlines()) == 1, done
    assert words in done.err
