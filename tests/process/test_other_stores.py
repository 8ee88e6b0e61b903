"""Stores of another kind: erasure-coded chunks, nodes that ignore `Range`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster import EmbeddedCluster, LinkProfile
from tests.media_fixtures import Reading
from tests.process.support import FILM_ID, LINKS, Viewer, assert_same_film, delivering

FIVE_LINKS = (*LINKS, LinkProfile(rate_mbps=2, rtt_ms=10), LinkProfile(rate_mbps=1, rtt_ms=40))


@pytest.fixture(scope="module")
def coded(film_path: Path) -> Iterator[EmbeddedCluster]:
    """Five nodes with one fragment of each chunk on each."""
    with (
        tempfile.TemporaryDirectory(prefix="vc-", dir="/tmp") as folder,
        EmbeddedCluster(5, folder, FIVE_LINKS) as running,
    ):
        running.run("add", str(film_path), "--id", FILM_ID, "--redundancy", "erasure_coding")
        yield running


@pytest.fixture
def coded_viewer(coded: EmbeddedCluster) -> Iterator[Viewer]:
    for node in coded.state.nodes:
        coded.set_fault(node.id, "none")
    with Viewer(coded.metadata_url) as made:
        yield made


@pytest.mark.parametrize("down", [(1, 2), (1, 4), (4, 5)], ids=str)
def test_coded_film_is_right_with_two_of_five_nodes_down(
    coded_viewer: Viewer,
    coded: EmbeddedCluster,
    film: Reading,
    tmp_path: Path,
    down: tuple[int, ...],
) -> None:
    for node in down:
        coded.set_fault(node, "down")
    done = coded_viewer.run(FILM_ID, "--output", str(tmp_path / "out.mp4"), "--no-pace")
    assert done.code == 0, done
    assert_same_film(tmp_path / "out.mp4", film)


@pytest.mark.parametrize("kind", ["down", "corrupt", "stall"])
def test_coded_film_is_right_when_two_nodes_turn_faulty_in_the_middle(
    coded_viewer: Viewer, coded: EmbeddedCluster, film: Reading, tmp_path: Path, kind: str
) -> None:
    playing = coded_viewer.play(FILM_ID, "--output", str(tmp_path / "out.mp4"), "--no-pace")
    with delivering(coded, 1, playing):
        coded.set_fault(1, kind)
        coded.set_fault(3, kind)
    done = playing.finish()
    assert done.code == 0, done
    assert_same_film(tmp_path / "out.mp4", film)


def test_coded_film_with_three_of_five_nodes_down_is_given_up(
    coded_viewer: Viewer, coded: EmbeddedCluster, tmp_path: Path
) -> None:
    for node in (1, 3, 5):
        coded.set_fault(node, "down")
    output = tmp_path / "out.mp4"
    done = coded_viewer.run(FILM_ID, "--output", str(output), "--no-pace", "--on-missing", "fail")
    assert done.code == 5
    assert "chunk 0 cannot be had" in done.err
    assert not output.exists()


def rangeless(links: tuple[LinkProfile, ...], *rangeless_nodes: int) -> list[LinkProfile]:
    return [
        LinkProfile(rate_mbps=link.rate_mbps, rtt_ms=link.rtt_ms, no_range=n in rangeless_nodes)
        for n, link in enumerate(links, start=1)
    ]


@pytest.fixture(scope="module", params=[(1, 2, 3), (1,)], ids=str)
def original(request: pytest.FixtureRequest, film_path: Path) -> Iterator[EmbeddedCluster]:
    """Three nodes, of which the named ones answer every range with the whole body."""
    with (
        tempfile.TemporaryDirectory(prefix="vc-", dir="/tmp") as folder,
        EmbeddedCluster(3, folder, rangeless(LINKS, *request.param)) as running,
    ):
        running.run("add", str(film_path), "--id", FILM_ID)
        yield running


@pytest.mark.parametrize("kind", ["none", "stall", "corrupt"])
def test_film_is_right_from_nodes_without_range(
    original: EmbeddedCluster, film: Reading, tmp_path: Path, kind: str
) -> None:
    for node in original.state.nodes:
        original.set_fault(node.id, "none")
    with Viewer(original.metadata_url) as viewer:
        playing = viewer.play(FILM_ID, "--output", str(tmp_path / "out.mp4"), "--no-pace")
        with delivering(original, 1, playing):
            original.set_fault(1, kind)
        done = playing.finish()
        assert done.code == 0, done
    assert_same_film(tmp_path / "out.mp4", film)


def test_film_is_right_from_the_original_nodes(
    film_path: Path, film: Reading, tmp_path: Path
) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="vc-", dir="/tmp") as folder,
        EmbeddedCluster(3, folder, profile="original") as running,
        Viewer() as viewer,
    ):
        running.run("add", str(film_path), "--id", FILM_ID)
        output = str(tmp_path / "out.mp4")
        done = viewer.run(
            FILM_ID, "--output", output, "--no-pace", METADATA_SERVICE_URL=running.metadata_url
        )
        assert done.code == 0, done
    assert_same_film(tmp_path / "out.mp4", film)
