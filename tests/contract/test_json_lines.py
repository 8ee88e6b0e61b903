"""The `--json` lines: the document says what the schema says, and the schema knows what the code can write.

Run as a program it writes the tables of docs/json-lines.md anew.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any, get_args

import pytest

ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

from jsonschema import Draft202012Validator  # noqa: E402

from common.errors import ExitCode  # noqa: E402
from common.messages import EventKind, PlaybackState  # noqa: E402
from common.status import StatusModel  # noqa: E402

DOCUMENT = ROOT / "docs" / "json-lines.md"
SCHEMA: dict[str, Any] = json.loads(
    (ROOT / "docs" / "json-lines.schema.json").read_text(encoding="utf-8")
)
LINES: dict[str, dict[str, Any]] = SCHEMA["$defs"]


def table(name: str) -> str:
    """Return what stands between the marks of a kind of line."""
    shape = LINES[name]
    rows = [shape["description"], "", "| field | type | meaning |", "|---|---|---|"]
    for field, about in shape["properties"].items():
        kind = about.get("type", "string")
        kind = kind if isinstance(kind, str) else " or ".join(kind)
        if "additionalProperties" in about:
            kind = f"{kind} of {about['additionalProperties']['type']}"
        missing = "" if field in shape["required"] else ", may be missing"
        rows.append(f"| `{field}` | {kind}{missing} | {_meaning(about)} |")
    return "\n".join(rows)


def _meaning(about: dict[str, Any]) -> str:
    values = [about["const"]] if "const" in about else about.get("enum", [])
    shown = ", ".join(f"`{value}`" if value != "" else "empty" for value in values)
    return f"{about['description']} {shown}".rstrip()


def with_tables(text: str) -> str:
    for name in LINES:
        begin, end = (
            f"<!-- {name}: generated from json-lines.schema.json -->",
            f"<!-- end of {name} -->",
        )
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}\n{table(name)}\n{end}{rest.partition(end)[2]}"
    return text


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["oneOf"] == [{"$ref": f"#/$defs/{name}"} for name in LINES]


def test_the_document_has_the_tables_of_the_schema() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert text == with_tables(text), "run: python tests/contract/test_json_lines.py"


@pytest.mark.parametrize("name", LINES)
def test_the_document_names_every_field(name: str) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    section = text.partition(f"<!-- {name}:")[2].partition(f"<!-- end of {name} -->")[0]
    assert re.findall(r"^\| `(\w+)`", section, re.MULTILINE) == list(LINES[name]["properties"])


def test_every_field_has_its_unit_in_its_name() -> None:
    for shape in LINES.values():
        for field, about in shape["properties"].items():
            if about.get("type") in ("number", ["number", "null"]):
                assert field.endswith(("_sec", "_mbps")), field


def test_the_schema_and_the_document_know_every_kind_of_happening() -> None:
    kinds = set(get_args(EventKind))
    assert set(LINES["happening"]["properties"]["event"]["enum"]) == kinds
    rows = DOCUMENT.read_text(encoding="utf-8").partition("| when it is written |")[2]
    assert set(re.findall(r"^\| `(\w+)` \|", rows.partition("## ")[0], re.MULTILINE)) == kinds
    assert not kinds & {"status", "summary"}


def test_the_schema_knows_every_state_and_exit_code() -> None:
    assert LINES["status"]["properties"]["state"]["enum"] == list(get_args(PlaybackState))
    never = {ExitCode.USAGE, ExitCode.BUG, ExitCode.CONFIGURATION}
    assert set(LINES["summary"]["properties"]["exit_code"]["enum"]) == set(ExitCode) - never


def test_the_summary_is_that_of_the_code() -> None:
    own = LINES["summary"]["properties"].keys() - {"event", "error"}
    assert own == StatusModel().summary().keys()


if __name__ == "__main__":
    DOCUMENT.write_text(with_tables(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
