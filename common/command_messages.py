"""What the viewer's side asks of the buffer process; `common.messages` exports these, too.

No I/O, no clock, no randomness.
"""

from __future__ import annotations

from common.codec import message
from common.values import Container, OnMissing, OutputKind, Policy, ViewerState


@message("command.play")
class PlayVideo:
    """Start a session (main, dashboard PUSH -> buffer.commands).

    `manifest_json` may be empty: then the buffer asks the metadata service itself. `command_age_sec` says how long ago
    the viewer asked when the message was sent, at `sent_unix_sec`: it may have waited for a process that was starting.
    A session with `owner_lease_sec` > 0 ends when no KeepAlive comes for that long.
    """

    command_id: str
    session_id: str
    video_id: str
    metadata_url: str
    manifest_json: bytes
    command_age_sec: float
    manifest_sec: float
    output: OutputKind
    output_path: str
    container: Container
    paced: bool
    on_missing: OnMissing
    give_up_sec: float
    target_buffer_sec: float
    low_water_mark_sec: float
    start_playback_sec: float
    chunk_duration_sec: float
    max_buffer_bytes: int
    owner_lease_sec: float
    policy: Policy = "deadline"
    sent_unix_sec: float = 0.0


@message("command.keepalive")
class KeepAlive:
    """The owner of a session still lives (main PUSH -> buffer.commands)."""

    session_id: str


@message("command.pause")
class SetPaused:
    """Pause or go on (main, dashboard PUSH -> buffer.commands)."""

    command_id: str
    session_id: str
    paused: bool


@message("command.seek")
class SeekTo:
    """Move the playhead (main, dashboard PUSH -> buffer.commands)."""

    command_id: str
    session_id: str
    position_sec: float


@message("command.stop")
class StopSession:
    """End a session; an empty `session_id` means all (main, dashboard PUSH -> buffer.commands)."""

    command_id: str
    session_id: str


@message("viewer.report")
class ViewerReport:
    """What a real player shows; on every change and each second (dashboard, main PUSH -> buffer.commands).

    `viewer_id` tells players of one session apart: the first of them moves the playhead until it is gone. `error` is
    the last thing that went wrong in the player, empty for nothing.
    """

    session_id: str
    viewer_id: str
    state: ViewerState
    position_sec: float
    rate_ratio: float
    dropped_frames: int
    error: str
