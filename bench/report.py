"""`python -m bench report`: write docs/benchmarks.md and its plots from the results of many runs."""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench import plots
from bench.comparison import comparison_text, is_ours
from bench.figures_pages import KINDS, read_section
from bench.results import RESULTS_DIR, Result, geometric_mean, load, medians
from bench.scenarios import SCENARIO_NAMES
from bench.stack import PROJECT_DIR
from bench.tables import command_text, day_text, table

DOCS_DIR = PROJECT_DIR / "docs"
# Clients in the order of the tables; others follow.
_ORDER = (
    "ours",
    "ours-1",
    "ours-4",
    "score",
    "roundrobin",
    "single",
    "aria2",
    "aria2-tuned",
    "original",
)
_COLD = "ours-cold"
_PLOTTED = ("ours", "roundrobin", "single", "aria2-tuned", "score", "original")
_BUFFER_SCENARIOS = ("tight", "gray", "flap")

_INTRODUCTION = """# Benchmarks

How close the client comes to what the links allow, next to others. This page is written by `make bench`; nothing in
it is typed by hand.
"""

_METHOD = """Every run is real: the film lies on nodes of the [embedded cluster](../cluster), each behind a link with a
rate and a round trip; the clients are processes of their own and play it at its own pace. What a viewer got is computed
outside the clients, from the nodes' notes of which bytes left when: a chunk counts once its last byte has been sent and
no byte of it is wrong. The clock begins when the manifest is asked for.

**ratio** = (startup + stalled + unplayed seconds) / the least that anyone could have had on the same links with the
same faults, who knows them in advance and holds at most 30 s of the film (`bench/optimum.py`). 1.00 is the limit of
physics; where no node answers ranges, the limit is the best order of whole bodies, and where connections begin slowly
(TCP slow start), what four connections to each node can carry, all used from the first moment. **waste** = bytes sent
for nothing as a share of those needed; answers with wrong bytes in them are left out. **reaction** = time from a fault
until all that was due from the node had been asked for elsewhere. **back** = time from the end of a fault until the
node was used again. A run is cut off after four times the film's length; what was not shown then counts as unplayed.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `report`."""
    parser.add_argument(
        "results", nargs="*", type=Path, help="results files (default: the newest one)"
    )
    for kind in KINDS:
        parser.add_argument(
            f"--{kind}",
            type=Path,
            metavar="FILE",
            help=f"its {kind} section (default: {kind}.json beside the results, if there is one)",
        )
    parser.add_argument("--docs", type=Path, default=DOCS_DIR, help="folder to write to")


def run(arguments: argparse.Namespace) -> int:
    """Write the page; return the exit code."""
    try:
        found = _in_order(load(_results_files(arguments.results)))
        sections = [read_section(kind, path) for kind, path in _measurements(arguments)]
    except (OSError, ValueError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    if not found and not sections:
        print("bench: no results; run `python -m bench real` first", file=sys.stderr)
        return 2
    folder: Path = arguments.docs
    (folder / "benchmarks").mkdir(parents=True, exist_ok=True)
    for name, picture in pictures(found).items():
        (folder / "benchmarks" / name).write_text(picture, encoding="utf-8")
    (folder / "benchmarks.md").write_text(page(found, sections), encoding="utf-8")
    print(
        f"wrote {folder / 'benchmarks.md'} from {len(found)} runs and {len(sections)} measurements"
    )
    return 0


def _results_files(given: Sequence[Path]) -> list[Path]:
    """Return the files given, each once, or else the newest."""
    newest = sorted(RESULTS_DIR.glob("*.jsonl"), key=lambda path: path.stat().st_mtime)[-1:]
    return list(dict.fromkeys(path.resolve() for path in given)) or newest


def _measurements(arguments: argparse.Namespace) -> list[tuple[str, Path]]:
    """Return the files of the further sections, in the page's order."""
    found = []
    for kind in KINDS:
        given: Path | None = getattr(arguments, kind)
        usual = RESULTS_DIR / f"{kind}.json"
        if given is not None or usual.exists():
            found.append((kind, given or usual))
    return found


def _in_order(found: Sequence[Result]) -> list[Result]:
    """Return runs of several files as if they were from one: by scenario, in the usual order."""
    places = {name: place for place, name in enumerate(SCENARIO_NAMES)}
    return sorted(found, key=lambda result: places.get(result.scenario, len(places)))


def page(found: Sequence[Result], sections: Sequence[str] = ()) -> str:
    """Return the page: the real runs, if any, then the further sections."""
    parts = [_INTRODUCTION, *(_real_parts(found) if found else []), *sections]
    return "\n".join(part for part in parts if part)


def _real_parts(found: Sequence[Result]) -> list[str]:
    ours, others = (
        [r for name in _clients(found) if is_ours(name) is mine for r in medians(found, name)]
        for mine in (True, False)
    )
    return [
        _METHOD,
        _what_was_run(found),
        "## Ratio to the optimum\n",
        _ratio_table(found),
        _slow_start_text(ours),
        comparison_text(found),
        "![Ratio to the optimum by scenario and client](benchmarks/ratios.svg)\n",
        *(["## Ours in detail\n", _detail_table(ours)] if ours else []),
        _cold_text(found),
        *(["## The others in detail\n", _detail_table(others)] if others else []),
        *(
            f"![Seconds of film in hand: {name}](benchmarks/buffer-{name}.svg)\n"
            for name in _BUFFER_SCENARIOS
            if any(result.scenario == name for result in found)
        ),
    ]


def pictures(found: Sequence[Result]) -> dict[str, str]:
    """Return the plots by file name; none of no runs."""
    if not found:
        return {}
    names = [name for name in _PLOTTED if any(r.client == name for r in found)]
    chosen = {name: {r.scenario: r for r in medians(found, name)} for name in names}
    made = {
        "ratios.svg": plots.dots(
            "Lost time as a multiple of the physical optimum",
            _scenarios(found),
            {
                name: {scenario: r.figures.ratio for scenario, r in rows.items()}
                for name, rows in chosen.items()
            },
            "ratio (logarithmic), medians; further left is better",
        )
    }
    for scenario in _BUFFER_SCENARIOS:
        if any(scenario in rows for rows in chosen.values()):
            made[f"buffer-{scenario}.svg"] = plots.lines(
                f"Seconds of film in hand over time: {scenario}",
                {n: _buffer(rows[scenario]) for n, rows in chosen.items() if scenario in rows},
                x_axis="seconds since the manifest request",
                y_axis="seconds in hand",
            )
    return made


def _slow_start_text(ours: Sequence[Result]) -> str:
    """Return how ours compares with links on which connections begin at full speed."""
    against = [
        f"{r.figures.ratio * r.figures.best_total_sec / full_sec:.3f} in {r.scenario}"
        for r in ours
        if r.client == "ours" and (full_sec := r.figures.full_speed_total_sec) is not None
    ]
    if not against:
        return ""
    return (
        "Against the limit of the same links without slow start, which no client can reach on them, ours comes to "
        f"{' and '.join(against)}.\n"
    )


def _what_was_run(found: Sequence[Result]) -> str:
    days = sorted({day_text(r.began_unix_sec) for r in found})
    settings = list(dict.fromkeys(r.setting for r in found))
    machines = sorted({f"{s.cores} cores, Python {s.python}" for s in settings})
    revisions = sorted({s.revision for s in settings if s.revision})
    runs = [
        sum(r.client == name and r.scenario == scenario for r in found)
        for name in _clients(found)
        for scenario in _scenarios(found)
    ]
    counts = sorted({count for count in runs if count})
    rows = [
        f"* when: {' to '.join(dict.fromkeys((days[0], days[-1])))} (UTC)",
        f"* on: {'; '.join(machines)}, all processes of a run on this one machine, links on loopback",
        f"* what: {len(_scenarios(found))} scenarios, runs of each client and scenario: "
        f"{'-'.join(str(c) for c in dict.fromkeys((counts[0], counts[-1])))}; "
        "tables show the run with the median ratio",
        f"* code: {', '.join(revisions) or 'not under version control'}",
        "* commands:",
        *(f"  * {text}" for text in dict.fromkeys(command_text(s.command) for s in settings)),
    ]
    return "## What was run\n\n" + "\n".join(rows) + "\n"


def _ratio_table(found: Sequence[Result]) -> str:
    names = [name for name in _clients(found) if name != _COLD]
    chosen = {name: {r.scenario: r for r in medians(found, name)} for name in names}
    titles = {r.scenario: (r.title, r.healthy) for r in found}
    rows = []
    for scenario in _scenarios(found):
        cells = [
            f"{chosen[n][scenario].figures.ratio:.2f}" if scenario in chosen[n] else ""
            for n in names
        ]
        title, healthy = titles[scenario]
        rows.append([f"{scenario}{' ✓' if healthy else ''}: {title}", *cells])
    for label, only_healthy in (("geometric mean", False), ("geometric mean of ✓", True)):
        rows.append(
            [f"**{label}**", *(_mean_text(chosen[n].values(), only_healthy) for n in names)]
        )
    worst = [max((r.figures.ratio for r in chosen[n].values()), default=0.0) for n in names]
    rows.append(["**worst**", *(f"{value:.2f}" for value in worst)])
    note = "✓: its nodes are up, honest and answer ranges.\n"
    return table(["scenario", *names], rows) + "\n" + note


def _mean_text(chosen: Iterable[Result], only_healthy: bool) -> str:
    ratios = [r.figures.ratio for r in chosen if r.healthy or not only_healthy]
    return f"**{geometric_mean(ratios):.3f}**" if ratios else ""


def _detail_table(chosen: Sequence[Result]) -> str:
    if not chosen:
        return ""
    head = [
        "client",
        "scenario",
        "startup (best) s",
        "stalls",
        "stalled s",
        "avoidable s",
        "unplayed s",
    ]
    head += ["waste", "reaction s", "back s", "CPU s/GB"]
    rows = []
    for r in chosen:
        f = r.figures
        took = max((seconds for _, seconds in f.reactions), default=None)
        back = max((seconds for _, seconds in f.reuses if seconds is not None), default=None)
        rows.append(
            [
                r.client,
                r.scenario,
                f"{f.startup_sec:.2f} ({f.best_startup_sec:.2f})",
                str(f.stalls),
                f"{f.stalled_sec:.1f}",
                f"{f.avoidable_stall_sec:.1f}",
                f"{f.unplayed_sec:.0f}",
                f"{f.waste_ratio:.1%}",
                "" if took is None else f"{took:.2f}",
                "" if back is None else f"{back:.1f}",
                "" if f.cpu_sec_per_gb is None else f"{f.cpu_sec_per_gb:.0f}",
            ]
        )
    wastes = [r.figures.waste_ratio for r in chosen if r.client == chosen[0].client]
    note = (
        f"Waste of {chosen[0].client}: {statistics.fmean(wastes):.1%} on average, {max(wastes):.1%} at most. "
        "CPU counts every process of the client for the whole run, which lasts as long as the film.\n"
    )
    return table(head, rows) + "\n" + note


def _cold_text(found: Sequence[Result]) -> str:
    late_sec = {
        name: {
            r.scenario: r.figures.startup_sec - r.figures.best_startup_sec
            for r in medians(found, name)
        }
        for name in ("ours", _COLD)
    }
    both = [name for name in late_sec[_COLD] if name in late_sec["ours"]]
    if not both:
        return ""
    rows = [[n, f"{late_sec['ours'][n]:.3f}", f"{late_sec[_COLD][n]:.3f}"] for n in both]
    head = ["scenario", "joined to a running stack", "cold: from the command, own stack"]
    return "Seconds from the bound to the first chunk:\n\n" + table(head, rows)


def _buffer(result: Result) -> list[tuple[float, float]]:
    """Return how much film an ideal player holds over time, as the corners of a line."""
    ready = result.figures.ready_sec
    if not ready or ready[0] is None:
        return [(0.0, 0.0)]
    chunk_sec = result.chunk_sec
    corners = [(0.0, 0.0), (ready[0], 0.0)]
    held_sec, now_sec = 0.0, ready[0]
    # A chunk is in hand once all before it are.
    until_sec = 0.0
    for at_sec in ready:
        if at_sec is None:
            break
        until_sec = max(until_sec, at_sec)
        while held_sec > 0 and now_sec + held_sec < until_sec:
            corners.append((now_sec + held_sec, 0.0))
            now_sec, held_sec = now_sec + held_sec, 0.0
        held_sec = max(0.0, held_sec - (until_sec - now_sec))
        now_sec = until_sec
        corners += [(now_sec, held_sec), (now_sec, held_sec + chunk_sec)]
        held_sec += chunk_sec
    corners.append((now_sec + held_sec, 0.0))
    return corners


def _clients(found: Sequence[Result]) -> list[str]:
    there = dict.fromkeys(r.client for r in found)
    return [n for n in _ORDER if n in there] + [n for n in there if n not in _ORDER]


def _scenarios(found: Sequence[Result]) -> list[str]:
    return list(dict.fromkeys(r.scenario for r in found))
