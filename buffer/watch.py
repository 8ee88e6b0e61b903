"""A session as its players see it: threads that ask, and wait, for what the loop holds."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass

from buffer.live import LiveSession
from buffer.media import MediaError
from buffer.playlist import media_playlist
from buffer.segments import Segment, Segmenter
from buffer.transport import TransportSegmenter

CallSoon = Callable[[Callable[[], None]], None]
Gone = Callable[[], bool]

# The loop answers in milliseconds; one that does not is about to end.
_LOOP_SEC = 5.0
# A player that jumps drops its requests; so soon its wish is forgotten.
_LOOK_SEC = 0.1


class SegmentAbsent(Exception):
    """A segment cannot be had: there is none of that number, or its session is over."""


class SegmentSkipped(SegmentAbsent):
    """The session has given up its chunk, which nobody has, and goes on behind it."""


class SegmentLate(Exception):
    """A segment did not come in time; it may come later."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a playlist is made of."""

    durations_sec: tuple[float, ...]
    missing: frozenset[int]


class Watch:
    """One session; every method blocks its caller's thread, never the loop."""

    def __init__(self, live: LiveSession, call_soon: CallSoon) -> None:
        self._live = live
        self._call_soon = call_soon
        self._segmenter = Segmenter()
        self._transport = TransportSegmenter()
        self._fits_transport = False

    def facts(self) -> Facts:
        """Return what is known of the film now."""
        core = self._live.core
        seen: Future[Facts] = Future()

        def look() -> None:
            timeline, count = core.timeline, len(core.manifest.chunks)
            durations = tuple(timeline.duration_sec(number) for number in range(count))
            seen.set_result(Facts(durations, frozenset(core.missing)))

        self._call_soon(look)
        return seen.result(_LOOP_SEC)

    def playlist(self) -> str:
        """Return the HLS playlist."""
        facts = self.facts()
        return media_playlist(facts.durations_sec, missing=facts.missing)

    def transport_playlist(self, timeout_sec: float, gone: Gone) -> str:
        """Return the same of MPEG-TS, unless that cannot hold the film; raises SegmentAbsent, SegmentLate."""
        facts = self.facts()
        transport = self._fits_transport
        if not transport:
            try:
                self.transport(self._live.core.current_sequence, timeout_sec, gone)
                transport = self._fits_transport = True
            except SegmentSkipped:
                # Most films fit.
                transport = True
            except MediaError:
                transport = False
        return media_playlist(facts.durations_sec, missing=facts.missing, transport=transport)

    def init(self, timeout_sec: float, gone: Gone) -> bytes:
        """Return the header of all segments; raises what `segment` raises."""
        here = self._live.core.current_sequence
        return self._segmenter.init or self.segment(here, timeout_sec, gone).init

    def segment(self, number: int, timeout_sec: float, gone: Gone) -> Segment:
        """Return a segment, which is fetched with urgency if it is not here; `gone` says that nobody waits any more.

        Raises SegmentAbsent (SegmentSkipped), SegmentLate, and MediaError for a chunk that is no media.
        """
        return self._segmenter.segment(number, *self._chunk(number, timeout_sec, gone))

    def transport(self, number: int, timeout_sec: float, gone: Gone) -> bytes:
        """Return a segment of MPEG-TS; raises what `segment` raises."""
        return self._transport.segment(number, *self._chunk(number, timeout_sec, gone))

    def _chunk(
        self, number: int, timeout_sec: float, gone: Gone
    ) -> tuple[bytes | memoryview, float]:
        found: Future[tuple[bytes | memoryview, float]] = Future()
        self._call_soon(lambda: self._live.want(number, found))
        deadline_sec = time.monotonic() + timeout_sec
        while not wait((found,), _LOOK_SEC).done:
            if gone() or time.monotonic() > deadline_sec:
                self._call_soon(lambda: self._live.want_no_more(number, found))
                raise SegmentLate(f"segment {number} did not come within {timeout_sec:g} s")
        try:
            return found.result()
        except LookupError as error:
            # The loop alone adds to the set, and this number was added before the answer.
            kind = SegmentSkipped if number in self._live.core.missing else SegmentAbsent
            raise kind(str(error)) from None
