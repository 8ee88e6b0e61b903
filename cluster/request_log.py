"""A node's record of the requests it answered: one JSON line each, and counters."""

import json
import threading
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

# A log that grew past this is set aside as `requests.jsonl.1`, replacing an older one.
_MAX_LOG_BYTES = 64 * 1024 * 1024
# Points of a delivery log are at least this far apart.
_TRACK_STEP_SEC = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRecord:
    """One finished request.

    `first_byte_sec` (None when none was sent) and `duration_sec` count from the request's arrival.
    `outcome` is "complete", "reset" (the client left), "cut" (the node's own time limit), "error",
    "stopped" (the node ended), or the fault that ended it.
    """

    start_unix_sec: float
    method: str
    path: str
    range: str | None
    status: int
    sent_bytes: int
    first_byte_sec: float | None
    duration_sec: float
    outcome: str
    # Only in a delivery log: (unix time, bytes of the body sent until then), thinned, last included.
    sent_at: tuple[tuple[float, int], ...] | None = None
    # Only there: where in the chunk the node lied.
    wrong_at: tuple[int, ...] | None = None


class DeliveryTrack:
    """When the bytes of one body left (one point a stretch, and the last), and which were wrong."""

    def __init__(self) -> None:
        self.wrong_at: list[int] = []
        self._points: list[tuple[float, int]] = []
        self._last: tuple[float, int] | None = None

    def note(self, unix_sec: float, sent_bytes: int) -> None:
        """Note that `sent_bytes` of the body have left by `unix_sec`."""
        self._last = (round(unix_sec, 4), sent_bytes)
        if not self._points or unix_sec - self._points[-1][0] >= _TRACK_STEP_SEC:
            self._points.append(self._last)

    def points(self) -> tuple[tuple[float, int], ...]:
        """Return the points so far."""
        tail = [self._last] if self._last and self._last != self._points[-1] else []
        return (*self._points, *tail)


class RequestLog:
    """Append records to a file and count them. Safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._changed = threading.Condition()
        self._ending = 0
        self._by_status: Counter[str] = Counter()
        self._by_outcome: Counter[str] = Counter()
        self._sent_bytes = 0
        self._requests = 0
        self._file = path.open("a", encoding="utf-8")

    def announce_end(self) -> None:
        """Say that a request is about to send its last bytes: its record follows at once."""
        with self._changed:
            self._ending += 1

    def append(self, record: RequestRecord, *, announced: bool) -> None:
        """Write one record; `announced` takes back an `announce_end`."""
        fields = asdict(record)
        if record.sent_at is None:
            del fields["sent_at"]
        if not record.wrong_at:
            del fields["wrong_at"]
        line = json.dumps(fields) + "\n"
        with self._changed:
            self._file.write(line)
            self._file.flush()
            if self._file.tell() > _MAX_LOG_BYTES:
                self._file.close()
                self._path.replace(self._path.with_name(self._path.name + ".1"))
                self._file = self._path.open("a", encoding="utf-8")
            self._requests += 1
            self._by_status[str(record.status)] += 1
            self._by_outcome[record.outcome] += 1
            self._sent_bytes += record.sent_bytes
            self._ending -= announced
            self._changed.notify_all()

    def settle(self, limit_sec: float) -> None:
        """Wait, at most `limit_sec`, for the records of all answers whose last bytes went out."""
        with self._changed:
            self._changed.wait_for(lambda: self._ending == 0, timeout=limit_sec)

    def counters(self) -> dict[str, object]:
        """Return the totals since the node's start."""
        with self._changed:
            return {
                "requests": self._requests,
                "sent_bytes": self._sent_bytes,
                "by_status": dict(self._by_status),
                "by_outcome": dict(self._by_outcome),
            }

    def close(self) -> None:
        """Close the file."""
        with self._changed:
            self._file.close()
