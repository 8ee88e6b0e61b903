"""From the JSON of a control request to the command it means. No I/O, no clock, no randomness."""

from __future__ import annotations

from typing import Any, Literal

from common.config import Settings, require_http_url
from common.errors import ConfigError
from common.messages import CommandResult, PlayVideo, SeekTo, SetPaused, StopSession
from dashboard.fields import BadRequest, number_of, object_of, text_of

Command = PlayVideo | SetPaused | SeekTo | StopSession
ACTIONS = ("pause", "resume", "stop", "seek", "play")
OUTPUTS: tuple[Literal["none", "stream"], ...] = ("none", "stream")
_FIELDS = {"action", "session_id", "position_sec", "video_id", "metadata_url", "output"}
# A session that plays only for players ends when none was there for so long; reloading a page takes a few seconds.
VIEWER_LEASE_SEC = 60.0
_MAX_TEXT = 2000
# Longer than any film; keeps infinity and integers that no float holds out.
_MAX_POSITION_SEC = 1e9


class NoSession(ValueError):
    """A command without a session to act on."""


class StackAbsent(Exception):
    """No stack runs that could take a command."""


class NoAnswer(Exception):
    """The stack did not answer a command in time."""


def command_from(
    body: Any, *, live_session_id: str | None, settings: Settings, command_id: str
) -> Command:
    """Return the command that `body` asks for; a session it starts is named `command_id`."""
    body = object_of(body)
    for name in body.keys() - _FIELDS:
        raise BadRequest(f"{str(name)[:80]}: no such field; known are {', '.join(sorted(_FIELDS))}")
    action = body.get("action")
    if action not in ACTIONS:
        raise BadRequest(f"action: expected one of {', '.join(ACTIONS)}")
    if action == "play":
        return _play(body, settings, command_id)
    position_sec = number_of(body, "position_sec", _MAX_POSITION_SEC) if action == "seek" else 0.0
    session_id = text_of(body, "session_id", _MAX_TEXT) if "session_id" in body else live_session_id
    if session_id is None:
        raise NoSession("no session is playing")
    if action == "seek":
        return SeekTo(command_id=command_id, session_id=session_id, position_sec=position_sec)
    if action == "stop":
        return StopSession(command_id=command_id, session_id=session_id)
    return SetPaused(command_id=command_id, session_id=session_id, paused=action == "pause")


def _play(body: dict[str, Any], settings: Settings, command_id: str) -> PlayVideo:
    url = settings.metadata_service_url
    if "metadata_url" in body:
        try:
            url = require_http_url("metadata_url", text_of(body, "metadata_url", _MAX_TEXT))
        except ConfigError as error:
            raise BadRequest(str(error)) from error
    output = body.get("output", "none")
    if output not in OUTPUTS:
        raise BadRequest(f"output: expected one of {', '.join(OUTPUTS)}")
    return PlayVideo(
        command_id=command_id,
        session_id=text_of(body, "session_id", _MAX_TEXT) if "session_id" in body else command_id,
        video_id=text_of(body, "video_id", _MAX_TEXT),
        metadata_url=url,
        manifest_json=b"",
        command_age_sec=0.0,
        manifest_sec=0.0,
        output=output,
        output_path="",
        container="auto",
        paced=True,
        on_missing="wait",
        give_up_sec=settings.give_up_sec,
        target_buffer_sec=settings.target_buffer_sec,
        low_water_mark_sec=settings.low_water_mark_sec,
        start_playback_sec=settings.start_playback_sec,
        chunk_duration_sec=settings.chunk_duration_sec,
        max_buffer_bytes=settings.max_buffer_bytes,
        owner_lease_sec=VIEWER_LEASE_SEC if output == "stream" else 0.0,
    )


def result_json(result: CommandResult) -> dict[str, Any]:
    """Return the answer to a command that was taken or refused."""
    return {
        "ok": result.ok,
        "session_id": result.session_id,
        "exit_code": result.exit_code,
        "text": result.text,
        **({} if result.ok else {"error": result.text or "the command was refused"}),
    }
