"""Chunks that are coded: the page tells of their fragments."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from cluster import EmbeddedCluster
from tests.browser.test_film import until, watch
from tests.needs import needs
from tests.process.support import LINKS, Viewer
from tests.standing import Standing

pytestmark = [needs("chromium"), pytest.mark.timeout(120)]

CODED = "coded"
DATA_FRAGMENTS, FRAGMENTS = 3, 5


def test_a_coded_chunk_tells_which_bytes_of_which_fragment_each_node_brought(
    browser: Browser, film_path: Path
) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="vc-", dir="/tmp") as folder,
        EmbeddedCluster(FRAGMENTS, folder, (*LINKS, *LINKS[:2])) as cluster,
        Viewer(cluster.metadata_url) as viewer,
    ):
        arguments = ("--id", CODED, "--redundancy", "erasure_coding", "--chunk-duration", "4")
        cluster.run("add", str(film_path), *arguments)
        standing = Standing(viewer)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(standing.url)
        watch(page, CODED)
        until(page, "film.currentTime > 1")
        page.focus(".cell[tabindex='0']")
        page.keyboard.press("Home")
        expect(page.locator("#chunk-detail")).to_contain_text("checksum matches")
        expect(page.locator("#chunk-detail")).to_contain_text("three of five fragments")
        expect(page.locator("#story-lanes .lane")).to_have_count(FRAGMENTS)
        story = standing.get("/api/chunks/0")
        page.close()
    spans: dict[int, int] = {}
    for piece in story["ranges"]:
        size = piece["end_bytes"] - piece["start_bytes"]
        spans[piece["part"]] = spans.get(piece["part"], 0) + size
    assert spans.keys() <= set(range(FRAGMENTS))
    # Enough for every position, and little more.
    fragment_bytes = -(-story["size_bytes"] // DATA_FRAGMENTS)
    assert sum(spans.values()) >= DATA_FRAGMENTS * fragment_bytes
    assert max(piece["end_bytes"] for piece in story["ranges"]) <= fragment_bytes
    assert any(attempt["part"] >= 0 for attempt in story["attempts"])
