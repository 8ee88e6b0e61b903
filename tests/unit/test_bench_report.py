"""The page and the plots made of the bench's results."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench.figures import Figures
from bench.plots import dots, lines
from bench.report import page, pictures
from bench.results import Result, Setting, append, geometric_mean, load, median_run, medians

SETTING = Setting(command="python -m bench real", revision="abc123", python="3.11.2", cores=2)


def a_result(scenario: str, client: str, ratio: float, **fields: object) -> Result:
    base: dict[str, object] = {
        "startup_sec": 0.5 * ratio,
        "stalls": 1,
        "stalled_sec": 0.25,
        "unplayed_sec": 0.0,
        "best_startup_sec": 0.5,
        "best_total_sec": 0.5,
        "ratio": ratio,
        "startup_ratio": ratio,
        "avoidable_stall_sec": 0.25,
        "waste_ratio": 0.012,
        "requests": 40,
        "sent_bytes": 1012,
        "lying_bytes": 0,
        "useful_bytes": 1000,
        "cpu_sec": 1.0,
        "cpu_sec_per_gb": 123.0,
        "reactions": (("silent 1", 0.62),),
        "reuses": (("silent 1", None),),
        "ready_sec": (0.5, 1.5, 6.0, None),
        "first_asked_sec": (0.01, None),
    }
    figures = Figures(**{**base, **fields})  # type: ignore[arg-type]
    return Result(
        scenario=scenario,
        title=f"the title of {scenario}",
        chunk_sec=2.0,
        client=client,
        run=1,
        began_unix_sec=1.7e9,
        setting=SETTING,
        healthy=scenario == "steady",
        exit_code=0,
        cut_off=False,
        own_account={},
        figures=figures,
        requests=(),
    )


RESULTS = [
    a_result("steady", "ours", 1.02),
    a_result("steady", "ours", 1.5),
    a_result("steady", "ours", 1.04),
    a_result("tight", "ours", 2.0),
    a_result("steady", "roundrobin", 8.0),
    a_result("steady", "ours-cold", 2.2),
]


def test_the_median_run_stands_for_the_others() -> None:
    assert median_run(RESULTS[:3]).figures.ratio == 1.04
    assert [r.figures.ratio for r in medians(RESULTS, "ours")] == [1.04, 2.0]
    assert geometric_mean([1.0, 4.0]) == 2.0


def test_runs_of_several_files_are_taken_together(tmp_path: Path) -> None:
    for number, result in enumerate(RESULTS[:3]):
        append(tmp_path / str(number), result)
    (median,) = medians(load([tmp_path / "0", tmp_path / "1", tmp_path / "2"]), "ours")
    assert median == RESULTS[2]


def test_a_line_that_is_no_run_is_named(tmp_path: Path) -> None:
    append(tmp_path / "runs", RESULTS[0])
    with (tmp_path / "runs").open("a") as file:
        file.write('{"scenario": "steady"}\n')
    with pytest.raises(ValueError, match="runs:2 is no run of this version"):
        load([tmp_path / "runs"])


def test_the_page_says_what_was_run_and_what_came_of_it() -> None:
    text = page(RESULTS)
    assert "2 cores, Python 3.11.2" in text
    assert "`python -m bench real`" in text
    assert "2023-11-14" in text
    assert "| steady ✓: the title of steady | 1.04 | 8.00 |" in text
    assert f"| **geometric mean** | **{(1.04 * 2.0) ** 0.5:.3f}** | **8.000** |" in text
    assert "| **worst** | 2.00 | 8.00 |" in text
    assert "| ours | tight | 1.00 (0.50) | 1 | 0.2 | 0.2 | 0 | 1.2% | 0.62 |  | 123 |" in text
    assert "| steady | 0.020 | 0.600 |" in text


def test_plots_are_well_formed_and_name_their_values() -> None:
    made = pictures(RESULTS)
    assert sorted(made) == ["buffer-tight.svg", "ratios.svg"]
    for text in made.values():
        ElementTree.fromstring(text)
    assert "ours, steady: 1.04" in made["ratios.svg"]


def test_plots_can_be_empty_and_escape_their_texts() -> None:
    ElementTree.fromstring(dots("a < b & c", ["row <1>"], {}, "axis"))
    ElementTree.fromstring(lines("t", {"a&b": [(0.0, 0.0), (1.0, 2.0)]}, x_axis="x", y_axis="y"))
