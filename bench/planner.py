"""`python -m bench.planner`: how many decisions a second the planner makes, and how that grows with the nodes.

The planner runs alone, in virtual time, against nodes that send at a constant rate, one range after the other; only the
time inside it is counted. A decision is a range given to a node or the moved end of one. What triggers none is work
as well: events are counted beside.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.planner_load import PlannerLoad
from bench.setting import occasion, write_measured

SIZES = (62, 250, 1000, 4000)
SESSIONS = 200


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run took."""

    nodes: int
    sessions: int
    virtual_sec: float
    planner_sec: float
    decisions: dict[str, int]
    events: dict[str, int]
    event_sec: dict[str, float]
    digest: str


def measure(
    nodes: int, sessions: int, virtual_sec: float, *, seed: int = 1, profile: bool = False
) -> Cost:
    """Play `sessions` sessions on `nodes` nodes for a while and count the planner's time."""
    world = PlannerLoad(nodes, sessions, seed)
    if profile:
        world.profile = cProfile.Profile()
    world.run(virtual_sec)
    if world.profile is not None:
        pstats.Stats(world.profile).sort_stats("tottime").print_stats(30)
    return Cost(
        nodes=nodes,
        sessions=sessions,
        virtual_sec=virtual_sec,
        planner_sec=sum(world.event_sec.values()),
        decisions=dict(world.decisions),
        events=dict(world.events),
        event_sec=dict(world.event_sec),
        digest=world.digest(),
    )


def run(
    sizes: Sequence[int] = SIZES,
    *,
    sessions: int = SESSIONS,
    virtual_sec: float = 10.0,
    seed: int = 1,
    runs: int = 3,
    profile: bool = False,
) -> list[Cost]:
    """Print and return the table of median runs.

    `commands` names the stream of commands: has a change changed decisions?
    """
    costs = []
    print("nodes sessions  decisions  per s  us each   events  per s  of a core  commands")
    for nodes in sizes:
        made = [
            measure(nodes, sessions, virtual_sec, seed=seed, profile=profile) for _ in range(runs)
        ]
        cost = sorted(made, key=lambda cost: cost.planner_sec)[runs // 2]
        costs.append(cost)
        decisions, events = sum(cost.decisions.values()), sum(cost.events.values())
        print(
            f"{cost.nodes:>5} {cost.sessions:>8} {decisions:>10} {decisions / cost.planner_sec:>6.0f} "
            f"{cost.planner_sec / decisions * 1e6:>8.0f} {events:>8} "
            f"{events / cost.planner_sec:>6.0f} {cost.planner_sec / cost.virtual_sec:>10.0%}  "
            f"{cost.digest}",
            flush=True,
        )
        for name, took_sec in sorted(cost.event_sec.items(), key=lambda item: -item[1]):
            count = cost.events[name]
            print(
                f"      {name:<16} {count:>7} events {took_sec:>7.2f} s {took_sec / count * 1e6:>8.0f} us each"
            )
    return costs


def main() -> None:
    """Print the table for the arguments given."""
    parser = argparse.ArgumentParser(prog="python -m bench.planner", description=__doc__)
    parser.add_argument("--nodes", type=int, help=f"one size instead of {SIZES}")
    parser.add_argument("--sessions", type=int, default=SESSIONS)
    parser.add_argument("--seconds", type=float, default=10.0, help="virtual time (default 10)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", type=int, default=3, help="runs of each size; medians are shown")
    parser.add_argument("--profile", action="store_true", help="print where the time goes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    arguments = parser.parse_args()
    if arguments.runs < 1:
        parser.error(f"--runs: {arguments.runs} is not 1 or more")
    when = occasion("python -m bench.planner")
    costs = run(
        (arguments.nodes,) if arguments.nodes else SIZES,
        sessions=arguments.sessions,
        virtual_sec=arguments.seconds,
        seed=arguments.seed,
        runs=arguments.runs,
        profile=arguments.profile,
    )
    if arguments.json:
        write_measured(arguments.json, when, {"costs": [asdict(cost) for cost in costs]})


if __name__ == "__main__":
    main()
