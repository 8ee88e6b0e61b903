"""Chunks that nobody has: the film in the page goes on behind them."""

from __future__ import annotations

import pytest
import requests
from playwright.sync_api import Page, expect

from cluster import EmbeddedCluster
from tests.browser.conftest import FILM_SEC
from tests.browser.test_film import assert_picture_fits, film, run, status, until
from tests.needs import needs
from tests.standing import Standing
from tests.waiting import wait_until

pytestmark = [needs("chromium"), pytest.mark.timeout(120)]

HOLED = "holed"
CHUNK_SEC = 4
IN_THE_MIDDLE, AT_THE_END = 2, FILM_SEC // CHUNK_SEC - 1


@pytest.fixture(scope="module", autouse=True)
def holed(cluster: EmbeddedCluster, film_path: object) -> None:
    """A video of which two chunks are on no node."""
    cluster.run("add", str(film_path), "--id", HOLED, "--chunk-duration", str(CHUNK_SEC))
    chunks = cluster.manifest(HOLED)["chunks"]
    for number in (IN_THE_MIDDLE, AT_THE_END):
        for url in cluster.node_urls:
            address = f"{url}/chunk/{chunks[number]['chunk_id']}"
            requests.delete(address, timeout=5).raise_for_status()


def test_the_page_goes_over_chunks_that_are_skipped_after_the_playlist_was_read(
    page: Page, standing: Standing
) -> None:
    playing = standing.viewer.play(HOLED, "--on-missing", "skip")
    page.click("#watch-button")
    until(page, "!film.paused && film.readyState > 2")
    assert film(page, "film.currentTime") < IN_THE_MIDDLE * CHUNK_SEC
    until(page, f"film.currentTime > {(IN_THE_MIDDLE + 1) * CHUNK_SEC} && film.readyState > 2")
    assert film(page, "film.dataset.holes") == "1"
    run(page, "film.pause()")
    until(page, "!film.seeking && film.readyState > 1")
    assert_picture_fits(page)
    expect(page.locator(f'.cell[data-number="{IN_THE_MIDDLE}"]')).to_have_attribute(
        "data-state", "missing"
    )
    errors = page.locator("#film-errors li").all_text_contents()
    # Once, and perhaps once more when the player begins to load behind the hole.
    assert len([text for text in errors if "fragLoad" in text]) <= 2, errors
    run(page, "film.play()")
    wait_until(lambda: status(standing)["outcome"] == "holes", 40)
    assert playing.finish().code == 9
    assert status(standing)["buffer_stats"]["missing_chunks"] == 2
