"""`python -m bench real`: clients in real processes against real nodes, scenario by scenario."""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from bench import results
from bench.breakdown import node_times, node_times_text, request_rows, requests_text
from bench.deliveries import Body, film_of
from bench.figures import Figures, figures_of, outcome_bodies
from bench.results import RESULTS_DIR, Result, geometric_mean, medians
from bench.runs import CLIENTS, Client, Outcome, play
from bench.scenarios import SCENARIO_NAMES, Scenario, scenario
from bench.setting import here
from bench.stack import short_dir
from bench.stage import Stage

QUICK_SCENARIOS = ("steady", "tight", "silent-start", "dead-first")
QUICK_CLIENTS = ("ours", "score", "roundrobin")
# A comparison client that is not installed, or does not know such films, says so with this exit code.
_CANNOT_PLAY = 2
DEFAULT_CLIENTS = ("ours", "score", "roundrobin", "single", "aria2-tuned")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """The runs of some clients on one scenario's nodes, one after the other."""

    scenario: Scenario
    clients: tuple[Client, ...]
    runs: int
    # Print where the startup's time went, and each request until then.
    explains: bool


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `real`."""
    quick = os.environ.get("QUICK", "") not in ("", "0")
    add = parser.add_argument
    add("--only", default=",".join(QUICK_SCENARIOS) if quick else "", help="scenarios, by comma")
    add("--clients", default=",".join(QUICK_CLIENTS if quick else DEFAULT_CLIENTS), help="by comma")
    add("--runs", type=int, default=1 if quick else 3, help="runs of each (default %(default)s)")
    add("--jobs", type=int, default=2, help="comparison clients at the same time (default 2)")
    add("--ours-jobs", type=int, default=1, help="scenarios of ours at the same time (default 1)")
    add("--explain", action="store_true", help="show where the time until the first chunk went")
    add("--seed", type=int, default=1, help="draws the traces (default 1)")
    add("--results", type=Path, default=None, help="file to append to (default: a new one)")


def run(arguments: argparse.Namespace) -> int:
    """Run what was asked for; return the exit code."""
    try:
        played = [scenario(name, arguments.seed) for name in _names(arguments.only, SCENARIO_NAMES)]
        clients = [CLIENTS[name] for name in _names(arguments.clients, tuple(CLIENTS))]
    except ValueError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    path = arguments.results or RESULTS_DIR / f"{time.strftime('%Y%m%d-%H%M%S')}.jsonl"
    ours = tuple(client for client in clients if client.ours)
    others = [client for client in clients if not client.ours]
    print(f"{len(played)} scenarios, {arguments.runs} runs each; results in {path}", flush=True)
    recorder = _Recorder(path)
    # By default ours run alone on the machine, one after the other.
    _work_all([_job(one, ours, arguments) for one in played if ours], arguments.ours_jobs, recorder)
    jobs = [_job(one, (client,), arguments) for one, client in itertools.product(played, others)]
    _work_all(jobs, arguments.jobs, recorder)
    print_summary(recorder.results)
    return 0


def _job(one: Scenario, clients: tuple[Client, ...], arguments: argparse.Namespace) -> _Job:
    return _Job(scenario=one, clients=clients, runs=arguments.runs, explains=arguments.explain)


def _names(text: str, known: Sequence[str]) -> list[str]:
    wanted = [name.strip() for name in text.split(",") if name.strip()] or list(known)
    for name in wanted:
        if name not in known:
            raise ValueError(f"unknown {name!r}; known are {', '.join(known)}")
    return wanted


class _Recorder:
    """Writes results and prints a line of each; safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self.results: list[Result] = []

    def add(self, result: Result) -> None:
        with self._lock:
            results.append(self._path, result)
            self.results.append(result)
            print(_line(result), flush=True)


def _work_all(jobs: Sequence[_Job], at_once: int, recorder: _Recorder) -> None:
    with ThreadPoolExecutor(max_workers=max(1, at_once)) as pool:
        for done in [pool.submit(_work, job, recorder) for job in jobs]:
            done.result()


def _work(job: _Job, recorder: _Recorder) -> None:
    setting = here()
    with short_dir() as folder, Stage(job.scenario, folder) as stage:
        for number, client in itertools.product(range(1, job.runs + 1), job.clients):
            began_unix_sec = time.time()
            outcome = play(stage, client)
            if not client.ours and outcome.exit_code == _CANNOT_PLAY:
                print(f"{job.scenario.name:<18} {client.name:<11} cannot play it", flush=True)
                continue
            film = film_of(stage.manifest)
            bodies = outcome_bodies(outcome, film)
            figures = figures_of(outcome, job.scenario, film, bodies)
            if job.explains:
                print(_explanation(outcome, figures, bodies), flush=True)
            recorder.add(
                Result(
                    scenario=job.scenario.name,
                    title=job.scenario.title,
                    chunk_sec=job.scenario.chunk_sec,
                    client=client.name,
                    run=number,
                    began_unix_sec=began_unix_sec,
                    setting=setting,
                    healthy=job.scenario.healthy,
                    exit_code=outcome.exit_code,
                    cut_off=outcome.cut_off,
                    own_account=outcome.own_account,
                    figures=figures,
                    requests=request_rows(bodies),
                )
            )


def _explanation(outcome: Outcome, figures: Figures, bodies: Sequence[Body]) -> str:
    ready_sec = figures.ready_sec[0]
    until_sec = outcome.end_unix_sec - outcome.zero_unix_sec if ready_sec is None else ready_sec
    times = node_times(bodies, len(outcome.records), until_sec)
    return f"{requests_text(request_rows(bodies), until_sec)}\n{node_times_text(times)}"


def _line(result: Result) -> str:
    f = result.figures
    reactions = " ".join(f"{name}:{took:.2f}" for name, took in f.reactions)
    reuses = " ".join(f"{n}:{'-' if took is None else f'{took:.1f}'}" for n, took in f.reuses)
    ended = "cut off" if result.cut_off else f"exit {result.exit_code}"
    full_sec = f.full_speed_total_sec
    full = f", {full_sec:.3f} without slow start" if full_sec is not None else ""
    cpu = "-" if f.cpu_sec_per_gb is None else f"{f.cpu_sec_per_gb:.0f}"
    return (
        f"{result.scenario:<18} {result.client:<11} #{result.run} ratio {f.ratio:6.3f} "
        f"(startup {f.startup_sec:.3f} of {f.best_startup_sec:.3f}, "
        f"total best {f.best_total_sec:.3f}{full}) stalls {f.stalls} {f.stalled_sec:.2f} s "
        f"unplayed {f.unplayed_sec:.0f} waste {f.waste_ratio:.1%} requests {f.requests} "
        f"cpu {cpu} s/GB {ended} {reactions} {('back ' + reuses) if reuses else ''}"
    ).rstrip()


def print_summary(found: Sequence[Result]) -> None:
    """Print geometric means of the medians by client, over all and over healthy scenarios, and the worst."""
    for client in dict.fromkeys(result.client for result in found):
        chosen = medians(found, client)
        worst = max(chosen, key=lambda result: result.figures.ratio)
        ratios = [result.figures.ratio for result in chosen]
        healthy = [result.figures.ratio for result in chosen if result.healthy]
        print(
            f"{client:<11} geometric mean {geometric_mean(ratios):.3f} of {len(ratios)}, "
            f"healthy {geometric_mean(healthy):.3f} of {len(healthy)}, "
            f"worst {worst.figures.ratio:.3f} ({worst.scenario})"
        )
