"""The seed's policy alone, to compare with: each chunk whole, from the node with the best score. Pure functions.

No I/O, no clock, no randomness. A failure moves what is missing to the next best node; nothing is split, taken over or
asked for ahead of time.
"""

from __future__ import annotations

from scheduler.assignment import Choice
from scheduler.selection import NodeBook
from scheduler.wanted import Source, Wanted


def whole_part(chunk: Wanted, sources: list[Source], nodes: NodeBook) -> Choice | None:
    """Return the next part of a chunk to read and the node to read it from, None when all are being read.

    The score is divided by the ranges a node sends already, so that not all chunks go to one node.
    """
    by_score = sorted(sources, key=lambda source: -nodes.node(source.node_url).loaded_score())
    for source in by_score:
        spans = chunk.free_spans(source.part)
        if spans:
            return Choice(source, *spans[0])
    return None
