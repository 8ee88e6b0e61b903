"""`from buffer_manager import BufferManager`: the class under its documented module name."""

from buffer.buffer_manager import BufferManager

__all__ = ["BufferManager"]
