"""A headless Chromium, a store with two films, and a stack with its dashboard."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from cluster import EmbeddedCluster
from cluster.sample import make_sample_film
from tests.process.support import LINKS, Viewer
from tests.standing import Standing

FILM_SEC = 24
FILM = "film"
OTHER = "other"
FLAGS = (
    "--disable-gpu",
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser; while it is open, its driver has an event loop in this thread, which others would not bear."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=list(FLAGS)
        )
        yield started
        started.close()


@pytest.fixture(scope="session")
def film_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film whose pictures tell their number."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    make_sample_film(path, width=320, height=180, duration_sec=FILM_SEC, bitrate_bps=300_000)
    return path


@pytest.fixture(scope="session")
def cluster(film_path: Path) -> Iterator[EmbeddedCluster]:
    """Three unequal nodes that hold the film twice."""
    with (
        tempfile.TemporaryDirectory(prefix="vc-", dir="/tmp") as folder,
        EmbeddedCluster(3, folder, LINKS) as running,
    ):
        for name in (FILM, OTHER):
            arguments = ["--id", name, "--title", f"The {name}", "--chunk-duration", "4"]
            running.run("add", str(film_path), *arguments)
        yield running


@pytest.fixture
def standing(cluster: EmbeddedCluster) -> Iterator[Standing]:
    """A stack with a dashboard; every node is well before and after."""
    with Viewer(cluster.metadata_url) as viewer:
        try:
            yield Standing(viewer)
        finally:
            for node in cluster.state.nodes:
                cluster.set_fault(node.id, "none")


@pytest.fixture
def page(browser: Browser, standing: Standing) -> Iterator[Page]:
    """The dashboard's page; an error of its scripts, or a request to another host, fails the test."""
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    opened.set_default_timeout(20_000)
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    foreign: list[str] = []
    opened.on(
        "request",
        lambda sent: (
            None
            if sent.url.startswith((standing.url, "blob:", "data:"))
            else foreign.append(sent.url)
        ),
    )
    opened.goto(standing.url)
    yield opened
    opened.close()
    assert (errors, foreign) == ([], [])
