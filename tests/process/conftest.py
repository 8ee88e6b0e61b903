"""One small real film, a cluster for each module, and a viewer for each test."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster import EmbeddedCluster
from cluster.sample import make_sample_film
from tests.media_fixtures import Reading, read_film
from tests.process.support import FILM_ID, LINKS, Viewer


@pytest.fixture(scope="session")
def film_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film of 40 s: four chunks of about 220 kB."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    make_sample_film(path, width=192, height=108, duration_sec=40, bitrate_bps=180_000)
    return path


@pytest.fixture(scope="session")
def film(film_path: Path) -> Reading:
    """What the film shows."""
    return read_film(film_path)


@pytest.fixture(scope="module")
def cluster(film_path: Path) -> Iterator[EmbeddedCluster]:
    """Three unequal nodes that hold the film."""
    with (
        tempfile.TemporaryDirectory(prefix="vc-", dir="/tmp") as folder,
        EmbeddedCluster(3, folder, LINKS) as running,
    ):
        running.run("add", str(film_path), "--id", FILM_ID)
        yield running


@pytest.fixture
def sound_cluster(cluster: EmbeddedCluster) -> Iterator[EmbeddedCluster]:
    """The module's cluster, without a fault before and after."""
    _heal(cluster)
    yield cluster
    _heal(cluster)


@pytest.fixture
def viewer(sound_cluster: EmbeddedCluster) -> Iterator[Viewer]:
    """Somebody who watches from the module's cluster."""
    with Viewer(sound_cluster.metadata_url) as made:
        yield made


def _heal(cluster: EmbeddedCluster) -> None:
    for node in cluster.state.nodes:
        cluster.set_fault(node.id, "none")
