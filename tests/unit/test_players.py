"""Which program shows the film, how it is started, and what its end means."""

from __future__ import annotations

from typing import Any

import pytest

from client.arguments import check_arguments, parser, player_arguments
from client.players.choosing import Choice, choose, has_display
from client.players.command_lines import (
    ffplay_command,
    mpv_command,
    program_url,
    verdict,
    vlc_command,
)
from common.errors import ConfigError, ExitCode, PlayerError
from tests.status_builders import a_session


def chosen(name: str, *there: str, free: bool = True, display: bool = True) -> Choice:
    paths = {program: f"/bin/{program}" for program in there}
    return choose(name, free=free, display=display, find=paths.get)


def test_auto_takes_the_best_that_is_there() -> None:
    assert chosen("auto", "ffplay", "vlc", "mpv") == Choice(player="mpv", path="/bin/mpv")
    assert chosen("auto", "ffplay", "vlc").player == "vlc"
    assert chosen("auto", "ffplay").player == "ffplay"
    assert chosen("auto").player == "none"


def test_auto_opens_nothing_without_a_display_or_beside_an_output() -> None:
    assert chosen("auto", "mpv", display=False).player == "none"
    assert chosen("auto", "mpv", free=False).player == "none"


def test_a_named_player_needs_no_display_but_has_to_be_there() -> None:
    assert chosen("mpv", "mpv", display=False).path == "/bin/mpv"
    assert chosen("browser", display=False).player == "browser"
    with pytest.raises(PlayerError, match="no program 'vlc' on PATH") as caught:
        chosen("vlc", "mpv")
    assert caught.value.exit_code == ExitCode.PLAYER


@pytest.mark.parametrize("name", ["mpv", "vlc", "ffplay", "browser"])
def test_a_named_player_and_an_output_do_not_go_together(name: str) -> None:
    with pytest.raises(ConfigError, match="--player"):
        chosen(name, name, free=False)


def test_a_display_is_told_by_the_environment() -> None:
    assert has_display({"DISPLAY": ":0"}, "linux")
    assert has_display({"WAYLAND_DISPLAY": "wayland-0"}, "linux")
    assert not has_display({"DISPLAY": ""}, "linux")
    assert has_display({}, "darwin")


def test_the_viewers_own_arguments_come_after_ours() -> None:
    assert mpv_command("/bin/mpv", "/run/s", ("--cache=no",))[-1] == "--cache=no"
    assert "--input-ipc-server=/run/s" in mpv_command("/bin/mpv", "/run/s", ())
    for make in (vlc_command, ffplay_command):
        assert make("/bin/p", "http://film", "A film", ("-x",))[-2:] == ["-x", "http://film"]


def test_programs_get_transport_streams() -> None:
    assert program_url("http://h:1/stream/s/film.m3u8") == "http://h:1/stream/s/film-ts.m3u8"


@pytest.mark.parametrize(
    ("code", "playhead_sec", "meaning"),
    [
        (0, 39.0, "ended"),
        (0, 12.0, "quit"),
        (1, 12.0, "failed"),
        (123, 12.0, "quit"),
        (-9, 39.0, "failed"),
    ],
)
def test_the_end_of_a_silent_player_is_judged(code: int, playhead_sec: float, meaning: str) -> None:
    status = a_session(duration_sec=40.0, playhead_sec=playhead_sec, startup_latency_sec=0.5)
    assert verdict(code, status) == meaning


def test_a_player_that_ends_before_the_first_picture_showed_nothing() -> None:
    assert verdict(0, a_session(startup_latency_sec=None)) == "nothing"


def parsed(*words: str) -> Any:
    return parser().parse_args(["film", *words])


def test_arguments_for_the_player_are_split_like_a_shell_does() -> None:
    words = parsed("--player", "mpv", "--player-args", "--vo=null '--title=a b'")
    assert player_arguments(words) == ("--vo=null", "--title=a b")


@pytest.mark.parametrize(
    "words", [("--player-args=-x",), ("--player", "mpv", "--player-args", "'open")]
)
def test_arguments_that_no_player_takes_are_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="--player-args"):
        check_arguments(parsed(*words))
