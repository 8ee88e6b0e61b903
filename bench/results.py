"""The bench's results on disk: one JSON line a run, and what is made of several runs."""

from __future__ import annotations

import dataclasses
import json
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.breakdown import RequestRow
from bench.figures import Figures
from bench.stack import PROJECT_DIR

RESULTS_DIR = PROJECT_DIR / ".data" / "bench"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Where a run took place: the command, the state of the code, and the machine."""

    command: str
    revision: str
    python: str
    cores: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One run: what played what, when (unix), on which state of the code and machine, and its figures."""

    scenario: str
    title: str
    chunk_sec: float
    client: str
    run: int
    began_unix_sec: float
    setting: Setting
    healthy: bool
    exit_code: int
    cut_off: bool
    own_account: dict[str, Any]
    figures: Figures
    requests: tuple[RequestRow, ...]


def append(path: Path, result: Result) -> None:
    """Add one line to a results file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        fields = dataclasses.asdict(result)
        file.write(json.dumps(fields, separators=(",", ":")) + "\n")


def load(paths: Iterable[Path]) -> list[Result]:
    """Return the runs of several files; ValueError names a line that is none."""
    found = []
    for path in paths:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            try:
                found.append(_result(json.loads(line)))
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(f"{path}:{number} is no run of this version: {error!r}") from error
    return found


def _result(row: dict[str, Any]) -> Result:
    figures: dict[str, Any] = row.pop("figures")
    for name in ("reactions", "reuses"):
        figures[name] = tuple(tuple(pair) for pair in figures[name])
    for name in ("ready_sec", "first_asked_sec"):
        figures[name] = tuple(figures[name])
    requests = tuple(RequestRow(*fields) for fields in row.pop("requests"))
    setting = Setting(**row.pop("setting"))
    return Result(**row, setting=setting, figures=Figures(**figures), requests=requests)


def medians(found: Sequence[Result], client: str) -> list[Result]:
    """Return a client's median run of each scenario, in the order in which they were first played."""
    mine = [result for result in found if result.client == client]
    return [
        median_run([result for result in mine if result.scenario == name])
        for name in dict.fromkeys(result.scenario for result in mine)
    ]


def median_run(runs: Sequence[Result]) -> Result:
    """Return the run with the median ratio (the worse one of two in the middle)."""
    ordered = sorted(runs, key=lambda result: result.figures.ratio)
    return ordered[len(ordered) // 2]


def geometric_mean(values: Iterable[float]) -> float:
    """Return the geometric mean; NaN of nothing."""
    logs = [math.log(value) for value in values]
    return math.exp(statistics.fmean(logs)) if logs else math.nan
