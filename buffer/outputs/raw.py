"""Turn chunks into the bytes of a stream: remuxed onto one timeline, or as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

from buffer.outputs import OutputError

StreamContainer = Literal["mp4", "matroska", "mpegts", "raw"]


class ByteSink(Protocol):
    """What is written to; containers with an index also ask for `seek` and `tell`."""

    def write(self, data: bytes | memoryview, /) -> int:
        """Write all of `data`."""


class ByteStream(Protocol):
    """Writes chunks to a target; errors of the target come out as they are."""

    def add(self, data: bytes | memoryview) -> None:
        """Append one chunk."""

    def skip(self, duration_sec: float) -> None:
        """Leave a hole."""

    def close(self) -> None:
        """Write what ends the stream."""


class RawStream:
    """The chunks' bytes one behind the other; a hole leaves no trace."""

    def __init__(self, target: ByteSink) -> None:
        self._target = target

    def add(self, data: bytes | memoryview) -> None:
        """Write the bytes."""
        self._target.write(data)

    def skip(self, duration_sec: float) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class RemuxedStream:
    """The chunks as one film."""

    def __init__(
        self,
        target: ByteSink,
        container: Literal["mp4", "matroska", "mpegts"],
        options: Mapping[str, str],
    ) -> None:
        from buffer.media import MediaError, TimelineRemuxer

        self._media_error = MediaError
        self._remuxer = TimelineRemuxer(target, container, options=options)
        self._seen_chunks = 0

    def add(self, data: bytes | memoryview) -> None:
        """Remux the chunk; raises OutputError(kind="media") when that cannot be done."""
        self._seen_chunks += 1
        try:
            self._remuxer.add_chunk(data)
        except self._media_error as error:
            raise OutputError(
                f"chunk number {self._seen_chunks} of this output cannot be remuxed: {error}; "
                "--raw writes the bytes as they are",
                kind="media",
            ) from error

    def skip(self, duration_sec: float) -> None:
        """Leave a gap in the timeline."""
        self._seen_chunks += 1
        self._remuxer.add_gap(duration_sec)

    def close(self) -> None:
        """Write the container's end."""
        self._remuxer.close()


def byte_stream(
    target: ByteSink, container: StreamContainer, options: Mapping[str, str]
) -> ByteStream:
    """Return the stream for a container; `options` go to its muxer."""
    if container == "raw":
        return RawStream(target)
    return RemuxedStream(target, container, options)
