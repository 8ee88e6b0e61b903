"""How long a chunk that does not come is waited for. No I/O, no clock, no randomness."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from common.errors import ExitCode
from common.messages import ChunkTrouble, OnMissing

# Under `skip` and `fail` a missing chunk gets this many rounds over all replicas before it is given up.
ROUNDS_BEFORE_GIVING_UP = 3
# With wrong bytes everywhere waiting does not help, whatever the policy.
ROUNDS_OF_WRONG_BYTES = 3


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The session fails for want of a chunk."""

    exit_code: ExitCode
    text: str


@dataclass(slots=True)
class Patience:
    """What is known of chunks that cannot be had, and since when nothing came at all."""

    give_up_sec: float
    on_missing: OnMissing
    _trouble: dict[str, ChunkTrouble] = field(default_factory=dict)
    _hopeful_sec: float = 0.0
    _traffic_bytes: int = 0

    def hope(self, now_sec: float) -> None:
        """Begin the countdown to giving up anew."""
        self._hopeful_sec = now_sec

    def traffic(self, received_bytes: int, now_sec: float) -> None:
        """Note that bytes arrive, so that a slow network is not taken for a dead one."""
        if received_bytes > self._traffic_bytes:
            self._hopeful_sec = now_sec
        # It falls when a range is lost or the scheduler starts anew.
        self._traffic_bytes = received_bytes

    def note(self, msg: ChunkTrouble) -> bool:
        """Take in that a chunk could not be had; True when that is new."""
        new = msg.chunk_id not in self._trouble
        self._trouble[msg.chunk_id] = msg
        return new

    def forget(self, chunk_id: str) -> None:
        """The chunk has come after all."""
        self._trouble.pop(chunk_id, None)

    def why(self, chunk_id: str) -> str:
        """Return what is known of a chunk's trouble, for the end of a sentence."""
        trouble = self._trouble.get(chunk_id)
        return f": {trouble.detail}" if trouble is not None else ""

    def verdict(
        self, chunk_id: str, number: int, now_sec: float, *, asked: bool, dry: bool
    ) -> GiveUp | Literal["wait", "skip"]:
        """Say whether chunk `number`, which the playhead needs next, is worth waiting for.

        `asked`: anything was asked for; `dry`: nothing is left to play until it comes.
        """
        if now_sec - self._hopeful_sec > self.give_up_sec and asked:
            return GiveUp(
                ExitCode.CHUNK_UNRECOVERABLE,
                f"no byte came for {self.give_up_sec:g} s; chunk {number} is missing"
                + self.why(chunk_id),
            )
        trouble = self._trouble.get(chunk_id)
        if trouble is None or not dry:
            return "wait"
        wrong = trouble.fault == "integrity"
        limit = ROUNDS_OF_WRONG_BYTES if wrong else ROUNDS_BEFORE_GIVING_UP
        if trouble.rounds < limit or (self.on_missing == "wait" and not wrong):
            return "wait"
        if self.on_missing == "skip":
            return "skip"
        code = ExitCode.INTEGRITY if wrong else ExitCode.CHUNK_UNRECOVERABLE
        return GiveUp(code, f"chunk {number} cannot be had" + self.why(chunk_id))
