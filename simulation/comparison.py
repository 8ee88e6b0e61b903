"""The same conditions under several policies: what startup and stalls would have been. Pure.

No I/O, no clock; all randomness comes from the seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from buffer.commands import SessionOptions
from common.manifest import Manifest
from simulation.manifests import Outline, manifest_of
from simulation.request import POLICIES, PolicyName, Request
from simulation.round_robin import RoundRobin
from simulation.viewer import Viewer
from simulation.world import Decider, MonitorMode, NodePlan, World

# A film that takes so much longer than itself has failed.
PATIENCE_FILMS = 4.0
PATIENCE_SEC = 60.0
# The chart is no wider.
MAX_POINTS = 300
SEED = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What one policy came to; levels are those at multiples of `step_sec`.

    `startup_sec` is None where the film never began; `outcome` is "played", "failed", or "unfinished" after all
    patience.
    """

    policy: PolicyName
    outcome: str
    startup_sec: float | None
    stalls: int
    stalled_sec: float
    step_sec: float
    level_sec: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Film:
    """What is played, and how."""

    manifest: Manifest
    durations_sec: tuple[float, ...]
    options: SessionOptions
    max_active_chunks: int
    begin_sec: float

    @property
    def length_sec(self) -> float:
        return sum(self.durations_sec)


def film_of(request: Request) -> Film:
    """Return the film of a session's chunks, numbered anew from 0."""
    return Film(
        manifest=_manifest(request),
        durations_sec=tuple(chunk.duration_sec for chunk in request.chunks),
        options=SessionOptions(
            target_buffer_sec=request.target_buffer_sec,
            low_water_mark_sec=request.low_water_mark_sec,
            start_playback_sec=request.start_playback_sec,
        ),
        max_active_chunks=request.max_active_chunks,
        begin_sec=request.begin_sec,
    )


def _manifest(request: Request) -> Manifest:
    urls = [node.url for node in request.nodes]
    chunks = [
        Outline(
            size_bytes=chunk.size_bytes,
            holders=[urls[place] for place in chunk.holders],
            parts=chunk.parts,
        )
        for chunk in request.chunks
    ]
    return manifest_of(chunks, sum(chunk.duration_sec for chunk in request.chunks))


def compare(
    nodes: Mapping[str, NodePlan],
    film: Film,
    *,
    known: bool,
    policies: Sequence[PolicyName] = POLICIES,
    seed: int = SEED,
) -> list[Played]:
    """Play a film under each policy; `known` says that the monitor had pinged the nodes before."""
    return [play(nodes, film, policy, known=known, seed=seed) for policy in policies]


def play(
    nodes: Mapping[str, NodePlan], film: Film, policy: PolicyName, *, known: bool, seed: int = SEED
) -> Played:
    """Play a film under one policy."""
    monitor: MonitorMode = "known" if known else "fresh"
    naive = policy == "round_robin"
    decider: Decider | None = None
    if naive:
        decider = RoundRobin(max_active_chunks=film.max_active_chunks)
    world = World(
        nodes,
        max_active_chunks=film.max_active_chunks,
        seed=seed,
        warm=known,
        monitor=monitor,
        decider=decider,
    )
    world.agenda.run(film.begin_sec, lambda: False)
    options = film.options if policy == "round_robin" else replace(film.options, policy=policy)
    viewer = Viewer(
        world, film.manifest, options, command_sec=0.0, durations_sec=film.durations_sec
    )
    patience_sec = film.begin_sec + PATIENCE_FILMS * film.length_sec + PATIENCE_SEC
    levels: list[float] = []
    world.agenda.every(
        1.0, lambda: levels.append(viewer.session.buffer_level_sec), first_sec=world.now_sec
    )
    before = round(film.begin_sec)
    world.agenda.run(patience_sec, lambda: viewer.session.over)
    playback = viewer.session.playback
    step, thinned = _thinned([0.0] * before + levels)
    return Played(
        policy=policy,
        outcome=viewer.session.outcome or "unfinished",
        startup_sec=playback.startup_latency_sec,
        stalls=playback.rebuffering_events,
        stalled_sec=playback.stalled_sec(world.now_sec),
        step_sec=step,
        level_sec=thinned,
    )


def _thinned(levels: list[float]) -> tuple[float, tuple[float, ...]]:
    """Return every n-th level, so that there are no more than the chart shows, and n."""
    step = -(-len(levels) // MAX_POINTS) or 1
    return float(step), tuple(levels[::step])
