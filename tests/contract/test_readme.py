"""README and docs tell the truth: what they name exists, and their tables are those of the code.

Run as a program it writes the settings table of README.md anew.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import re
import shlex
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

from common.config import Settings  # noqa: E402
from common.errors import ExitCode  # noqa: E402

README = ROOT / "README.md"
DOCUMENTS = sorted(
    [README, ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
)
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
BEGIN = (
    "<!-- settings: generated from common/config.py by `python tests/contract/test_readme.py` -->"
)
END = "<!-- end of settings -->"
# Modules of ours are looked up in the checkout; these come with Python or with requirements.
FOREIGN_MODULES = {"venv", "pytest", "pip", "http"}
CODE_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
FILE_NAME = re.compile(
    r"`([\w./-]+\.(?:py|md|conf|toml|yaml|txt|in|css|js|html)|[\w-]+(?:/[\w-]+)*/)`"
)
FOLDERS = ("common", "client", "monitor", "scheduler", "buffer", "dashboard", "cluster", "tests")
# Files of the reader, and of running programs.
NOT_IN_THE_CHECKOUT = re.compile(
    r"^(?:out|film|config|spill|run-\w*|shared)\b|^(?:htmlcov|node-1)/"
)
LIMIT_LINES = 250


def settings_table() -> str:
    """Return the configuration table as it must stand in the README."""
    lines = ["| name | environment | default | range | meaning |", "|---|---|---|---|---|"]
    for field in dataclasses.fields(Settings):
        meta = field.metadata
        accepted = "text"
        if not isinstance(field.default, str):
            accepted = f"{_number(meta['low'])} to {_number(meta['high'])}"
        elif "url" in field.name:
            accepted = "http(s) URL"
        lines.append(
            f"| `{field.name}` | `{meta['env']}` | {_number(field.default)} | {accepted} | {meta['text']} |"
        )
    return "\n".join(lines)


def _number(value: object) -> str:
    return str(int(value)) if isinstance(value, float) and value == int(value) else str(value)


def with_settings(text: str) -> str:
    """Return `text` with the table between its markers made anew."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{settings_table()}\n{END}{after}"


def make_targets() -> set[str]:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    tiers = re.search(r"^TIERS := (.+)$", text, re.MULTILINE)
    assert tiers is not None
    named = set(re.findall(r"^([a-z-]+):(?!=)", text, re.MULTILINE))
    return named | {f"test-{tier}" for tier in tiers[1].split()}


def commands(path: Path) -> list[str]:
    """Return every shell line and every `inline code` of a document, comments cut off."""
    text = path.read_text(encoding="utf-8")
    lines = [
        line.partition(" #")[0].strip()
        for language, body in CODE_FENCE.findall(text)
        if language == "bash"
        for line in body.splitlines()
    ]
    return lines + re.findall(r"`([^`\n]+)`", CODE_FENCE.sub("", text))


def module_exists(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()


def test_the_two_commands_come_first() -> None:
    first_block = CODE_FENCE.findall(README.read_text(encoding="utf-8"))[0][1]
    assert [line.split("#")[0].strip() for line in first_block.splitlines()] == [
        "make demo",
        "make test",
    ]


def test_readme_can_be_read_in_one_go() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= LIMIT_LINES


def test_settings_are_those_of_the_code() -> None:
    text = README.read_text(encoding="utf-8")
    assert text.count(BEGIN) == text.count(END) == 1
    assert text == with_settings(text), "run: python tests/contract/test_readme.py"


def test_exit_codes_are_those_of_the_code() -> None:
    text = README.read_text(encoding="utf-8")
    table = text.partition("### Exit codes")[2].partition("\n## ")[0]
    codes = [int(code) for code in re.findall(r"^\| (\d+) \| \S", table, re.MULTILINE)]
    assert codes == sorted(int(code) for code in ExitCode)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_module_named_exists(path: Path) -> None:
    named = {
        name
        for command in commands(path)
        for name in re.findall(r"\bpython3? -m ([a-z_][\w.]*)", command)
    }
    unknown = {
        name
        for name in named
        if not module_exists(name)
        and not (name in FOREIGN_MODULES and importlib.util.find_spec(name))
    }
    assert unknown == set()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_make_target_named_exists(path: Path) -> None:
    named: set[str] = set()
    for command in commands(path):
        words = re.match(r"make((?: [a-z][a-z-]*)+)(?= |$)", command)
        named |= set(words[1].split()) if words else set()
    assert named - make_targets() == set()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_script_called_exists(path: Path) -> None:
    called = {
        name
        for command in commands(path)
        for name in re.findall(r"\bpython3? ([\w/]+\.py)", command)
    }
    assert {name for name in called if not (ROOT / name).is_file()} == set()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_file_named_exists(path: Path) -> None:
    text = CODE_FENCE.sub("", path.read_text(encoding="utf-8"))
    named = {n for n in FILE_NAME.findall(text) if not NOT_IN_THE_CHECKOUT.match(n)}
    assert {name for name in named if not _found(name, path)} == set()


def _found(name: str, document: Path) -> bool:
    """Whether the name is a path from the root or beside the document, or a module's file."""
    bases = (ROOT, document.parent, *(ROOT / folder for folder in FOLDERS))
    return any((base / name).exists() for base in bases)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_link_leads_somewhere(path: Path) -> None:
    text = CODE_FENCE.sub("", path.read_text(encoding="utf-8"))
    links = {link for link in re.findall(r"\]\(([^)#\s]+)", text) if "://" not in link}
    assert {link for link in links if not (path.parent / unquote(link)).exists()} == set()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_flags_named_are_known(path: Path) -> None:
    from client.arguments import parser
    from cluster.__main__ import build_parser

    for command in commands(path):
        words = re.match(r"python (main\.py|-m cluster) (.*)", command.partition("|")[0])
        if words is None or any(mark in words[2] for mark in ("...", "=")):
            continue
        arguments = shlex.split(words[2])
        known = parser() if words[1] == "main.py" else build_parser()
        if "--help" in arguments:
            continue
        try:
            known.parse_args(arguments)
        except SystemExit as error:
            raise AssertionError(f"{path.name}: {command!r} is refused") from error


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_test_and_variable_named_exists(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", text)) | set(re.findall(r"\bVSTACK_[A-Z_]+\b", text))
    sources = [
        p for folder in FOLDERS for p in (ROOT / folder).rglob("*.py") if p != Path(__file__)
    ]
    code = "\n".join(p.read_text(encoding="utf-8") for p in (*sources, ROOT / ".ci" / "run"))
    assert {name for name in named if not re.search(rf"\b{name}\b", code)} == set()


@pytest.mark.parametrize("path", DECISIONS, ids=lambda p: p.name)
def test_a_decision_is_short_and_numbered(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 50
    assert lines[0].startswith(f"# {int(path.name[:4])}. ")


if __name__ == "__main__":
    README.write_text(with_settings(README.read_text(encoding="utf-8")), encoding="utf-8")
