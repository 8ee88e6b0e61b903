"""A wanted chunk as the planner sees it: its parts, the ranges in flight, who is excluded and who is suspected.

No I/O, no clock, no randomness.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from common.messages import ChunkSpec, Replica
from common.units import node_of
from scheduler.bytemap import ByteMap, Span, subtract
from scheduler.coverage import gaps, missing_bytes, shallowest, short_spans, union

WHOLE = -1
DATA_FRAGMENTS = 3
# A node that failed is asked again for a chunk that others bring meanwhile, at the cost of a round trip.
SECOND_CHANCE_SEC = 0.5


@dataclass(slots=True, eq=False)
class Job:
    """A range being read: bytes [start, end) of `part`, of which [start, received_until) have come."""

    job_id: str
    chunk: Wanted
    part: int
    node_url: str
    start: int
    end: int
    received_until: int
    begun_sec: float
    progress_sec: float
    silence_sec: float
    cancelled: bool = False
    received_bytes: int = 0
    measured_until: int = 0
    measured_sec: float | None = None
    rate_mbps: float | None = None
    # Whether its rate comes from enough bytes to compare it with others.
    paced: bool = False
    # How many ranges share its node's link.
    lanes: int = 1
    headed_sec: float | None = None
    whole_body: bool = False

    @property
    def remaining(self) -> int:
        return self.end - self.received_until

    @property
    def flowing(self) -> bool:
        """Whether its first bytes have come."""
        return self.received_until > self.start or self.headed_sec is not None


@dataclass(slots=True)
class Source:
    """One place where a part can be read."""

    part: int
    node_url: str
    replica: Replica


@dataclass(slots=True, eq=False)
class Wanted:
    """One chunk of one session until the buffer stops asking for it."""

    session_id: str
    spec: ChunkSpec
    deadline_sec: float
    seen_sec: float
    deliver_to: str
    # Due sooner than this it is urgent.
    low_water_sec: float = 0.0
    parts: dict[int, ByteMap] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    lease_id: str = ""
    worker_id: str = ""
    attempt: int = 0
    excluded: set[str] = field(default_factory=set)
    excluded_sec: float = 0.0
    # How often they were asked again in this round.
    second_chances: int = 0
    banned: set[str] = field(default_factory=set)
    suspects: list[str] = field(default_factory=list)
    # The suspect that is proven wrong should the chunk be right without its bytes.
    accused: str = ""
    # In how many wrong versions of a part each node had a share, since the last certain verdict.
    votes: dict[tuple[int, str], int] = field(default_factory=dict)
    # Whether it comes from one node at a time, so that wrong bytes show whose they are.
    apart: bool = False
    rounds: int = 0
    retry_at_sec: float = 0.0
    last_fault: str = "unreachable"
    last_detail: str = ""
    # Whether ranges may bring the same bytes, or some that are held: bodies without `Range`, ends moved too late.
    tangled: bool = False
    delivered_sec: float | None = None
    verifying_sec: float | None = None
    failed_at: str = ""
    coded: bool = field(init=False)
    # Where the parts of a spec can be read: asked for at every decision, and the same until the spec is replaced.
    _sources: list[Source] = field(default_factory=list, init=False, repr=False)
    _sources_of: ChunkSpec | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        self.reset_parts()

    def reset_parts(self) -> None:
        """Start from nothing: the worker that held the bytes is gone."""
        self.verifying_sec, self.tangled = None, False
        self.coded = bool(self.spec.fragments)
        if self.spec.fragments:
            self.parts = {f.fragment_index: ByteMap(f.size_bytes) for f in self.spec.fragments}
        else:
            self.parts = {WHOLE: ByteMap(self.spec.size_bytes)}

    @property
    def key(self) -> tuple[str, str]:
        return (self.session_id, self.spec.chunk_id)

    def is_urgent(self, now_sec: float) -> bool:
        """Whether it is due so soon that all nodes should bring it."""
        return self.deadline_sec - now_sec < self.low_water_sec

    def is_of(self, spec: ChunkSpec) -> bool:
        """Whether bytes held for this chunk are bytes of `spec` too; replicas may differ."""
        return spec is self.spec or _identity(self.spec) == _identity(spec)

    @property
    def needed_parts(self) -> int:
        return DATA_FRAGMENTS if self.coded else 1

    @property
    def part_bytes(self) -> int:
        """The size of each of its parts."""
        return next(iter(self.parts.values())).size

    @property
    def complete(self) -> bool:
        """Whether enough bytes are held to verify."""
        if not self.coded:
            return self.parts[WHOLE].complete
        held = {
            index: [(c.start, c.end) for c in part.contributions]
            for index, part in self.parts.items()
        }
        return missing_bytes(held, self.part_bytes, self.needed_parts) == 0

    def sources(self) -> list[Source]:
        """Return every place that has a part: data fragments before parities, replicas as listed."""
        if self._sources_of is not self.spec:
            self._sources, self._sources_of = _sources_of(self.spec), self.spec
        return self._sources

    def node_urls(self) -> set[str]:
        return {source.node_url for source in self.sources()}

    def free_spans(self, part: int) -> list[Span]:
        """Return the bytes a reader of `part` could bring that nobody brings yet."""
        if self.verifying_sec is not None:
            return []
        if not self.coded:
            return gaps(self._spans(part, self.parts[part]), self.parts[part].size)
        covers = self.covers()
        lacking = short_spans(covers.values(), self.parts[part].size, self.needed_parts)
        return subtract(lacking, covers[part])

    def exclude(self, node_url: str, now_sec: float) -> None:
        """Ask a node no more in this round."""
        self.excluded.add(node_url)
        self.excluded_sec = now_sec

    def give_second_chance(self, now_sec: float) -> None:
        """Ask all nodes again while others bring the chunk: it may have come back to them meanwhile."""
        # Those that have nothing must not take it from others again and again.
        late_enough = now_sec - self.excluded_sec > SECOND_CHANCE_SEC * 2.0**self.second_chances
        # A body that comes to bytes held already brings nothing yet.
        brought = any(job.received_until > job.start for job in self.jobs.values())
        if self.excluded and late_enough and brought:
            self.excluded.clear()
            self.second_chances += 1

    def next_spans(self, part: int) -> list[Span]:
        """Return the free bytes of `part`, those first that are needed most.

        Of a coded chunk these are the positions that the fewest fragments cover: so the fragments lie around a ring,
        each beginning where another ends, and none runs out of positions to bring.
        """
        spans = self.free_spans(part)
        if not self.coded or not spans:
            return spans
        first = shallowest(self.covers().values(), spans)
        return [(max(a, first), b) for a, b in spans if b > first] + [
            (a, min(b, first)) for a, b in spans if a < first
        ]

    def covers(self) -> dict[int, list[Span]]:
        """Return, for every part, the bytes held or being read."""
        return {index: union(self._spans(index, part)) for index, part in self.parts.items()}

    def _spans(self, index: int, part: ByteMap) -> list[Span]:
        spans = [(c.start, c.end) for c in part.contributions]
        spans += [(j.received_until, j.end) for j in self.jobs.values() if j.part == index]
        return spans

    @property
    def free_bytes(self) -> int:
        """Return how many bytes nobody brings yet."""
        if not self.coded:
            whole = self.parts[WHOLE]
            if not self.tangled:
                claimed = sum([job.end - job.received_until for job in self.jobs.values()])
                return whole.size - whole.held_bytes - claimed
            return sum(end - start for start, end in gaps(self._spans(WHOLE, whole), whole.size))
        return missing_bytes(self.covers(), self.part_bytes, self.needed_parts)

    def bytes_by_node(self) -> dict[str, int]:
        """Return how many held bytes came from each node, all parts together."""
        shares: dict[str, int] = {}
        for part in self.parts.values():
            for node_url, size in part.bytes_by_node().items():
                shares[node_url] = shares.get(node_url, 0) + size
        return shares

    def next_suspect(self, part: int) -> tuple[str, bool] | None:
        """Return the node to blame for a part that does not match, and whether that is certain.

        Of the contributors not yet replaced the one with a share in most wrong versions is suspected, the larger of
        equals; alone it is guilty. None when every contributor has been replaced already.
        """
        shares = self._shares(part)
        left = [node for node in shares if node not in self.suspects]
        if not left:
            return None
        suspect = max(left, key=lambda node: (self.votes.get((part, node), 0), shares[node]))
        return suspect, len(shares) == 1

    def _shares(self, part: int) -> dict[str, int]:
        """Return who brought how much of a part, or of a coded chunk that only shows as a whole that it is wrong."""
        return self.parts[part].bytes_by_node() if part in self.parts else self.bytes_by_node()

    def vote(self, part: int) -> None:
        """Note who had a share in a part that does not match."""
        for node_url in self._shares(part):
            self.votes[part, node_url] = self.votes.get((part, node_url), 0) + 1

    def clear_suspicions(self) -> None:
        """Forget who was only suspected; who was proven wrong stays banned for this chunk."""
        self.banned.difference_update(self.suspects)
        self.suspects.clear()
        self.votes.clear()
        self.accused = ""

    def suspect(self, node_url: str) -> None:
        """Replace a node's bytes to see whether they are the wrong ones."""
        self.suspects.append(node_url)
        self.accused = node_url

    def begin_round(self) -> None:
        """Try all places again; after a round that convicted nobody without those whose bytes are still held.

        They were not suspected so far; with the same nodes in the same order every round would end like the last. The
        bytes then come from one node at a time, of a chunk that is not coded, so that the next verdict is certain.
        """
        doubtful = sorted(self.bytes_by_node()) if self.votes else []
        self.apart = bool(self.votes) and not self.coded
        self.excluded.clear()
        self.second_chances = 0
        self.banned.clear()
        self.clear_suspicions()
        if self.node_urls() - set(doubtful):
            self.suspects = doubtful
            self.banned.update(doubtful)
            self.accused = doubtful[0] if len(doubtful) == 1 else ""


def _sources_of(spec: ChunkSpec) -> list[Source]:
    if not spec.fragments:
        return [Source(WHOLE, node_of(r.url), r) for r in spec.replicas]
    return [Source(f.fragment_index, node_of(r.url), r) for f in spec.fragments for r in f.replicas]


def _identity(spec: ChunkSpec) -> tuple[object, ...]:
    fragments = [(f.fragment_index, f.size_bytes, f.checksum_sha256) for f in spec.fragments]
    return (spec.sequence_num, spec.size_bytes, spec.checksum_sha256, fragments)
