"""Which program shows the film. No I/O, no clock, no randomness: the machine's facts are arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from common.errors import ConfigError, PlayerError

Player = Literal["mpv", "vlc", "ffplay", "browser", "none"]
# What `auto` looks for, the best first: of mpv alone we know what it shows.
PROGRAMS: tuple[Player, ...] = ("mpv", "vlc", "ffplay")
PLAYERS = ("auto", *PROGRAMS, "browser", "none")
# A hint, and no more: programs know other ways to a screen.
DISPLAY_VARIABLES = ("DISPLAY", "WAYLAND_DISPLAY")

Find = Callable[[str], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What shows the film; `path` is empty for what is no program of its own."""

    player: Player
    path: str = ""


def has_display(environ: Mapping[str, str], platform: str) -> bool:
    """Tell whether a window has somewhere to open."""
    return platform == "darwin" or any(environ.get(name) for name in DISPLAY_VARIABLES)


def choose(name: str, *, free: bool, display: bool, find: Find) -> Choice:
    """Return what shows the film; `free` says that it goes nowhere else and keeps a viewer's pace.

    Raises ConfigError for a player beside an output, PlayerError for one that is not there.
    """
    if name == "auto":
        if free and display:
            for program in PROGRAMS:
                if path := find(program):
                    return Choice(player=program, path=path)
        return Choice(player="none")
    if name == "none":
        return Choice(player="none")
    if not free:
        raise ConfigError(
            f"--player: {name} keeps the film's pace and takes no --output, --no-pace"
        )
    if name == "browser":
        return Choice(player="browser")
    for program in PROGRAMS:
        if name == program:
            if path := find(program):
                return Choice(player=program, path=path)
            raise PlayerError(f"--player {name}: there is no program {name!r} on PATH")
    raise ConfigError(f"--player: {name!r} is none of {', '.join(PLAYERS)}")
