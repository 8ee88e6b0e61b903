"""The viewer's link: words that were said while it was still connecting are told, and told once."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from client.link import StackLink
from common.command_messages import PlayVideo
from common.endpoints import Endpoints
from common.event_log import EventLog
from common.messages import LogEvent
from common.service import Service
from tests.waiting import wait_until

PLAY = PlayVideo(
    command_id="c",
    session_id="ours",
    video_id="film",
    metadata_url="http://localhost:9",
    manifest_json=b"",
    command_age_sec=0.0,
    manifest_sec=0.0,
    output="none",
    output_path="",
    container="auto",
    paced=True,
    on_missing="wait",
    give_up_sec=60.0,
    target_buffer_sec=30.0,
    low_water_mark_sec=15.0,
    start_playback_sec=10.0,
    chunk_duration_sec=10.0,
    max_buffer_bytes=0,
    owner_lease_sec=0.0,
)


class Speaker:
    """A process that says things; nobody hears the first of them as it is said."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._service = Service(endpoints, watch_parent=False)
        self._log = EventLog(self._service.publisher("buffer.events"))
        self._log.say("ours", "session", "starts")
        self._log.say("another", "session", "starts, too")
        self._thread = threading.Thread(target=self._service.run)
        self._thread.start()

    def say(self, text: str) -> None:
        self._service.call_soon(lambda: self._log.say("ours", "session", text))

    def close(self) -> None:
        self._service.stop()
        self._thread.join()


@pytest.fixture
def endpoints(run_dir: Path) -> Endpoints:
    return Endpoints(run_dir)


def test_what_was_said_before_the_link_stood_is_told_once(endpoints: Endpoints) -> None:
    told: list[str] = []
    tapped: list[str] = []

    def changed(msg: object) -> None:
        if isinstance(msg, LogEvent):
            told.append(msg.text)

    def tap(msg: object) -> None:
        if isinstance(msg, LogEvent):
            tapped.append(msg.text)

    link = StackLink(endpoints, changed=changed, tap=tap)
    other: StackLink | None = None
    try:
        link.ask(PLAY)
        speaker = Speaker(endpoints)
        try:
            wait_until(lambda: told == ["starts"])
            heard_by_other: list[object] = []
            # Who joins now is told everything again, and we with it.
            other = StackLink(endpoints, changed=heard_by_other.append, tap=heard_by_other.append)
            wait_until(lambda: heard_by_other)
            speaker.say("goes on")
            wait_until(lambda: "goes on" in told)
            assert told == tapped == ["starts", "goes on"]
            assert [e["text"] for e in link.read(lambda model: list(model.events))] == told
        finally:
            speaker.close()
    finally:
        link.close()
        if other is not None:
            other.close()
