"""Which nodes may be asked for a range now, and for how long the others are busy still.

No I/O, no clock, no randomness: time is an argument.
"""

from __future__ import annotations

from scheduler import lanes, timing
from scheduler.active import Active, ActiveBook, urgency
from scheduler.attention import Attention
from scheduler.schedule import Schedule
from scheduler.selection import Node
from scheduler.wanted import Wanted


class Room:
    """What is known of busy nodes for the time of one dealing, and when each should be asked again."""

    def __init__(self, schedule: Schedule, active: ActiveBook) -> None:
        self._schedule, self._active = schedule, active
        # When nodes with one range should be asked for the next.
        self.attention = Attention()
        # How long nodes are busy still; holds until their ranges change.
        self._busy: dict[str, float] = {}
        # How long the nodes of a chunk are busy still at most; holds until any ranges change.
        self._longest: dict[Active, float] = {}

    def begin(self) -> None:
        """Forget what time has changed."""
        self._busy.clear()
        self._longest.clear()

    def busy_sec(self, node: Node, now_sec: float) -> float:
        """Return how long a node needs for what it sends."""
        if not node.active:
            return 0.0
        busy_sec = self._busy.get(node.node_url)
        if busy_sec is None:
            jobs = self._schedule.jobs_at(node.node_url)
            busy_sec = self._busy[node.node_url] = lanes.busy_sec(jobs, node, now_sec)
        return busy_sec

    def busy_by_node(self, item: Active, now_sec: float) -> dict[str, float]:
        """Return the same for every node of a chunk."""
        return {node.node_url: self.busy_sec(node, now_sec) for node in item.nodes}

    def forget(self, node_url: str, chunk: Wanted) -> None:
        """Forget what was known of a node whose ranges change, and of the chunk they are of."""
        self._busy.pop(node_url, None)
        self._longest.clear()
        self.attention.forget(node_url)
        item = self._active.item(chunk)
        if item is not None:
            item.free_bytes = None

    def free_bytes(self, item: Active) -> int:
        """Return how many bytes of a chunk nobody brings yet."""
        if item.free_bytes is None:
            item.free_bytes = item.chunk.free_bytes
        return item.free_bytes

    def longest_sec(self, item: Active, now_sec: float) -> float:
        """Return how long the ranges of a chunk take at most."""
        longest_sec = self._longest.get(item)
        if longest_sec is None:
            longest_sec = 0.0
            for job in item.chunk.jobs.values():
                node = self._schedule.nodes.node(job.node_url)
                longest_sec = max(longest_sec, self.busy_sec(node, now_sec))
            self._longest[item] = longest_sec
        return longest_sec

    def has_room(self, node: Node, now_sec: float) -> bool:
        """Whether a node may be asked for a range, to be sent beside those it sends or right after them."""
        if node.active == 0:
            return True
        jobs = self._schedule.jobs_at(node.node_url)
        if node.active > 1 and not lanes.may_send_more(node, jobs):
            return False
        if jobs[0].lanes == 1 or not self._has_lane(node, now_sec):
            ahead_sec = timing.ahead_sec(node)
            if self.attention.busy_at(node.node_url, now_sec + ahead_sec) or not node.measured:
                return False
            busy_sec = self.busy_sec(node, now_sec)
            if busy_sec >= ahead_sec:
                self.call_again(node, busy_sec, now_sec)
                return False
        if node.doubtful(now_sec):
            return False
        for job in jobs:  # noqa: SIM110  # asked at every decision: a loop is quicker than any()
            if timing.is_quiet(job, now_sec):
                return False
        return True

    def _has_lane(self, node: Node, now_sec: float) -> bool:
        """Whether a node may send more beside what it sends: urgent bytes, over a link that takes time to fill."""
        jobs = self._schedule.jobs_at(node.node_url)
        return (
            jobs[0].lanes > 1
            and node.active < lanes.lanes(node)
            and all(job.lanes > 1 and job.chunk.is_urgent(now_sec) for job in jobs)
        )

    def known_busy(self, node: Node, now_sec: float) -> bool:
        """Whether it need not be asked whether a node has room; cheap to ask."""
        if not node.active:
            return False
        busy = self.attention.busy_at(node.node_url, now_sec + timing.ahead_sec(node))
        return busy and not self._has_lane(node, now_sec)

    def call_again(self, node: Node, busy_sec: float, now_sec: float) -> None:
        """Ask a node again when its next request may leave: for other bytes of a chunk, or for those of another one."""
        job = self._schedule.jobs_at(node.node_url)[0]
        item = self._active.item(job.chunk)
        # Bytes that are free there may be had earlier, or late ones of the most urgent chunk.
        same_chunk = busy_sec >= timing.ahead_sec(node) and (
            item is not None and (item.chunk is item.first or self.free_bytes(item) > 0)
        )
        wait_sec = busy_sec - timing.ahead_sec(node, same_chunk=same_chunk)
        if wait_sec > 0:
            self.attention.expect(node.node_url, now_sec + busy_sec, now_sec + wait_sec)

    def too_early(self, node: Node, now_sec: float) -> tuple[float, int] | None:
        """Return how urgent a chunk must be so that its bytes do not come beside, or before, more urgent ones."""
        found: tuple[float, int] | None = None
        jobs = self._schedule.jobs_at(node.node_url)
        for job in jobs:
            if job.chunk.is_urgent(now_sec):
                if len(jobs) == 1:
                    left_sec = self.busy_sec(node, now_sec)
                else:
                    beside = [j for j in jobs if j.chunk is job.chunk]
                    left_sec = lanes.busy_sec(beside, node, now_sec)
                if left_sec <= timing.ahead_sec(node, same_chunk=False):
                    continue
            elif job.flowing:
                continue
            # Two requests that leave together, on two connections, arrive in either order.
            found = min(found or urgency(job.chunk), urgency(job.chunk))
        return found
