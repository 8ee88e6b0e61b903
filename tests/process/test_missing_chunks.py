"""Chunks that cannot be had: each policy, wrong bytes everywhere, and chunks that come back."""

from __future__ import annotations

from pathlib import Path

import pytest
import requests

from cluster import EmbeddedCluster
from tests.media_fixtures import Reading, read_film
from tests.process.support import (
    FILM_ID,
    FRAME_SEC,
    Viewer,
    assert_beginning_of,
    assert_same_film,
)

HOLED_ID = "holed-film"
HOLE = 1


@pytest.fixture(scope="module")
def holed(cluster: EmbeddedCluster, film_path: Path) -> EmbeddedCluster:
    """The cluster with a second video of which one chunk is on no node."""
    cluster.run("add", str(film_path), "--id", HOLED_ID)
    chunk = cluster.manifest(HOLED_ID)["chunks"][HOLE]
    for url in cluster.node_urls:
        requests.delete(f"{url}/chunk/{chunk['chunk_id']}", timeout=5).raise_for_status()
    return cluster


@pytest.fixture
def watcher(holed: EmbeddedCluster, viewer: Viewer) -> Viewer:
    """A viewer of the video with the hole."""
    return viewer


def test_fail_ends_at_the_missing_chunk(watcher: Viewer, film: Reading, tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    done = watcher.run(HOLED_ID, "--output", str(output), "--no-pace", "--on-missing", "fail")
    assert done.code == 5
    assert "chunk 1 cannot be had" in done.err
    assert "404" in done.err
    assert_beginning_of(output, film)


def test_wait_gives_up_after_the_time_asked_for(
    watcher: Viewer, film: Reading, tmp_path: Path
) -> None:
    output = tmp_path / "out.mp4"
    done = watcher.run(HOLED_ID, "--output", str(output), "--no-pace", "--give-up-after", "3")
    assert done.code == 5
    assert "no byte came for 3 s" in done.err
    assert "chunk 1" in done.err
    assert_beginning_of(output, film)


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "out.ts"])
def test_skip_plays_on_and_leaves_the_hole_in_the_file(
    watcher: Viewer, film: Reading, tmp_path: Path, name: str
) -> None:
    output = tmp_path / name
    done = watcher.run(
        HOLED_ID, "--output", str(output), "--no-pace", "--on-missing", "skip", "--json"
    )
    assert done.code == 9
    summary = done.lines[-1]
    assert (summary["outcome"], summary["missing_chunks"]) == ("holes", 1)
    assert summary["played_sec"] == pytest.approx(30, abs=FRAME_SEC)
    found = read_film(output)
    first = [i for i, t in enumerate(film.picture_times_sec) if t < 9.999]
    rest = [i for i, t in enumerate(film.picture_times_sec) if t > 19.999]
    assert found.picture_digests == [film.picture_digests[i] for i in first + rest]
    expected_sec = [film.picture_times_sec[i] for i in first + rest]
    assert found.picture_times_sec == pytest.approx(expected_sec, abs=FRAME_SEC)


def test_wrong_bytes_everywhere_are_told_apart_from_missing_ones(
    viewer: Viewer, cluster: EmbeddedCluster, tmp_path: Path
) -> None:
    cluster.add_raw(bytes(range(250)) * 240, "short", "--chunk-bytes", "20000")
    for node in (1, 2, 3):
        cluster.set_fault(node, "corrupt")
    output = tmp_path / "out"
    done = viewer.run("short", "--raw", "--output", str(output), "--no-pace")
    assert done.code == 6
    assert "wrong bytes" in done.err
    assert not output.exists()


@pytest.mark.parametrize("policy", ["wait", "fail"])
def test_everything_missing_ends_with_the_code_for_it(
    viewer: Viewer, cluster: EmbeddedCluster, tmp_path: Path, policy: str
) -> None:
    for node in (1, 2, 3):
        cluster.set_fault(node, "missing")
    done = viewer.run(FILM_ID, "--on-missing", policy, "--give-up-after", "2", "--quiet")
    assert done.code == 5
    assert len(done.err.splitlines()) == 1
    assert "chunk 0" in done.err


def test_a_chunk_that_comes_back_is_played(
    viewer: Viewer, cluster: EmbeddedCluster, film: Reading, tmp_path: Path
) -> None:
    for node in (1, 2, 3):
        cluster.set_fault(node, "missing")
    playing = viewer.play(FILM_ID, "--output", str(tmp_path / "out.mp4"), "--no-pace")
    playing.wait_for("is not to be had")
    for node in (1, 2, 3):
        cluster.set_fault(node, "none")
    done = playing.finish()
    assert done.code == 0, done
    assert_same_film(tmp_path / "out.mp4", film)


def test_dead_nodes_end_playback_after_the_time_asked_for(
    viewer: Viewer, cluster: EmbeddedCluster
) -> None:
    for node in (1, 2, 3):
        cluster.set_fault(node, "silent")
    done = viewer.run(FILM_ID, "--give-up-after", "3", "--quiet")
    assert done.code == 5
    assert "no byte came for 3 s" in done.err
