"""Where a measurement takes place, and the files of those that are not runs of `python -m bench real`."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.results import Setting
from bench.stack import PROJECT_DIR


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """When and where something was measured."""

    began_unix_sec: float
    cpu: str
    setting: Setting


def here(program: str = "python -m bench") -> Setting:
    """Return where this process runs; `program` is what its arguments were given to."""
    quick = os.environ.get("QUICK", "")
    words = [*([f"QUICK={quick}"] if quick else []), program, *sys.argv[1:]]
    return Setting(
        command=" ".join(words),
        revision=_revision(),
        python=platform.python_version(),
        cores=len(os.sched_getaffinity(0)),
    )


def occasion(program: str) -> Occasion:
    """Return now and here; to be asked before the measurement begins."""
    return Occasion(began_unix_sec=time.time(), cpu=cpu_text(), setting=here(program))


def cpu_text() -> str:
    """Return how many CPUs of which kind there are."""
    kinds = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return f"{os.cpu_count()} CPUs {kinds[0] if kinds else platform.machine()}"


def write_measured(path: Path, when: Occasion, fields: dict[str, Any]) -> None:
    """Write what was measured, with when and where, as one JSON object."""
    path.parent.mkdir(parents=True, exist_ok=True)
    body = {**dataclasses.asdict(when), **fields}
    path.write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")


def read_measured(path: Path) -> tuple[Occasion, dict[str, Any]]:
    """Return what `write_measured` wrote."""
    fields: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    when = Occasion(
        began_unix_sec=fields.pop("began_unix_sec"),
        cpu=fields.pop("cpu"),
        setting=Setting(**fields.pop("setting")),
    )
    return when, fields


def _revision() -> str:
    """Return the state of the code, "" where it is not under version control."""
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    with contextlib.suppress(OSError):
        done = subprocess.run(command, cwd=PROJECT_DIR, capture_output=True, text=True, check=False)
        return done.stdout.strip()
    return ""
