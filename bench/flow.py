"""Maximum flow after Dinic, for small networks. Pure.

No I/O, no clock, no randomness.
"""

from __future__ import annotations

from collections import deque

# Capacities are bytes; a residue below this is rounding.
_EPSILON = 1e-6


class FlowNetwork:
    """Nodes and edges with capacities; nodes are numbered in the order they are added."""

    def __init__(self) -> None:
        # Edge e and its reverse e ^ 1 stand next to each other.
        self._heads: list[int] = []
        self._left: list[float] = []
        self._edges: list[list[int]] = []

    def add_node(self) -> int:
        """Add a node and return its number."""
        self._edges.append([])
        return len(self._edges) - 1

    def add_edge(self, tail: int, head: int, capacity: float) -> None:
        """Let `capacity` flow from one node to another."""
        self._edges[tail].append(len(self._heads))
        self._edges[head].append(len(self._heads) + 1)
        self._heads += (head, tail)
        self._left += (capacity, 0.0)

    def max_flow(self, source: int, sink: int) -> float:
        """Return how much flows from source to sink at most; capacities are used up."""
        total = 0.0
        while True:
            levels = self._levels(source)
            if levels[sink] < 0:
                return total
            unused = [0] * len(self._edges)
            while (pushed := self._push(source, sink, levels, unused)) > 0:
                total += pushed

    def _levels(self, source: int) -> list[int]:
        levels = [-1] * len(self._edges)
        levels[source] = 0
        queue = deque([source])
        while queue:
            tail = queue.popleft()
            for edge in self._edges[tail]:
                head = self._heads[edge]
                if levels[head] < 0 and self._left[edge] > _EPSILON:
                    levels[head] = levels[tail] + 1
                    queue.append(head)
        return levels

    def _push(self, source: int, sink: int, levels: list[int], unused: list[int]) -> float:
        """Send as much as one path takes; dead ends are not entered again in this phase."""
        path: list[int] = []
        at = source
        while at != sink:
            while unused[at] < len(self._edges[at]):
                edge = self._edges[at][unused[at]]
                if self._left[edge] > _EPSILON and levels[self._heads[edge]] == levels[at] + 1:
                    path.append(edge)
                    at = self._heads[edge]
                    break
                unused[at] += 1
            else:
                if not path:
                    return 0.0
                edge = path.pop()
                at = self._heads[edge ^ 1]
                unused[at] += 1
        pushed = min(self._left[edge] for edge in path)
        for edge in path:
            self._left[edge] -= pushed
            self._left[edge ^ 1] += pushed
        return pushed
