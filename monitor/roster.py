"""Which nodes are pinged: those the sessions use, and those the metadata service lists.

No I/O, no clock, no randomness: time is an argument.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from monitor.histories import node_key

# The nodes of an ended session are pinged on for a minute: the next video is likely to lie on them.
ENDED_SESSION_SEC = 60.0
# A session nothing was heard of for this long has lost its buffer process; it is known again when
# it speaks again.
SILENT_SESSION_SEC = 600.0
# Of the nodes no session uses, so many are pinged. Each costs a connection here and there, and a tenth of a per mille
# of a core; a store with more is measured where its sessions play.
MAX_STANDING_NODES = 1000


@dataclass(slots=True)
class _Session:
    node_urls: tuple[str, ...]
    heard_sec: float
    ended_sec: float | None


class SessionNodes:
    """The nodes that sessions use, or used a moment ago."""

    def __init__(self) -> None:
        self._sessions: dict[str, _Session] = {}

    def update(
        self, session_id: str, node_urls: Iterable[str], *, live: bool, now_sec: float
    ) -> None:
        """Take in a snapshot; the last minute runs from the first that is not live."""
        known = self._sessions.get(session_id)
        ended_sec = known.ended_sec if known else None
        if live:
            ended_sec = None
        elif ended_sec is None:
            ended_sec = now_sec
        self._sessions[session_id] = _Session(tuple(map(node_key, node_urls)), now_sec, ended_sec)

    def node_urls(self, now_sec: float) -> tuple[str, ...]:
        """Return all nodes worth pinging, each once, in the order they were named."""
        for session_id, session in tuple(self._sessions.items()):
            if now_sec - session.heard_sec >= SILENT_SESSION_SEC:
                del self._sessions[session_id]
        return tuple(
            dict.fromkeys(
                node_url
                for session in self._sessions.values()
                if session.ended_sec is None or now_sec - session.ended_sec < ENDED_SESSION_SEC
                for node_url in session.node_urls
            )
        )


class Roster:
    """All nodes worth pinging: the sessions', and those that a session may be about to use."""

    def __init__(self, *, max_standing: int = MAX_STANDING_NODES) -> None:
        self.sessions = SessionNodes()
        self._max_standing = max_standing
        self._standing: tuple[str, ...] = ()

    def list_standing(self, node_urls: Iterable[str]) -> None:
        """Take over what the metadata service lists; those it lists no more are left to the sessions."""
        self._standing = tuple(dict.fromkeys(map(node_key, node_urls)))

    def node_urls(self, now_sec: float) -> tuple[str, ...]:
        """Return the nodes to ping, each once, the sessions' first."""
        wanted = dict.fromkeys(self.sessions.node_urls(now_sec))
        in_use = len(wanted)
        for node_url in self._standing:
            if len(wanted) - in_use >= self._max_standing:
                break
            wanted[node_url] = None
        return tuple(wanted)
