"""Figures of reports for tests, made of items."""

from __future__ import annotations

from typing import Any

from client.recording.chunk_maps import ChunkFolder
from client.recording.values import Item
from client.report.builder import ReportBuilder
from client.report.figures import Comparison, Figures
from tests.recordings import a_header
from tests.status_builders import chunk_map


def changes(*chunks: Any) -> Item:
    """Return the changes that make a chunk map of these."""
    found = ChunkFolder().changes_to(chunk_map(*chunks))
    assert found is not None
    return found


def built(*items: tuple[float, Item], **header: Any) -> Figures:
    """Return the figures of a recording with these items."""
    builder = ReportBuilder(a_header(**header))
    for at_sec, item in items:
        builder.add(at_sec, item)
    return builder.figures()


def compared(figures: Figures, name: str) -> Comparison:
    """Return one comparison with the least possible."""
    return next(c for c in figures.comparisons if c.name == name)
