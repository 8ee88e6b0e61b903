"""How long a chunk plays, by its own media. libav is loaded when it is first needed, not with the process."""

from __future__ import annotations


def load() -> None:
    """Load libav, so that the first chunk need not wait for it."""
    import buffer.media  # noqa: F401


def duration_sec(data: memoryview) -> float | None:
    """Return the media's own duration, None for bytes that are no media."""
    from buffer.media import MediaError, probe_chunk

    try:
        found_sec = probe_chunk(data).duration_sec
    except MediaError:
        return None
    return found_sec if found_sec > 0 else None
