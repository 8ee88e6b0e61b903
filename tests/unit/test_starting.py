"""From a viewer's command to a session: since when the viewer waits."""

from __future__ import annotations

from dataclasses import replace

import pytest

from buffer.starting import MAX_QUEUED_SEC, asked_sec
from common.config import Settings
from common.messages import PlayVideo
from dashboard.control import command_from


def asked(sent_unix_sec: float = 0.0) -> PlayVideo:
    """Return a command that was half a second old when it was sent."""
    body = {"action": "play", "video_id": "v"}
    made = command_from(body, live_session_id=None, settings=Settings(), command_id="c")
    assert isinstance(made, PlayVideo)
    return replace(made, command_age_sec=0.5, sent_unix_sec=sent_unix_sec)


def test_the_time_a_command_waited_for_the_process_counts() -> None:
    assert asked_sec(asked(sent_unix_sec=2000.0), 100.0, 2000.4) == pytest.approx(99.1)


def test_without_a_time_only_its_age_counts() -> None:
    assert asked_sec(asked(), 100.0, 2000.0) == pytest.approx(99.5)


@pytest.mark.parametrize("sent_unix_sec", [2000.1, 2000.0 - MAX_QUEUED_SEC - 1])
def test_clocks_that_differ_are_not_believed(sent_unix_sec: float) -> None:
    assert asked_sec(asked(sent_unix_sec=sent_unix_sec), 100.0, 2000.0) == pytest.approx(99.5)
