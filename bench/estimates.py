"""`python -m bench.estimates`: how far the dashboard's comparison of policies is from the truth, where that is known.

A scenario is played in virtual time under `deadline`; what the dashboard hears of it is kept, and links are estimated
from that alone. Then all policies are played twice: on the estimated links, and on the true ones.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.films import manifest_of, node_url
from bench.scenarios import Scenario, lengthened, scenario
from buffer.commands import SessionOptions
from buffer.report import chunk_records
from common.messages import ChunkMap, NodeScores, SessionStatus
from common.stack_state import NOTHING
from dashboard.comparison import request_of
from dashboard.conditions import Conditions
from scheduler.commands import Command, PublishTransfer, PublishVerdict
from scheduler.planner import Event
from scheduler.service import STATUS_SEC, status_of
from simulation.comparison import Film, Played, compare
from simulation.estimate import estimate
from simulation.request import Request
from simulation.viewer import SESSION_ID, Viewer
from simulation.world import NodePlan, World

DEFAULT_NAMES = ("steady", "tight", "death", "silent", "gray", "corrupt", "truncate", "dead-first")
# Wall time at which the command is given: half a second is no whole one.
STARTED_UNIX_SEC = 1_000_000.5
FILM_SEC = 60.0
SESSION_SEC = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One policy on the estimated and on the true links."""

    scenario: str
    seed: int
    observed_ratio: float
    estimated: Played
    true: Played


def judge(played: Scenario, *, seed: int = 1) -> list[Verdict]:
    """Play a scenario, estimate its links from what was heard, and play all policies on both."""
    truth = {
        node_url(number): NodePlan(
            profile=profile, faults=tuple(f for f in played.faults if f.node == number)
        )
        for number, profile in enumerate(played.nodes)
    }
    manifest = manifest_of(played)
    options = SessionOptions(start_playback_sec=0.0)
    request = record(truth, played, options, seed=seed)
    found = estimate(request)
    film = Film(
        manifest=manifest,
        durations_sec=(played.chunk_sec,) * played.chunks,
        options=options,
        max_active_chunks=request.max_active_chunks,
        begin_sec=request.begin_sec,
    )
    return [
        Verdict(
            scenario=played.name,
            seed=seed,
            observed_ratio=found.observed_ratio,
            estimated=one,
            true=other,
        )
        for one, other in zip(
            compare(found.nodes, film, known=True, seed=seed),
            compare(truth, film, known=True, seed=seed),
            strict=True,
        )
    ]


def record(
    nodes: dict[str, NodePlan], played: Scenario, options: SessionOptions, *, seed: int
) -> Request:
    """Play under `deadline` and return what the dashboard would hand to the simulation."""
    heard = Conditions()

    def watch(world: World, event: Event | None, commands: list[Command]) -> None:
        now_sec = STARTED_UNIX_SEC + world.now_sec
        if isinstance(event, NodeScores):
            scores = (
                replace(n, last_update_unix_sec=STARTED_UNIX_SEC + (n.last_update_unix_sec or 0))
                for n in event.nodes
            )
            heard.apply(replace(event, nodes=tuple(scores)), now_sec)
        for command in commands:
            if isinstance(command, PublishTransfer | PublishVerdict):
                heard.apply(command.msg, now_sec)

    world = World(nodes, seed=seed, warm=True, monitor="known", watch=watch)
    manifest = manifest_of(played)
    viewer = Viewer(world, manifest, options)

    def tell_scheduler() -> None:
        status = status_of(world.planner, world.now_sec, lambda: STARTED_UNIX_SEC + world.now_sec)
        heard.apply(status, STARTED_UNIX_SEC + world.now_sec)

    def tell_session() -> None:
        heard.apply(_status(viewer, world), STARTED_UNIX_SEC + world.now_sec)

    world.agenda.every(STATUS_SEC, tell_scheduler, first_sec=0.1)
    world.agenda.every(SESSION_SEC, tell_session, first_sec=0.05)
    world.agenda.run(4 * played.film_sec + 60, lambda: viewer.over)
    tell_session()
    chunks = ChunkMap(
        session_id=SESSION_ID,
        total_chunks=played.chunks,
        chunks=chunk_records(viewer.session),
    )
    return Request.model_validate(request_of(heard, _status(viewer, world), chunks))


def _status(viewer: Viewer, world: World) -> SessionStatus:
    core = viewer.session
    return replace(
        NOTHING,
        session_id=SESSION_ID,
        state=core.playback.state,
        outcome=core.outcome,
        node_urls=core.manifest.node_urls(),
        current_sequence_num=core.current_sequence,
        buffer_level_sec=core.buffer_level_sec,
        target_buffer_sec=core.options.target_buffer_sec,
        low_water_mark_sec=core.options.low_water_mark_sec,
        start_playback_sec=core.options.start_playback_sec,
        startup_latency_sec=core.playback.startup_latency_sec,
        rebuffering_events=core.playback.rebuffering_events,
        stalled_sec=core.playback.stalled_sec(world.now_sec),
        started_unix_sec=STARTED_UNIX_SEC,
    )


def table(verdicts: Sequence[Verdict]) -> str:
    """Return what came of it as a table in Markdown."""
    lines = [
        "| scenario | observed | policy | startup s: estimate, truth | stalls | stalled s |",
        "|---|---|---|---|---|---|",
    ]
    for v in verdicts:
        one, other = v.estimated, v.true
        lines.append(
            f"| {v.scenario} | {v.observed_ratio:.0%} | {one.policy} "
            f"| {_seconds(one.startup_sec)}, {_seconds(other.startup_sec)} "
            f"| {one.stalls}, {other.stalls} | {one.stalled_sec:.2f}, {other.stalled_sec:.2f} |"
        )
    return "\n".join(lines)


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.2f}"


def main(argv: Sequence[str] | None = None) -> int:
    """Judge the scenarios asked for and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.estimates", description=__doc__)
    parser.add_argument("--only", default=",".join(DEFAULT_NAMES), help="scenarios, by comma")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--film-sec", type=float, default=FILM_SEC, help="film of about this length"
    )
    arguments = parser.parse_args(argv)
    found: list[Verdict] = []
    for name in arguments.only.split(","):
        try:
            played = lengthened(scenario(name, arguments.seed), arguments.film_sec)
        except ValueError as error:
            parser.error(str(error))
        found += judge(played, seed=arguments.seed)
    print(table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
