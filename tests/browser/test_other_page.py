"""A page that is not ours, from another port, plays the stream with hls.js alone."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from playwright.sync_api import Browser

from tests.browser.conftest import FILM, FILM_SEC
from tests.needs import needs
from tests.standing import Standing

pytestmark = [needs("chromium", "ffprobe"), pytest.mark.timeout(120)]

ROOT = Path(__file__).resolve().parents[2]
PAGE = """<!doctype html><meta charset="utf-8"><title>Another page</title><link rel="icon" href="data:,">
<video muted></video><script src="hls.light.min.js"></script><script>
  const video = document.querySelector("video");
  const [errors, times] = [[], []];
  const player = new Hls();
  player.on(Hls.Events.ERROR, (_, what) => errors.push(what.details));
  video.addEventListener("timeupdate", () => times.push(video.currentTime));
  player.loadSource(new URLSearchParams(location.search).get("film"));
  player.attachMedia(video);
</script>"""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """The address of the other page."""
    (tmp_path / "index.html").write_text(PAGE)
    library = "hls.light.min.js"
    vendor = ROOT / "dashboard" / "static" / "vendor"
    (tmp_path / library).write_bytes((vendor / library).read_bytes())
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path))) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def test_a_page_of_somebody_else_plays_the_whole_film(
    browser: Browser, standing: Standing, site: str
) -> None:
    session_id = standing.play(FILM)
    url = standing.stream_url(session_id)
    probed = subprocess.run(
        ["ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", url],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    page = browser.new_page()
    try:
        page.goto(f"{site}?film={url}")
        page.wait_for_function("() => video.readyState > 2")
        page.evaluate("() => { video.playbackRate = 4; return video.play(); }")
        page.wait_for_function("() => video.ended", timeout=60_000)
        errors, times, duration_sec = page.evaluate("() => [errors, times, video.duration]")
    finally:
        page.close()
    assert errors == []
    assert times == sorted(times)
    assert times[-1] == pytest.approx(FILM_SEC, abs=0.08)
    assert probed.stderr == ""
    assert float(probed.stdout) == pytest.approx(duration_sec, abs=0.04)
    found = standing.status(session_id)
    assert found["buffer_stats"]["rebuffering_events"] == 0
