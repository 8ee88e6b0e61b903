"""`--player browser` plays in the page that it names; the page leaves what another player shows alone."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import FILM, OTHER
from tests.needs import needs
from tests.standing import Standing
from tests.waiting import wait_until

pytestmark = [needs("chromium"), pytest.mark.timeout(120)]
PLAYS = "() => { const f = document.getElementById('film'); return !f.paused && f.readyState > 2; }"


def test_the_page_that_is_named_plays_the_film_of_the_command(
    page: Page, standing: Standing
) -> None:
    playing = standing.viewer.play(FILM, "--player", "browser")
    playing.wait_for("Watch: ")
    address = playing.out.partition("Watch: ")[2].split()[0]
    # Another film begins later: the page shows the one it was opened for.
    other = standing.play(OTHER)
    page.goto(address.replace("localhost", "127.0.0.1"))
    page.wait_for_function(PLAYS)
    page.select_option("#speed", "4")
    assert playing.finish().code == 0
    assert standing.status(other)["live"]


def test_a_film_that_another_player_shows_is_left_to_it(page: Page, standing: Standing) -> None:
    page.goto("about:blank")
    session_id = standing.play(FILM)
    standing.say(session_id, "playing", 1)
    page.goto(f"{standing.url}/?session={session_id}")
    expect(page.locator("#film-note")).to_contain_text("plays in another player")
    assert page.evaluate("document.getElementById('film').readyState") == 0
    # Once that is gone, it plays here.
    wait_until(lambda: not standing.status(session_id)["player"]["followed"])
    page.wait_for_function(PLAYS)
