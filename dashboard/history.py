"""What was played in the last hour, second by second. No I/O, no clock: time is an argument."""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass

from common.stack_state import Json
from common.status import StatusModel

HISTORY_SEC = 3600
# More nodes than this are summed up nowhere; their samples would only cost memory.
MAX_SAMPLED_NODES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One second of playback; `node_mbps` is what each node delivered in it."""

    number: int
    at_unix_sec: float
    session_id: str
    state: str
    stalled: bool
    buffer_level_sec: float
    playhead_sec: float
    node_mbps: dict[str, float]


class History:
    """Samples of the last hour."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque(maxlen=HISTORY_SEC)
        self._received_bytes: dict[str, int] = {}
        self._sampled_unix_sec: float | None = None
        self._count = 0

    def sample(self, model: StatusModel, now_unix_sec: float) -> None:
        """Take a sample; called once a second. Without a session only the counters are read."""
        received = {
            url: int(node["received_bytes"])
            for url, node in list(model.network_statistics().items())[:MAX_SAMPLED_NODES]
        }
        before, before_sec = self._received_bytes, self._sampled_unix_sec
        self._received_bytes, self._sampled_unix_sec = received, now_unix_sec
        session = model.session()
        if session is None or not model.is_live():
            return
        elapsed_sec = now_unix_sec - before_sec if before_sec is not None else 0.0
        rates = {}
        if elapsed_sec > 0:
            rates = {
                url: _grown_bytes(before[url], total) * 8 / 1e6 / elapsed_sec
                for url, total in received.items()
                if url in before
            }
        self._count += 1
        self._samples.append(
            Sample(
                number=self._count,
                at_unix_sec=now_unix_sec,
                session_id=session.session_id,
                state=session.state,
                stalled=session.state == "rebuffering",
                buffer_level_sec=session.buffer_level_sec,
                playhead_sec=session.playhead_sec,
                node_mbps=rates,
            )
        )

    def samples(
        self, *, seconds: int = HISTORY_SEC, after_number: int = 0, session_id: str | None = None
    ) -> list[Json]:
        """Return samples younger than `seconds` before the newest, and after `after_number`."""
        if not self._samples:
            return []
        oldest_unix_sec = self._samples[-1].at_unix_sec - seconds
        found = []
        for s in reversed(self._samples):
            if s.number <= after_number or s.at_unix_sec <= oldest_unix_sec:
                break
            if session_id in (None, s.session_id):
                found.append(asdict(s))
        return found[::-1]


def _grown_bytes(before: int, now: int) -> int:
    """Return how far a counter went up; one that fell was started anew."""
    return now - before if now >= before else now
