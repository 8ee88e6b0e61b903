"""Which chunks are in work, by session and by node. No I/O, no clock, no randomness.

A node is asked for its next range far more often than the set of chunks changes: this index keeps the cost of that
question independent of how many nodes and sessions there are.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from scheduler.selection import Node, NodeBook
from scheduler.wanted import Source, Wanted


@dataclass(slots=True, eq=False)
class Active:
    """A chunk in work, where it can be read now, and the most urgent chunk of the same group."""

    group: str
    chunk: Wanted
    sources: list[Source]
    nodes: tuple[Node, ...]
    first: Wanted
    # Nodes that found nothing to read here; they ask again when something has changed.
    refused: set[str] = field(default_factory=set)
    # How many bytes are free, as far as known; holds until its ranges change.
    free_bytes: int | None = None


def urgency(chunk: Wanted) -> tuple[float, int]:
    """Sort key: earliest deadline first, then the order of the film."""
    return (chunk.deadline_sec, chunk.spec.sequence_num)


def _urgency(item: Active) -> tuple[float, int]:
    return (item.chunk.deadline_sec, item.chunk.spec.sequence_num)


class ActiveBook:
    """The chunks in work of each group; a group is a session, or all of them where they share one limit."""

    def __init__(self, nodes: NodeBook) -> None:
        self._nodes = nodes
        self._groups: dict[str, list[Active]] = {}
        self._items: dict[Wanted, Active] = {}
        self._at_node: dict[str, dict[Wanted, Active]] = {}

    def replace(self, group: str, chunks: list[tuple[Wanted, list[Source]]]) -> list[Active]:
        """Take over a group's chunks in work, most urgent first; return those that are new or read elsewhere now."""
        known = self._groups.get(group, [])
        if [(old.chunk, old.sources) for old in known] == chunks:
            return []
        left = {old.chunk: old for old in known}
        items: list[Active] = []
        fresh: list[Active] = []
        for chunk, sources in chunks:
            item = left.get(chunk)
            if item is not None and item.sources == sources:
                del left[chunk]
            else:
                urls = dict.fromkeys(source.node_url for source in sources)
                item = Active(group, chunk, sources, tuple(map(self._nodes.node, urls)), chunk)
                fresh.append(item)
            item.first = chunks[0][0]
            items.append(item)
        for old in left.values():
            self._remove(old)
        for item in fresh:
            self._items[item.chunk] = item
            for node in item.nodes:
                self._at_node.setdefault(node.node_url, {})[item.chunk] = item
        if items:
            self._groups[group] = items
        else:
            self._groups.pop(group, None)
        return fresh

    def _remove(self, item: Active) -> None:
        del self._items[item.chunk]
        for node in item.nodes:
            at_node = self._at_node[node.node_url]
            del at_node[item.chunk]
            if not at_node:
                del self._at_node[node.node_url]

    def item(self, chunk: Wanted) -> Active | None:
        """Return what is known of a chunk in work."""
        return self._items.get(chunk)

    def items(self) -> Collection[Active]:
        """Return all chunks in work."""
        return self._items.values()

    def of_group(self, group: str) -> Sequence[Active]:
        """Return a group's chunks in work, most urgent first."""
        return self._groups.get(group, ())

    def firsts(self) -> list[Active]:
        """Return the most urgent chunk of each group."""
        return [items[0] for items in self._groups.values()]

    def node_urls(self) -> Collection[str]:
        """Return the nodes that have a chunk in work."""
        return self._at_node.keys()

    def at_node(self, node_url: str) -> list[Active]:
        """Return the chunks a node can serve, most urgent first."""
        found = self._at_node.get(node_url)
        if found is None:
            return []
        return list(found.values()) if len(found) == 1 else sorted(found.values(), key=_urgency)

    def of_node(self, node_url: str) -> Collection[Active]:
        """Return the chunks a node can serve, in any order."""
        found = self._at_node.get(node_url)
        return () if found is None else found.values()
