"""A film that was played while its best node died, and what was kept of that."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from cluster import EmbeddedCluster
from tests.process.support import FILM_ID, Viewer, delivering

BEST = 1


@dataclasses.dataclass(frozen=True, slots=True)
class Kept:
    """The recording, the report, and the summary that the command gave."""

    recording: Path
    page: str
    summary: dict[str, Any]


def keep(cluster: EmbeddedCluster, folder: Path) -> Kept:
    """Play the film and kill its best node in the middle of a chunk."""
    recording, report = folder / "session.vsrec", folder / "report.html"
    files = ("--record", str(recording), "--report", str(report))
    with Viewer(cluster.metadata_url) as viewer:
        playing = viewer.play(FILM_ID, "--no-pace", "--json", *files)
        with delivering(cluster, BEST, playing):
            cluster.set_fault(BEST, "down")
        done = playing.finish()
        assert (done.code, done.err) == (0, "")
    assert sorted(path.name for path in folder.iterdir()) == ["report.html", "session.vsrec"]
    return Kept(recording, report.read_text("utf-8"), done.lines[-1])
