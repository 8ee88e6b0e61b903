"""Read-only faces of the three components of a running stack, with the method names of the library classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from common.status import StatusModel

T = TypeVar("T")
Read = Callable[[Callable[[StatusModel], Any]], Any]


class NetworkView:
    """What the monitor process knows; see `monitor.NetworkMonitor`."""

    def __init__(self, read: Read) -> None:
        self._read = read

    def get_all_node_scores(self) -> dict[str, float]:
        """Return the score of every node."""
        scores: dict[str, float] = self._read(StatusModel.node_scores)
        return scores

    def get_node_score(self, node_url: str) -> float:
        """Return a node's score, 0.0 for an unknown one."""
        return self.get_all_node_scores().get(node_url.rstrip("/"), 0.0)

    def get_all_stats(self) -> dict[str, dict[str, Any]]:
        """Return everything known of every node."""
        stats: dict[str, dict[str, Any]] = self._read(StatusModel.network_statistics)
        return stats

    def is_node_healthy(self, node_url: str) -> bool:
        """Tell whether the monitor takes the node for healthy."""
        return bool(self.get_all_stats().get(node_url.rstrip("/"), {}).get("healthy", False))


class SchedulerView:
    """What the scheduler process did for this session; see `scheduler.ChunkScheduler`."""

    def __init__(self, read: Read) -> None:
        self._read = read

    def get_statistics(self) -> dict[str, Any]:
        """Return the download statistics."""
        stats: dict[str, Any] = self._read(lambda model: model.scheduler_statistics())
        return stats

    def get_chunk_source(self, chunk_id: str) -> str | None:
        """Return the node that served most of a chunk, None while it is not there."""
        node: str | None = self._read(lambda model: model.chunk_source(chunk_id))
        return node


class BufferView:
    """The buffer process's state of this session; see `buffer.BufferManager`."""

    def __init__(self, read: Read) -> None:
        self._read = read

    def get_buffer_status(self) -> dict[str, Any]:
        """Return level, health and state of the buffer."""
        status: dict[str, Any] = self._read(lambda model: model.buffer_status())
        return status

    def get_statistics(self) -> dict[str, Any]:
        """Return the playback statistics."""
        stats: dict[str, Any] = self._read(lambda model: model.buffer_statistics())
        return stats

    def needs_more_chunks(self) -> bool:
        """Tell whether the level is below the low water mark."""
        return bool(self.get_buffer_status()["needs_more_chunks"])

    def can_start_playback(self) -> bool:
        """Tell whether enough is held to start."""
        return bool(self.get_buffer_status()["can_start_playback"])
