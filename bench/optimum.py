"""The physical optimum: how soon a film could start and how little it could stall on given links. Pure functions.

No I/O, no clock, no randomness. Capacities are data: what each node could send over time, from a simulated schedule or
from the log of a real node. The model is fluid and sees the future: bytes are freely divisible, nothing is lost to
requests after the first round trip, wherever a chunk lies its link may serve it.

Conventions. A node that is down or silent carries nothing; a slow one its reduced rate; a corrupting one nothing, its
bytes are useless. A truncating node keeps its capacity: half a body is as good as any bytes. A node without `Range`
keeps its capacity among others that have it; where no node has it, `whole_bodies` gives the floor instead.
All times are seconds after the manifest request.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from bench.flow import FlowNetwork

# The client holds at most this much of the film ahead of the playhead.
WINDOW_SEC = 30.0
# Bisection ends here; well below what a clock on a busy machine can tell.
TOLERANCE_SEC = 1e-4
_MAX_DOUBLINGS = 40
# Rounding of byte sums of about 1e8.
_SLACK_BYTES = 1.0

Step = tuple[float, float]
Span = tuple[float, float]


class Supply:
    """What one node can carry: steps of (start_sec, bytes_per_sec), the last of which goes on for ever.

    Nothing comes before `ready_sec`, the first round trip.
    """

    __slots__ = ("_carried", "_rates", "_starts")

    def __init__(self, steps: Sequence[Step], *, ready_sec: float = 0.0) -> None:
        if not steps or any(rate < 0 for _, rate in steps):
            raise ValueError("a supply needs steps, none with a negative rate")
        later = [(start, rate) for start, rate in steps if start > ready_sec]
        earlier = [rate for start, rate in steps if start <= ready_sec]
        first = [(ready_sec, earlier[-1])] if earlier else [(ready_sec, 0.0)]
        clipped = [(-math.inf, 0.0), *first, *later]
        self._starts = [start for start, _ in clipped]
        self._rates = [rate for _, rate in clipped]
        if self._starts != sorted(self._starts):
            raise ValueError("the steps of a supply must be in order")
        self._carried = [0.0, 0.0]
        for index in range(2, len(clipped)):
            span_sec = self._starts[index] - self._starts[index - 1]
            self._carried.append(self._carried[-1] + span_sec * self._rates[index - 1])

    @classmethod
    def of_all(cls, supplies: Iterable[Supply]) -> Supply:
        """Return the supply of several links together."""
        links = tuple(supplies)
        edges = sorted({start for link in links for start in link._starts[1:]})
        return cls(
            [(edge, sum(link.rate(edge) for link in links)) for edge in edges], ready_sec=edges[0]
        )

    @property
    def steps(self) -> list[Step]:
        """Return the steps, the first of which begins when anything can come."""
        return list(zip(self._starts[1:], self._rates[1:], strict=True))

    def rate(self, at_sec: float) -> float:
        """Return the bytes a second from that time on."""
        return self._rates[bisect.bisect_right(self._starts, at_sec) - 1]

    def carried(self, until_sec: float) -> float:
        """Return how many bytes can have come by then."""
        index = bisect.bisect_right(self._starts, until_sec) - 1
        if index == 0:
            return 0.0
        return self._carried[index] + (until_sec - self._starts[index]) * self._rates[index]

    def between(self, from_sec: float, until_sec: float) -> float:
        """Return how many bytes can come from one time to another."""
        return max(0.0, self.carried(until_sec) - self.carried(from_sec))

    def time_when(self, carried_bytes: float) -> float:
        """Return when that many bytes can have come; infinity for never."""
        index = max(1, bisect.bisect_left(self._carried, carried_bytes) - 1)
        while index < len(self._starts):
            last = index + 1 == len(self._starts)
            left = carried_bytes - self._carried[index]
            if left <= 0:
                return self._starts[index]
            if self._rates[index] > 0 and (last or carried_bytes <= self._carried[index + 1]):
                return self._starts[index] + left / self._rates[index]
            index += 1
        return math.inf


def ramped(supply: Supply, *, ready_sec: float, rtt_sec: float, window_bytes: int) -> Supply:
    """Return what a link carries at best over connections that begin slowly.

    They begin together at `ready_sec` with `window_bytes` among them, and double that each round trip: in each the
    link carries no more than the window of that round, as early as it can. Once a window fills a round trip, the link
    is the limit for good: who always has bytes on the way never begins anew.
    """
    if rtt_sec <= 0:
        return supply
    steps: list[Step] = [(start, rate) for start, rate in supply.steps if start <= ready_sec]
    round_sec, allowed = ready_sec, float(window_bytes)
    for _ in range(_MAX_DOUBLINGS):
        end_sec = round_sec + rtt_sec
        full_sec = supply.time_when(supply.carried(round_sec) + allowed)
        if full_sec >= end_sec:
            break
        steps.append((round_sec, supply.rate(round_sec)))
        steps += [(start, rate) for start, rate in supply.steps if round_sec < start < full_sec]
        steps.append((full_sec, 0.0))
        round_sec, allowed = end_sec, allowed * 2
    steps.append((round_sec, supply.rate(round_sec)))
    steps += [(start, rate) for start, rate in supply.steps if start > round_sec]
    return Supply(steps, ready_sec=ready_sec)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A chunk, or one fragment of it, on the nodes that hold it: `max_bytes` of it are of use.

    `absent` lists when it could not be had there, by node.
    """

    nodes: tuple[int, ...]
    max_bytes: float
    absent: dict[int, tuple[Span, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Film:
    """Chunks of `size_bytes`, each lasting `chunk_sec`; `parts[i]` says where chunk i can be had.

    A replicated chunk has one part, a coded one its fragments, of which a third each is of use.
    """

    size_bytes: float
    chunk_sec: float
    parts: tuple[tuple[Part, ...], ...]

    @property
    def everywhere(self) -> frozenset[int] | None:
        """The nodes that hold every chunk at all times; None where chunks differ or are coded."""
        first = self.parts[0]
        if len(first) != 1 or any(parts != first for parts in self.parts) or first[0].absent:
            return None
        return frozenset(first[0].nodes) if first[0].max_bytes >= self.size_bytes else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimum:
    """What is possible at best.

    `startup_sec` is the least startup (F_0), `total_sec` the least startup + stall (X*) without a limit on what the
    client holds, `window_sec` the same for one that holds at most 30 s of film. `window_sec` is what ratios divide by.
    """

    startup_sec: float
    total_sec: float
    window_sec: float

    @property
    def stall_sec(self) -> float:
        """What must stall even so."""
        return max(0.0, self.window_sec - self.startup_sec)


def optimum(supplies: Sequence[Supply], film: Film, *, hold_sec: float = WINDOW_SEC) -> Optimum:
    """Return the bounds for a film on links."""
    holders = film.everywhere
    if holders is not None:
        return _shared_by_all([supplies[node] for node in sorted(holders)], film, hold_sec)
    count = len(film.parts)
    startup_sec = _least(lambda at_sec: _feasible(supplies, film, [at_sec], [0.0]))
    never = [-math.inf] * count

    def fits(total_sec: float, releases: Sequence[float]) -> bool:
        deadlines = [total_sec + i * film.chunk_sec for i in range(count)]
        return _feasible(supplies, film, deadlines, releases)

    total_sec = max(startup_sec, _least(lambda x: fits(x, never), low_sec=startup_sec))
    # Nobody's playhead is ahead of one that started at F_0 and never stalled: a lower bound, exact without stalls.
    releases = [startup_sec + i * film.chunk_sec - hold_sec for i in range(count)]
    window_sec = max(total_sec, _least(lambda x: fits(x, releases), low_sec=total_sec))
    return Optimum(startup_sec=startup_sec, total_sec=total_sec, window_sec=window_sec)


def _shared_by_all(supplies: Sequence[Supply], film: Film, hold_sec: float) -> Optimum:
    """Every node has everything: the earliest chunk takes all links, F_i is a sum."""
    total = Supply.of_all(supplies)
    count, chunk_sec = len(film.parts), film.chunk_sec
    ends = [total.time_when((i + 1) * film.size_bytes) for i in range(count)]
    total_sec = max(end - i * chunk_sec for i, end in enumerate(ends))
    plays: list[float] = []
    done_sec = 0.0
    for number in range(count):
        begin_sec = max(done_sec, _released_sec(number, plays, chunk_sec, hold_sec))
        done_sec = total.time_when(total.carried(begin_sec) + film.size_bytes)
        plays.append(max(done_sec, plays[-1] + chunk_sec if plays else 0.0))
    window_sec = plays[-1] - (count - 1) * chunk_sec
    return Optimum(startup_sec=ends[0], total_sec=total_sec, window_sec=max(total_sec, window_sec))


def _released_sec(number: int, plays: Sequence[float], chunk_sec: float, hold_sec: float) -> float:
    """Return when the playhead comes within `hold_sec` of a chunk: that chunk may be fetched from then on."""
    position_sec = number * chunk_sec - hold_sec
    if position_sec < 0 or not plays:
        return 0.0
    playing = min(int(position_sec // chunk_sec), len(plays) - 1)
    return plays[playing] + min(position_sec - playing * chunk_sec, chunk_sec)


def _feasible(
    supplies: Sequence[Supply],
    film: Film,
    deadlines: Sequence[float],
    releases: Sequence[float],
) -> bool:
    """Whether the first chunks can all be complete at their deadlines: a flow from chunks to stretches of link time."""
    count = len(deadlines)
    parts = film.parts[:count]
    edges = {*deadlines, *(r for r in releases if r > -math.inf)}
    for held in parts:
        for part in held:
            edges.update(t for spans in part.absent.values() for span in spans for t in span)
    cuts = sorted(t for t in edges if -math.inf < t < math.inf and t <= max(deadlines))
    stretches = list(zip([-math.inf, *cuts[:-1]], cuts, strict=True))
    network = FlowNetwork()
    source, sink = network.add_node(), network.add_node()
    slots: dict[tuple[int, int], int] = {}
    for number, held in enumerate(parts):
        chunk = network.add_node()
        network.add_edge(source, chunk, film.size_bytes)
        for part in held:
            fragment = network.add_node()
            network.add_edge(chunk, fragment, min(part.max_bytes, film.size_bytes))
            for node in part.nodes:
                absent = part.absent.get(node, ())
                for index, (begin_sec, end_sec) in enumerate(stretches):
                    if end_sec > deadlines[number] or begin_sec < releases[number] < end_sec:
                        continue
                    if end_sec <= releases[number] or any(
                        a <= begin_sec < b or a < end_sec <= b for a, b in absent
                    ):
                        continue
                    slot = slots.get((node, index))
                    if slot is None:
                        carried = supplies[node].between(begin_sec, end_sec)
                        if carried <= 0:
                            continue
                        slot = slots[node, index] = network.add_node()
                        network.add_edge(slot, sink, carried)
                    network.add_edge(fragment, slot, math.inf)
    return network.max_flow(source, sink) >= count * film.size_bytes - _SLACK_BYTES


def _least(fits: Callable[[float], bool], *, low_sec: float = 0.0) -> float:
    """Return the least time that fits; infinity when none does within reach."""
    if fits(low_sec + TOLERANCE_SEC):
        return low_sec
    step_sec = 1.0
    for _ in range(_MAX_DOUBLINGS):
        if fits(low_sec + step_sec):
            break
        step_sec *= 2
    else:
        return math.inf
    low, high = low_sec + (step_sec / 2 if step_sec > 1.0 else 0.0), low_sec + step_sec
    while high - low > TOLERANCE_SEC:
        middle = (low + high) / 2
        if fits(middle):
            high = middle
        else:
            low = middle
    return high


def whole_bodies(
    supplies: Sequence[Supply], film: Film, *, cut_after_sec: Sequence[float | None] = ()
) -> Optimum:
    """Return the floor where no node answers ranges: each chunk comes whole from one node.

    On one node bodies follow each other in the film's order; which node sends which chunk is searched, most useful
    states first. A body that needs longer than its node's `cut_after_sec` never arrives.
    """
    cuts = list(cut_after_sec) or [None] * len(supplies)
    # Per state: when each node is free, and the worst lateness so far.
    states: list[tuple[tuple[float, ...], float]] = [((0.0,) * len(supplies), 0.0)]
    startup_sec = math.inf
    for number, held in enumerate(film.parts):
        found: dict[tuple[float, ...], float] = {}
        for free, late_sec in states:
            for node in {n for part in held for n in part.nodes}:
                supply = supplies[node]
                begin_sec = free[node]
                end_sec = supply.time_when(supply.carried(begin_sec) + film.size_bytes)
                first_sec = supply.time_when(supply.carried(begin_sec) + _SLACK_BYTES)
                cut_sec = cuts[node]
                if end_sec == math.inf or (cut_sec is not None and end_sec - first_sec > cut_sec):
                    continue
                if number == 0:
                    startup_sec = min(startup_sec, end_sec)
                after = (*free[:node], end_sec, *free[node + 1 :])
                worst_sec = max(late_sec, end_sec - number * film.chunk_sec)
                found[after] = min(worst_sec, found.get(after, math.inf))
        states = _undominated(found)
    total_sec = min((late for _, late in states), default=math.inf)
    return Optimum(startup_sec=startup_sec, total_sec=total_sec, window_sec=total_sec)


def _undominated(
    found: dict[tuple[float, ...], float],
) -> list[tuple[tuple[float, ...], float]]:
    """Leave out states that are nowhere better than another one."""
    kept: list[tuple[tuple[float, ...], float]] = []
    for free, late_sec in sorted(found.items(), key=lambda item: (item[1], sum(item[0]))):
        if not any(
            other_late <= late_sec and all(a <= b for a, b in zip(other, free, strict=True))
            for other, other_late in kept
        ):
            kept.append((free, late_sec))
    return kept
