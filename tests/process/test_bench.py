"""The bench's harness on a scenario of a few seconds: its figures are there and can be true."""

from pathlib import Path

import pytest

from bench import results
from bench.breakdown import request_rows
from bench.deliveries import film_of
from bench.figures import figures_of, outcome_bodies
from bench.runs import CLIENTS, play
from bench.scenarios import FaultEvent, Scenario
from bench.setting import here
from bench.stack import short_dir
from bench.stage import Stage
from cluster import LinkProfile

pytestmark = pytest.mark.timeout(90)

TINY = Scenario(
    name="tiny",
    title="two small nodes, one of which falls silent",
    nodes=(LinkProfile(rate_mbps=8, rtt_ms=10), LinkProfile(rate_mbps=8, rtt_ms=20)),
    chunks=4,
    chunk_bytes=512 * 1024,
    chunk_sec=1.0,
    faults=(FaultEvent(node=1, kind="silent", at_sec=0.15, for_sec=1.0),),
)


def test_a_run_is_measured_from_what_the_nodes_delivered(tmp_path: Path) -> None:
    client = CLIENTS["ours"]
    with short_dir() as folder, Stage(TINY, folder) as stage:
        outcome = play(stage, client)
    film = film_of(stage.manifest)
    bodies = outcome_bodies(outcome, film)
    figures = figures_of(outcome, TINY, film, bodies)
    assert outcome.exit_code == 0
    assert not outcome.cut_off
    assert outcome.own_account["outcome"] == "played"
    assert len(figures.ready_sec) == TINY.chunks
    assert None not in figures.ready_sec
    assert figures.useful_bytes == TINY.chunks * TINY.chunk_bytes
    assert figures.sent_bytes >= figures.useful_bytes
    assert figures.unplayed_sec == 0
    assert figures.ratio >= 0.9
    assert figures.best_startup_sec >= 512 * 1024 * 8 / 16e6
    assert figures.cpu_sec > 0
    (fault,) = outcome.faults
    assert fault.until_unix_sec is not None
    assert fault.from_unix_sec >= outcome.zero_unix_sec + 0.15
    assert fault.until_unix_sec >= fault.from_unix_sec + 0.9
    assert [name for name, _ in figures.reactions] in ([], ["silent 2"])
    result = results.Result(
        scenario=TINY.name,
        title=TINY.title,
        chunk_sec=TINY.chunk_sec,
        client=client.name,
        run=1,
        began_unix_sec=outcome.zero_unix_sec,
        setting=here(),
        healthy=TINY.healthy,
        exit_code=outcome.exit_code,
        cut_off=outcome.cut_off,
        own_account=outcome.own_account,
        figures=figures,
        requests=request_rows(bodies),
    )
    results.append(tmp_path / "runs.jsonl", result)
    assert results.load([tmp_path / "runs.jsonl"]) == [result]
