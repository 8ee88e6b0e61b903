"""The sections on bulk rate, scale and virtual time, and where another client is ahead."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from bench import monitor_scale, planner
from bench.bulk.runs import Run
from bench.comparison import comparison_text
from bench.figures_pages import KINDS, bulk_section, planner_section, read_section
from bench.report import page
from bench.results import Setting
from bench.setting import Occasion, read_measured, write_measured
from bench.simulate import Outcome
from bench.tables import command_text
from tests.unit.test_bench_report import a_result

WHEN = Occasion(
    began_unix_sec=1.7e9,
    cpu="2 CPUs of some kind",
    setting=Setting(command="python -m bench.x --json f", revision="abc", python="3.11", cores=2),
)


def a_run(wall_sec: float, client_cpu_sec: float, **parts_cpu_sec: float) -> Run:
    return Run(
        wall_sec=wall_sec,
        transfer_sec=wall_sec / 2,
        client_cpu_sec=client_cpu_sec,
        server_cpu_sec=0.5,
        other_cpu_sec=0.1,
        sent_bytes=1_000_000_000,
        requests=500,
        parts_cpu_sec={name.replace("_", " "): sec for name, sec in parts_cpu_sec.items()},
    )


def a_planner_cost(nodes: int, planner_sec: float) -> planner.Cost:
    return planner.Cost(
        nodes=nodes,
        sessions=200,
        virtual_sec=10.0,
        planner_sec=planner_sec,
        decisions={"FetchRange": 30_000, "ResizeRange": 10_000},
        events={"RangeProgress": 80_000},
        event_sec={"RangeProgress": planner_sec},
        digest="d1",
    )


def an_outcome(name: str, seed: int, ratio: float, **fields: Any) -> Outcome:
    base: dict[str, Any] = {
        "outcome": "played",
        "healthy": name == "steady",
        "startup_sec": 0.5,
        "stalls": 0,
        "stalled_sec": 0.0,
        "unplayed_sec": 0.0,
        "best_startup_sec": 0.5,
        "best_total_sec": 0.5,
        "best_window_sec": 0.5,
        "avoidable_stall_sec": 0.0,
        "waste_ratio": 0.01,
        "requests": 10,
        "resizes": 1,
        "reaction_sec": None,
        "reuse_sec": None,
        "virtual_sec": 60.0,
        "cpu_sec": 0.25,
    }
    return Outcome(scenario=name, seed=seed, ratio=ratio, **{**base, **fields})


RUNS = {
    "ours-2": [
        a_run(2.0, 2.0, main=0.2, worker_pool=1.8),
        a_run(2.5, 2.5, main=0.4, worker_pool=2.1),
        a_run(9.0, 2.2, main=0.3, worker_pool=1.9),
    ],
    "curl": [a_run(5.0, 2.0)],
}
MONITOR_COST = monitor_scale.Cost(
    nodes=1000,
    cpu_ratio=0.031,
    pings_per_sec=333.3,
    messages_per_sec=4.0,
    decode_ms=1.5,
    held_ms=20.0,
    latency_ms=20.4,
)
MEASURED: dict[str, dict[str, Any]] = {
    "bulk": {
        "film_bytes": 1_000_000_000,
        "sha256_sec_per_gb": 0.7,
        "runs": {name: [dataclasses.asdict(run) for run in runs] for name, runs in RUNS.items()},
    },
    "planner": {"costs": [dataclasses.asdict(a_planner_cost(62, 2.0))]},
    "monitor": {"measured_sec": 30.0, "costs": [dataclasses.asdict(MONITOR_COST)]},
    "simulation": {
        "outcomes": [
            dataclasses.asdict(an_outcome("steady", 1, 1.0)),
            dataclasses.asdict(an_outcome("steady", 2, 1.44)),
            dataclasses.asdict(an_outcome("dark", 1, 2.0, outcome="unfinished", reaction_sec=0.5)),
        ]
    },
}


def test_bulk_figures_are_medians_and_ratios_to_each_other_client() -> None:
    text = bulk_section(WHEN, 1_000_000_000, 0.7, RUNS)
    assert "runs of each client: 1-3." in text
    assert "| ours-2 | 3.20 | 6.40 | 2.20 | 0.50 |" in text
    rate, cost = text.split("| against | ours-2 |")[1:]
    assert "| curl | 2.00 |" in rate
    assert "| curl | 1.10 |" in cost
    assert text.index("worker: receive and verify | 1.900") < text.index("SHA-256, measured alone")


def test_bulk_figures_of_others_alone_have_no_ratios() -> None:
    text = bulk_section(WHEN, 1_000_000_000, 0.7, {"curl": RUNS["curl"]})
    assert "against" not in text
    assert "Where ours go" not in text


def test_a_decisions_cost_is_compared_with_the_fewest_nodes_and_the_logarithm() -> None:
    text = planner_section(WHEN, [a_planner_cost(62, 2.0), a_planner_cost(3844, 3.0)])
    assert "| 62 | 200 | 40000 | 20000 | 50.0 | 1.00 | 1.00 | 80000 | 40000 | 20% |" in text
    assert "| 3844 | 200 | 40000 | 13333 | 75.0 | 1.50 | 2.00 | 80000 |" in text


@pytest.mark.parametrize("kind", KINDS)
def test_each_section_says_when_on_what_and_by_which_command(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "new" / f"{kind}.json"
    write_measured(path, WHEN, MEASURED[kind])
    assert read_measured(path) == (WHEN, MEASURED[kind])
    text = read_section(kind, path)
    assert text.startswith("## ")
    for fact in ("2023-11-14", "2 CPUs of some kind", "abc", "`python -m bench.x --json f`"):
        assert fact in text


def test_the_simulations_section_has_means_worst_and_what_was_not_played(tmp_path: Path) -> None:
    write_measured(tmp_path / "s", WHEN, MEASURED["simulation"])
    text = read_section("simulation", tmp_path / "s")
    assert f"{(1.2 * 2.0) ** 0.5:.3f} over 2 scenarios, 1.200 over the 1 marked ✓" in text
    assert "worst: 2.000 (dark, seed 1)" in text
    assert "1 of 3 sessions (dark)" in text
    assert "| steady ✓ | 2 | 1.200 | 1.440 |" in text


def test_the_monitors_section_has_its_share_of_a_core(tmp_path: Path) -> None:
    write_measured(tmp_path / "m", WHEN, MEASURED["monitor"])
    assert "| 1000 | 3.1% | 333.3 |" in read_section("monitor", tmp_path / "m")


def test_a_file_of_another_measurement_is_named(tmp_path: Path) -> None:
    write_measured(tmp_path / "m", WHEN, MEASURED["monitor"])
    with pytest.raises(ValueError, match="m has no bulk figures"):
        read_section("bulk", tmp_path / "m")


def test_the_page_has_further_sections_with_and_without_real_runs() -> None:
    assert "What was run" not in page([], ["## Bulk rate\n"])
    text = page([a_result("steady", "ours", 1.0)], ["## Bulk rate\n", "## In virtual time\n"])
    assert text.index("What was run") < text.index("## Bulk rate") < text.index("## In virtual")


def test_a_client_ahead_of_ours_is_named_with_its_scenario() -> None:
    found = [
        a_result("steady", "ours", 1.02),
        a_result("tight", "ours", 2.0),
        a_result("steady", "aria2", 1.01),
        a_result("steady", "aria2", 1.9),
        a_result("steady", "aria2", 1.0),
        a_result("tight", "score", 9.0),
        a_result("tight", "ours-1", 1.0),
    ]
    text = comparison_text(found)
    assert "aria2 in steady (1.010 against 1.020)." in text
    assert "score in" not in text
    assert "ours-1" not in text
    assert "Without a run: aria2: tight; score: steady." in text
    assert "none is ahead of ours" in comparison_text(found[:2] + found[5:])
    assert comparison_text(found[:2]) == ""


def test_commands_are_shown_without_the_machines_folders() -> None:
    assert command_text("python -m bench real --results /a/b/c.jsonl --only a,b --docs=/x/y") == (
        "`python -m bench real --results c.jsonl --only a,b --docs=y`"
    )
