"""From a viewer's command to a live session."""

from __future__ import annotations

import time
from pathlib import Path

from buffer.commands import SessionOptions
from buffer.live import Hooks, LiveSession, OutputThread
from buffer.playback import Playback
from buffer.session import Session
from common.manifest import Manifest
from common.messages import PlayVideo

# What was played stays within reach of players: about as much as a viewer steps back, whatever the film's rate.
KEEP_BYTES = 48 * 1024 * 1024
# A command waits for a process that starts, at most so long.
MAX_QUEUED_SEC = 30.0


def asked_sec(msg: PlayVideo, now_sec: float, now_unix_sec: float) -> float:
    """Return when the viewer asked, on the clock of `now_sec`: the time the message waited for us counts.

    Clocks of two hosts may differ: what is less than nothing, or longer than any start, is not believed.
    """
    queued_sec = now_unix_sec - msg.sent_unix_sec if msg.sent_unix_sec else 0.0
    if not 0.0 <= queued_sec <= MAX_QUEUED_SEC:
        queued_sec = 0.0
    return now_sec - queued_sec - msg.command_age_sec


def new_session(
    msg: PlayVideo,
    manifest: Manifest,
    thread: OutputThread,
    spill_dir: Path,
    *,
    command_sec: float,
    now_sec: float,
    hooks: Hooks,
) -> LiveSession:
    """Return a session that has not begun; the viewer asked at `command_sec`.

    Players may take the film from one that is pushed nowhere else, at the pace of a viewer.
    """
    watchable = msg.output == "stream" or (msg.output == "none" and msg.paced)
    core = Session(
        manifest=manifest,
        options=SessionOptions(
            paced=msg.paced,
            can_seek=msg.output in ("none", "stream"),
            awaits_viewer=msg.output == "stream",
            keep_bytes=min(KEEP_BYTES, msg.max_buffer_bytes) if watchable else 0,
            on_missing=msg.on_missing,
            give_up_sec=msg.give_up_sec,
            target_buffer_sec=msg.target_buffer_sec,
            low_water_mark_sec=msg.low_water_mark_sec,
            start_playback_sec=msg.start_playback_sec,
            max_buffer_bytes=msg.max_buffer_bytes,
            policy=msg.policy,
        ),
        playback=Playback(command_sec=command_sec, paced=msg.paced),
    )
    pushed = msg.output in ("file", "pipe")
    return LiveSession(
        session_id=msg.session_id,
        core=core,
        thread=thread,
        spill_dir=spill_dir,
        metadata_url=msg.metadata_url,
        output_text=f"{msg.output} {msg.output_path}" if pushed else msg.output,
        can_be_watched=watchable,
        manifest_sec=msg.manifest_sec,
        owner_lease_sec=msg.owner_lease_sec,
        started_unix_sec=time.time() - (time.monotonic() - command_sec),
        owner_seen_sec=now_sec,
        hooks=hooks,
    )
