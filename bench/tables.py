"""Pieces of Markdown that the bench's pages share. Pure."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence

from bench.setting import Occasion

_FOLDERS = re.compile(r"(?<![^\s=,])/(?:[^\s/,]+/)*(?=[^\s/,])")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table whose first column is text and whose others are figures."""
    rule = ["---", *("--:" for _ in head[1:])]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, rule, *rows)) + "\n"


def command_text(command: str) -> str:
    """Return a command as code; where its files lay on the machine is nobody's concern."""
    return f"`{_FOLDERS.sub('', command)}`"


def day_text(unix_sec: float) -> str:
    """Return the date, in UTC."""
    return time.strftime("%Y-%m-%d", time.gmtime(unix_sec))


def occasion_text(when: Occasion) -> str:
    """Return when, on what and by which command something was measured."""
    setting = when.setting
    rows = [
        f"* when: {day_text(when.began_unix_sec)} (UTC)",
        f"* on: {when.cpu} ({setting.cores} usable), Python {setting.python}",
        f"* code: {setting.revision or 'not under version control'}",
        f"* command: {command_text(setting.command)}",
    ]
    return "\n".join(rows) + "\n"
