"""The flags about recordings, and what does not go together. Light: every run of the command reads it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from client.smart_client import SmartClient
from common.errors import ConfigError

if TYPE_CHECKING:
    from client.keeping import Keeping

MIN_REPLAY_SPEED, MAX_REPLAY_SPEED = 0.1, 1000.0
# They say how a film is played or what is told of that; a replay plays none.
_OF_PLAYING = (
    *("record", "output", "raw", "list", "no_pace", "stop_after", "give_up_after"),
    *("private", "workers"),
)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    add = parser.add_argument_group("recordings").add_argument
    add("--record", type=Path, metavar="FILE", help="keep what is heard of the session in FILE")
    add("--report", type=Path, metavar="FILE.html", help="write a page about the session")
    add(
        "--replay",
        type=Path,
        metavar="FILE",
        help="show a recording in the dashboard, or with --report make its page",
    )
    add("--replay-speed", type=float, metavar="N", help="N times as fast as it was")


def check_flags(arguments: argparse.Namespace) -> None:
    """Raise ConfigError for flags that do not go together."""
    if arguments.replay is not None:
        _check_replay(arguments)
    elif arguments.replay_speed is not None:
        raise ConfigError("--replay-speed: says how to --replay a recording, and there is none")
    elif arguments.list and (arguments.record or arguments.report):
        raise ConfigError("--list: plays nothing that could be recorded or reported on")
    files = {
        f"--{name}": Path(path).resolve()
        for name in ("record", "report", "output", "replay")
        if (path := getattr(arguments, name)) is not None and str(path) != "-"
    }
    for name, path in files.items():
        if list(files.values()).count(path) > 1:
            raise ConfigError(f"{name}: {path} is named twice")


def _check_replay(arguments: argparse.Namespace) -> None:
    if arguments.video_id:
        raise ConfigError(f"--replay: plays no video, and {arguments.video_id!r} was named")
    for name in _OF_PLAYING:
        if getattr(arguments, name):
            flag = name.replace("_", "-")
            raise ConfigError(f"--{flag}: goes with playing a video, not with --replay")
    speed = arguments.replay_speed
    if speed is not None and not MIN_REPLAY_SPEED <= speed <= MAX_REPLAY_SPEED:
        raise ConfigError(
            f"--replay-speed: {speed:g} is not {MIN_REPLAY_SPEED:g} to {MAX_REPLAY_SPEED:g}"
        )
    if arguments.json and shows_dashboard(arguments):
        raise ConfigError("--json: has nothing to say while a recording is shown in the dashboard")


def shows_dashboard(arguments: argparse.Namespace) -> bool:
    """Tell whether a replay is shown, and not only made into a report."""
    return bool(arguments.dashboard or arguments.report is None)


def keeping_of(arguments: argparse.Namespace, command_sec: float, client: SmartClient) -> Keeping:
    """Return what keeps the client's session; raise ConfigError for files that cannot be written or must not be."""
    # Loaded for those who want it: everybody else waits for a picture.
    from client.keeping import Keeping

    return Keeping(arguments, command_sec=command_sec, session_id=lambda: client.session_id)
