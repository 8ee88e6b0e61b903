"""What became of each chunk: which ranges were tried, whose bytes it is made of, what its checksum said.

No I/O, no clock: time is an argument. Memory is bounded whatever arrives, and however long the film is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from common.messages import ChunkVerdict, Transfer
from common.stack_state import Json

# Of one chunk; one that nobody has is asked for again and again.
MAX_ATTEMPTS = 64
MAX_PIECES = 256
MAX_VERDICTS = 16
# Of all chunks together, some ten megabytes, hours of playback. What was heard of longest ago is forgotten first.
MAX_ENTRIES = 60_000
MAX_NAMES = 1000
# Nothing went wrong at a node whose range ended so.
HARMLESS = frozenset({"complete", "cancelled", "lost"})


class Piece(NamedTuple):
    """Bytes [start_bytes, end_bytes) of a part (-1: the chunk itself, 0-4: a fragment) that a node brought."""

    part: int
    start_bytes: int
    end_bytes: int
    node_url: str


class Attempt(NamedTuple):
    """One ended range: what was asked of a node, and what it brought of it."""

    at_unix_sec: float | None
    node_url: str
    worker_id: str
    part: int
    start_bytes: int
    received_until_bytes: int
    end_bytes: int
    outcome: str


class Verdict(NamedTuple):
    """What the checksum said; nobody knows when, where it was before we listened."""

    at_unix_sec: float | None
    worker_id: str
    verdict: str
    corrupt_part: int
    suspect_url: str
    certain: bool


@dataclass(slots=True)
class Story:
    """All that is known of one chunk beside its place in the chunk map."""

    pieces: list[Piece] = field(default_factory=list)
    attempts: deque[Attempt] = field(default_factory=lambda: deque(maxlen=MAX_ATTEMPTS))
    verdicts: deque[Verdict] = field(default_factory=lambda: deque(maxlen=MAX_VERDICTS))
    attempts_count: int = 0
    failures_count: int = 0
    # Where the bytes are put together; another worker begins with none.
    worker_id: str = ""

    @property
    def entries(self) -> int:
        """How much of the memory it takes."""
        return 1 + len(self.pieces) + len(self.attempts) + len(self.verdicts)

    def add_attempt(self, attempt: Attempt) -> None:
        """Note a range that ended, and hold what it brought."""
        if attempt.worker_id != self.worker_id:
            self.worker_id = attempt.worker_id
            self.pieces.clear()
        self.attempts.append(attempt)
        self.attempts_count += 1
        self.failures_count += attempt.outcome not in HARMLESS
        self._hold(
            Piece(attempt.part, attempt.start_bytes, attempt.received_until_bytes, attempt.node_url)
        )

    def _hold(self, piece: Piece) -> None:
        if piece.end_bytes <= piece.start_bytes:
            return
        last = self.pieces[-1] if self.pieces else None
        if last and (last.part, last.node_url, last.end_bytes) == (
            piece.part,
            piece.node_url,
            piece.start_bytes,
        ):
            self.pieces[-1] = last._replace(end_bytes=piece.end_bytes)
        elif len(self.pieces) < MAX_PIECES:
            self.pieces.append(piece)

    def add_verdict(self, verdict: Verdict, pieces: list[Piece]) -> None:
        """Note what the checksum said of these bytes; those of a suspect are fetched again."""
        self.verdicts.append(verdict)
        self.failures_count += verdict.verdict == "corrupt"
        if verdict.verdict == "delivered":
            self.pieces = pieces
            return
        all_parts = verdict.corrupt_part < 0
        self.pieces = [
            piece
            for piece in pieces
            if verdict.suspect_url
            and not (
                piece.node_url == verdict.suspect_url
                and (all_parts or piece.part == verdict.corrupt_part)
            )
        ]

    def json(self) -> Json:
        """Return it for readers; times in order."""
        return {
            "ranges": [piece._asdict() for piece in self.pieces],
            "attempts": [attempt._asdict() for attempt in self.attempts],
            "attempts_left_out": self.attempts_count - len(self.attempts),
            "verdicts": [verdict._asdict() for verdict in self.verdicts],
        }


class ChunkStories:
    """The stories of all sessions."""

    def __init__(self) -> None:
        self._stories: dict[tuple[str, int], Story] = {}
        self._entries = 0
        self._names: dict[str, str] = {}

    @property
    def entries(self) -> int:
        """How much is held, in the unit of MAX_ENTRIES."""
        return self._entries

    def add_missed(self, verdicts: Iterable[ChunkVerdict]) -> None:
        """Take the verdicts from before we listened; of chunks that have one already we know more."""
        for msg in verdicts:
            if not self.story(msg.session_id, msg.sequence_num).verdicts:
                self.add(msg, None)

    def add(self, msg: Transfer | ChunkVerdict, now_unix_sec: float | None) -> None:
        """Fold what a scheduler said of a chunk; what does not name its place is passed over."""
        if msg.sequence_num < 0:
            return
        key = (msg.session_id, msg.sequence_num)
        story = self._stories.pop(key, None) or Story()
        before = story.entries if story.attempts_count or story.verdicts else 0
        worker_id = self._name(msg.worker_id)
        if isinstance(msg, Transfer):
            story.add_attempt(
                Attempt(
                    at_unix_sec=now_unix_sec,
                    node_url=self._name(msg.node_url),
                    worker_id=worker_id,
                    part=msg.part,
                    start_bytes=msg.start_bytes,
                    received_until_bytes=msg.received_until_bytes,
                    end_bytes=msg.end_bytes,
                    outcome=msg.outcome,
                )
            )
        else:
            verdict = Verdict(
                at_unix_sec=now_unix_sec,
                worker_id=worker_id,
                verdict=msg.verdict,
                corrupt_part=msg.corrupt_part,
                suspect_url=msg.suspect_url,
                certain=msg.certain,
            )
            pieces = [
                Piece(r.part, r.start_bytes, r.end_bytes, self._name(r.node_url))
                for r in msg.ranges[:MAX_PIECES]
            ]
            story.add_verdict(verdict, pieces)
        # Last in the order, so that it is forgotten last.
        self._stories[key] = story
        self._entries += story.entries - before
        while self._entries > MAX_ENTRIES and len(self._stories) > 1:
            oldest = next(iter(self._stories))
            self._entries -= self._stories.pop(oldest).entries

    def _name(self, text: str) -> str:
        """Return one string for all that are equal: thousands of ranges name the same few nodes."""
        if len(self._names) > MAX_NAMES:
            self._names.clear()
        return self._names.setdefault(text, text)

    def story(self, session_id: str, sequence_num: int) -> Story:
        """Return the story of a chunk; an empty one when nothing was heard, or all is forgotten."""
        return self._stories.get((session_id, sequence_num)) or Story()
