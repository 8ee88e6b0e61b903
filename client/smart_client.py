"""SmartClient: plays a video through a stack of processes, its own or one that runs already."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from client.attachment import ANSWER_SEC, WATCH_SEC, Attachment
from client.link import Command
from client.views import BufferView, NetworkView, SchedulerView
from common.catalog import Catalog
from common.config import Settings, load_settings
from common.errors import CatalogError, ExitCode, StackError, VideoClientError
from common.ids import is_valid_id
from common.messages import (
    Container,
    OnMissing,
    OutputKind,
    PlayVideo,
    Policy,
    SchedulerStatus,
    SeekTo,
    SessionStatus,
    SetPaused,
    StopSession,
    ViewerReport,
)
from common.status import StatusModel

logger = logging.getLogger(__name__)

T = TypeVar("T")

# A viewer that vanishes must not keep a standing stack fetching, nor a stack that vanishes keep its viewer waiting.
OWNER_LEASE_SEC = 10.0
# Whoever is about to end a session waits this long for a buffer process that may be gone.
STOP_ANSWER_SEC = 3.0
# The scheduler's last figures arrive within one of its publishing intervals.
LAST_FIGURES_SEC = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayOptions:
    """How a video is played; times of None come from the settings."""

    output: OutputKind = "none"
    output_path: str = ""
    container: Container = "auto"
    paced: bool = True
    on_missing: OnMissing = "wait"
    policy: Policy = "deadline"


class SmartClient:
    """Plays videos of a V-Stack store.

    Joins the stack in `run_dir` (default: the user's standing one) when it runs, else starts a private one. Every
    public coroutine belongs to one event loop; `stop` ends what was started, whatever happened before.
    """

    def __init__(
        self,
        metadata_service_url: str | None = None,
        *,
        settings: Settings | None = None,
        dashboard: bool = False,
        private: bool | None = None,
        on_message: Callable[[object], None] | None = None,
        tap: Callable[[object], None] | None = None,
        command_sec: float | None = None,
    ) -> None:
        """`private` forces (True) or forbids (False) a stack of our own; None joins a running one.

        `on_message` is called in the event loop for every message of the stack; `tap` for those and for every ended
        range, at once and from other threads. `command_sec` is when the viewer asked (monotonic), default: when
        `play_video` is called. Raises ConfigError for a wrong setting.
        """
        self.settings = settings or load_settings({"metadata_service_url": metadata_service_url})
        self.metadata_url = self.settings.metadata_service_url
        self.video_id: str | None = None
        self.session_id: str | None = None
        self.error: VideoClientError | None = None
        self.exit_code: int = ExitCode.PLAYED
        self._on_message = on_message
        self._command_sec = command_sec
        self._catalog = Catalog(self.metadata_url, timeout_sec=self.settings.request_timeout_sec)
        self._attachment = Attachment(
            self.settings, dashboard=dashboard, private=private, heard=self._heard, tap=tap
        )
        self._reachable = False
        self._figures_unix_sec = 0.0
        self._heard_statuses = 0
        self.network_monitor = NetworkView(self._read)
        self.scheduler = SchedulerView(self._read)
        self.buffer_manager = BufferView(self._read)

    # ------------------------------------------------------------ life

    async def initialize(self) -> bool:
        """Start or join the stack and reach the metadata service; False (and `error`) when that fails."""
        try:
            self._attachment.open()
            self._reachable = await asyncio.to_thread(self._catalog.is_healthy)
            if not self._reachable:
                # An old or busy service may lack a healthy /health and still serve manifests.
                await asyncio.to_thread(self._catalog.videos, limit=1)
                self._reachable = True
        except VideoClientError as error:
            self._note(error)
            await self.stop()
            return False
        return True

    async def play_video(self, video_id: str, options: PlayOptions | None = None) -> bool:
        """Play to the end; True when every chunk was played, else False with `error` and `exit_code`."""
        options = options or PlayOptions()
        command_sec = self._command_sec or time.monotonic()
        self.video_id, self.session_id, self.error = video_id, None, None
        self.exit_code = ExitCode.PLAYED
        try:
            if not is_valid_id(video_id):
                raise CatalogError(
                    f"no video {video_id!r}: ids are 1-64 letters, digits, '-' and '_'",
                    fault="not_found",
                )
            manifest = asyncio.create_task(asyncio.to_thread(self._catalog.manifest_json, video_id))
            # The request leaves before the processes take the processors.
            await asyncio.sleep(0)
            self._attachment.open()
            manifest_json = await manifest
            self._reachable = True
            manifest_sec = time.monotonic() - command_sec
            await self._begin(video_id, manifest_json, manifest_sec, command_sec, options)
            status = await self._until_over()
        except VideoClientError as error:
            self._note(error)
            return False
        self.exit_code = status.exit_code
        return status.outcome == "played"

    async def stop(self) -> None:
        """End the session and everything that was started; idempotent."""
        if self._attachment.is_open:
            session = self._session()
            if self.session_id and (session is None or not session.outcome):
                await self._stop_session()
        await self._attachment.close()
        self._catalog.close()

    # ------------------------------------------------------------ control

    async def pause(self, paused: bool = True) -> bool:
        """Pause, or go on with False; True when the stack did so."""
        return await self._control(
            SetPaused(command_id=_new_id(), session_id=self.session_id or "-", paused=paused)
        )

    async def seek(self, position_sec: float) -> bool:
        """Move the playhead; True when the stack did so."""
        return await self._control(
            SeekTo(
                command_id=_new_id(), session_id=self.session_id or "-", position_sec=position_sec
            )
        )

    async def end_session(self) -> bool:
        """Stop playing; `play_video` then returns."""
        return await self._control(
            StopSession(command_id=_new_id(), session_id=self.session_id or "-"), STOP_ANSWER_SEC
        )

    def tell(self, report: ViewerReport) -> None:
        """Pass on what a player shows of the session: that is its playhead then."""
        self._attachment.tell(report)

    def blame(self, error: VideoClientError) -> None:
        """Note what ended the session from outside, unless it failed by itself before."""
        if self.error is None and self.exit_code == ExitCode.PLAYED:
            self._note(error)

    # ------------------------------------------------------------ status

    @property
    def joined(self) -> bool:
        """Whether the stack was there before."""
        return self._attachment.joined

    @property
    def playing(self) -> bool:
        """Whether a session lives."""
        session = self._session()
        return session is not None and not session.outcome

    def get_status(self) -> dict[str, Any]:
        """Return everything a dashboard shows, with the seed's keys."""
        session_id = self.session_id or "-"
        status: dict[str, Any] = self._read(lambda model: model.client_status(session_id))
        status["is_initialized"] = self._attachment.is_open and self._reachable
        status["video_id"] = self.video_id
        status["playing"] = self.playing
        return status

    def summary(self) -> dict[str, Any]:
        """Return the totals of the last session; also of one that never started."""
        session_id = self.session_id or "-"
        found: dict[str, Any] = self._read(lambda model: model.summary(session_id))
        found["video_id"] = self.video_id
        found["exit_code"] = int(self.exit_code)
        if self.error is not None:
            found["outcome"] = "failed"
            found["error"] = str(self.error)
        return found

    def print_status(self) -> None:
        """Print the status for people to read."""
        from client.terminal import status_text

        print(status_text(self.get_status(), self.summary()))

    # ------------------------------------------------------------ inside

    def _read(self, look: Callable[[StatusModel], T]) -> T:
        return self._attachment.read(look)

    def _session(self) -> SessionStatus | None:
        if self.session_id is None:
            return None
        return self._read(lambda model: model.session(self.session_id))

    def _note(self, error: VideoClientError) -> None:
        self.error = error
        self.exit_code = error.exit_code
        logger.error("%s", error)

    def _heard(self, msg: object) -> None:
        if isinstance(msg, SchedulerStatus):
            self._figures_unix_sec = msg.published_unix_sec
        elif isinstance(msg, SessionStatus) and msg.session_id == self.session_id:
            self._heard_statuses += 1
        if self._on_message is not None:
            self._on_message(msg)

    async def _begin(
        self,
        video_id: str,
        manifest_json: bytes,
        manifest_sec: float,
        command_sec: float,
        options: PlayOptions,
    ) -> None:
        settings = self.settings
        self.session_id = _new_id()
        result = await self._attachment.ask(
            PlayVideo(
                command_id=self.session_id,
                session_id=self.session_id,
                video_id=video_id,
                metadata_url=self.metadata_url,
                manifest_json=manifest_json,
                command_age_sec=time.monotonic() - command_sec,
                manifest_sec=manifest_sec,
                output=options.output,
                output_path=options.output_path,
                container=options.container,
                paced=options.paced,
                on_missing=options.on_missing,
                give_up_sec=settings.give_up_sec,
                target_buffer_sec=settings.target_buffer_sec,
                low_water_mark_sec=settings.low_water_mark_sec,
                start_playback_sec=settings.start_playback_sec,
                chunk_duration_sec=settings.chunk_duration_sec,
                max_buffer_bytes=settings.max_buffer_bytes,
                owner_lease_sec=OWNER_LEASE_SEC,
                policy=options.policy,
                sent_unix_sec=time.time(),
            )
        )
        if not result.ok:
            error = VideoClientError(result.text)
            error.exit_code = ExitCode(result.exit_code)
            raise error

    async def _control(self, command: Command, limit_sec: float = ANSWER_SEC) -> bool:
        try:
            return (await self._attachment.ask(command, limit_sec)).ok
        except VideoClientError as error:
            logger.error("%s", error)
            return False

    async def _until_over(self) -> SessionStatus:
        silent_sec = 0.0
        while silent_sec < OWNER_LEASE_SEC:
            self._attachment.require_alive()
            session = self._session()
            if session is not None and session.outcome:
                await self._last_figures()
                return session
            heard, asked_sec = self._heard_statuses, time.monotonic()
            await self._attachment.next_change(WATCH_SEC)
            # Counted in small steps: a viewer that was suspended has not waited all the time.
            waited_sec = min(WATCH_SEC, time.monotonic() - asked_sec)
            silent_sec = silent_sec + waited_sec if heard == self._heard_statuses else 0.0
        raise StackError("the buffer process is gone, or has forgotten the session")

    async def _last_figures(self) -> None:
        """Wait for the scheduler's snapshot taken after the session's end."""
        ended_unix_sec = time.time()
        deadline_sec = time.monotonic() + LAST_FIGURES_SEC
        while time.monotonic() < deadline_sec:
            if self._figures_unix_sec > ended_unix_sec:
                return
            await self._attachment.next_change(0.1)

    async def _stop_session(self) -> None:
        if await self.end_session():
            deadline_sec = time.monotonic() + LAST_FIGURES_SEC
            while self.playing and time.monotonic() < deadline_sec:
                await self._attachment.next_change(0.1)


def _new_id() -> str:
    return uuid.uuid4().hex[:16]
