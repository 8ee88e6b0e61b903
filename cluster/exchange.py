"""One request and its response on a storage node: delays, pacing, faults and the record."""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from cluster.chunk_store import StoredChunk
from cluster.connection import Connection, DeadlineError, HaltedError, PeerGoneError
from cluster.faults import (
    FaultKind,
    body_limit_bytes,
    corrupted,
    lacks,
    withholds_answer,
    wrong_positions,
)
from cluster.http1 import ByteRange, RequestHead, response_head
from cluster.link import Link
from cluster.request_log import DeliveryTrack, RequestLog, RequestRecord


class FaultSource(Protocol):
    """What an exchange needs to know about the node's state."""

    @property
    def kind(self) -> FaultKind:
        """Return the fault in force."""

    @property
    def chunk_id(self) -> str | None:
        """Return the chunk it is limited to."""


class TruncatedError(Exception):
    """The response ends early on purpose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeParts:
    """The parts of a node that its exchanges share."""

    link: Link
    faults: FaultSource
    log: RequestLog
    cut_response_after_sec: float | None
    # Whether records tell when each part of a body left.
    tracks_delivery: bool = False


class Exchange:
    """Answer one request; `finish` writes its record."""

    def __init__(
        self, connection: Connection, parts: NodeParts, head: RequestHead, arrived_sec: float
    ) -> None:
        self.head = head
        self._connection = connection
        self._parts = parts
        self._arrived_sec = arrived_sec
        self._start_unix_sec = time.time() - (time.monotonic() - arrived_sec)
        self._is_data = head.path.startswith("/chunk/")
        self._answer_at_sec = arrived_sec
        if head.method in ("GET", "HEAD"):
            self._answer_at_sec = parts.link.answer_at_sec(
                accepted_sec=connection.accepted_sec, arrived_sec=arrived_sec
            )
        cut_sec = parts.cut_response_after_sec
        self._cut_at_sec = None if cut_sec is None else arrived_sec + cut_sec
        self._status = 0
        self._sent_bytes = 0
        self._track = DeliveryTrack() if parts.tracks_delivery and self._is_data else None
        self._first_byte_sec: float | None = None
        self._outcome = "complete"
        self._held_by: FaultKind | None = None
        self._announced = False
        self.keep_alive = head.keep_alive

    @property
    def fault(self) -> FaultKind:
        """Return the fault in force."""
        return self._parts.faults.kind

    def lacks(self, object_id: str) -> bool:
        """Say whether the fault in force makes the node deny that it has an object."""
        faults = self._parts.faults
        return lacks(faults.kind, faults.chunk_id, object_id)

    def await_answer_time(self) -> None:
        """Wait for the round trip, and for as long as the node is silent."""
        while True:
            fault = self.fault
            if withholds_answer(fault, is_data=self._is_data):
                self._held_by = fault
                self._connection.wait(None)
                self._held_by = None
            elif time.monotonic() < self._answer_at_sec:
                self._connection.wait(self._answer_at_sec)
            else:
                return

    def answer(
        self, status: int, headers: Mapping[str, str | int] | None = None, body: bytes = b""
    ) -> None:
        """Send a whole response that is not paced; the body only where the method wants one."""
        fields = {"Content-Length": len(body), **(headers or {})}
        if status == 204:
            del fields["Content-Length"]
        self._status = status
        data = response_head(status, fields, keep_alive=self.keep_alive)
        if self.head.method != "HEAD" and status != 204:
            data += body
            self._sent_bytes = len(body)
        self._announce_end()
        self._note_first_byte()
        self._connection.send_all(data, self._cut_at_sec)
        self._note_sent(len(data))

    def answer_json(
        self, status: int, body: object, headers: Mapping[str, str | int] | None = None
    ) -> None:
        """Send a JSON response."""
        fields: dict[str, str | int] = {"Content-Type": "application/json", **(headers or {})}
        self.answer(status, fields, json.dumps(body).encode())

    def answer_error(self, status: int, detail: str, *, outcome: str | None = None) -> None:
        """Send an error with its reason."""
        self._outcome = outcome or self._outcome
        self.answer_json(status, {"detail": detail})

    def answer_part(
        self, status: int, headers: Mapping[str, str | int], chunk: StoredChunk, part: ByteRange
    ) -> None:
        """Send a part of a chunk at the link's pace, as the faults in force allow."""
        handle = os.open(chunk.path, os.O_RDONLY)
        try:
            self._status = status
            fields = {"Content-Length": part.length_bytes, **headers}
            head = response_head(status, fields, keep_alive=self.keep_alive)
            self._note_first_byte()
            self._connection.send_all(head, self._cut_at_sec)
            self._note_sent(len(head))
            self._parts.link.open_transfer()
            try:
                self._send_body(handle, part)
            finally:
                self._parts.link.close_transfer()
        finally:
            os.close(handle)

    def note_failure(self, error: Exception) -> None:
        """Remember how the exchange ended when it did not end well."""
        self.keep_alive = False
        match error:
            case HaltedError():
                self._outcome = str(error)
            case DeadlineError():
                self._outcome = "cut"
            case TruncatedError():
                self._outcome = "truncate"
            case PeerGoneError():
                slow = "slow" if self.fault == "slow" else None
                self._outcome = self._held_by or slow or "reset"
            case _:
                self._outcome = "error"

    def finish(self) -> None:
        """Write the record."""
        record = RequestRecord(
            start_unix_sec=round(self._start_unix_sec, 6),
            method=self.head.method,
            path=self.head.path,
            range=self.head.headers.get("range"),
            status=self._status,
            sent_bytes=self._sent_bytes,
            first_byte_sec=self._first_byte_sec,
            duration_sec=round(time.monotonic() - self._arrived_sec, 6),
            outcome=self._outcome,
            sent_at=None if self._track is None else self._track.points(),
            wrong_at=None if self._track is None else tuple(self._track.wrong_at),
        )
        self._parts.log.append(record, announced=self._announced)

    def _send_body(self, handle: int, part: ByteRange) -> None:
        link = self._parts.link
        while self._sent_bytes < part.length_bytes:
            room_bytes = self._await_leave(part.length_bytes)
            room_bytes = min(room_bytes, self._await_window(room_bytes))
            size_bytes, grant = link.reserve(room_bytes)
            if grant is not None:
                try:
                    self._await_time(link.ready_at_sec(grant))
                except (HaltedError, PeerGoneError, DeadlineError):
                    link.give_back(grant)
                    raise
            self._await_leave(part.length_bytes)
            offset = part.offset_bytes + self._sent_bytes
            piece = os.pread(handle, size_bytes, offset)
            if len(piece) != size_bytes:
                raise OSError(f"{self.head.path} is shorter than it was")
            if self.fault == "corrupt":
                self._outcome = "corrupt"
                is_first = self._sent_bytes == 0
                piece = corrupted(piece, offset_bytes=offset, is_first=is_first)
                if self._track is not None:
                    self._track.wrong_at += wrong_positions(
                        size_bytes, offset_bytes=offset, is_first=is_first
                    )
            self._send_piece(piece, part.length_bytes)

    def _send_piece(self, piece: bytes, wanted_bytes: int) -> None:
        rest = memoryview(piece)
        while rest:
            self._hold_while_silent()
            if self._sent_bytes + len(rest) == wanted_bytes:
                self._announce_end()
            sent_bytes = self._connection.send_some(rest, self._cut_at_sec)
            self._note_sent(sent_bytes)
            self._sent_bytes += sent_bytes
            if self._track is not None and sent_bytes:
                self._track.note(time.time(), self._sent_bytes)
            rest = rest[sent_bytes:]

    def _await_leave(self, wanted_bytes: int) -> int:
        """Wait until the faults let more of the body go; return how much at most."""
        while True:
            self._hold_while_silent()
            fault = self.fault
            room_bytes = body_limit_bytes(fault, wanted_bytes) - self._sent_bytes
            if room_bytes > 0:
                return room_bytes
            if fault == "truncate":
                raise TruncatedError
            self._hold(fault)

    def _await_window(self, wanted_bytes: int) -> int:
        """Wait until the connection may have more on the way; return how much at most."""
        window = self._connection.window
        if window is None:
            return wanted_bytes
        if not window.room_bytes(time.monotonic()):
            # The link does not save up for a connection that may not send.
            self._parts.link.close_transfer()
            try:
                while not window.room_bytes(now_sec := time.monotonic()):
                    self._wait_or_cut(window.opens_at_sec(now_sec))
            finally:
                self._parts.link.open_transfer()
        return window.room_bytes(time.monotonic())

    def _note_sent(self, size_bytes: int) -> None:
        window = self._connection.window
        if window is not None and size_bytes:
            now_sec = time.monotonic()
            window.note_sent(size_bytes, now_sec, self._parts.link.rtt_sec(now_sec))

    def _hold_while_silent(self) -> None:
        while withholds_answer(fault := self.fault, is_data=self._is_data):
            self._hold(fault)

    def _hold(self, fault: FaultKind) -> None:
        # Not cleared when the wait fails: the client left, or the node, because of this fault.
        self._held_by = fault
        self._wait_or_cut(None)
        self._held_by = None

    def _await_time(self, at_sec: float) -> None:
        while time.monotonic() < at_sec:
            self._wait_or_cut(at_sec)

    def _wait_or_cut(self, until_sec: float | None) -> None:
        cut_sec = self._cut_at_sec
        if cut_sec is not None and time.monotonic() >= cut_sec:
            raise DeadlineError
        if cut_sec is not None and (until_sec is None or cut_sec < until_sec):
            until_sec = cut_sec
        self._connection.wait(until_sec)

    def _note_first_byte(self) -> None:
        self._first_byte_sec = round(time.monotonic() - self._arrived_sec, 6)

    def _announce_end(self) -> None:
        if not self._announced:
            self._announced = True
            self._parts.log.announce_end()
