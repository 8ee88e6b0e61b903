"""What the nodes noted about the bodies they sent, in the terms of a film. No I/O, no clock, no randomness.

Times are seconds since the clock's zero, which is the caller's choice (the manifest request).
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from scheduler.bytemap import Span

DATA_FRAGMENTS = 3
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """A chunk or one of its fragments: which chunk, which part of it (0 when whole), how long."""

    chunk: int
    part: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Film:
    """What is played: a chunk needs `needed` parts (1, or 3 fragments) at every position of `part_bytes`."""

    chunk_sec: float
    chunk_bytes: tuple[int, ...]
    part_bytes: tuple[int, ...]
    needed: tuple[int, ...]
    objects: Mapping[str, StoredObject]

    @property
    def duration_sec(self) -> float:
        return self.chunk_sec * len(self.chunk_bytes)

    @property
    def needed_bytes(self) -> int:
        """Return how many body bytes suffice for the whole film."""
        return sum(size * n for size, n in zip(self.part_bytes, self.needed, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """One request for bytes of a chunk, and what came of it.

    `asked_from`-`asked_until` is what the answer would have held; `sent` says how many bytes of it had left when.
    """

    node: int
    stored: StoredObject
    asked_sec: float
    ended_sec: float
    asked_from: int
    asked_until: int
    sent: tuple[tuple[float, int], ...]
    sent_bytes: int
    status: int
    outcome: str
    # Positions of the object at which a wrong byte was sent.
    wrong_at: tuple[int, ...] = ()

    def sent_until(self, at_sec: float) -> int:
        """Return the position up to which bytes had left by `at_sec`."""
        after = bisect_left(self.sent, (at_sec, self.asked_until + 1))
        return self.asked_from + (self.sent[after - 1][1] if after else 0)

    def good_spans(self, at_sec: float) -> list[Span]:
        """Return what had left by `at_sec` and was right."""
        until = self.sent_until(at_sec)
        spans: list[Span] = []
        begin = self.asked_from
        for position in self.wrong_at:
            if position >= until:
                break
            spans.append((begin, position))
            begin = position + 1
        spans.append((begin, until))
        return [(a, b) for a, b in spans if a < b]


def film_of(manifest: Mapping[str, Any]) -> Film:
    """Read a manifest."""
    chunk_bytes, part_bytes, needed = [], [], []
    objects: dict[str, StoredObject] = {}
    for number, row in enumerate(sorted(manifest["chunks"], key=lambda row: row["sequence_num"])):
        fragments = row.get("fragments") or ()
        chunk_bytes.append(int(row["size_bytes"]))
        needed.append(DATA_FRAGMENTS if fragments else 1)
        part_bytes.append(int(fragments[0]["size_bytes"]) if fragments else chunk_bytes[-1])
        for fragment in fragments:
            objects[fragment["fragment_id"]] = StoredObject(
                chunk=number, part=int(fragment["fragment_index"]), size_bytes=part_bytes[-1]
            )
        if not fragments:
            objects[row["chunk_id"]] = StoredObject(
                chunk=number, part=0, size_bytes=chunk_bytes[-1]
            )
    return Film(
        chunk_sec=float(manifest["chunk_duration_sec"]),
        chunk_bytes=tuple(chunk_bytes),
        part_bytes=tuple(part_bytes),
        needed=tuple(needed),
        objects=objects,
    )


def bodies_of(
    film: Film, node: int, records: Iterable[Mapping[str, Any]], zero_unix_sec: float
) -> list[Body]:
    """Return the requests for the film's bytes among one node's records, in the order they were asked."""
    found = []
    for record in records:
        stored = film.objects.get(record["path"].removeprefix("/chunk/"))
        if stored is None or record["method"] != "GET":
            continue
        asked_sec = record["start_unix_sec"] - zero_unix_sec
        begin, until = _asked(record, stored.size_bytes)
        # An error's own body is no part of the film.
        is_body = record["status"] in (200, 206)
        points = record.get("sent_at") or () if is_body else ()
        found.append(
            Body(
                node=node,
                stored=stored,
                asked_sec=asked_sec,
                ended_sec=asked_sec + record["duration_sec"],
                asked_from=begin,
                asked_until=until,
                sent=tuple((at - zero_unix_sec, sent) for at, sent in points),
                sent_bytes=record["sent_bytes"] if is_body else 0,
                status=record["status"],
                outcome=record["outcome"],
                wrong_at=tuple(record.get("wrong_at") or ()),
            )
        )
    return sorted(found, key=lambda body: body.asked_sec)


def _asked(record: Mapping[str, Any], size_bytes: int) -> Span:
    wanted = _RANGE.fullmatch(record["range"] or "")
    # A node without ranges sends the whole object whatever it was asked for.
    if wanted is None or record["status"] == 200:
        return 0, size_bytes
    last = int(wanted[2]) if wanted[2] else size_bytes - 1
    return int(wanted[1]), min(last + 1, size_bytes)
