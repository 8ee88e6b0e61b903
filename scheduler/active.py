"""Which chunks are in work, by session and by node. No I/O, no clock, no randomness.

A node is asked for its next range far more often than the set of chunks changes: this index keeps the cost of that
question independent of how many nodes and sessions there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from scheduler.wanted import Source, Wanted


@dataclass(frozen=True, slots=True, eq=False)
class Active:
    """A chunk in work, where it can be read now, and the most urgent chunk of the same group."""

    chunk: Wanted
    sources: list[Source]
    first: Wanted


def urgency(chunk: Wanted) -> tuple[float, int]:
    """Sort key: earliest deadline first, then the order of the film."""
    return (chunk.deadline_sec, chunk.spec.sequence_num)


class ActiveBook:
    """The chunks in work of each group; a group is a session, or all of them where they share one limit."""

    def __init__(self) -> None:
        self._groups: dict[str, list[Active]] = {}
        self._at_node: dict[str, dict[tuple[str, str], Active]] = {}

    def replace(self, group: str, chunks: list[tuple[Wanted, list[Source]]]) -> None:
        """Take over a group's chunks in work, most urgent first."""
        known = self._groups.get(group, [])
        if [(old.chunk, old.sources) for old in known] == chunks:
            return
        for old in self._groups.pop(group, ()):
            for url in {source.node_url for source in old.sources}:
                at_node = self._at_node[url]
                del at_node[old.chunk.key]
                if not at_node:
                    del self._at_node[url]
        if not chunks:
            return
        first = chunks[0][0]
        fresh = [Active(chunk, sources, first) for chunk, sources in chunks]
        self._groups[group] = fresh
        for item in fresh:
            for source in item.sources:
                self._at_node.setdefault(source.node_url, {})[item.chunk.key] = item

    def first(self, group: str) -> Active | None:
        """Return the most urgent chunk of a group that can be read."""
        return next(iter(self._groups.get(group, ())), None)

    def groups(self) -> Iterator[str]:
        """Return the groups that have chunks in work."""
        return iter(tuple(self._groups))

    def node_urls(self, groups: Iterable[str]) -> set[str]:
        """Return the nodes that have a chunk of these groups."""
        return {s.node_url for g in groups for a in self._groups.get(g, ()) for s in a.sources}

    def at_node(self, node_url: str) -> list[Active]:
        """Return the chunks a node can serve, most urgent first."""
        return sorted(self._at_node.get(node_url, {}).values(), key=lambda a: urgency(a.chunk))
