"""The buffer/player process: sessions between sockets."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import zmq

import buffer.outputs.null  # noqa: F401  # a light one, and what the first session opens
from buffer import probing
from buffer.commands import Ask, Tell
from buffer.errands import Errands
from buffer.live import Hooks, LiveSession, OutputThread
from buffer.outputs import OutputError, OutputSpec, open_output
from buffer.report import chunk_map, session_status
from buffer.starting import asked_sec, new_session
from buffer.store import HeldChunk
from buffer.streams import Streams
from common.config import Settings
from common.endpoints import Endpoints, RoleLock
from common.errors import ExitCode, VideoClientError
from common.event_log import EventLog
from common.manifest import MAX_CHUNK_BYTES, Manifest, parse_manifest
from common.memory import keep_freed_memory
from common.messages import (
    ChunkDelivery,
    ChunkMap,
    ChunkTrouble,
    CommandResult,
    Demand,
    KeepAlive,
    PlayVideo,
    SchedulerStatus,
    SeekTo,
    SessionStatus,
    SetPaused,
    StopSession,
    ViewerReport,
)
from common.service import Service

logger = logging.getLogger(__name__)

TICK_SEC = 0.05
STATUS_SEC = 0.25
DEMAND_SEC = 1.0
# An ended session stays readable this long.
KEEP_ENDED_SEC = 600.0
KEEP_ENDED_SESSIONS = 20
KEPT_ANSWERS = 32
MAX_LIVE_SESSIONS = 16
# A payload message is the chunk, its description and room for a long provenance.
MAX_DELIVERY_BYTES = MAX_CHUNK_BYTES + 1024 * 1024
# SIGTERM ends outputs properly; a player or disk that hangs longer is left behind.
CLOSE_OUTPUTS_SEC = 2.0
# Loading libav takes a fifth of a second: in a standing stack before the first session, else during its first request.
WARM_MEDIA_SEC = 1.0
# Read in a few milliseconds: some hundred chunks.
SMALL_MANIFEST_BYTES = 128 * 1024


class BufferProcess:
    """Keeps the sessions; blocking work (metadata, media, outputs) runs in threads."""

    def __init__(self, endpoints: Endpoints, settings: Settings) -> None:
        self._lock = RoleLock(endpoints.run_dir, "buffer")
        self.service = Service(endpoints)
        self._settings = settings
        self._run_dir = endpoints.run_dir
        self._events = self.service.publisher("buffer.events")
        self._log = EventLog(self._events)
        self._requests = endpoints.address("scheduler.requests")
        self._deliver_to = endpoints.address("buffer.chunks")
        self._errands = Errands(
            timeout_sec=settings.request_timeout_sec, call_soon=self.service.call_soon
        )
        self._media = ThreadPoolExecutor(1, thread_name_prefix="media")
        self._sessions: dict[str, LiveSession] = {}
        self._streams = Streams(self.service, self._errands.submit, settings)
        self._starting: set[str] = set()
        self._answered: deque[str] = deque()
        self.service.pull(
            endpoints.address("buffer.commands"),
            {
                PlayVideo: self._play,
                KeepAlive: self._keep_alive,
                SetPaused: self._pause,
                SeekTo: self._seek,
                StopSession: self._stop,
                ViewerReport: self._viewer_said,
                ChunkTrouble: self._trouble,
            },
        )
        self.service.pull_payloads(self._deliver_to, self._chunk, max_bytes=MAX_DELIVERY_BYTES)
        self.service.subscribe(("scheduler.events",), {SchedulerStatus: self._traffic})
        self.service.connect(self._requests)
        self.service.after(WARM_MEDIA_SEC, self._warm_media)
        self.service.every(TICK_SEC, self._tick)
        self.service.every(STATUS_SEC, self._publish)
        self.service.every(DEMAND_SEC, self._repeat_demand)
        self.service.after(DEMAND_SEC, keep_freed_memory)
        self.service.on_close(self._lock.release)
        self.service.on_close(self._close_all)

    def _warm_media(self) -> None:
        self._media.submit(probing.load)

    # ------------------------------------------------------------ starting a session

    def _play(self, msg: PlayVideo) -> None:
        command_sec = asked_sec(msg, time.monotonic(), time.time())
        live = sum(not s.core.over for s in self._sessions.values()) + len(self._starting)
        if msg.session_id in self._sessions or msg.session_id in self._starting:
            self._answer(msg.command_id, msg.session_id, ExitCode.USAGE, "session exists already")
            return
        if live >= MAX_LIVE_SESSIONS:
            text = f"{live} sessions are live, at most {MAX_LIVE_SESSIONS}"
            self._answer(msg.command_id, msg.session_id, ExitCode.INTERNAL, text)
            return
        self._starting.add(msg.session_id)

        def prepare() -> None:
            try:
                raw = msg.manifest_json or self._errands.fetch_manifest(
                    msg.metadata_url, msg.video_id
                )
                manifest = parse_manifest(
                    raw,
                    video_id=msg.video_id,
                    fallback_chunk_duration_sec=msg.chunk_duration_sec,
                )
                spec = OutputSpec(kind=msg.output, path=msg.output_path, container=msg.container)
                output = open_output(spec)
            except (VideoClientError, OutputError) as error:
                text = str(error)
                code = error.exit_code if isinstance(error, VideoClientError) else ExitCode.OUTPUT
                self.service.call_soon(lambda: self._refuse(msg, code, text))
            except Exception as error:
                logger.exception("session cannot start session_id=%s", msg.session_id)
                text = f"{type(error).__name__}: {error}"
                self.service.call_soon(lambda: self._refuse(msg, ExitCode.INTERNAL, text))
            else:
                thread = OutputThread(output, self._spill_dir(msg), self.service.call_soon)
                self.service.call_soon(lambda: self._begin(msg, manifest, thread, command_sec))

        if 0 < len(msg.manifest_json) <= SMALL_MANIFEST_BYTES and msg.output in ("none", "stream"):
            # Nothing here can block: a thread would only make the first request later.
            prepare()
        else:
            self._errands.submit(prepare)

    def _spill_dir(self, msg: PlayVideo) -> Path:
        return self._run_dir / "spill" / msg.session_id[:64].replace("/", "_")

    def _refuse(self, msg: PlayVideo, code: int, text: str) -> None:
        self._starting.discard(msg.session_id)
        self._answer(msg.command_id, msg.session_id, code, text)

    def _begin(
        self, msg: PlayVideo, manifest: Manifest, thread: OutputThread, command_sec: float
    ) -> None:
        self._starting.discard(msg.session_id)
        now_sec = time.monotonic()
        session = new_session(
            msg,
            manifest,
            thread,
            self._spill_dir(msg),
            command_sec=command_sec,
            now_sec=now_sec,
            hooks=Hooks(
                send_demand=lambda ask: self._send_demand(msg.session_id, ask),
                after=self.service.after,
                tell=lambda tell: self._tell(msg.session_id, tell),
                refresh=lambda: self._refresh(msg.session_id),
                count_view=lambda: self._errands.count_view(msg.metadata_url, msg.video_id),
            ),
        )
        self._sessions[msg.session_id] = session
        session.execute(session.core.begin(now_sec))
        self._streams.offer(session)
        # Not sooner: it would keep the first request waiting.
        self._warm_media()
        # The monitor learns the nodes from this snapshot: the sooner the better.
        self._publish_session(session)
        self._answer(msg.command_id, msg.session_id, ExitCode.PLAYED, f"plays {manifest.title}")
        self._tell(msg.session_id, Tell("session", f"{manifest.title}: session starts"))

    # ------------------------------------------------------------ events of a session

    def _chunk(self, msg: ChunkDelivery, payload: zmq.Frame) -> None:
        session = self._sessions.get(msg.session_id)
        if session is None or session.core.closing or len(payload.buffer) != msg.size_bytes:
            return
        data = payload.buffer

        def measure() -> None:
            duration_sec = probing.duration_sec(data)
            chunk = HeldChunk(
                chunk_id=msg.chunk_id,
                sequence_num=msg.sequence_num,
                data=data,
                size_bytes=msg.size_bytes,
                duration_sec=duration_sec or 0.0,
                sources=msg.sources,
            )
            measured = duration_sec is not None
            self.service.call_soon(lambda: self._measured(session, chunk, measured))

        self._media.submit(measure)

    def _measured(self, session: LiveSession, chunk: HeldChunk, measured: bool) -> None:
        session.execute(
            session.core.chunk_arrived(chunk, measured=measured, now_sec=time.monotonic())
        )

    def _trouble(self, msg: ChunkTrouble) -> None:
        session = self._sessions.get(msg.session_id)
        if session is not None:
            session.execute(session.core.trouble(msg, time.monotonic()))

    def _traffic(self, msg: SchedulerStatus) -> None:
        now_sec = time.monotonic()
        for item in msg.sessions:
            session = self._sessions.get(item.session_id)
            if session is not None:
                flowing = sum(
                    f.received_until_bytes - f.start_bytes
                    for f in msg.in_flight
                    if f.session_id == item.session_id
                )
                session.core.traffic(item.received_bytes + flowing, now_sec)

    def _refresh(self, session_id: str) -> None:
        session = self._sessions[session_id]

        def fresh(manifest: Manifest) -> None:
            session.execute(session.core.replicas_refreshed(manifest, time.monotonic()))

        self._errands.refresh(session.metadata_url, session.core.manifest, fresh)

    # ------------------------------------------------------------ commands

    def _keep_alive(self, msg: KeepAlive) -> None:
        session = self._sessions.get(msg.session_id)
        if session is not None:
            session.owner_seen_sec = time.monotonic()

    def _viewer_said(self, msg: ViewerReport) -> None:
        session = self._sessions.get(msg.session_id)
        if session is not None and not session.core.over:
            # Whoever watches keeps the session alive.
            session.owner_seen_sec = now_sec = time.monotonic()
            session.execute(session.following.said(msg, now_sec))

    def _pause(self, msg: SetPaused) -> None:
        def act(session: LiveSession) -> str:
            session.pause(msg.paused, time.monotonic())
            return session.core.playback.state

        self._command(msg.command_id, msg.session_id, act)

    def _seek(self, msg: SeekTo) -> None:
        session = self._sessions.get(msg.session_id)
        if session is not None and not session.core.options.can_seek:
            text = f"cannot seek while playing to {session.output_text}"
            self._answer(msg.command_id, msg.session_id, ExitCode.USAGE, text)
            return

        def act(session: LiveSession) -> str:
            session.seek(msg.position_sec, time.monotonic())
            return f"at {session.core.playback.position_sec:.1f} s"

        self._command(msg.command_id, msg.session_id, act)

    def _stop(self, msg: StopSession) -> None:
        if not msg.session_id:
            for live in [s for s in self._sessions.values() if not s.core.over]:
                live.execute(live.core.stop())
            self._answer(msg.command_id, "", ExitCode.PLAYED, "all sessions stop")
            return

        def act(session: LiveSession) -> str:
            session.execute(session.core.stop())
            return "stops"

        self._command(msg.command_id, msg.session_id, act)

    def _command(self, command_id: str, session_id: str, act: Callable[[LiveSession], str]) -> None:
        session = self._sessions.get(session_id)
        if session is None or session.core.over:
            self._answer(command_id, session_id, ExitCode.USAGE, f"no live session {session_id!r}")
            return
        self._answer(command_id, session_id, ExitCode.PLAYED, act(session))
        self._publish_session(session)

    def _answer(self, command_id: str, session_id: str, code: int, text: str) -> None:
        self._events.publish(
            CommandResult(
                command_id=command_id,
                session_id=session_id,
                ok=code == ExitCode.PLAYED,
                exit_code=code,
                text=text,
            ),
            # Whoever asked may not have subscribed yet: the answer is kept for a while.
            key=command_id,
        )
        self._answered.append(command_id)
        if len(self._answered) > KEPT_ANSWERS:
            self._events.forget(CommandResult, self._answered.popleft())

    # ------------------------------------------------------------ timers and messages out

    def _tick(self) -> None:
        now_sec = time.monotonic()
        for session in list(self._sessions.values()):
            if session.core.over:
                continue
            was = session.core.playback.state
            if 0 < session.owner_lease_sec < now_sec - session.owner_seen_sec:
                session.execute(session.core.stop(text="whoever started it is gone"))
            else:
                if session.thread.output.begun:
                    session.execute(session.core.output_began(now_sec))
                session.execute(session.core.tick(now_sec))
                session.execute(session.following.tick(now_sec))
            if session.core.playback.state != was:
                self._publish_session(session)

    def _repeat_demand(self) -> None:
        now_sec = time.monotonic()
        for session in self._sessions.values():
            session.execute(session.core.repeat_demand(now_sec))
        ended = [s for s in self._sessions.values() if s.ended_sec is not None]
        for index, session in enumerate(ended):
            too_many = index < len(ended) - KEEP_ENDED_SESSIONS
            if too_many or now_sec - (session.ended_sec or now_sec) > KEEP_ENDED_SEC:
                del self._sessions[session.session_id]
                self._streams.withdraw(session)
                self._events.forget(SessionStatus, session.session_id)
                self._events.forget(ChunkMap, session.session_id)

    def _send_demand(self, session_id: str, ask: Ask) -> None:
        core = self._sessions[session_id].core
        self.service.push(
            self._requests,
            Demand(
                session_id=session_id,
                deliver_to=self._deliver_to,
                wanted=ask.wanted,
                low_water_mark_sec=core.options.low_water_mark_sec,
                closed=core.closing,
                policy=core.options.policy,
            ),
        )

    def _tell(self, session_id: str, tell: Tell) -> None:
        logger.info("%s session_id=%s", tell.text, session_id)
        self._log.say(session_id, tell.kind, tell.text)
        session = self._sessions.get(session_id)
        if session is not None:
            self._publish_session(session)

    def _publish(self) -> None:
        for session in self._sessions.values():
            if session.ended_sec is None:
                self._publish_session(session)

    def _publish_session(self, session: LiveSession) -> None:
        if session.chunks_changed:
            session.chunks_changed = False
            self._events.publish(chunk_map(session), session.session_id)
        self._events.publish(session_status(session, time.monotonic()), session.session_id)

    def _close_all(self) -> None:
        """End the outputs properly: a recording stays playable."""
        now_sec = time.monotonic()
        live = [s for s in self._sessions.values() if not s.core.over]
        for session in live:
            session.execute(session.core.break_off("the stack stops"))
        deadline_sec = now_sec + CLOSE_OUTPUTS_SEC
        for session in live:
            session.thread.join(max(0.0, deadline_sec - time.monotonic()))
        # The threads' last words are in the loop's queue.
        self.service.run_once(0)
        for session in live:
            self._publish_session(session)
            session.clear_spill()
        self._streams.stop()
        self._errands.stop()
        self._media.shutdown(wait=False, cancel_futures=True)
