"""What axe-core finds in a page: what keeps people out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playwright.sync_api import Page

AXE = Path(__file__).parent / "vendor" / "axe.min.js"
HOW_TO_GET_IT = "axe-core is missing: `make setup-dev`, or `python tools/frontend.py --tests`"
RUN = """async () => {
  const found = await axe.run(document, { resultTypes: ["violations"] });
  const words = (node) => node.html.slice(0, 200) + " " + (node.any[0]?.message ?? "");
  return found.violations.map((v) => ({ id: v.id, impact: v.impact, nodes: v.nodes.map(words) }));
}"""


def findings(page: Page) -> list[dict[str, Any]]:
    """Return what is serious or critical."""
    assert AXE.is_file(), HOW_TO_GET_IT
    # The debugger's protocol evaluates it; the page's own policy would rightly refuse a script tag.
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = page.evaluate(RUN)
    return [v for v in found if v["impact"] in ("serious", "critical")]
