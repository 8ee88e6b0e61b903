"""Rules of the repository as a whole: cheap to check, easily broken."""

from __future__ import annotations

import base64
import configparser
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from dashboard.assets import LIBRARIES
from tools import frontend

ROOT = Path(__file__).resolve().parents[2]
LOCK_FILES = sorted((ROOT / "requirements").glob("*.txt"))
PROCESS_KINDS = {"monitor", "scheduler", "worker", "buffer", "dashboard"}
MAX_MODULE_LINES = 400
# Folders that hold what was installed, generated or played, not what was written.
NOT_OURS = {"node_modules", "vendor", "htmlcov", "build", "dist", "__pycache__"}
OUR_DOT_NAMES = {".ci", ".dockerignore", ".editorconfig", ".gitignore"}
TEXT_SUFFIXES = {
    *("", ".cfg", ".conf", ".css", ".html", ".in", ".js", ".json", ".md", ".py", ".svg"),
    *(".toml", ".txt", ".yaml", ".yml"),
}
# A home directory, or the folder someone's checkout happens to lie in.
MACHINE_PATH = re.compile(r"(?<![\w.:/])/(?:home|root|Users|work|workspace|builds)/\w")


def repository_files() -> Iterator[Path]:
    """Yield every file somebody wrote."""
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [n for n in folders if is_ours(n)]
        yield from (Path(folder, n) for n in names if is_ours(n))


def is_ours(name: str) -> bool:
    return name not in NOT_OURS and (not name.startswith(".") or name in OUR_DOT_NAMES)


def pins(lock_file: Path) -> dict[str, str]:
    """Return the version a lock file gives each package."""
    found = re.findall(r"^([\w.\-]+)==(\S+)", lock_file.read_text(encoding="utf-8"), re.MULTILINE)
    return dict(found)


def named_packages(source: Path) -> set[str]:
    lines = source.read_text(encoding="utf-8").splitlines()
    return {line.strip() for line in lines if line.strip() and line[0] not in "#-"}


def page_packages(kind: str = "dependencies") -> dict[str, str]:
    """Return the packages of the dashboard's page, each with the version it is wanted in."""
    source = json.loads((ROOT / "frontend" / "package.json").read_text(encoding="utf-8"))
    named: dict[str, str] = source[kind]
    return named


def npm_packages() -> dict[str, str]:
    """Return what comes from npm, the tests' packages included."""
    return page_packages() | page_packages("devDependencies")


def procfile() -> dict[str, str]:
    lines = (ROOT / "Procfile").read_text(encoding="utf-8").splitlines()
    return {name: command.strip() for name, command in (line.split(":", 1) for line in lines)}


def supervised() -> dict[str, str]:
    config = configparser.RawConfigParser(inline_comment_prefixes=(";",))
    config.read(ROOT / "supervisord.conf", encoding="utf-8")
    programs = (s for s in config.sections() if s.startswith("program:"))
    return {name.removeprefix("program:"): config[name]["command"] for name in programs}


def test_no_file_names_a_path_of_somebodys_machine() -> None:
    offending = []
    for path in repository_files():
        if path.suffix not in TEXT_SUFFIXES:
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        for number, line in enumerate(text.splitlines(), start=1):
            if MACHINE_PATH.search(line):
                offending.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}")
    assert offending == []


def test_no_module_is_longer_than_a_reader_can_hold() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in repository_files()
        if path.suffix in (".py", ".js", ".css")
    }
    assert {name: n for name, n in lengths.items() if n > MAX_MODULE_LINES} == {}


@pytest.mark.parametrize("lock_file", LOCK_FILES, ids=lambda path: path.name)
def test_lock_file_has_hashes_and_no_index(lock_file: Path) -> None:
    text = lock_file.read_text(encoding="utf-8")
    requirements = re.split(r"^(?=[\w.\-]+==)", text, flags=re.MULTILINE)[1:]
    assert requirements
    assert [r.splitlines()[0] for r in requirements if "--hash=sha256:" not in r] == []
    assert re.findall(r"^.*(?:index-url|find-links|trusted-host|://).*$", text, re.MULTILINE) == []


@pytest.mark.parametrize("lock_file", LOCK_FILES, ids=lambda path: path.name)
def test_lock_file_pins_what_its_source_names(lock_file: Path) -> None:
    assert named_packages(lock_file.with_suffix(".in")) - pins(lock_file).keys() == set()


def test_lock_files_agree_on_versions() -> None:
    everything = pins(ROOT / "requirements" / "dev.txt")
    for lock_file in LOCK_FILES:
        assert pins(lock_file).items() <= everything.items(), lock_file.name


def test_page_lock_has_checksums_and_no_addresses() -> None:
    text = (ROOT / "frontend" / "package-lock.json").read_text(encoding="utf-8")
    lock = json.loads(text)
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert lock["lockfileVersion"] == 3
    assert {name: e["version"] for name, e in packages.items()} == {
        f"node_modules/{name}": version for name, version in npm_packages().items()
    }
    for entry in packages.values():
        kind, _, checksum = entry["integrity"].partition("-")
        assert (kind, len(base64.b64decode(checksum, validate=True))) == ("sha512", 64)
    assert re.findall(r"^.*(?:resolved|://).*$", text, re.MULTILINE) == []


def test_page_packages_are_pinned_and_kept_off_the_registry() -> None:
    source = json.loads((ROOT / "frontend" / "package.json").read_text(encoding="utf-8"))
    assert source["private"] is True
    assert [v for v in npm_packages().values() if not re.fullmatch(r"\d+\.\d+\.\d+", v)] == []


def test_what_is_fetched_is_what_the_dashboard_serves() -> None:
    assert frontend.FILES.keys() == page_packages().keys()
    assert frontend.TEST_FILES.keys() == page_packages("devDependencies").keys()
    fetched = {name for wanted in frontend.FILES.values() for name in wanted.values()}
    assert {name for name in fetched if not name.endswith(".LICENSE.txt")} == set(LIBRARIES)
    assert all("LICENSE" in wanted for wanted in frontend.FILES.values())


def test_every_dependency_has_its_reason_written_down() -> None:
    reasons = (ROOT / "docs" / "decisions" / "0001-dependencies.md").read_text(encoding="utf-8")
    named = {p for source in (ROOT / "requirements").glob("*.in") for p in named_packages(source)}
    named |= npm_packages().keys()
    in_tables = set(
        re.findall(r"[\w.-]+", " ".join(re.findall(r"^\| ([^|]+) \|", reasons, re.MULTILINE)))
    )
    assert named - in_tables == set()


def test_procfile_and_supervisord_start_the_same_processes() -> None:
    assert procfile().keys() == PROCESS_KINDS
    modules = {kind: "scheduler.worker" if kind == "worker" else kind for kind in PROCESS_KINDS}
    assert supervised() == {kind: f"python -m {module}" for kind, module in modules.items()}


def test_procfile_replaces_the_shell() -> None:
    # honcho signals the shell it starts: without exec the process behind it would be left alone.
    assert procfile() == {kind: f"exec sh tools/respawn {kind}" for kind in PROCESS_KINDS}


def test_ci_script_can_be_run() -> None:
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
