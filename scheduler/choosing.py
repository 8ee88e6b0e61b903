"""Chooses which chunks of a session are in work: the most urgent ones that can be read somewhere.

No I/O, no clock, no randomness but the schedule's own `rng`.
"""

from __future__ import annotations

from common.messages import ChunkTrouble, CloseChunk, Policy
from scheduler import assignment
from scheduler.active import urgency
from scheduler.commands import Command, TellBuffer
from scheduler.schedule import Schedule
from scheduler.wanted import Source, Wanted

RETRY_BASE_SEC = 0.5
RETRY_MAX_SEC = 8.0
RETRIES_BEFORE_DUE = 4
RETRY_JITTER_RATIO = 0.5


class Chooser:
    """Knows how each session wants to be served, and chooses; a group is a session, or all with one shared limit."""

    def __init__(self, schedule: Schedule, *, max_active_chunks: int, shared_limit: bool) -> None:
        self.max_active_chunks = max_active_chunks
        self._shared_limit = shared_limit
        self._schedule = schedule
        self._low_water_sec: dict[str, float] = {}
        # Sessions that play by the seed's policy.
        self._by_score: set[str] = set()
        # Groups whose choice may change with time alone: a node is in doubt, or a chunk waits for better times.
        self.unsettled: dict[str, None] = {}

    def learn(self, session_id: str, low_water_sec: float, policy: Policy) -> None:
        """Note how a session wants to be served."""
        self._low_water_sec[session_id] = low_water_sec
        if policy == "score":
            self._by_score.add(session_id)

    def forget(self, session_id: str) -> None:
        """Forget a session that is over."""
        self._low_water_sec.pop(session_id, None)
        self._by_score.discard(session_id)

    def group_of(self, session_id: str) -> str:
        return "" if self._shared_limit else session_id

    def by_score(self, group: str) -> bool:
        """Whether a group plays by the seed's policy."""
        return group in self._by_score

    def may_read(self, chunk: Wanted) -> bool:
        """Whether a chunk may be begun: others of its group may still be read that are less urgent by now."""
        if chunk.jobs:
            return True
        reading = self._schedule.reading(None if self._shared_limit else chunk.session_id)
        return reading < self.max_active_chunks

    def choose(
        self, group: str, now_sec: float, commands: list[Command]
    ) -> list[tuple[Wanted, list[Source]]]:
        """Return the most urgent chunks of a group and where they can be read, no more than may be in work."""
        schedule = self._schedule
        chunks = schedule.chunks.values() if self._shared_limit else schedule.of_session(group)
        waiting = sorted((c for c in chunks if c.delivered_sec is None), key=urgency)
        active: list[tuple[Wanted, list[Source]]] = []
        in_work = 0
        settled = group not in self._by_score
        low_water_sec = self._low_water_sec
        for chunk in waiting:
            if in_work >= self.max_active_chunks:
                break
            if chunk.retry_at_sec > now_sec:
                # It waits for better times, and must not keep the others waiting.
                settled = False
                continue
            chunk.low_water_sec = low_water_sec.get(chunk.session_id, 0.0)
            if chunk.excluded:
                chunk.give_second_chance(now_sec)
            sources = assignment.usable_sources(
                chunk, schedule.nodes, now_sec, urgent=chunk.is_urgent(now_sec)
            )
            if sources is not chunk.sources():
                settled = False
            if not sources and not chunk.jobs and chunk.verifying_sec is None:
                self._retry_later(chunk, now_sec, commands)
                settled = False
                continue
            in_work += 1
            if sources:
                active.append((chunk, sources))
        if settled:
            self.unsettled.pop(group, None)
        else:
            self.unsettled[group] = None
        return active

    def _retry_later(self, chunk: Wanted, now_sec: float, commands: list[Command]) -> None:
        """All replicas failed: wait, tell the viewer, then try all of them again."""
        chunk.rounds += 1
        doubtful = bool(chunk.suspects)
        nothing_held = not chunk.bytes_by_node()
        chunk.begin_round()
        if chunk.lease_id and (doubtful or nothing_held):
            # Wrong bytes are among those held, or there are none: the worker's room is better used.
            self._schedule.send(chunk, CloseChunk(lease_id=chunk.lease_id), commands)
            self._schedule.release(chunk)
            chunk.reset_parts()
        # The playhead does not wait for a long pause to end.
        longest_sec = max(RETRY_BASE_SEC, (chunk.deadline_sec - now_sec) / RETRIES_BEFORE_DUE)
        length_sec = RETRY_BASE_SEC * 2.0 ** min(chunk.rounds - 1, 10)
        length_sec = min(RETRY_MAX_SEC, length_sec, longest_sec)
        length_sec *= 1 + RETRY_JITTER_RATIO * (2 * self._schedule.rng.random() - 1)
        chunk.retry_at_sec = now_sec + length_sec
        fault = chunk.last_fault
        detail = chunk.last_detail
        if not chunk.sources():
            fault, detail = "missing", "no replica is known"
        if fault not in ("missing", "integrity"):
            fault = "unreachable"
        commands.append(
            TellBuffer(
                ChunkTrouble(
                    session_id=chunk.session_id,
                    chunk_id=chunk.spec.chunk_id,
                    fault=fault,  # type: ignore[arg-type]  # narrowed to the three words just above
                    rounds=chunk.rounds,
                    detail=detail,
                )
            )
        )
