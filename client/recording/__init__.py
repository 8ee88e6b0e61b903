"""Recordings: what the viewer heard of one session, in a file, and back. See docs/recordings.md.

with open_recording("session.vsrec") as recording:
    print(recording.header.video_id)
    for at_sec, item, _offset in recording:
        print(at_sec, item)
"""

from __future__ import annotations

from pathlib import Path

from client.recording.files import OpenRecording
from client.recording.records import Reader as Reader, Record as Record


def open_recording(path: str | Path) -> OpenRecording:
    """Open a recording to be read, in a `with` statement; raise RecordingError for what is none."""
    return OpenRecording(Path(path))


__all__ = ["Reader", "Record", "open_recording"]
