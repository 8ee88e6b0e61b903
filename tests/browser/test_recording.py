"""A recording in the page: nothing to play, everything to see, and nothing that grows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from client.recording.values import ChunkChanges
from tests.browser.accessibility import findings
from tests.browser.conftest import FILM, FILM_SEC
from tests.browser.test_access import MAX_PAGE_BYTES
from tests.needs import needs
from tests.process.support import Viewer, free_port
from tests.recordings import STARTED_UNIX_SEC, a_recording
from tests.standing import Standing
from tests.status_builders import (
    NODE_A,
    NODE_B,
    a_chunk,
    a_load,
    a_range,
    a_session,
    an_event,
    scheduler_status,
)
from tools.stage import Transferred

pytestmark = [needs("chromium"), pytest.mark.timeout(120)]

LONG_SEC = 2 * 3600
LONG_CHUNKS = 10_000
VENDOR = Path(__file__).resolve().parents[2] / "dashboard" / "static" / "vendor"
# The page, its styles and scripts with their heads, about half as much again as they take.
OUR_FILES_BYTES = 80_000
# What the modules of the page hold; a module is the same one for all who import it.
HELD = """async () => {
  const [history, chunks] = await Promise.all([import("/static/history.js"), import("/static/chunks.js")]);
  return { ...history.historySize(), ...chunks.mapSize(), elements: document.querySelectorAll("*").length };
}"""


@pytest.fixture
def viewer() -> Iterator[Viewer]:
    with Viewer() as made:
        yield made


@pytest.fixture
def empty_page(browser: Browser) -> Iterator[Page]:
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    yield opened
    opened.close()
    assert errors == []


def show(viewer: Viewer, page: Page, recording: Path, *arguments: str) -> None:
    """Replay a recording, and open its page."""
    port = free_port()
    viewer.settings["DASHBOARD_PORT"] = str(port)
    shown = viewer.play("--replay", str(recording), *arguments)
    shown.wait_for(f"Dashboard: http://localhost:{port}")
    page.goto(f"http://127.0.0.1:{port}")


def test_a_recording_is_shown_without_what_plays_films(
    empty_page: Page, standing: Standing, tmp_path: Path
) -> None:
    recording = tmp_path / "short.vsrec"
    made = standing.viewer.play(FILM, "--no-pace", "--record", str(recording)).finish()
    assert made.code == 0
    show(standing.viewer, empty_page, recording, "--replay-speed", "100")
    expect(empty_page.locator("#notice")).to_contain_text("this is its end")
    expect(empty_page.locator("#connection-state")).to_have_text("recording")
    for hidden in ("#choose-form", "#film-section", "#watch-button"):
        expect(empty_page.locator(hidden)).to_be_hidden()
    for off in ("#pause-button", "#stop-button", "#seek"):
        expect(empty_page.locator(off)).to_be_disabled()
    cells = empty_page.locator(".strip .cell[data-state='played']")
    expect(cells).to_have_count(FILM_SEC // 4)
    cells.first.focus()
    expect(empty_page.locator("#chunk-detail")).to_contain_text("checksum matches")
    expect(empty_page.locator("#story-seek")).to_be_disabled()
    empty_page.click("#compare-button")
    expect(empty_page.locator("#compare-status")).to_contain_text("Simulated:", timeout=60_000)
    assert findings(empty_page) == []


def two_hours() -> bytes:
    """Return a recording of a film of ten thousand chunks, two hours of it played."""
    items: list[tuple[float, Any]] = []
    for second in range(LONG_SEC):
        number = second * LONG_CHUNKS // LONG_SEC
        session = a_session(
            total_chunks=LONG_CHUNKS,
            duration_sec=float(LONG_SEC),
            current_sequence_num=number,
            playhead_sec=float(second),
            buffer_level_sec=15 + second % 20,
            started_unix_sec=STARTED_UNIX_SEC,
        )
        fetched = a_range(sequence_num=number, chunk_id=f"c{number}")
        loads = (a_load(NODE_A, received_bytes=second * 250_000), a_load(NODE_B))
        items.append((second, session))
        items.append((second, scheduler_status(in_flight=(fetched,), nodes=loads)))
        chunk = a_chunk(number, {NODE_A: 1_500_000, NODE_B: 500_000}, state="played")
        changes = ChunkChanges(session_id="s1", total_chunks=LONG_CHUNKS, changed=(chunk,), gone=())
        items.append((second, changes))
        if second % 10 == 0:
            items.append((second, an_event(f"event {second}")))
    return a_recording(*items, per_block=1000)


def test_two_hours_of_ten_thousand_chunks_take_a_bounded_place(
    empty_page: Page, viewer: Viewer, tmp_path: Path
) -> None:
    recording = tmp_path / "long.vsrec"
    recording.write_bytes(two_hours())
    show(viewer, empty_page, recording, "--replay-speed", "300")
    expect(empty_page.locator("#chunk-strip li").first).to_be_visible()
    early = empty_page.evaluate(HELD)
    expect(empty_page.locator("#notice")).to_contain_text("breaks off", timeout=60_000)
    held = empty_page.evaluate(HELD)
    assert 3500 < held["samples"] < 3660 + 1
    assert held["columns"] <= 7
    assert held["cells"] <= 64
    assert held["chunks"] <= LONG_CHUNKS
    assert held["elements"] < early["elements"] + 900, "of which the log is 800"
    assert empty_page.locator("#event-log li").count() == 200
    expect(empty_page.locator("#chunk-overview")).to_be_visible()
    empty_page.focus(".cell[tabindex='0']")
    empty_page.keyboard.press("End")
    expect(empty_page.locator("#chunk-detail")).to_contain_text(f"Chunk {LONG_CHUNKS - 1}")
    assert findings(empty_page) == []
    transferred = Transferred(empty_page)
    empty_page.reload()
    expect(empty_page.locator("#chunk-strip li").first).to_be_visible()
    empty_page.wait_for_function(f"async () => ({HELD})().then((held) => held.samples > 3500)")
    expect(empty_page.locator("#event-log li")).to_have_count(200)
    # The libraries come from the browser's cache here: their part is known from their files.
    libraries = sum(path.stat().st_size for path in VENDOR.glob("*.gz"))
    assert transferred.open_bytes > 10_000
    assert transferred.open_bytes + libraries + OUR_FILES_BYTES < MAX_PAGE_BYTES
