"""The card that compares policies: a button, a table, a chart, words for everybody."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.accessibility import findings
from tests.browser.conftest import FILM
from tests.browser.test_access import SIDEWAYS, WIDTHS
from tests.needs import needs
from tests.standing import Standing

pytestmark = [needs("chromium"), pytest.mark.timeout(120)]


def test_the_button_gives_a_table_and_a_chart_and_nobody_is_kept_out(
    page: Page, standing: Standing
) -> None:
    assert standing.viewer.play(FILM, "--no-pace").finish().code == 0
    status, button = page.locator("#compare-status"), page.locator("#compare-button")
    expect(status).to_have_text("Not simulated yet.")
    expect(page.locator("#compare-result")).to_be_hidden()
    expect(button).to_be_enabled()
    button.focus()
    page.keyboard.press("Enter")
    expect(status).to_contain_text("Simulated: deadline waits", timeout=60_000)
    rows = page.locator("#compare-rows tr")
    names = [
        "measured: deadline",
        "simulated: deadline",
        "simulated: score",
        "simulated: round robin",
    ]
    for row, name in zip(rows.all(), names, strict=True):
        expect(row.locator("th[scope='row'] span")).to_have_text(name)
        expect(row.locator("td").first).to_contain_text(" s")
    expect(page.locator("#compare-note")).to_contain_text("A simulation of")
    expect(page.locator("#compare-note")).to_contain_text("% of the nodes’ time was measured")
    expect(page.locator("#compare-chart canvas")).to_be_visible()
    label = page.locator("#compare-chart").get_attribute("aria-label")
    assert label is not None
    assert "round robin" in label
    for width in WIDTHS.values():
        page.set_viewport_size({"width": width, "height": 850})
        assert findings(page) == [], width
        assert page.evaluate(SIDEWAYS) == 0, width
    page.reload()
    expect(rows).to_have_count(4)
