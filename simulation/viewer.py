"""A viewer in virtual time: the buffer's own session core, and an output that takes everything at once.

No I/O, no clock, no randomness of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from buffer.commands import (
    Ask,
    CloseOutput,
    Command,
    CountView,
    HandOver,
    RefreshManifest,
    SessionOptions,
    SkipInOutput,
    Spill,
    Tell,
)
from buffer.playback import Playback
from buffer.session import Session
from buffer.store import HeldChunk
from common.manifest import Manifest
from common.messages import ChunkSpec, ChunkTrouble, Demand
from simulation.world import World

SESSION_ID = "s1"
TICK_SEC = 0.05
DEMAND_SEC = 1.0
TRAFFIC_SEC = 0.25
# The output's thread and its wake-up.
OUTPUT_SEC = 0.0005


class Viewer:
    """Plays a film in a world; the manifest is there at the time it begins."""

    def __init__(
        self,
        world: World,
        manifest: Manifest,
        options: SessionOptions,
        *,
        command_sec: float | None = None,
        durations_sec: Sequence[float] = (),
    ) -> None:
        """`command_sec` is when the viewer asked, now unless told; `durations_sec` are what the media say."""
        self._world, self._agenda = world, world.agenda
        self._manifest, self._options = manifest, options
        self._durations_sec = durations_sec
        now_sec = world.now_sec
        asked_sec = now_sec if command_sec is None else command_sec
        self.session = Session(manifest, options, Playback(command_sec=asked_sec, paced=True))
        # Sequence numbers: as chunks came, and as the output was given them.
        self.delivered: list[int] = []
        self.handed: list[int] = []
        world.on_delivery = self._on_delivery
        world.on_trouble = self._on_trouble
        self._execute(self.session.begin(now_sec))
        self._agenda.every(TICK_SEC, self._tick, first_sec=now_sec + world.rng.uniform(0, TICK_SEC))
        first_sec = now_sec + world.rng.uniform(0, DEMAND_SEC)
        self._agenda.every(DEMAND_SEC, self._repeat, first_sec=first_sec)
        self._agenda.every(TRAFFIC_SEC, self._traffic, first_sec=now_sec + TRAFFIC_SEC)

    @property
    def over(self) -> bool:
        return self.session.over

    def _tick(self) -> None:
        if not self.over:
            self._execute(self.session.tick(self._agenda.now_sec))

    def _repeat(self) -> None:
        if not self.over:
            self._execute(self.session.repeat_demand(self._agenda.now_sec))

    def _traffic(self) -> None:
        traffic_bytes = self._world.traffic_bytes
        if traffic_bytes is not None:
            self.session.traffic(traffic_bytes, self._agenda.now_sec)

    def _on_delivery(self, _session_id: str, chunk: ChunkSpec) -> None:
        self.delivered.append(chunk.sequence_num)
        held = HeldChunk(
            chunk_id=chunk.chunk_id,
            sequence_num=chunk.sequence_num,
            data=b"",
            size_bytes=chunk.size_bytes,
            duration_sec=self._manifest.chunk_duration_sec,
        )
        measured = bool(self._durations_sec)
        if measured:
            held.duration_sec = self._durations_sec[chunk.sequence_num]
        self._execute(
            self.session.chunk_arrived(held, measured=measured, now_sec=self._agenda.now_sec)
        )

    def _on_trouble(self, trouble: ChunkTrouble) -> None:
        if not self.over:
            self._execute(self.session.trouble(trouble, self._agenda.now_sec))

    def _execute(self, commands: list[Command]) -> None:
        for command in commands:
            match command:
                case Ask():
                    self._world.ask(
                        Demand(
                            session_id=SESSION_ID,
                            deliver_to="inproc://buffer",
                            wanted=command.wanted,
                            low_water_mark_sec=self._options.low_water_mark_sec,
                            closed=self.session.closing,
                            policy=self._options.policy,
                        )
                    )
                case HandOver():
                    self._later(command.chunk.sequence_num)
                case SkipInOutput():
                    self._later(command.sequence_num)
                case CloseOutput():
                    self._agenda.after(
                        OUTPUT_SEC,
                        lambda: self._execute(self.session.output_closed("", self._agenda.now_sec)),
                    )
                case RefreshManifest():
                    self._execute(
                        self.session.replicas_refreshed(self._manifest, self._agenda.now_sec)
                    )
                case CountView() | Tell() | Spill():
                    pass
                case _:
                    assert_never(command)

    def _later(self, number: int) -> None:
        self.handed.append(number)
        self._agenda.after(
            OUTPUT_SEC,
            lambda: self._execute(self.session.output_took(number, self._agenda.now_sec)),
        )
