"""What `main.py --json` really writes fits the published schema, and has no field that the schema lacks."""

from __future__ import annotations

import copy
import json
import signal
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from cluster import EmbeddedCluster
from tests.process.support import FILM_ID, ROOT, Finished, Viewer, delivering


def strict_validator() -> Draft202012Validator:
    """Return the schema as it is for us: readers are to ignore unknown fields, we must not write any."""
    schema: dict[str, Any] = copy.deepcopy(
        json.loads((ROOT / "docs" / "json-lines.schema.json").read_text(encoding="utf-8"))
    )
    for shape in schema["$defs"].values():
        shape["additionalProperties"] = False
    return Draft202012Validator(schema)


def assert_fits(done: Finished) -> set[str]:
    """Validate every line; return the kinds of lines."""
    validator = strict_validator()
    assert done.lines
    for line in done.lines:
        wrong = [error.message for error in validator.iter_errors(line)]
        assert wrong == [], line
    kinds = [line["event"] for line in done.lines]
    assert kinds.count("summary") == 1
    assert kinds[-1] == "summary"
    return set(kinds)


def test_a_film_from_nodes_of_which_one_fails(viewer: Viewer, cluster: EmbeddedCluster) -> None:
    playing = viewer.play(FILM_ID, "--no-pace", "--json")
    with delivering(cluster, 1, playing):
        cluster.set_fault(1, "down")
    done = playing.finish()
    assert done.code == 0
    kinds = assert_fits(done)
    assert {"session", "status", "playing", "suspended", "failover", "ended"} <= kinds


def test_a_film_from_nodes_of_which_one_lies(viewer: Viewer, cluster: EmbeddedCluster) -> None:
    cluster.set_fault(1, "corrupt")
    done = viewer.run(FILM_ID, "--no-pace", "--json")
    assert done.code == 0
    assert "corrupt" in assert_fits(done)


def test_a_film_that_is_stopped(viewer: Viewer) -> None:
    done = viewer.run(FILM_ID, "--json", "--stop-after", "3")
    assert (done.code, done.lines[-1]["outcome"]) == (0, "stopped")
    assert {"status", "ended"} <= assert_fits(done)


def test_a_film_that_is_interrupted(viewer: Viewer) -> None:
    playing = viewer.play(FILM_ID, "--json")
    playing.wait_for('"event": "status", "state": "playing"')
    playing.signal(signal.SIGINT)
    done = playing.finish()
    assert (done.code, done.lines[-1]["exit_code"]) == (130, 130)
    assert_fits(done)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["no-such-video"], 4), ([FILM_ID, "--output", "/proc/out.mp4"], 7)],
    ids=str,
)
def test_a_session_that_never_starts(viewer: Viewer, arguments: list[str], code: int) -> None:
    done = viewer.run(*arguments, "--json")
    assert done.code == code
    assert {"summary"} <= assert_fits(done)


def test_a_metadata_service_that_does_not_answer() -> None:
    with Viewer() as lonely:
        done = lonely.run(FILM_ID, "--json")
    assert done.code == 3
    assert assert_fits(done) == {"summary"}


def test_wrong_arguments_bring_no_line(viewer: Viewer) -> None:
    done = viewer.run(FILM_ID, "--json", "--workers", "0")
    assert (done.code, done.out) == (2, "")
