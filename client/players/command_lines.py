"""How players are started, and what their end means. No I/O, no clock, no randomness."""

from __future__ import annotations

from typing import Literal

from common.messages import SessionStatus

# A chunk or two: what mpv reads ahead is lost to a jump, and is no safer there than with us.
MPV_READ_AHEAD_SEC = 10
MPV_READ_AHEAD_BYTES = "48MiB"
# Longer than the stream waits for a chunk before it answers.
MPV_NETWORK_SEC = 120
# Of a player that only asks, the end is known this well.
END_SLACK_SEC = 2.0
# Signals of somebody who wants it to end: HUP, INT, TERM; and how ffplay ends after them.
_ASKED_CODES = (-1, -2, -15, 123)
# Beside the playlist that pages take: ffmpeg, and mpv and ffplay with it, reads on in the fragment it leaves when it
# jumps in fragmented MP4 (mpv's issues 13211, 15184), so that the film breaks off.
PROGRAM_PLAYLIST_NAME = "film-ts.m3u8"

Verdict = Literal["ended", "quit", "failed", "nothing"]


def program_url(stream_url: str) -> str:
    """Return where programs find the film, from where pages do."""
    return f"{stream_url.rpartition('/')[0]}/{PROGRAM_PLAYLIST_NAME}"


def mpv_command(path: str, socket_path: str, arguments: tuple[str, ...]) -> list[str]:
    """Return what starts mpv: it waits for a film, shows it, and ends; the viewer's `arguments` win."""
    return [
        path,
        "--idle=once",
        f"--input-ipc-server={socket_path}",
        # The terminal is ours.
        "--quiet",
        "--input-terminal=no",
        "--msg-level=all=error",
        "--msg-color=no",
        # The viewer's own settings count, but for those by which the film would not end, or under another name.
        "--keep-open=no",
        "--loop-file=no",
        "--loop-playlist=no",
        "--ytdl=no",
        "--resume-playback=no",
        "--save-position-on-quit=no",
        "--cache=yes",
        f"--cache-secs={MPV_READ_AHEAD_SEC}",
        f"--demuxer-readahead-secs={MPV_READ_AHEAD_SEC}",
        f"--demuxer-max-bytes={MPV_READ_AHEAD_BYTES}",
        f"--demuxer-max-back-bytes={MPV_READ_AHEAD_BYTES}",
        f"--network-timeout={MPV_NETWORK_SEC}",
        # Else a chunk is not read before the one after it has come.
        "--demuxer-lavf-o-append=http_multiple=0",
        *arguments,
    ]


def vlc_command(path: str, url: str, title: str, arguments: tuple[str, ...]) -> list[str]:
    """Return what starts VLC: a process of its own, which ends with the film."""
    fixed = ["--play-and-exit", "--no-one-instance", "--no-video-title-show", "--quiet"]
    return [path, *fixed, f"--meta-title={title}", *arguments, url]


def ffplay_command(path: str, url: str, title: str, arguments: tuple[str, ...]) -> list[str]:
    """Return what starts ffplay: it ends with the film."""
    fixed = ["-hide_banner", "-loglevel", "error", "-nostats", "-autoexit"]
    # As for mpv.
    fixed += ["-http_multiple", "0"]
    return [path, *fixed, "-window_title", title, *arguments, url]


def verdict(code: int, status: SessionStatus) -> Verdict:
    """Return what the end of a player means that tells nothing but its exit code.

    Below 0 that is a signal. VLC and ffplay end with 0 also when they could not open the film.
    """
    if code in _ASKED_CODES:
        return "quit"
    if code:
        return "failed"
    if status.startup_latency_sec is None:
        return "nothing"
    left_sec = status.duration_sec - status.playhead_sec
    return "ended" if status.outcome or left_sec <= END_SLACK_SEC else "quit"
