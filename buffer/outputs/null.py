"""The output that takes everything and keeps nothing."""

from __future__ import annotations


class NullOutput:
    """Discard chunks; playback is paced by its caller."""

    name = "none"

    @property
    def begun(self) -> bool:
        """False: a chunk is taken in no time, and `accept` tells."""
        return False

    def accept(self, data: bytes | memoryview, duration_sec: float) -> None:
        """Discard the chunk."""

    def skip(self, duration_sec: float) -> None:
        """Do nothing."""

    def finish(self) -> None:
        """Do nothing."""

    def abort(self) -> None:
        """Do nothing."""

    def interrupt(self) -> None:
        """Do nothing: no call blocks."""
