"""The page for everybody: found sound by axe-core, wide enough for phones, and all of it by keyboard."""

from __future__ import annotations

from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.accessibility import findings
from tests.browser.conftest import FILM, OTHER
from tests.browser.test_film import film, status, until, watch
from tests.needs import needs
from tests.standing import Standing
from tests.waiting import wait_until
from tools.stage import Transferred

pytestmark = [needs("chromium"), pytest.mark.timeout(120)]

# All that comes before a film plays.
MAX_PAGE_BYTES = 400_000
WIDTHS = {"desk": 1280, "phone": 390}
SIDEWAYS = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_is_found_and_nothing_runs_out_of_the_page(
    page: Page, standing: Standing, scheme: Literal["light", "dark"]
) -> None:
    page.emulate_media(color_scheme=scheme)
    expect(page.locator("#empty-state")).to_be_visible()
    assert findings(page) == []
    watch(page)
    expect(page.locator("#node-rows tr")).to_have_count(3)
    page.focus(".cell[tabindex='0']")
    expect(page.locator("#story-lines li").first).to_be_visible()
    for width in WIDTHS.values():
        page.set_viewport_size({"width": width, "height": 850})
        assert findings(page) == [], width
        assert page.evaluate(SIDEWAYS) == 0, width


def press_until(page: Page, key: str, selector: str) -> None:
    """Press a key until an element has the focus."""
    for _ in range(80):
        if page.evaluate("(s) => document.activeElement?.matches(s) ?? false", selector):
            return
        page.keyboard.press(key)
    raise AssertionError(f"{selector} cannot be reached with {key}")


def test_the_keyboard_alone_does_everything(page: Page, standing: Standing) -> None:
    expect(page.locator("#choose-form")).to_be_visible()
    press_until(page, "Tab", "#video-select")
    # Typing chooses, as everywhere.
    page.keyboard.type("The other")
    press_until(page, "Tab", "#choose-form button")
    page.keyboard.press("Enter")
    until(page, "!film.paused && film.readyState > 2")
    wait_until(lambda: status(standing)["video_id"] == OTHER)
    press_until(page, "Tab", "#pause-button")
    page.keyboard.press("Enter")
    until(page, "film.paused")
    expect(page.locator("#pause-button")).to_have_text("Resume")
    page.keyboard.press("Enter")
    until(page, "!film.paused")
    press_until(page, "Shift+Tab", "#seek")
    page.keyboard.press("End")
    for _ in range(4):
        page.keyboard.press("ArrowLeft")
    until(page, "!film.seeking && film.currentTime >= 18")
    # It plays on meanwhile, to its end if need be.
    wait_until(lambda: standing.get("/api/status")["buffer"]["playhead_sec"] >= 17)
    press_until(page, "Tab", ".cell")
    page.keyboard.press("Home")
    expect(page.locator("#chunk-detail")).to_contain_text("Chunk 0")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#chunk-detail")).to_contain_text("Chunk 1")
    expect(page.locator(".cell:focus")).to_have_attribute("data-number", "1")
    press_until(page, "Tab", "#story-seek")
    page.keyboard.press("Enter")
    until(page, "!film.seeking && film.currentTime < 8")
    press_until(page, "Tab", "[data-span='3600']")
    page.keyboard.press("Enter")
    expect(page.locator("[data-span='3600']")).to_have_attribute("aria-pressed", "true")
    press_until(page, "Tab", "#level-chart")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#level-readout")).to_contain_text("ahead")
    press_until(page, "Shift+Tab", "#stop-button")
    page.keyboard.press("Enter")
    wait_until(lambda: status(standing)["outcome"] == "stopped")
    watch(page, FILM)
    expect(page.locator("#session-choice")).to_be_visible()
    press_until(page, "Shift+Tab", "#session-select")
    page.keyboard.press("End")
    expect(page.locator("#video-title")).to_have_text("The other")


def test_the_story_of_a_chunk_names_its_nodes_and_its_checksum(
    page: Page, standing: Standing
) -> None:
    watch(page)
    until(page, "film.currentTime > 1")
    page.focus(".cell[tabindex='0']")
    page.keyboard.press("Home")
    detail = page.locator("#chunk-detail")
    expect(detail).to_contain_text("checksum matches")
    story = standing.get("/api/chunks/0")
    ends = sorted((r["start_bytes"], r["end_bytes"]) for r in story["ranges"])
    assert ends[0][0] == 0
    assert [end for _, end in ends[:-1]] == [start for start, _ in ends[1:]]
    assert ends[-1][1] == story["size_bytes"]
    for source in story["sources"]:
        expect(detail).to_contain_text(source["node_url"].removeprefix("http://"))
    assert page.locator("#story-lanes .lane").count() == 1
    assert film(page, "film.dataset.stalls") == "0"


def test_the_page_is_small_and_asks_no_other_host(browser: Browser, standing: Standing) -> None:
    """Everything that comes before a film plays, as it is transferred."""
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    transferred = Transferred(opened)
    asked: list[str] = []
    opened.on("request", lambda sent: asked.append(sent.url))
    opened.goto(standing.url)
    expect(opened.locator("#connection-state")).to_have_text("live")
    expect(opened.locator("#choose-form")).to_be_visible()
    size_bytes, streamed_bytes = transferred.size_bytes, transferred.open_bytes
    opened.close()
    assert [url for url in asked if not url.startswith(standing.url)] == []
    assert streamed_bytes > 0, "the event stream counts, too"
    assert 100_000 < size_bytes < MAX_PAGE_BYTES
