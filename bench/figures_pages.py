"""The sections on bulk rate, scale and virtual time. Pure: figures in, Markdown out; only `read_section` reads."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import monitor_scale, planner
from bench.bulk.report import HASHING_PART, PART_MEANINGS, Medians, medians_of, part_rows
from bench.bulk.runs import Run
from bench.setting import Occasion, read_measured
from bench.simulate import Outcome, geometric_mean
from bench.tables import occasion_text, table


def read_section(kind: str, path: Path) -> str:
    """Return the section made of a measurement's file; ValueError where the file is of something else."""
    try:
        when, fields = read_measured(path)
        return _READERS[kind](when, fields)
    except (IndexError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} has no {kind} figures: {error!r}") from error


# ---------------------------------------------------------------- bulk


def bulk_section(
    when: Occasion, film_bytes: int, hash_sec_per_gb: float, runs: Mapping[str, Sequence[Run]]
) -> str:
    """Return rates and CPU seconds per GB, ours against each of the others, and where ours go."""
    medians = {name: medians_of(mine, film_bytes) for name, mine in runs.items()}
    counts = sorted({len(mine) for mine in runs.values()})
    head = ["client", "Gbit/s", "transfer Gbit/s", "client CPU s/GB", "server CPU s/GB"]
    head += ["other load, CPUs", "sent/film", "requests"]
    rows = [
        [
            name,
            f"{found.rate_gbps:.2f}",
            f"{found.transfer_gbps:.2f}",
            f"{found.client_cpu_sec:.2f}",
            f"{found.server_cpu_sec:.2f}",
            f"{found.other_load_cpus:.2f}",
            f"{found.sent_ratio:.3f}",
            f"{found.requests:.0f}",
        ]
        for name, found in medians.items()
    ]
    parts = [
        "## Bulk rate\n",
        f"A film of {film_bytes * 1e-9:.2f} GB from nodes that hold nothing back (one nginx process on loopback, "
        "on the same CPUs), as fast as each client can and every byte verified; ours with 1, 2, ... workers, "
        "joined to a running stack. Medians; runs of each client: "
        f"{'-'.join(str(count) for count in dict.fromkeys((counts[0], counts[-1])))}.\n",
        occasion_text(when),
        table(head, rows),
        "Gbit/s: film / time of the whole command; transfer: from the request for the manifest (others: from the "
        "command) to the end of the last answer; client: all its processes; other load: what the machine did "
        "beside client and server.\n",
        _ratio_tables(medians),
        _parts_table(medians, hash_sec_per_gb),
    ]
    return "\n".join(part for part in parts if part)


def _ratio_tables(medians: Mapping[str, Medians]) -> str:
    ours = [name for name in medians if name.startswith("ours")]
    others = [name for name in medians if name not in ours]
    if not ours or not others:
        return ""
    head = ["against", *ours]

    def ratios(value: Callable[[Medians], float]) -> str:
        rows = [
            [other, *(f"{value(medians[name]) / value(medians[other]):.2f}" for name in ours)]
            for other in others
        ]
        return table(head, rows)

    return (
        "Rate, ours as a multiple of each other's (above 1: ours is faster):\n\n"
        f"{ratios(lambda found: found.rate_gbps)}\n"
        "CPU seconds per GB, the same (below 1: ours is cheaper):\n\n"
        f"{ratios(lambda found: found.client_cpu_sec)}"
    )


def _parts_table(medians: Mapping[str, Medians], hash_sec_per_gb: float) -> str:
    ours = {name: found for name, found in medians.items() if found.parts_cpu_sec}
    if not ours:
        return ""
    rows = []
    for part, costs in part_rows(list(ours.values())):
        rows.append([PART_MEANINGS.get(part, part), *(f"{cost:z.3f}" for cost in costs)])
        if part == HASHING_PART:
            rows.append(
                ["of it SHA-256, measured alone", *(f"{hash_sec_per_gb:.3f}" for _ in ours)]
            )
    return "Where ours go, CPU seconds per GB:\n\n" + table(["part", *ours], rows)


# ---------------------------------------------------------------- scale


def planner_section(when: Occasion, costs: Sequence[planner.Cost]) -> str:
    """Return decisions a second and how their cost grows with the number of nodes."""
    head = ["nodes", "sessions", "decisions", "decisions/s", "µs each", "times the first"]
    head += ["log(nodes) / log(first)", "events", "events/s", "of a core"]
    first_us = _decision_us(costs[0])
    rows = []
    for cost in costs:
        decisions, events = sum(cost.decisions.values()), sum(cost.events.values())
        rows.append(
            [
                str(cost.nodes),
                str(cost.sessions),
                str(decisions),
                f"{decisions / cost.planner_sec:.0f}",
                f"{_decision_us(cost):.1f}",
                f"{_decision_us(cost) / first_us:.2f}",
                f"{math.log(cost.nodes) / math.log(costs[0].nodes):.2f}",
                str(events),
                f"{events / cost.planner_sec:.0f}",
                f"{cost.planner_sec / cost.virtual_sec:.0%}",
            ]
        )
    return "\n".join(
        [
            "## Planner with many nodes\n",
            "The planner alone, in virtual time: sessions that play without end, and nodes that send at a constant "
            "rate. Only the CPU time inside the planner counts. A decision is a range given to a node or the moved "
            "end of one; what all events cost, those without a decision too, is shared out among the decisions. "
            "Growth no worse than the logarithm of the number of nodes shows as `times the first` at or below the "
            "column beside it.\n",
            occasion_text(when),
            table(head, rows),
        ]
    )


def _decision_us(cost: planner.Cost) -> float:
    return cost.planner_sec / sum(cost.decisions.values()) * 1e6


def monitor_section(
    when: Occasion, measured_sec: float, costs: Sequence[monitor_scale.Cost]
) -> str:
    """Return what the monitor process costs by number of nodes."""
    head = ["nodes", "of a core", "pings/s", "node takes ms", "latency told ms", "messages/s"]
    head += ["subscriber ms/message"]
    rows = [
        [
            str(cost.nodes),
            f"{cost.cpu_ratio:.1%}",
            f"{cost.pings_per_sec:.1f}",
            f"{cost.held_ms:.2f}",
            f"{cost.latency_ms:.2f}",
            f"{cost.messages_per_sec:.2f}",
            f"{cost.decode_ms:.2f}",
        ]
        for cost in costs
    ]
    return "\n".join(
        [
            "## Monitor with many nodes\n",
            f"The monitor's process over {measured_sec:g} s, by the kernel's account of its CPU time. Node takes: how "
            "long a node waits before it answers a ping; latency told: the median of what the monitor publishes.\n",
            occasion_text(when),
            table(head, rows),
        ]
    )


# ---------------------------------------------------------------- virtual time


def simulation_section(when: Occasion, outcomes: Sequence[Outcome]) -> str:
    """Return means and worst cases over all sessions, and a line for each scenario."""
    by_scenario = {
        name: [one for one in outcomes if one.scenario == name]
        for name in dict.fromkeys(one.scenario for one in outcomes)
    }
    means = {name: geometric_mean(o.ratio for o in mine) for name, mine in by_scenario.items()}
    healthy = [means[name] for name, mine in by_scenario.items() if mine[0].healthy]
    worst = max(outcomes, key=lambda one: one.ratio)
    over = [one for one in outcomes if one.outcome != "played"]
    head = ["scenario", "sessions", "ratio", "worst", "stalled s", "avoidable s", "waste"]
    head += ["slowest reaction s", "slowest return s"]
    rows = [
        [
            f"{name}{' ✓' if mine[0].healthy else ''}",
            str(len(mine)),
            f"{means[name]:.3f}",
            f"{max(o.ratio for o in mine):.3f}",
            f"{statistics.fmean(o.stalled_sec for o in mine):.2f}",
            f"{statistics.fmean(o.avoidable_stall_sec for o in mine):.2f}",
            f"{statistics.fmean(o.waste_ratio for o in mine):.1%}",
            _most(o.reaction_sec for o in mine),
            _most(o.reuse_sec for o in mine),
        ]
        for name, mine in by_scenario.items()
    ]
    facts = [
        f"* ratio, geometric mean: {geometric_mean(means.values()):.3f} over {len(means)} scenarios"
        + (f", {geometric_mean(healthy):.3f} over the {len(healthy)} marked ✓" if healthy else ""),
        f"* worst: {worst.ratio:.3f} ({worst.scenario}, seed {worst.seed})",
        f"* waste: {statistics.fmean(o.waste_ratio for o in outcomes):.2%} on average, "
        f"{max(o.waste_ratio for o in outcomes):.1%} at most",
        f"* not played to the end: {len(over)} of {len(outcomes)} sessions"
        + (f" ({', '.join(dict.fromkeys(one.scenario for one in over))})" if over else ""),
        f"* cost: {sum(o.cpu_sec for o in outcomes):.1f} CPU s for "
        f"{sum(o.virtual_sec for o in outcomes):.0f} s of virtual time",
    ]
    return "\n".join(
        [
            "## In virtual time\n",
            "The same planner and buffer against modelled links: repeatable by seed, without the noise of a machine "
            "and without its costs. A scenario's ratio is the geometric mean over its sessions.\n",
            occasion_text(when),
            "Over all sessions:\n",
            "\n".join(facts) + "\n",
            table(head, rows),
        ]
    )


def _most(figures: Iterable[float | None]) -> str:
    found = [figure for figure in figures if figure is not None]
    return f"{max(found):.2f}" if found else ""


# ---------------------------------------------------------------- from files


def _bulk(when: Occasion, fields: dict[str, Any]) -> str:
    runs = {name: [Run(**run) for run in mine] for name, mine in fields["runs"].items()}
    return bulk_section(when, fields["film_bytes"], fields["sha256_sec_per_gb"], runs)


def _planner(when: Occasion, fields: dict[str, Any]) -> str:
    return planner_section(when, [planner.Cost(**cost) for cost in fields["costs"]])


def _monitor(when: Occasion, fields: dict[str, Any]) -> str:
    costs = [monitor_scale.Cost(**cost) for cost in fields["costs"]]
    return monitor_section(when, fields["measured_sec"], costs)


def _simulation(when: Occasion, fields: dict[str, Any]) -> str:
    return simulation_section(when, [Outcome(**outcome) for outcome in fields["outcomes"]])


# In the order of the page.
_READERS: dict[str, Callable[[Occasion, dict[str, Any]], str]] = {
    "bulk": _bulk,
    "planner": _planner,
    "monitor": _monitor,
    "simulation": _simulation,
}
KINDS = tuple(_READERS)
