"""One viewing of one video: what to ask for, what to hand to the output, when it is over.

No I/O, no clock, no randomness: events and `now_sec` in, commands out; a shell (`buffer.live`) carries them out.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from buffer.commands import (
    Ask,
    CloseOutput,
    Command,
    HandOver,
    Outcome,
    RefreshManifest,
    SessionOptions,
    SkipInOutput,
    Spill,
    Tell,
)
from buffer.demand import wanted_chunks
from buffer.news import News
from buffer.patience import GiveUp, Patience
from buffer.playback import Playback
from buffer.records import Record
from buffer.store import ChunkStore, HeldChunk
from buffer.timeline import Timeline
from common.errors import ExitCode
from common.manifest import Manifest
from common.messages import ChunkTrouble, EventKind, WantedChunk
from common.units import clock_text

# The next chunk goes to the output this much before the playhead needs it, so that no tick is too late.
HAND_OVER_LEAD_SEC = 0.25
# Fresh replicas are asked for after every that many rounds of failures of one chunk.
ROUNDS_PER_REFRESH = 2


@dataclass(slots=True)
class Session:
    """State of one viewing; see the module's first lines."""

    manifest: Manifest
    options: SessionOptions
    playback: Playback
    store: ChunkStore = field(init=False)
    timeline: Timeline = field(init=False)
    outcome: Outcome = ""
    exit_code: int = 0
    message: str = ""
    records: dict[int, Record] = field(default_factory=dict)
    missing: set[int] = field(default_factory=set)
    first_chunk_sec: float | None = None
    chunks_buffered: int = 0
    chunks_played: int = 0
    _wanted: tuple[WantedChunk, ...] = ()
    _handed_until_sec: float = 0.0
    _in_output: int = 0
    _in_output_before_seek: int = 0
    _closing: Outcome = ""
    _patience: Patience = field(init=False)
    # Chunks that players asked for from elsewhere than around the playhead.
    _extra: set[int] = field(default_factory=set)
    _news: News = field(default_factory=News)

    def __post_init__(self) -> None:
        self._patience = Patience(self.options.give_up_sec, self.options.on_missing)
        options = self.options
        self.store = ChunkStore(
            max_memory_bytes=options.max_buffer_bytes, keep_bytes=options.keep_bytes
        )
        self.timeline = Timeline(
            len(self.manifest.chunks), self.manifest.chunk_duration_sec, self.manifest.duration_sec
        )

    # ------------------------------------------------------------ facts

    @property
    def over(self) -> bool:
        return self.outcome != ""

    @property
    def closing(self) -> bool:
        """Whether the output is being closed; nothing more is fetched or handed over."""
        return self._closing != ""

    @property
    def buffered_until_sec(self) -> float:
        """End of the verified media that can be played without a gap."""
        run = self.store.contiguous()
        held_until_sec = self._handed_until_sec
        if run:
            held_until_sec = self.timeline.start_sec(run[-1].sequence_num + 1)
        return max(held_until_sec, self._handed_until_sec)

    @property
    def buffer_level_sec(self) -> float:
        return max(0.0, self.buffered_until_sec - self.playback.position_sec)

    @property
    def needed_to_start_sec(self) -> float:
        """How much media must be held to start; 0 when a first chunk is enough, however long it turns out to be."""
        # Nothing is fetched beyond the target: who waited for more would wait for ever.
        needed_sec = min(self.options.start_playback_sec, self.options.target_buffer_sec)
        return 0.0 if needed_sec <= self.manifest.chunk_duration_sec else needed_sec

    @property
    def wanted(self) -> tuple[WantedChunk, ...]:
        """What the scheduler was last asked for."""
        return self._wanted

    @property
    def current_sequence(self) -> int:
        return self.timeline.chunk_at(self.playback.position_sec)

    # ------------------------------------------------------------ events

    def begin(self, now_sec: float) -> list[Command]:
        """Ask for the first chunks."""
        self._patience.hope(now_sec)
        self._handed_until_sec = 0.0
        return self._ask(now_sec, always=True)

    def chunk_arrived(self, chunk: HeldChunk, *, measured: bool, now_sec: float) -> list[Command]:
        """Take a verified chunk; `measured` says that its duration comes from its media."""
        number = chunk.sequence_num
        if self.closing or not 0 <= number < len(self.manifest.chunks):
            return []
        if self.manifest.chunks[number].chunk_id != chunk.chunk_id or number in self.missing:
            return []
        behind = number < self.store.position
        if number in self.store or (behind and number not in self._extra):
            return []
        self._extra.discard(number)
        if measured and not behind:
            self.timeline.set_duration(number, chunk.duration_sec)
        else:
            # What lies behind must not move what plays already.
            chunk.duration_sec = self.timeline.duration_sec(number)
        if behind:
            self.store.keep(chunk)
        else:
            self.store.add(chunk)
        self.chunks_buffered += 1
        self._patience.hope(now_sec)
        self._patience.forget(chunk.chunk_id)
        if self.first_chunk_sec is None:
            self.first_chunk_sec = now_sec - self.playback.command_sec
        self.records[number] = Record(chunk.size_bytes, chunk.duration_sec, chunk.sources)
        commands: list[Command] = [Spill(late) for late in self.store.to_spill()]
        return [*commands, *self.go_on(now_sec)]

    def output_took(self, number: int, now_sec: float) -> list[Command]:
        """The output has accepted a chunk (or a hole)."""
        self._in_output -= 1
        # Neither a hole nor what the output had before a seek is the picture that is waited for.
        awaited = number not in self.missing and self._in_output_before_seek == 0
        self._in_output_before_seek = max(0, self._in_output_before_seek - 1)
        if number not in self.missing:
            self.chunks_played += 1
            if number in self.records:
                self.records[number].played = True
        if awaited:
            self._picture_moves(now_sec)
        return self.go_on(now_sec)

    def output_began(self, now_sec: float) -> list[Command]:
        """The output took the first byte of the first chunk, and may take its time for the rest."""
        if self.playback.started:
            return []
        self._picture_moves(now_sec)
        return self.go_on(now_sec)

    def _picture_moves(self, now_sec: float) -> None:
        # Where a player shows the film, it tells.
        by_player = self.options.awaits_viewer or self.playback.followed(now_sec)
        if not by_player and self.playback.state in ("startup", "seeking") and not self.closing:
            self.playback.start(now_sec)

    def output_failed(self, text: str) -> list[Command]:
        """The output cannot go on."""
        self._in_output -= 1
        return self._fail(ExitCode.OUTPUT, text)

    def output_closed(self, text: str, now_sec: float) -> list[Command]:
        """The output is closed: the session is over; `text` says what went wrong at that, if anything."""
        if self.over:
            return []
        if text and self._closing in ("played", "holes"):
            self._closing, self.exit_code, self.message = "failed", ExitCode.OUTPUT, text
        self.outcome = self._closing or "stopped"
        failed = self.outcome == "failed"
        self.playback.end(now_sec, failed=failed)
        kind: EventKind = "failed" if failed else "ended"
        at = clock_text(self.playback.position_sec)
        text = self.message or ("played to the end" if self.outcome == "played" else "stopped")
        return [Tell(kind, text if self.outcome == "played" else f"{text}, at {at}"), Ask(())]

    def trouble(self, msg: ChunkTrouble, now_sec: float) -> list[Command]:
        """A chunk could not be had from any replica."""
        if self.closing:
            return []
        commands: list[Command] = []
        if self._patience.note(msg):
            commands.append(Tell("trouble", f"{msg.chunk_id} is not to be had: {msg.detail}"))
        if msg.rounds % ROUNDS_PER_REFRESH == 1:
            commands.append(RefreshManifest())
        return [*commands, *self.go_on(now_sec)]

    def replicas_refreshed(self, manifest: Manifest, now_sec: float) -> list[Command]:
        """Take fresh replica lists; a manifest of another film is ignored."""
        old = [(c.chunk_id, c.checksum_sha256) for c in self.manifest.chunks]
        if [(c.chunk_id, c.checksum_sha256) for c in manifest.chunks] != old:
            return []
        self.manifest = manifest
        return self._ask(now_sec, always=True)

    def traffic(self, received_bytes: int, now_sec: float) -> None:
        """Note how many bytes have come so far."""
        self._patience.traffic(received_bytes, now_sec)

    def pause(self, paused: bool, now_sec: float) -> list[Command]:
        """Pause or go on."""
        if self.closing:
            return []
        self.advance(now_sec)
        if not self.playback.pause(now_sec, paused):
            return []
        where = clock_text(self.playback.position_sec)
        text = f"paused at {where}" if paused else f"goes on at {where}"
        return [Tell("paused", text), *self.go_on(now_sec)]

    def seek(self, position_sec: float, now_sec: float) -> list[Command]:
        """Move the playhead to a position, clamped to the film; the chunk that holds it is played from there."""
        position_sec = min(max(0.0, position_sec), self.timeline.end_sec)
        number = self.timeline.chunk_at(position_sec)
        self.advance(now_sec)
        self.playback.seek(now_sec, position_sec)
        self._in_output_before_seek = self._in_output
        self.store.move_to(number)
        self._handed_until_sec = position_sec
        return [Tell("seek", f"moved to {clock_text(position_sec)}"), *self.go_on(now_sec)]

    def want_also(self, number: int, now_sec: float) -> list[Command]:
        """Get a chunk at once that a player waits for."""
        if self.closing or number in self.missing or self.store.find(number) is not None:
            return []
        self._extra.add(number)
        return self._ask(now_sec, always=False)

    def want_no_more(self, number: int, now_sec: float) -> list[Command]:
        """No player waits for a chunk any longer."""
        self._extra.discard(number)
        return self._ask(now_sec, always=False)

    def stop(self, *, text: str = "stopped") -> list[Command]:
        """End at the viewer's wish."""
        return self._close("stopped", ExitCode.PLAYED, text)

    def break_off(self, text: str) -> list[Command]:
        """End before the film does, and nobody wished it."""
        return self._fail(ExitCode.INTERNAL, text)

    def tick(self, now_sec: float) -> list[Command]:
        """Let time pass."""
        return self.go_on(now_sec)

    def repeat_demand(self, now_sec: float) -> list[Command]:
        """Say again what is wanted: a scheduler that restarted has forgotten it."""
        return [] if self.over else self._ask(now_sec, always=True)

    # ------------------------------------------------------------ decisions

    def go_on(self, now_sec: float) -> list[Command]:
        """Return what follows from what is known now."""
        if self.closing:
            return []
        at_end = self.advance(now_sec)
        commands = self._news.of(self.playback)
        if at_end and self._in_output == 0:
            outcome: Outcome = "holes" if self.missing else "played"
            code = ExitCode.HOLES if self.missing else ExitCode.PLAYED
            text = f"played to the end with {len(self.missing)} chunks missing"
            return [*commands, *self._close(outcome, code, text if self.missing else "")]
        verdict = self._judge_head(now_sec)
        if verdict:
            return [*commands, *verdict]
        return [*commands, *self._hand_over(), *self._ask(now_sec, always=False)]

    def advance(self, now_sec: float) -> bool:
        """Move the playhead; True when it is at the end of the film."""
        at_end = self.playback.advance(
            now_sec,
            limit_sec=self._handed_until_sec,
            buffered_until_sec=self.buffered_until_sec,
            ends_at_limit=self.nothing_left,
            needs_player=self.options.awaits_viewer,
        )
        # Behind a hole at the end the playhead waits for nothing.
        waits = self.playback.state in ("startup", "seeking", "rebuffering")
        by_clock = not (self.options.awaits_viewer or self.playback.followed(now_sec))
        return at_end or (waits and by_clock and self.nothing_left)

    @property
    def nothing_left(self) -> bool:
        """Whether every chunk was handed over."""
        return self.store.position >= len(self.manifest.chunks)

    def _may_start(self) -> bool:
        """Whether enough is held: `start_playback_sec` or all that is wanted, a first chunk, or all that is left."""
        run = self.store.contiguous()
        if not run:
            return False
        needed_sec = self.needed_to_start_sec
        return (
            needed_sec <= 0
            or sum(chunk.duration_sec for chunk in run) >= needed_sec
            or self.store.position + len(run) == len(self.manifest.chunks)
        )

    def _hand_over(self) -> list[Command]:
        commands: list[Command] = []
        while self._in_output == 0 and self.playback.state != "paused":
            if self.playback.state == "startup" and not self._may_start():
                break
            ahead_sec = self._handed_until_sec - self.playback.position_sec
            if self.options.paced and ahead_sec > HAND_OVER_LEAD_SEC:
                break
            chunk = self.store.take_next()
            if chunk is None:
                break
            self._handed_until_sec = self.timeline.start_sec(chunk.sequence_num + 1)
            self._in_output += 1
            commands.append(HandOver(chunk))
        return commands

    def _judge_head(self, now_sec: float) -> list[Command]:
        """Decide whether the chunk that the playhead waits for is worth waiting for."""
        head = self.store.position
        if self.nothing_left or head in self.store:
            return []
        verdict = self._patience.verdict(
            self.manifest.chunks[head].chunk_id,
            head,
            now_sec,
            asked=bool(self._wanted),
            # A player's last picture ends a little before the media does.
            dry=self.buffer_level_sec <= 0 or self.playback.state == "rebuffering",
        )
        if isinstance(verdict, GiveUp):
            return self._fail(verdict.exit_code, verdict.text)
        return self._skip(head, now_sec) if verdict == "skip" else []

    def _skip(self, number: int, now_sec: float) -> list[Command]:
        self.missing.add(number)
        self._extra.discard(number)
        self.store.move_to(number + 1)
        self._handed_until_sec = self.timeline.start_sec(number + 1)
        self.playback.skip_to(now_sec, self._handed_until_sec)
        self._in_output += 1
        why = self._patience.why(self.manifest.chunks[number].chunk_id)
        hole = SkipInOutput(number, self.timeline.duration_sec(number))
        return [Tell("hole", f"chunk {number} is skipped{why}"), hole]

    def _fail(self, code: int, text: str) -> list[Command]:
        return self._close("failed", code, text)

    def _close(self, outcome: Outcome, code: int, text: str) -> list[Command]:
        if self.closing:
            return []
        self._closing, self.exit_code, self.message = outcome, code, text
        self._wanted = ()
        return [CloseOutput(complete=outcome in ("played", "holes")), Ask(())]

    def _ask(self, now_sec: float, *, always: bool) -> list[Command]:
        if self.closing:
            return [Ask(())] if always else []
        wanted = wanted_chunks(
            self.manifest.chunks,
            self.store,
            self.timeline,
            playhead_sec=self.playback.position_sec,
            target_sec=self.options.target_buffer_sec,
            paced=self.options.paced,
            given_up=self.missing,
            also=self._extra,
        )
        names = [item.chunk.chunk_id for item in wanted]
        changed = names != [item.chunk.chunk_id for item in self._wanted]
        if changed and not self._wanted:
            # The countdown to giving up begins with the wish, not with the last chunk.
            self._patience.hope(now_sec)
        self._wanted = wanted
        return [Ask(wanted)] if changed or always else []
