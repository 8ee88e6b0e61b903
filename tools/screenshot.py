"""Make the pictures of the dashboard in docs/images: play the sample film, let its best node die, photograph the page.

    python tools/screenshot.py [FOLDER]

Needs Chromium (`CHROMIUM` names another program) and the development requirements.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

PROJECT_DIR = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT_DIR))

from PIL import Image  # noqa: E402
from playwright.sync_api import FloatRect, Page  # noqa: E402

from tools.stage import chromium, playing  # noqa: E402

TARGET = PROJECT_DIR / "docs" / "images"
WIDTH, HEIGHT = 1280, 900
PHONE = {"width": 390, "height": 844}
MAX_BYTES = 300_000
CHUNKS_BEFORE_FAULT = 4
# Curves that show something.
SETTLE_MS = 30_000
# The page draws itself anew every second.
DRAWN_MS = 1500
BEST = 1
PLAYS = "() => document.getElementById('film').currentTime > 0.5"
SUSPENDED_AND_READING = """() =>
  document.querySelector(".state[data-state='suspended']") && document.querySelector("#chunk-strip .cell[data-state='flight'][data-retried]")"""


def main(arguments: list[str]) -> int:
    """Make the pictures; return the exit code."""
    folder = Path(arguments[0]).absolute() if arguments else TARGET
    folder.mkdir(parents=True, exist_ok=True)
    code = 0
    for name, picture in _pictures().items():
        target = folder / f"{name}.png"
        packed = _packed(picture)
        target.write_bytes(packed)
        print(f"{target}: {len(packed)} bytes")
        if len(packed) > MAX_BYTES:
            print(f"screenshot: {name}: more than {MAX_BYTES} bytes", file=sys.stderr)
            code = 1
    return code


def _pictures() -> dict[str, bytes]:
    found = {}
    with playing() as stage, chromium() as browser:
        page = browser.new_page(
            viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="dark", device_scale_factor=1
        )
        page.goto(stage.address)
        page.click("#watch-button")
        page.wait_for_function(PLAYS)
        stage.wait_for_chunks(CHUNKS_BEFORE_FAULT)
        stage.store.set_fault(BEST, "down")
        page.wait_for_function(SUSPENDED_AND_READING, timeout=60_000)
        _look_at(page, ".cell[data-retried]")
        found["dashboard-fault"] = _cards(page, "#chunk-story", "#node-table")
        stage.store.set_fault(BEST, "none")
        page.wait_for_timeout(SETTLE_MS)
        _look_at(page, ".cell[data-retried]")
        found["dashboard"] = page.screenshot(clip=_down_to(page, "#rate-chart"), full_page=True)
        page.emulate_media(color_scheme="light")
        page.wait_for_timeout(DRAWN_MS)
        found["dashboard-light"] = page.screenshot(full_page=True)
        page.set_viewport_size({"width": PHONE["width"], "height": PHONE["height"]})
        page.wait_for_timeout(DRAWN_MS)
        found["dashboard-phone"] = page.screenshot(
            clip=_down_to(page, "#chunk-story"), full_page=True
        )
    return found


def _look_at(page: Page, cell: str) -> None:
    """Tell the story of the first chunk of this kind, and leave the focus out of the picture."""
    page.locator(f"#chunk-strip {cell}").first.click()
    page.locator("#story-lines li").first.wait_for()
    page.wait_for_timeout(500)
    page.mouse.move(0, 0)
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")


def _down_to(page: Page, selector: str) -> FloatRect:
    """Return the part of the page that ends with the card of an element."""
    bottom = page.evaluate(
        "(s) => document.querySelector(s).closest('.card').getBoundingClientRect().bottom + scrollY",
        selector,
    )
    return {"x": 0, "y": 0, "width": page.evaluate("innerWidth"), "height": bottom + 12}


def _cards(page: Page, *selectors: str) -> bytes:
    """Return the cards of these elements, one below the other."""
    pictures = [
        Image.open(
            io.BytesIO(page.locator(".card", has=page.locator(selector)).screenshot())
        ).convert("RGB")
        for selector in selectors
    ]
    gap = 14
    size = (max(p.width for p in pictures), sum(p.height for p in pictures) + gap)
    whole = Image.new("RGB", size, pictures[0].getpixel((0, 0)))
    y = 0
    for picture in pictures:
        whole.paste(picture, (0, y))
        y += picture.height + gap
    out = io.BytesIO()
    whole.save(out, "PNG")
    return out.getvalue()


def _packed(picture: bytes) -> bytes:
    """Return the picture with 256 colours, which take a third of the bytes."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    out = io.BytesIO()
    image.quantize(256, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
    return out.getvalue()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
