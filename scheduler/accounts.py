"""What fetching has cost, per session. No I/O, no clock, no randomness."""

from __future__ import annotations

from dataclasses import dataclass

from common.messages import RangeFinished
from scheduler.selection import Node

# Sessions that ended stay readable for whoever asks a moment later.
KEPT_SESSIONS = 20


@dataclass(slots=True)
class Account:
    """Counters of one session; bytes are those that crossed the network and those of delivered chunks."""

    session_id: str
    closed: bool = False
    total_downloads: int = 0
    failed_downloads: int = 0
    failover_count: int = 0
    received_bytes: int = 0
    needed_bytes: int = 0


class Accounts:
    """The counters of all sessions, the latest `KEPT_SESSIONS` closed ones included."""

    def __init__(self) -> None:
        self._sessions: dict[str, Account] = {}

    @property
    def all(self) -> list[Account]:
        return list(self._sessions.values())

    def session(self, session_id: str) -> Account:
        """Return a session's counters, new if need be."""
        account = self._sessions.get(session_id)
        if account is None:
            account = self._sessions[session_id] = Account(session_id)
        return account

    def close(self, session_id: str) -> None:
        """Mark a session as over and forget the oldest ones."""
        if session_id in self._sessions:
            self._sessions[session_id].closed = True
        closed = [a.session_id for a in self._sessions.values() if a.closed]
        for old in closed[:-KEPT_SESSIONS]:
            del self._sessions[old]

    def range_ended(self, session_id: str, done: RangeFinished, node: Node) -> None:
        """Count a range that ended, for the session and for its node."""
        account = self.session(session_id)
        account.received_bytes += done.received_bytes
        node.received_bytes += done.received_bytes
        if done.outcome == "complete":
            node.completed_ranges += 1
        elif done.outcome != "cancelled":
            node.failed_ranges += 1
            account.failed_downloads += 1

    def received(self, session_id: str, size_bytes: int) -> None:
        """Count bytes of a range that nobody waits for any more."""
        self.session(session_id).received_bytes += size_bytes

    def corrupt(self, session_id: str) -> None:
        """Count a chunk whose bytes were wrong."""
        self.session(session_id).failed_downloads += 1

    def delivered(self, session_id: str, size_bytes: int) -> None:
        """Count a verified chunk."""
        account = self.session(session_id)
        account.total_downloads += 1
        account.needed_bytes += size_bytes

    def failover(self, session_id: str) -> None:
        """Count a chunk that went on at another node."""
        self.session(session_id).failover_count += 1
