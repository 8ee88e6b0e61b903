"""Record into a file: written as FILE.part, given its name when it is complete or given up."""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path

from buffer.outputs import OutputError
from buffer.outputs.raw import ByteStream, StreamContainer, byte_stream

logger = logging.getLogger(__name__)

_FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
# MP4 is written in fragments and turned into an ordinary MP4 (index at the end) when it is closed:
# at any moment before, full disk and power cut included, what is there can be played.
_MUXER_OPTIONS = {"mp4": {"movflags": "hybrid_fragmented+delay_moov"}}


class FileOutput:
    """Write one film to `path`.

    The directory and the right to write there are checked at once, so that nothing is fetched in
    vain. An existing file of that name is replaced at the end, not before. When nothing was
    accepted, nothing is left behind.
    """

    def __init__(self, path: str, container: StreamContainer) -> None:
        self.name = path
        self._path = Path(path)
        self._part_path = self._path.with_name(self._path.name + ".part")
        if self._path.is_dir():
            raise OutputError(f"{path}: is a directory", kind="unwritable")
        if self._path.exists() and not self._path.is_file():
            raise OutputError(f"{path}: is not a regular file", kind="unwritable")
        if not self._path.parent.is_dir():
            raise OutputError(f"{path}: there is no such directory", kind="unwritable")
        try:
            self._file = PartFile(self._part_path)
        except OSError as error:
            raise _output_error(path, error) from error
        self._stream: ByteStream = byte_stream(
            self._file, container, _MUXER_OPTIONS.get(container, {})
        )
        self._accepted = False
        self._ended = False

    @property
    def begun(self) -> bool:
        """False: a chunk is taken in no time, and `accept` tells."""
        return False

    def accept(self, data: bytes | memoryview, duration_sec: float) -> None:  # noqa: ARG002
        """Append the chunk; its length is measured, not taken from `duration_sec`."""
        if self._ended:
            raise OutputError(f"{self.name}: the recording has ended", kind="closed")
        self._raise_failure()
        try:
            self._stream.add(data)
        except (OSError, OutputError):
            # The muxer reports a failed write again and again, and not as what it was.
            self._raise_failure()
            raise
        self._accepted = True

    def skip(self, duration_sec: float) -> None:
        """Leave a gap in the timeline (nothing in a raw file)."""
        self._stream.skip(duration_sec)

    def finish(self) -> None:
        """Complete the file and give it its name."""
        if self._ended:
            return
        self._ended = True
        failure: OSError | None = None
        try:
            self._stream.close()
        except OSError as error:
            failure = self._file.failure or error
        except Exception as error:
            if self._file.failure is None:
                raise
            failure = self._file.failure
            logger.debug("muxer close failed path=%s error=%s", self._part_path, error)
        try:
            self._file.end()
            if self._accepted or failure:
                self._part_path.replace(self._path)
                _sync_directory(self._path.parent)
            else:
                self._part_path.unlink(missing_ok=True)
        except OSError as error:
            failure = failure or error
        if failure is not None:
            raise _output_error(self.name, failure) from failure

    def _raise_failure(self) -> None:
        if self._file.failure is not None:
            raise _output_error(self.name, self._file.failure) from self._file.failure

    def abort(self) -> None:
        """Complete the file with what there is."""
        try:
            self.finish()
        except OutputError as error:
            logger.warning("recording kept incomplete path=%s error=%s", self.name, error)

    def interrupt(self) -> None:
        """Do nothing: writing to a file does not wait for anybody."""


class PartFile:
    """An unbuffered file for a muxer: writes everything or fails once, then takes and drops.

    Dropping after the failure keeps what was written: a muxer that is closed afterwards would
    overwrite the beginning with a table of contents for what never reached the disk.
    """

    def __init__(self, path: Path) -> None:
        self._raw = path.open("wb", buffering=0)
        self.failure: OSError | None = None

    def write(self, data: bytes | memoryview) -> int:
        """Write all of `data`."""
        if self.failure is not None:
            return len(data)
        view = memoryview(data)
        try:
            while view:
                view = view[self._raw.write(view) or 0 :]
        except OSError as error:
            self.failure = error
            raise
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move, as a file does."""
        return self._raw.seek(offset, whence)

    def tell(self) -> int:
        """Return the position."""
        return self._raw.tell()

    def seekable(self) -> bool:
        """Return True."""
        return True

    def writable(self) -> bool:
        """Return True."""
        return True

    def end(self) -> None:
        """Bring the bytes to the disk and close; the file is closed even when that fails."""
        try:
            os.fsync(self._raw.fileno())
        finally:
            self._raw.close()


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _output_error(path: str, error: OSError) -> OutputError:
    reason = error.strerror or str(error)
    if error.errno in _FULL_ERRNOS:
        return OutputError(f"{path}: {reason}; what was written so far is kept", kind="disk_full")
    return OutputError(f"{path}: cannot be written: {reason}", kind="unwritable")
