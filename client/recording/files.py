"""Recordings on the disk: made anew and appended to, or opened to be read."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from client.recording.records import Reader
from common.errors import ConfigError, ExitCode, RecordingError


class RecordingFile:
    """A new recording, of this process alone; a file with something in it is not touched.

    Raises ConfigError for a path that cannot be one or is taken, and where the directory cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            # A FIFO without a reader would keep us waiting.
            flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
            self._descriptor = os.open(path, flags, 0o666)
        except OSError as error:
            raise _unwritable(f"{path}: cannot be written: {error.strerror}") from error
        try:
            self._take()
        except BaseException:
            os.close(self._descriptor)
            raise
        self._size_bytes = 0

    def _take(self) -> None:
        found = os.fstat(self._descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise _unwritable(f"{self.path}: is not a regular file")
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigError(f"--record: {self.path} is being recorded to already") from error
        if os.fstat(self._descriptor).st_size:
            raise ConfigError(
                f"--record: {self.path} exists and is not empty; remove it, or name another file"
            )

    def append(self, data: bytes) -> None:
        """Write all of `data`, or raise OSError and leave the file as it was."""
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._size_bytes)
            raise
        self._size_bytes += len(data)

    def close(self) -> None:
        """Bring it to the disk; idempotent. The file is closed even when that fails."""
        if self._descriptor < 0:
            return
        descriptor, self._descriptor = self._descriptor, -1
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class OpenRecording:
    """A recording that is being read; a context manager whose value is the Reader."""

    def __init__(self, path: Path) -> None:
        try:
            if not path.is_file():
                reason = "is not a regular file" if path.exists() else "no such file"
                raise RecordingError(f"{path}: {reason}")
            self._file = path.open("rb")
        except OSError as error:
            raise _unreadable(path, error) from error
        try:
            self.reader = Reader(_Guarded(self._file, path), str(path))
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Reader:
        return self.reader

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; idempotent."""
        self._file.close()


class _Guarded:
    """A file whose failures are told as those of a recording."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file = file
        self._path = path

    def read(self, size: int, /) -> bytes:
        try:
            return self._file.read(size)
        except OSError as error:
            raise _unreadable(self._path, error) from error


def _unreadable(path: Path, error: OSError) -> RecordingError:
    return RecordingError(f"{path}: cannot be read: {error.strerror or error}")


def _unwritable(text: str) -> ConfigError:
    error = ConfigError(f"--record: {text}")
    error.exit_code = ExitCode.OUTPUT
    return error
