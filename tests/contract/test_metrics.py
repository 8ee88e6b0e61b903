"""docs/operations.md lists the metrics that there are, and Grafana's panels and the alerts ask for no others.

Run as a program it writes the list of docs/operations.md anew.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

from dashboard.metrics import GROUPS, MAX_NODES, MAX_SESSIONS, MAX_WORKERS  # noqa: E402
from tests.metric_samples import a_full_feed, values_of  # noqa: E402

OPERATIONS = ROOT / "docs" / "operations.md"
GRAFANA = ROOT / "docs" / "grafana-dashboard.json"
BEGIN = "<!-- metrics: generated from the dashboard's figures by `python tests/contract/test_metrics.py` -->"
END = "<!-- end of metrics -->"
METRIC = re.compile(r"\bvstack_\w+")
# Every series has these from the scraper.
SCRAPED_LABELS = {"job", "instance"}
# Labels in matchers, in `by (...)` and `on (...)`, and in legends.
MATCHER = re.compile(r"[{,]\s*(\w+)\s*[=!]")
LABEL_LIST = re.compile(r"\b(?:by|on) \(([^)]*)\)")
LEGEND_LABEL = re.compile(r"\{\{\s*(\w+)\s*\}\}")


def metrics_list() -> str:
    """Return the list as it must stand in the document."""
    lines = [
        f"At most {MAX_SESSIONS} live sessions are shown, the newest, {MAX_NODES} nodes, those with work first, "
        f"and {MAX_WORKERS} workers.",
        "",
        "| metric | type | labels | meaning |",
        "|---|---|---|---|",
    ]
    for group in GROUPS:
        for figure in group.figures:
            kind = "counter" if figure.name.endswith("_total") else "gauge"
            labels = (*group.labels, figure.label) if figure.label else group.labels
            named = ", ".join(f"`{label}`" for label in labels)
            lines.append(f"| `{figure.name}` | {kind} | {named} | {figure.text.rstrip('.')} |")
    return "\n".join(lines)


def with_metrics(text: str) -> str:
    """Return `text` with the list between its markers made anew."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{metrics_list()}\n{END}{rest.partition(END)[2]}"


def exported() -> dict[str, set[str]]:
    """Return the labels of every metric that a stack with something to say really exports."""
    labels: dict[str, set[str]] = {}
    for name, of_sample in values_of(a_full_feed()):
        labels.setdefault(name, set(SCRAPED_LABELS)).update(label for label, _ in of_sample)
    return labels


def grafana() -> Any:
    return json.loads(GRAFANA.read_text(encoding="utf-8"))


def panels() -> list[Any]:
    """Return all panels, those inside collapsed rows too."""
    outer = grafana()["panels"]
    return [*outer, *(inner for panel in outer for inner in panel.get("panels", []))]


def targets() -> Iterator[Any]:
    for panel in panels():
        yield from panel.get("targets", [])


def expressions() -> Iterator[str]:
    """Yield every query of the panels and of the variables."""
    yield from (target["expr"] for target in targets())
    for variable in grafana()["templating"]["list"]:
        if variable["type"] == "query":
            assert variable["definition"] == variable["query"]["query"]
            yield variable["definition"].replace("label_values(", "").replace(")", "")


def test_the_list_is_that_of_the_code() -> None:
    text = OPERATIONS.read_text(encoding="utf-8")
    assert text.count(BEGIN) == text.count(END) == 1
    assert text == with_metrics(text), "run: python tests/contract/test_metrics.py"


def test_the_documents_name_only_metrics_that_are_exported() -> None:
    text = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "docs").rglob("*.md"))
    named = set(METRIC.findall(text))
    assert "vstack_role_up" in named
    assert named - exported().keys() == set()


def test_every_query_asks_for_metrics_that_are_exported() -> None:
    named = {name for expression in expressions() for name in METRIC.findall(expression)}
    assert len(named) > 20
    assert named - exported().keys() == set()


def test_every_query_names_labels_that_its_metrics_have() -> None:
    labels_of = exported()
    for expression in expressions():
        metrics = METRIC.findall(expression)
        assert metrics, expression
        known = set().union(*(labels_of[name] for name in metrics))
        named = set(MATCHER.findall(expression))
        for listed in LABEL_LIST.findall(expression):
            named |= set(re.findall(r"\w+", listed))
        assert named - known == set(), expression


def test_every_legend_names_labels_that_its_query_keeps() -> None:
    labels_of = exported()
    for target in targets():
        expression = target["expr"]
        known = set().union(*(labels_of[name] for name in METRIC.findall(expression)))
        if kept := re.match(r"(?:sum|max)(?: by \(([^)]*)\))? ?\(", expression):
            known = set(re.findall(r"\w+", kept[1] or ""))
        assert set(LEGEND_LABEL.findall(target["legendFormat"])) - known == set(), expression


def test_panels_have_ids_of_their_own_and_ask_the_chosen_data_source() -> None:
    ids = [panel["id"] for panel in panels()]
    assert len(ids) == len(set(ids))
    chosen = {"type": "prometheus", "uid": "${DS_PROMETHEUS}"}
    asking = [panel for panel in panels() if panel["type"] != "row"]
    assert asking
    assert all(part["datasource"] == chosen for part in (*asking, *targets()))
    assert "DS_PROMETHEUS" in {v["name"] for v in grafana()["templating"]["list"]}


def test_panels_do_not_lie_on_one_another() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in grafana()["panels"]:
        at = panel["gridPos"]
        rows, columns = range(at["y"], at["y"] + at["h"]), range(at["x"], at["x"] + at["w"])
        cells = {(row, column) for row in rows for column in columns}
        assert max(columns) < 24, panel["title"]
        assert not cells & taken, panel["title"]
        taken |= cells


if __name__ == "__main__":
    OPERATIONS.write_text(with_metrics(OPERATIONS.read_text(encoding="utf-8")), encoding="utf-8")
