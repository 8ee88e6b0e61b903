"""What a viewer got, computed outside the clients from what the nodes delivered and when.

No I/O, no clock, no randomness. Times are seconds since the manifest request.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.deliveries import Body, Film
from scheduler.bytemap import Span, subtract
from scheduler.coverage import missing_bytes, short_spans, union

# Shorter than any viewer sees, longer than the notes' stamps are rough.
_SHORTEST_STALL_SEC = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Playback:
    """How an ideal player fares: it starts with the first chunk and shows each as soon as it can.

    A film that is not there in full by the end of the run stalls until then; what could not be shown counts as
    `unplayed_sec`.
    """

    startup_sec: float
    stalls: int
    stalled_sec: float
    unplayed_sec: float

    @property
    def lost_sec(self) -> float:
        """Return all the viewer lost."""
        return self.startup_sec + self.stalled_sec + self.unplayed_sec


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What went over the links for the film: all body bytes, those of answers with lies in them, the useful ones.

    `honest_bytes` are the useful ones that came in answers without a lie.
    """

    sent_bytes: int
    lying_bytes: int
    useful_bytes: int
    honest_bytes: int
    requests: int

    @property
    def waste_ratio(self) -> float:
        """Return what honest answers sent for nothing, as a share of what was needed."""
        if not self.useful_bytes:
            return 0.0
        return (self.sent_bytes - self.lying_bytes - self.honest_bytes) / self.useful_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """A node was in trouble from `from_sec` on, until `until_sec` (None: to the end)."""

    node: int
    from_sec: float
    until_sec: float | None


def covers_at(bodies: Iterable[Body], at_sec: float) -> dict[int, list[Span]]:
    """Return which bytes of each part had been delivered by then."""
    spans: dict[int, list[Span]] = defaultdict(list)
    for body in bodies:
        spans[body.stored.part] += body.good_spans(at_sec)
    return {part: union(found) for part, found in spans.items()}


def by_chunk(bodies: Iterable[Body]) -> dict[int, list[Body]]:
    """Return the bodies of each chunk."""
    found: dict[int, list[Body]] = defaultdict(list)
    for body in bodies:
        found[body.stored.chunk].append(body)
    return found


def ready_times(film: Film, bodies: Sequence[Body]) -> list[float | None]:
    """Return when the last byte that each chunk needs was delivered; None where it never was."""
    found = by_chunk(bodies)
    return [_ready_sec(film, number, found[number]) for number in range(len(film.part_bytes))]


def _ready_sec(film: Film, number: int, bodies: Sequence[Body]) -> float | None:
    moments = sorted({at for body in bodies for at, _ in body.sent})

    def incomplete(at_sec: float) -> bool:
        covers = covers_at(bodies, at_sec)
        return missing_bytes(covers, film.part_bytes[number], film.needed[number]) > 0

    first = bisect_left(moments, True, key=lambda at_sec: not incomplete(at_sec))
    return moments[first] if first < len(moments) else None


def play(ready_sec: Sequence[float | None], chunk_sec: float, end_sec: float) -> Playback:
    """Play chunks as they get ready, in order, until the run ends at `end_sec`."""
    if not ready_sec or (startup_sec := ready_sec[0]) is None:
        return Playback(
            startup_sec=end_sec, stalls=0, stalled_sec=0.0, unplayed_sec=chunk_sec * len(ready_sec)
        )
    due_sec = startup_sec
    stalls, stalled_sec = 0, 0.0
    for number, at_sec in enumerate(ready_sec):
        late_sec = (end_sec if at_sec is None else at_sec) - due_sec
        if late_sec > _SHORTEST_STALL_SEC:
            stalls += 1
            stalled_sec += late_sec
            due_sec += late_sec
        if at_sec is None:
            unplayed_sec = chunk_sec * (len(ready_sec) - number)
            return Playback(
                startup_sec=startup_sec,
                stalls=stalls,
                stalled_sec=stalled_sec,
                unplayed_sec=unplayed_sec,
            )
        due_sec += chunk_sec
    return Playback(
        startup_sec=startup_sec, stalls=stalls, stalled_sec=stalled_sec, unplayed_sec=0.0
    )


def traffic(film: Film, bodies: Sequence[Body]) -> Traffic:
    """Count the bytes."""
    useful_bytes = honest_bytes = 0
    for number, found in by_chunk(bodies).items():
        useful_bytes += _useful_bytes(film, number, found)
        honest_bytes += _useful_bytes(film, number, [b for b in found if not b.wrong_at])
    return Traffic(
        sent_bytes=sum(body.sent_bytes for body in bodies),
        lying_bytes=sum(body.sent_bytes for body in bodies if body.wrong_at),
        useful_bytes=useful_bytes,
        honest_bytes=honest_bytes,
        requests=len(bodies),
    )


def _useful_bytes(film: Film, number: int, bodies: Sequence[Body]) -> int:
    needed, size = film.needed[number], film.part_bytes[number]
    return needed * size - missing_bytes(covers_at(bodies, math.inf), size, needed)


def reaction_sec(film: Film, bodies: Sequence[Body], outage: Outage) -> float | None:
    """Return how long after the trouble began all that was due from the node had been asked for elsewhere.

    None when nothing was due from it. Bytes that the node brought after all need nobody else; the film's end or the
    end of the run counts for bytes that nobody was asked for.
    """
    longest_sec = None
    found = by_chunk(bodies)
    end_sec = max((body.ended_sec for body in bodies), default=outage.from_sec)
    for body in bodies:
        begun = body.asked_sec <= outage.from_sec < body.ended_sec
        due = (body.sent_until(outage.from_sec), body.asked_until)
        if body.node != outage.node or not begun or due[0] >= due[1]:
            continue
        others = [other for other in found[body.stored.chunk] if other is not body]
        at_sec = _asked_elsewhere_sec(film, body, due, others, outage.from_sec)
        took_sec = (end_sec if at_sec is None else at_sec) - outage.from_sec
        longest_sec = max(longest_sec or 0.0, took_sec)
    return longest_sec


def _asked_elsewhere_sec(
    film: Film, body: Body, due: Span, others: Sequence[Body], from_sec: float
) -> float | None:
    """Return when, at every due position, bytes had come or been asked of other nodes in place of those due.

    Of a coded chunk, one more fragment than before is enough, for the rest may not have been asked for yet.
    """
    size, needed = film.part_bytes[body.stored.chunk], film.needed[body.stored.chunk]
    before = _asked_by(from_sec, body, others, from_sec)
    asked = {other.asked_sec for other in others if other.asked_sec > from_sec}
    brought = {at for at, _ in body.sent if at > from_sec}
    for at_sec in sorted({from_sec, *asked, *brought}):
        now = _asked_by(at_sec, body, others, from_sec)
        lacking = [
            span
            for count in range(1, needed + 1)
            for span in subtract(
                short_spans(now, size, count),
                short_spans(before, size, count - 1) if count > 1 else [],
            )
        ]
        if not any(start < due[1] and end > due[0] for start, end in lacking):
            return at_sec
    return None


def _asked_by(
    at_sec: float, body: Body, others: Sequence[Body], from_sec: float
) -> list[list[Span]]:
    """Return what of each part had come by then, or was on its way from other nodes after the trouble began."""
    spans: dict[int, list[Span]] = defaultdict(list)
    for other in others:
        running = other.node != body.node and other.ended_sec >= from_sec
        if running and other.asked_sec <= at_sec:
            spans[other.stored.part].append((other.asked_from, other.asked_until))
        else:
            spans[other.stored.part] += other.good_spans(at_sec)
    spans[body.stored.part] += body.good_spans(at_sec)
    return [union(found) for found in spans.values()]


def reuse_sec(bodies: Iterable[Body], outage: Outage) -> float | None:
    """Return how long after its trouble a node brought bytes again; None when it was not asked again."""
    if outage.until_sec is None:
        return None
    asked = [
        body.asked_sec
        for body in bodies
        if body.node == outage.node and body.asked_sec >= outage.until_sec and body.sent_bytes
    ]
    return min(asked) - outage.until_sec if asked else None


def last_asked_sec(bodies: Iterable[Body]) -> Mapping[int, float]:
    """Return when each node was last asked for bytes of the film."""
    last: dict[int, float] = {}
    for body in bodies:
        last[body.node] = max(body.asked_sec, last.get(body.node, body.asked_sec))
    return last
