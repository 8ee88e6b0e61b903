"""Each fault on the best node, from the start and in the middle of a chunk: the same film."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster import EmbeddedCluster
from tests.media_fixtures import Reading
from tests.process.support import FILM_ID, Viewer, assert_same_film, delivering

FAULTS = (
    "down",
    "silent",
    "silent_data",
    "503",
    "stall",
    "slow",
    "corrupt",
    "truncate",
    "missing",
)
BEST = 1


def test_every_fault_of_the_cluster_is_tried() -> None:
    from cluster.faults import FAULT_KINDS

    assert {*FAULTS, "none"} == set(FAULT_KINDS)


@pytest.mark.parametrize("kind", FAULTS)
def test_film_is_right_with_the_best_node_faulty_from_the_start(
    viewer: Viewer, cluster: EmbeddedCluster, film: Reading, tmp_path: Path, kind: str
) -> None:
    cluster.set_fault(BEST, kind)
    done = viewer.run(FILM_ID, "--output", str(tmp_path / "out.mp4"), "--no-pace")
    assert done.code == 0, done
    assert_same_film(tmp_path / "out.mp4", film)


@pytest.mark.parametrize("kind", FAULTS)
def test_film_is_right_when_the_best_node_turns_faulty_in_the_middle_of_a_chunk(
    viewer: Viewer, cluster: EmbeddedCluster, film: Reading, tmp_path: Path, kind: str
) -> None:
    playing = viewer.play(FILM_ID, "--output", str(tmp_path / "out.mp4"), "--no-pace")
    with delivering(cluster, BEST, playing):
        cluster.set_fault(BEST, kind)
    done = playing.finish()
    assert done.code == 0, done
    assert_same_film(tmp_path / "out.mp4", film)


@pytest.mark.parametrize("kind", ["down", "silent", "stall"])
def test_film_is_right_when_the_best_node_falters_and_comes_back(
    viewer: Viewer, cluster: EmbeddedCluster, film: Reading, tmp_path: Path, kind: str
) -> None:
    playing = viewer.play(FILM_ID, "--output", str(tmp_path / "out.mp4"), "--no-pace")
    with delivering(cluster, BEST, playing):
        cluster.run("fault", str(BEST), kind, "--for", "0.5")
    done = playing.finish()
    assert done.code == 0, done
    assert_same_film(tmp_path / "out.mp4", film)


@pytest.mark.parametrize("kind", ["down", "silent", "missing"])
def test_film_is_right_after_all_nodes_failed_for_a_while(
    viewer: Viewer, cluster: EmbeddedCluster, film: Reading, tmp_path: Path, kind: str
) -> None:
    playing = viewer.play(FILM_ID, "--output", str(tmp_path / "out.mp4"), "--no-pace")
    with delivering(cluster, BEST, playing):
        for node in (1, 2, 3):
            cluster.set_fault(node, kind, for_sec=2.0)
    done = playing.finish()
    assert done.code == 0, done
    assert_same_film(tmp_path / "out.mp4", film)


def test_wrong_bytes_are_told_and_never_played(
    viewer: Viewer, cluster: EmbeddedCluster, film: Reading, tmp_path: Path
) -> None:
    cluster.set_fault(BEST, "corrupt")
    done = viewer.run(FILM_ID, "--output", str(tmp_path / "out.mkv"), "--no-pace", "--json")
    assert done.code == 0
    corrupt = [line["text"] for line in done.lines if line["event"] == "corrupt"]
    assert corrupt
    liar = cluster.node_urls[BEST - 1]
    assert all(liar.removeprefix("http://") in text for text in corrupt)
    summary = done.lines[-1]
    assert summary["bytes_by_node"].get(liar, 0) == 0
    assert summary["received_bytes"] > summary["needed_bytes"]
    assert_same_film(tmp_path / "out.mkv", film)
