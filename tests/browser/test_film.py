"""The film plays in the page: watched through, controlled, reloaded, with a node down and the dashboard restarted."""

from __future__ import annotations

import base64
from functools import partial
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from cluster import EmbeddedCluster
from cluster.sample import read_frame_number
from tests.browser.conftest import FILM, FILM_SEC, OTHER
from tests.needs import needs
from tests.process.support import delivering
from tests.standing import Standing
from tests.waiting import wait_until

pytestmark = [needs("chromium"), pytest.mark.timeout(120)]

FPS = 25
# What the page draws of the picture it shows, as raw colours; and the time it says it is.
PICTURE = """() => {
  const film = document.getElementById("film");
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [film.videoWidth, film.videoHeight];
  const context = canvas.getContext("2d");
  context.drawImage(film, 0, 0);
  const bytes = context.getImageData(0, 0, canvas.width, canvas.height).data;
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return { at: film.currentTime, width: canvas.width, height: canvas.height, bytes: btoa(text) };
}"""


def watch(page: Page, video_id: str = FILM, start_at: str = "") -> None:
    """Choose a video in the page and wait until it plays."""
    page.select_option("#video-select", video_id)
    page.fill("#start-at", start_at)
    page.click("#choose-form button")
    page.wait_for_function(
        "() => { const f = document.getElementById('film'); return !f.paused && f.readyState > 2; }"
    )


def film(page: Page, expression: str) -> Any:
    """Return the value of an expression on the video element, `film`."""
    return page.evaluate(
        f"() => {{ const film = document.getElementById('film'); return {expression}; }}"
    )


def run(page: Page, statement: str) -> None:
    """Do something with the video element, `film`, as its own controls would."""
    page.evaluate(f"() => {{ const film = document.getElementById('film'); {statement}; }}")


def until(page: Page, condition: str) -> None:
    """Wait for a condition on the video element, `film`."""
    page.wait_for_function(
        f"() => {{ const film = document.getElementById('film'); return {condition}; }}"
    )


def shown_frame(page: Page) -> tuple[int, float]:
    """Return the number in the picture that is shown, and the time the player says it is."""
    found = page.evaluate(PICTURE)
    pixels = np.frombuffer(base64.b64decode(found["bytes"]), np.uint8)
    rgba = pixels.reshape(found["height"], found["width"], 4)
    return read_frame_number(rgba[:, :, :3]), float(found["at"])


def assert_picture_fits(page: Page) -> None:
    """The picture shown is the one of that moment, give or take two."""
    number, at_sec = shown_frame(page)
    assert abs(number / FPS - at_sec) <= 2.5 / FPS, (number, at_sec)


def seek(page: Page, position_sec: float) -> None:
    run(page, f"film.currentTime = {position_sec}")
    until(
        page,
        f"!film.seeking && film.readyState > 2 && Math.abs(film.currentTime - {position_sec}) < 3",
    )


def status(standing: Standing) -> Any:
    return standing.get("/api/status")


def is_at(standing: Standing, position_sec: float) -> bool:
    """Tell whether the playhead is there, or a little further."""
    return bool(abs(status(standing)["buffer"]["playhead_sec"] - position_sec) < 3)


def test_the_film_plays_from_start_to_end(page: Page, standing: Standing) -> None:
    watch(page)
    page.select_option("#speed", "4")
    times = [0.0]
    for at_sec in (5, 13, 21):
        until(page, f"film.currentTime > {at_sec}")
        run(page, "film.pause()")
        until(page, "!film.seeking && film.readyState > 1")
        assert_picture_fits(page)
        times.append(film(page, "film.currentTime"))
        run(page, "film.play()")
    until(page, "film.ended")
    times.append(film(page, "film.currentTime"))
    assert times == sorted(times)
    assert times[-1] == pytest.approx(FILM_SEC, abs=2 / FPS)
    assert film(page, "film.duration") == pytest.approx(FILM_SEC, abs=1 / FPS)
    assert film(page, "[film.dataset.errors, film.dataset.stalls]") == ["0", "0"]
    wait_until(lambda: status(standing)["outcome"] == "played")
    found = status(standing)
    assert found["buffer_stats"]["rebuffering_events"] == 0
    assert (found["player"]["stalls"], found["player"]["error"]) == (0, "")


def test_pause_seeks_another_video_and_stop(page: Page, standing: Standing) -> None:
    watch(page, start_at="0:06")
    assert film(page, "film.currentTime") >= 6
    wait_until(lambda: status(standing)["state"] == "playing")
    run(page, "film.pause()")
    wait_until(lambda: status(standing)["state"] == "paused")
    expect(page.locator("#pause-button")).to_have_text("Resume")
    page.click("#pause-button")
    until(page, "!film.paused")
    wait_until(lambda: status(standing)["state"] == "playing")
    for position_sec in (20, 2, 12):
        seek(page, position_sec)
        wait_until(partial(is_at, standing, position_sec))
    run(page, "film.pause()")
    assert_picture_fits(page)
    assert status(standing)["buffer_stats"]["rebuffering_events"] == 0
    first = status(standing)["session_id"]
    watch(page, OTHER)
    wait_until(lambda: status(standing)["video_id"] == OTHER)
    wait_until(lambda: not standing.status(first)["live"])
    expect(page.locator("#video-title")).to_have_text(f"The {OTHER}")
    page.click("#stop-button")
    wait_until(lambda: status(standing)["outcome"] == "stopped")
    until(page, "film.paused")


def test_the_playhead_obeys_commands_from_elsewhere(page: Page, standing: Standing) -> None:
    watch(page)
    session_id = status(standing)["session_id"]
    assert standing.post(
        "/api/control", {"action": "seek", "position_sec": 16, "session_id": session_id}
    )["ok"]
    until(page, "film.currentTime >= 16 && !film.seeking")
    assert standing.post("/api/control", {"action": "pause", "session_id": session_id})["ok"]
    until(page, "film.paused")
    assert standing.post("/api/control", {"action": "resume", "session_id": session_id})["ok"]
    until(page, "!film.paused && film.currentTime > 16.5")


def test_a_reload_in_the_middle_goes_on_there(page: Page, standing: Standing) -> None:
    watch(page, start_at="8")
    until(page, "film.currentTime > 9")
    wait_until(lambda: status(standing)["buffer"]["playhead_sec"] > 9)
    page.reload()
    until(page, "!film.paused && film.readyState > 2 && film.currentTime > 9")
    assert_picture_fits(page)
    assert len(status(standing)["sessions"]) == 1


def test_with_a_node_down_the_film_goes_on(
    page: Page, standing: Standing, cluster: EmbeddedCluster
) -> None:
    cluster.set_fault(1, "down")
    watch(page)
    page.select_option("#speed", "4")
    until(page, "film.ended")
    assert film(page, "[film.dataset.errors, film.dataset.stalls]") == ["0", "0"]
    wait_until(lambda: status(standing)["outcome"] == "played")
    expect(page.locator("#event-log")).to_contain_text("suspended")
    down = cluster.node_urls[0]
    chunks = standing.get("/api/chunks")
    assert down not in chunks["bytes_by_node"]
    expect(page.locator("#chunk-strip li")).to_have_count(FILM_SEC // 4)


def test_a_node_killed_in_the_middle_shows_in_the_log_and_on_the_map_and_the_film_goes_on(
    page: Page, standing: Standing, cluster: EmbeddedCluster
) -> None:
    # All are slow until then, so that the film is not long here when the node goes.
    for node in (1, 2, 3):
        cluster.set_fault(node, "slow")
    page.select_option("#video-select", FILM)
    page.click("#choose-form button")
    with delivering(cluster, 1, standing.dashboard):
        cluster.set_fault(1, "down")
    for node in (2, 3):
        cluster.set_fault(node, "none")
    until(page, "!film.paused && film.readyState > 2")
    expect(page.locator("#event-log")).to_contain_text("suspended")
    retried = page.locator("#chunk-strip .cell[data-retried]")
    expect(retried).not_to_have_count(0)
    retried.first.click()
    expect(page.locator("#story-lines .bad").first).to_contain_text(cluster.node_urls[0][7:])
    expect(page.locator("#chunk-detail")).to_contain_text("checksum matches")
    wait_until(
        lambda: status(standing)["buffer_stats"]["total_chunks_buffered"] == FILM_SEC // 4, 20
    )
    page.select_option("#speed", "4")
    until(page, "film.ended")
    assert film(page, "film.dataset.stalls") == "0"
    wait_until(lambda: status(standing)["outcome"] == "played")


def test_the_page_comes_back_to_a_dashboard_that_was_killed(page: Page, standing: Standing) -> None:
    watch(page)
    standing.dashboard.process.kill()
    standing.dashboard.process.wait()
    expect(page.locator("#connection-state")).to_have_text("reconnecting")
    standing.start_dashboard()
    expect(page.locator("#connection-state")).to_have_text("live", timeout=30_000)
    before = film(page, "film.currentTime")
    until(page, f"!film.paused && film.currentTime > {before} + 0.5")
    assert film(page, "film.dataset.stalls") == "0"


def test_a_session_of_the_terminal_can_be_watched(page: Page, standing: Standing) -> None:
    playing = standing.viewer.play(FILM)
    expect(page.locator("#watch-button")).to_be_visible()
    page.click("#watch-button")
    until(page, "!film.paused && film.readyState > 2")
    wait_until(lambda: status(standing)["player"]["followed"])
    seek(page, 20)
    assert playing.finish().code == 0
