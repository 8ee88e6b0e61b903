"""`--json`, and the metadata service that leaves during play."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster import EmbeddedCluster
from tests.media_fixtures import Reading
from tests.process.support import FILM_ID, Viewer, assert_same_film, delivering

KEYS = {
    "video_id",
    "outcome",
    "exit_code",
    "startup_latency_sec",
    "rebuffering_events",
    "stalled_sec",
    "average_buffer_sec",
    "played_sec",
    "chunks_by_node",
    "failover_count",
    "received_bytes",
    "needed_bytes",
}


def test_every_line_is_json_and_the_last_one_the_summary(
    viewer: Viewer, cluster: EmbeddedCluster
) -> None:
    done = viewer.run(FILM_ID, "--no-pace", "--json")
    assert (done.code, done.err) == (0, "")
    summary = done.lines[-1]
    assert [line["event"] for line in done.lines].count("summary") == 1
    assert summary["event"] == "summary"
    assert summary.keys() >= KEYS
    size_bytes = sum(chunk["size_bytes"] for chunk in cluster.manifest(FILM_ID)["chunks"])
    assert (summary["video_id"], summary["outcome"], summary["exit_code"]) == (FILM_ID, "played", 0)
    assert 0 < summary["startup_latency_sec"] < summary["wall_sec"]
    assert (summary["rebuffering_events"], summary["stalled_sec"]) == (0, 0)
    assert 0 <= summary["average_buffer_sec"] <= 40
    assert summary["played_sec"] == pytest.approx(40, abs=0.05)
    assert summary["chunks_by_node"].keys() <= set(cluster.node_urls)
    assert sum(summary["chunks_by_node"].values()) == 4
    assert sum(summary["bytes_by_node"].values()) == size_bytes
    assert summary["failover_count"] >= 0
    assert summary["needed_bytes"] == size_bytes
    assert summary["received_bytes"] >= size_bytes


def test_the_paced_summary_counts_what_was_played(viewer: Viewer) -> None:
    done = viewer.run(FILM_ID, "--json", "--stop-after", "4")
    summary = done.lines[-1]
    assert (done.code, summary["outcome"]) == (0, "stopped")
    assert 0 < summary["played_sec"] < 5
    assert summary["average_buffer_sec"] > 5
    assert summary["rebuffering_events"] == 0
    assert any(line["event"] == "status" for line in done.lines)


def test_faults_show_in_the_summary(viewer: Viewer, cluster: EmbeddedCluster) -> None:
    playing = viewer.play(FILM_ID, "--no-pace", "--json")
    with delivering(cluster, 1, playing):
        cluster.set_fault(1, "down")
    done = playing.finish()
    assert done.code == 0
    assert done.lines[-1]["failover_count"] >= 1
    assert done.lines[-1]["failed_downloads"] >= 1
    assert {"failover", "suspended"} <= {line["event"] for line in done.lines}


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["no-such-video"], 4), ([FILM_ID, "--output", "/proc/out.mp4"], 7)],
    ids=str,
)
def test_a_session_that_never_starts_has_a_summary_too(
    viewer: Viewer, arguments: list[str], code: int
) -> None:
    done = viewer.run(*arguments, "--json")
    summary = done.lines[-1]
    assert done.code == code
    assert summary.keys() >= KEYS
    assert (summary["outcome"], summary["exit_code"]) == ("failed", code)
    assert summary["error"] in done.err


def test_play_goes_on_without_the_metadata_service(
    viewer: Viewer, cluster: EmbeddedCluster, film: Reading, tmp_path: Path
) -> None:
    playing = viewer.play(FILM_ID, "--output", str(tmp_path / "out.mp4"), "--no-pace")
    try:
        with delivering(cluster, 1, playing):
            cluster.stop_metadata()
            cluster.set_fault(2, "missing")
        done = playing.finish()
    finally:
        cluster.start_metadata()
    assert done.code == 0, done
    assert_same_film(tmp_path / "out.mp4", film)
