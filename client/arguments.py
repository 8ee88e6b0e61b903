"""The arguments of `main.py`: what there is, what goes together, and the settings they amount to."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import get_args

from client.players.choosing import PLAYERS, PROGRAMS
from client.recording_flags import add_flags, check_flags
from common.config import Settings, load_settings
from common.errors import ConfigError
from common.messages import Policy

POLICIES = get_args(Policy)
FILE_ENDINGS = (".mp4", ".m4v", ".mkv", ".ts")
EXIT_CODES = """exit codes:
  0 played to the end    1 internal error      2 wrong arguments or settings
  3 metadata service     4 no such video       5 a chunk cannot be had
  6 wrong bytes          7 output or disk      8 player failed
  9 played with holes    130 interrupted
A --replay ends with 0, and with 2 when the file is no recording or damaged."""


def parser() -> argparse.ArgumentParser:
    """Return the argument parser."""
    made = argparse.ArgumentParser(
        prog="main.py",
        description="Play a video from a V-Stack store of unreliable nodes, without a stall.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = made.add_argument
    add("video_id", nargs="?", help="which video to play")
    add("--list", action="store_true", help="list the videos and leave")
    add("--metadata-url", help="base URL of the metadata service (METADATA_SERVICE_URL)")
    add("--player", default="auto", help=f"what shows the film: {', '.join(PLAYERS)}")
    add("--player-args", metavar="ARGS", help="more for the player: --player-args='--fs --mute'")
    add("--output", metavar="FILE|-", help="write the film to FILE (.mp4, .mkv, .ts) or to stdout")
    add("--raw", action="store_true", help="with --output: the chunks' bytes as they are")
    add("--no-pace", action="store_true", help="as fast as possible instead of at the film's pace")
    add("--on-missing", default="wait", help="a chunk that cannot be had: wait, skip or fail")
    add(
        "--policy", default="deadline", help="how chunks are fetched: deadline, or score to compare"
    )
    add("--workers", type=int, help="worker processes of a private stack")
    add("--give-up-after", type=float, metavar="SEC", help="fail after so long without a byte")
    add("--stop-after", type=float, metavar="SEC", help="stop after SEC seconds, with exit code 0")
    add("--dashboard", action="store_true", help="start the dashboard with the private stack")
    add("--private", action="store_true", help="do not join a running stack")
    add("--config", type=Path, metavar="FILE", help="settings in TOML")
    add("--json", action="store_true", help="one JSON object a line; the last one is the summary")
    add("--plain", action="store_true", help="plain lines on a terminal, too, and no live view")
    add("--quiet", action="store_true", help="say nothing but errors")
    add_flags(made)
    return made


def settings_from(arguments: argparse.Namespace) -> Settings:
    """Return the settings; raise ConfigError naming what is wrong."""
    return load_settings(
        {
            "metadata_service_url": arguments.metadata_url,
            "workers": arguments.workers,
            "give_up_sec": arguments.give_up_after,
        },
        config_file=arguments.config,
    )


def check_arguments(arguments: argparse.Namespace) -> None:
    """Raise ConfigError for arguments that do not go together or name nothing we know."""
    check_flags(arguments)
    if not arguments.video_id and not arguments.list and not arguments.replay:
        raise ConfigError("VIDEO_ID: name a video, or use --list to see what there is")
    if arguments.player not in PLAYERS:
        raise ConfigError(f"--player: {arguments.player!r} is none of {', '.join(PLAYERS)}")
    player_arguments(arguments)
    if arguments.on_missing not in ("wait", "skip", "fail"):
        raise ConfigError(f"--on-missing: {arguments.on_missing!r} is none of wait, skip, fail")
    if arguments.policy not in POLICIES:
        raise ConfigError(f"--policy: {arguments.policy!r} is none of {', '.join(POLICIES)}")
    if arguments.stop_after is not None and not 0 < arguments.stop_after < 1e9:
        raise ConfigError(f"--stop-after: {arguments.stop_after:g} is not a number above 0")
    if arguments.raw and not arguments.output:
        raise ConfigError("--raw: says how to write an --output, and there is none")
    output = arguments.output
    if output == "-" and arguments.json:
        raise ConfigError("--json: standard output cannot carry the film and JSON")
    if output and output != "-" and not arguments.raw:
        ending = Path(output).suffix.lower()
        if ending not in FILE_ENDINGS:
            raise ConfigError(
                f"--output: {output!r} ends with none of {', '.join(FILE_ENDINGS)} (or use --raw)"
            )


def plays_for_a_viewer(arguments: argparse.Namespace) -> bool:
    """Whether the film goes nowhere else, at the pace of somebody who watches."""
    return not arguments.output and not arguments.no_pace


def player_arguments(arguments: argparse.Namespace) -> tuple[str, ...]:
    """Return the viewer's own arguments for the player; raise ConfigError when there is none to take them."""
    if arguments.player_args is None:
        return ()
    if arguments.player not in PROGRAMS:
        raise ConfigError(f"--player-args: goes with --player {', '.join(PROGRAMS)}")
    try:
        return tuple(shlex.split(arguments.player_args))
    except ValueError as error:
        raise ConfigError(f"--player-args: {error}") from error
