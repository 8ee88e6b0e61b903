"""Holding, pacing and handing over media: the buffer/player process, and `BufferManager` for library use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from buffer.buffer_manager import BufferManager

__all__ = ["BufferManager"]


def __getattr__(name: str) -> Any:
    """Import `BufferManager` on first use: the process starts faster without it."""
    if name == "BufferManager":
        from buffer.buffer_manager import BufferManager

        return BufferManager
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
