"""Choosing, fetching and verifying chunks: the decision process, its workers, and `ChunkScheduler` for library use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scheduler.chunk_scheduler import ChunkScheduler

__all__ = ["ChunkScheduler"]


def __getattr__(name: str) -> Any:
    """Import `ChunkScheduler` on first use: the processes start faster without what it needs."""
    if name == "ChunkScheduler":
        from scheduler.chunk_scheduler import ChunkScheduler

        return ChunkScheduler
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
