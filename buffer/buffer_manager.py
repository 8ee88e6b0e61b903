"""BufferManager: the playback buffer as a class, in one process, on the store of the buffer process."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Callable
from typing import Any

from buffer.store import ChunkStore, HeldChunk
from common.clock import Clock, MonotonicClock
from common.errors import ConfigError

MAX_BUFFER_SEC = 3600.0
# A float sum of durations may fall short of the mark by this.
_EPSILON_SEC = 1e-9


class BufferManager:
    """Holds chunks ahead of the player and hands them out in order.

    The level is the duration of the chunks that can be played one after the other from `current_position` on. Not
    thread-safe: all calls come from one thread.
    """

    def __init__(
        self,
        target_buffer_sec: float = 30,
        low_water_mark_sec: float = 15,
        chunk_duration_sec: float = 10,
        start_playback_sec: float = 10,
        *,
        total_chunks: int | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Take the marks in seconds of media; `chunk_duration_sec` is that of a chunk added without its own.

        With `total_chunks` the end of the film is known: nothing is due after it. Raises ConfigError.
        """
        self.target_buffer_sec = _in_range("target_buffer_sec", target_buffer_sec, above_zero=True)
        self.low_water_mark_sec = _in_range("low_water_mark_sec", low_water_mark_sec)
        self.chunk_duration_sec = _in_range(
            "chunk_duration_sec", chunk_duration_sec, above_zero=True
        )
        self.start_playback_sec = _in_range("start_playback_sec", start_playback_sec)
        for name in ("low_water_mark_sec", "start_playback_sec"):
            if getattr(self, name) > target_buffer_sec:
                raise ConfigError(
                    f"{name}: {getattr(self, name):g} is above target_buffer_sec ({target_buffer_sec:g})"
                )
        if total_chunks is not None and total_chunks < 0:
            raise ConfigError(f"total_chunks: {total_chunks!r} is below 0")
        self.total_chunks = total_chunks
        self._clock = clock or MonotonicClock()
        self._waiters: set[asyncio.Future[None]] = set()
        self._changes = self._seen_changes = 0
        self.reset()

    def reset(self) -> None:
        """Go back to the beginning; marks and `total_chunks` stay."""
        self._store = ChunkStore()
        self.playback_started = False
        self.rebuffering_events = 0
        self.total_chunks_buffered = 0
        self.total_chunks_played = 0
        self._underrun = False
        self._started_at_sec: float | None = None
        # The level held since `_observed_at_sec`, and the sum over time of what was held before.
        self._observed_at_sec = 0.0
        self._observed_level_sec = 0.0
        self._level_seconds = 0.0
        self._note_change()
        self._seen_changes = self._changes

    # ------------------------------------------------------------ chunks

    def add_chunk(
        self,
        chunk_id: str,
        sequence_num: int,
        chunk_data: bytes | bytearray | memoryview,
        *,
        duration_sec: float | None = None,
    ) -> bool:
        """Take a chunk, in any order; False for one that is held already or was played.

        Without `duration_sec` it counts as `chunk_duration_sec` long.
        """
        if sequence_num < 0 or sequence_num != int(sequence_num):
            raise ConfigError(f"sequence_num: {sequence_num!r} is not a whole number of at least 0")
        if duration_sec is None:
            duration_sec = self.chunk_duration_sec
        chunk = HeldChunk(
            chunk_id=chunk_id,
            sequence_num=sequence_num,
            data=bytes(chunk_data),
            size_bytes=len(chunk_data),
            duration_sec=_in_range("duration_sec", duration_sec),
        )
        if not self._store.add(chunk):
            return False
        self.total_chunks_buffered += 1
        self._note_change()
        return True

    def get_next_chunk_for_playback(self) -> HeldChunk | None:
        """Hand out the chunk at `current_position`, with `chunk_id`, `sequence_num` and `data`.

        None when it is not there. Once playback has begun and while more is due, the first None is a rebuffering
        event, which lasts until a chunk is handed out.
        """
        chunk = self._store.take_next()
        if chunk is None:
            if self.playback_started and self._more_is_due and not self._underrun:
                self._underrun = True
                self.rebuffering_events += 1
            return None
        self._underrun = False
        self.total_chunks_played += 1
        self.playback_started = True
        if self._started_at_sec is None:
            self._started_at_sec = self._observed_at_sec = self._clock.now_sec()
        self._note_change()
        return chunk

    def get_next_chunk_sequences(self, count: int = 10) -> list[int]:
        """Return the next `count` sequence numbers that are not held, holes first."""
        end = self.total_chunks
        numbers = itertools.count(self.current_position)
        wanted = itertools.takewhile(lambda n: end is None or n < end, numbers)
        return list(itertools.islice((n for n in wanted if n not in self._store), max(0, count)))

    @property
    def buffer(self) -> list[HeldChunk]:
        """The held chunks in order, those behind a hole too."""
        return self._store.chunks

    @property
    def current_position(self) -> int:
        """Sequence number of the next chunk to play; setting it drops the chunks before it."""
        return self._store.position

    @current_position.setter
    def current_position(self, sequence_num: int) -> None:
        if sequence_num < 0:
            raise ConfigError(f"current_position: {sequence_num!r} is below 0")
        self._store.move_to(sequence_num)
        # The wait after a jump is no stall.
        self._underrun = False
        self._note_change()

    # ------------------------------------------------------------ level

    def get_buffer_level_seconds(self) -> float:
        """Return how long the player can go on with what is held."""
        return math.fsum(chunk.duration_sec for chunk in self._store.contiguous())

    def get_buffer_level_chunks(self) -> int:
        """Return how many chunks the player can go on with."""
        return len(self._store.contiguous())

    def needs_more_chunks(self) -> bool:
        """Tell whether the level is below the low water mark and more is due."""
        below = self.get_buffer_level_seconds() < self.low_water_mark_sec - _EPSILON_SEC
        return below and not self._holds_the_rest

    def can_start_playback(self) -> bool:
        """Tell whether `start_playback_sec`, or all there is, can be played."""
        level_sec = self.get_buffer_level_seconds()
        enough = level_sec >= self.start_playback_sec - _EPSILON_SEC
        return level_sec > 0 and (enough or self._holds_the_rest)

    @property
    def _more_is_due(self) -> bool:
        return self.total_chunks is None or self.current_position < self.total_chunks

    @property
    def _holds_the_rest(self) -> bool:
        if self.total_chunks is None:
            return False
        return self.current_position + self.get_buffer_level_chunks() >= self.total_chunks

    # ------------------------------------------------------------ figures

    def get_buffer_status(self) -> dict[str, Any]:
        """Return level, health and state (empty, initializing, low, healthy or full)."""
        level_sec = self.get_buffer_level_seconds()
        state = self._state(level_sec)
        return {
            "buffer_level_sec": level_sec,
            "buffer_level_chunks": self.get_buffer_level_chunks(),
            "buffer_health_percent": min(100.0, 100.0 * level_sec / self.target_buffer_sec),
            "state": state,
            "target_buffer_sec": self.target_buffer_sec,
            "low_water_mark_sec": self.low_water_mark_sec,
            "current_position": self.current_position,
            "playback_started": self.playback_started,
            "needs_more_chunks": self.needs_more_chunks(),
            "can_start_playback": self.can_start_playback(),
            "is_healthy": state in ("healthy", "full"),
            "memory_usage_bytes": self._store.size_bytes,
        }

    def _state(self, level_sec: float) -> str:
        if level_sec <= 0:
            return "empty"
        if not self.playback_started and not self.can_start_playback():
            return "initializing"
        if level_sec >= self.target_buffer_sec - _EPSILON_SEC or self._holds_the_rest:
            return "full"
        return "low" if level_sec < self.low_water_mark_sec - _EPSILON_SEC else "healthy"

    def get_statistics(self) -> dict[str, Any]:
        """Return the playback statistics.

        `average_buffer_level` is the mean level in seconds over the time since playback began, and
        `playback_duration_sec` that time.
        """
        self._observe()
        duration_sec = 0.0
        if self._started_at_sec is not None:
            duration_sec = self._observed_at_sec - self._started_at_sec
        level_sec = self.get_buffer_level_seconds()
        return {
            "total_chunks_buffered": self.total_chunks_buffered,
            "total_chunks_played": self.total_chunks_played,
            "rebuffering_events": self.rebuffering_events,
            "current_buffer_level_sec": level_sec,
            "average_buffer_level": self._level_seconds / duration_sec
            if duration_sec
            else level_sec,
            "playback_started": self.playback_started,
            "playback_duration_sec": duration_sec,
        }

    def _observe(self) -> None:
        """Weigh the level that was held until now."""
        now_sec = self._clock.now_sec()
        if self._started_at_sec is not None:
            self._level_seconds += self._observed_level_sec * (now_sec - self._observed_at_sec)
        self._observed_at_sec = now_sec
        self._observed_level_sec = self.get_buffer_level_seconds()

    # ------------------------------------------------------------ waiting

    async def wait_for_buffer(self, timeout: float | None = 1.0) -> bool:  # noqa: ASYNC109  # documented name
        """Wait until something has changed since the last wait; False after `timeout` seconds."""
        changed = await self._wait_until(lambda: self._changes != self._seen_changes, timeout)
        self._seen_changes = self._changes
        return changed

    async def wait_for_playback_ready(self, timeout: float | None = None) -> bool:  # noqa: ASYNC109  # documented name
        """Wait until playback can start; False after `timeout` seconds."""
        return await self._wait_until(self.can_start_playback, timeout)

    async def _wait_until(self, claim: Callable[[], bool], timeout_sec: float | None) -> bool:
        try:
            async with asyncio.timeout(timeout_sec):
                while not claim():
                    waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                    self._waiters.add(waiter)
                    try:
                        await waiter
                    finally:
                        self._waiters.discard(waiter)
        except TimeoutError:
            return False
        return True

    def _note_change(self) -> None:
        self._observe()
        self._changes += 1
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)


def _in_range(name: str, value_sec: float, *, above_zero: bool = False) -> float:
    inside = value_sec > 0 if above_zero else value_sec >= 0
    if not (inside and value_sec <= MAX_BUFFER_SEC):
        low = "above 0 and up to" if above_zero else "0 to"
        raise ConfigError(f"{name}: {value_sec!r} is not {low} {MAX_BUFFER_SEC:g} seconds")
    return value_sec
