"""`python -m bench.simulate`: the product's planner and buffer against modelled links, in virtual time.

Deterministic by seed. Prints startup and stalls of every scenario against the physical optimum.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.films import manifest_of, node_url
from bench.reactions import Reactions
from bench.scenarios import SCENARIO_NAMES, Scenario, lengthened, scenario
from bench.setting import occasion, write_measured
from bench.supplies import full_speed_total_sec, optimum_of
from buffer.commands import SessionOptions
from common.messages import Policy
from simulation.comparison import PATIENCE_FILMS, PATIENCE_SEC
from simulation.viewer import Viewer
from simulation.world import MonitorMode, NodePlan, World

_STDOUT = Path("-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """How a scenario is played."""

    seed: int = 1
    workers: int = 2
    # As a session finds a standing stack: connections wait, nodes are known.
    warm: bool = True
    monitor: MonitorMode = "known"
    policy: Policy = "deadline"
    # Media needed to start; 0 begins with the first chunk, as the optimum does.
    start_playback_sec: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One played film; `ratio` is (startup + stalled + unplayed) over the optimum."""

    scenario: str
    seed: int
    outcome: str
    healthy: bool
    startup_sec: float
    stalls: int
    stalled_sec: float
    unplayed_sec: float
    best_startup_sec: float
    best_total_sec: float
    best_window_sec: float
    ratio: float
    avoidable_stall_sec: float
    waste_ratio: float
    requests: int
    resizes: int
    reaction_sec: float | None
    reuse_sec: float | None
    virtual_sec: float
    cpu_sec: float
    # The least total if connections began at full speed; None where they do.
    full_speed_total_sec: float | None = None


def play(played: Scenario, setup: Setup) -> Outcome:
    """Play a scenario once."""
    begun_sec = time.process_time()
    reactions = Reactions()
    world = World(
        {
            node_url(number): NodePlan(
                profile=profile, faults=tuple(f for f in played.faults if f.node == number)
            )
            for number, profile in enumerate(played.nodes)
        },
        workers=setup.workers,
        seed=setup.seed,
        warm=setup.warm,
        monitor=setup.monitor,
        watch=reactions.watch if played.faults else None,
    )
    for fault in played.faults:
        reactions.follow(world, node_url(fault.node), fault)
    options = SessionOptions(policy=setup.policy, start_playback_sec=setup.start_playback_sec)
    viewer = Viewer(world, manifest_of(played), options)
    world.agenda.run(PATIENCE_FILMS * played.film_sec + PATIENCE_SEC, lambda: viewer.session.over)
    return _outcome_of(played, setup, world, viewer, reactions, time.process_time() - begun_sec)


def _outcome_of(
    played: Scenario,
    setup: Setup,
    world: World,
    viewer: Viewer,
    reactions: Reactions,
    cpu_sec: float,
) -> Outcome:
    playback = viewer.session.playback
    stalled_sec = playback.stalled_sec(world.now_sec)
    best = optimum_of(played)
    startup_sec = playback.startup_latency_sec
    if startup_sec is None:
        startup_sec = world.now_sec
    unplayed_sec = max(0.0, played.film_sec - playback.position_sec)
    if viewer.session.outcome == "played":
        unplayed_sec = 0.0
    needed = len(set(viewer.delivered)) * played.chunk_bytes
    return Outcome(
        scenario=played.name,
        seed=setup.seed,
        outcome=viewer.session.outcome or "unfinished",
        healthy=played.healthy,
        startup_sec=startup_sec,
        stalls=playback.rebuffering_events,
        stalled_sec=stalled_sec,
        unplayed_sec=unplayed_sec,
        best_startup_sec=best.startup_sec,
        best_total_sec=best.total_sec,
        best_window_sec=best.window_sec,
        full_speed_total_sec=full_speed_total_sec(played),
        ratio=(startup_sec + stalled_sec + unplayed_sec) / best.window_sec,
        avoidable_stall_sec=max(0.0, stalled_sec - max(0.0, best.window_sec - startup_sec)),
        waste_ratio=world.received_bytes / needed - 1 if needed else 0.0,
        requests=world.counts.fetches,
        resizes=world.counts.resizes,
        reaction_sec=max(reactions.after_fault_sec, default=None),
        reuse_sec=max(reactions.until_used_sec, default=None),
        virtual_sec=world.now_sec,
        cpu_sec=cpu_sec,
    )


def geometric_mean(ratios: Iterable[float]) -> float:
    """Return the geometric mean; NaN of nothing."""
    logs = [math.log(max(ratio, 1e-9)) for ratio in ratios]
    return math.exp(sum(logs) / len(logs)) if logs else math.nan


# ---------------------------------------------------------------- command line


def table(outcomes: Sequence[Outcome]) -> str:
    """Return the outcomes as a table: one line a scenario, means over its seeds, worst ratio beside."""
    lines = [
        f"{'scenario':<18} {'startup':>8} {'stalls':>6} {'stalled':>8} {'optimum':>8} {'ratio':>7} "
        f"{'worst':>7} {'avoid.':>7} {'waste':>7} {'react':>6} {'reuse':>6} {'reqs':>6} {'cpu s':>6}"
    ]
    names = list(dict.fromkeys(o.scenario for o in outcomes))
    means: dict[str, float] = {}
    for name in names:
        mine = [o for o in outcomes if o.scenario == name]
        means[name] = geometric_mean(o.ratio for o in mine)
        unplayed = "" if all(o.outcome == "played" for o in mine) else f"  {mine[0].outcome}!"
        lines.append(
            f"{name:<18} {_mean(o.startup_sec for o in mine):8.3f} {_mean(o.stalls for o in mine):6.1f} "
            f"{_mean(o.stalled_sec for o in mine):8.3f} {_mean(o.best_window_sec for o in mine):8.3f} "
            f"{means[name]:7.3f} {max(o.ratio for o in mine):7.3f} "
            f"{_mean(o.avoidable_stall_sec for o in mine):7.3f} {_mean(o.waste_ratio for o in mine):7.2%} "
            f"{_worst(o.reaction_sec for o in mine):>6} {_worst(o.reuse_sec for o in mine):>6} "
            f"{_mean(o.requests for o in mine):6.0f} {_mean(o.cpu_sec for o in mine):6.3f}{unplayed}"
        )
    slow = [o for o in outcomes if o.full_speed_total_sec is not None]
    for name in dict.fromkeys(o.scenario for o in slow):
        mine = [o for o in slow if o.scenario == name]
        ratios = (o.ratio * o.best_window_sec / (o.full_speed_total_sec or math.nan) for o in mine)
        lines.append(f"{name}: {geometric_mean(ratios):.3f} of the optimum without slow start")
    healthy = {o.scenario for o in outcomes if o.healthy}
    worst = max(outcomes, key=lambda o: o.ratio)
    lines.append(
        f"geometric mean of ratios: all {geometric_mean(means.values()):.3f}, healthy "
        f"{geometric_mean(ratio for name, ratio in means.items() if name in healthy):.3f}; "
        f"worst {worst.ratio:.3f} ({worst.scenario}, seed {worst.seed}); "
        f"waste {_mean(o.waste_ratio for o in outcomes):.2%} on average; "
        f"{sum(o.cpu_sec for o in outcomes):.1f} CPU s for {sum(o.virtual_sec for o in outcomes):.0f} s played"
    )
    return "\n".join(lines)


def _mean(figures: Iterable[float]) -> float:
    found = list(figures)
    return sum(found) / len(found)


def _worst(figures: Iterable[float | None]) -> str:
    found = [figure for figure in figures if figure is not None]
    return f"{max(found):.2f}" if found else "-"


def _run(task: tuple[Scenario, Setup]) -> Outcome:
    return play(*task)


def main(argv: Sequence[str] | None = None) -> int:
    """Play the scenarios asked for and print what came of it."""
    parser = argparse.ArgumentParser(prog="python -m bench.simulate", description=__doc__)
    parser.add_argument("--only", help=f"comma-separated, of: {', '.join(SCENARIO_NAMES)}")
    parser.add_argument("--seeds", type=int, default=1, help="sessions per scenario (default 1)")
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--jobs", type=int, default=1, help="processes that simulate")
    parser.add_argument("--policy", choices=("deadline", "score"), default="deadline")
    parser.add_argument("--film-sec", type=float, help="play films of about this length instead")
    parser.add_argument(
        "--json",
        nargs="?",
        type=Path,
        const=_STDOUT,
        metavar="FILE",
        help="print one JSON object per session; or write all to FILE and print the table",
    )
    ready = parser.add_mutually_exclusive_group()
    ready.add_argument(
        "--warm", action="store_true", help="a set-up connection for every request (default)"
    )
    ready.add_argument("--cold", action="store_true", help="connections are set up")
    parser.add_argument(
        "--monitor",
        choices=("fresh", "known", "none"),
        default="known",
        help="it begins with the session, has pinged all nodes before, or is missing",
    )
    arguments = parser.parse_args(argv)
    when = occasion("python -m bench.simulate")
    names = arguments.only.split(",") if arguments.only else SCENARIO_NAMES
    tasks: list[tuple[Scenario, Setup]] = []
    for name in names:
        for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
            try:
                played = scenario(name, seed)
            except ValueError as error:
                parser.error(str(error))
            if arguments.film_sec:
                played = lengthened(played, arguments.film_sec)
            setup = Setup(
                seed=seed,
                workers=arguments.workers,
                warm=not arguments.cold,
                monitor=arguments.monitor,
                policy=arguments.policy,
            )
            tasks.append((played, setup))
    if arguments.jobs > 1:
        with multiprocessing.Pool(arguments.jobs) as pool:
            outcomes = pool.map(_run, tasks, chunksize=4)
    else:
        outcomes = [_run(task) for task in tasks]
    if arguments.json == _STDOUT:
        for outcome in outcomes:
            print(json.dumps(asdict(outcome)))
        return 0
    print(table(outcomes))
    if arguments.json:
        write_measured(arguments.json, when, {"outcomes": [asdict(one) for one in outcomes]})
    return 0


if __name__ == "__main__":
    sys.exit(main())
