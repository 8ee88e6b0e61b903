"""What a process says to viewers: published as it happens, and kept for those who join late."""

from __future__ import annotations

import time
from collections import deque

from common.messages import EventKind, LogEvent, RecentEvents
from common.sockets import Publisher

# A dashboard that starts a minute late shows how the session began; older words are history.
KEPT_EVENTS = 100


class EventLog:
    """The events of one process."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._recent: deque[LogEvent] = deque(maxlen=KEPT_EVENTS)

    def say(self, session_id: str, kind: EventKind, text: str) -> None:
        """Publish an event now."""
        event = LogEvent(at_unix_sec=time.time(), session_id=session_id, kind=kind, text=text)
        self._recent.append(event)
        self._publisher.publish(event, key=None)
        self._publisher.keep(RecentEvents(events=tuple(self._recent)))
