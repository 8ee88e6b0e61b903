"""What was played in the last hour, second by second. No I/O, no clock: time is an argument."""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass
from typing import NamedTuple

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
    node_score: dict[str, float]


class Columns(NamedTuple):
    """Samples as a page draws them: an hour of objects would be four times as large."""

    last_number: int
    body: Json


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
                node_score={u: s for u, s in model.node_scores().items() if u in received},
            )
        )

    def samples(
        self, *, seconds: int = HISTORY_SEC, after_number: int = 0, session_id: str | None = None
    ) -> list[Json]:
        """Return samples younger than `seconds` before the newest, and after `after_number`."""
        return [asdict(s) for s in self._selected(seconds, after_number, session_id)]

    def columns(self, *, after_number: int = 0, session_id: str | None = None) -> Columns | None:
        """Return the samples after a number as columns, None when there are none; nodes by their URL."""
        found = self._selected(HISTORY_SEC, after_number, session_id)
        if not found:
            return None
        rates = dict.fromkeys(url for s in found for url in s.node_mbps)
        scores = dict.fromkeys(url for s in found for url in s.node_score)
        first_unix_sec = found[0].at_unix_sec
        body = {
            "from_unix_sec": first_unix_sec,
            "at_sec": [round(s.at_unix_sec - first_unix_sec, 1) for s in found],
            "state": [s.state for s in found],
            "level_sec": [round(s.buffer_level_sec, 1) for s in found],
            "mbps": {u: [round(s.node_mbps.get(u, 0.0), 2) for s in found] for u in rates},
            "score": {u: [_rounded(s.node_score.get(u)) for s in found] for u in scores},
        }
        return Columns(found[-1].number, body)

    def _selected(self, seconds: int, after_number: int, session_id: str | None) -> list[Sample]:
        if not self._samples:
            return []
        oldest_unix_sec = self._samples[-1].at_unix_sec - seconds
        found = []
        for s in reversed(self._samples):
            if s.number <= after_number or s.at_unix_sec <= oldest_unix_sec:
                break
            if session_id in (None, s.session_id):
                found.append(s)
        return found[::-1]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def _grown_bytes(before: int, now: int) -> int:
    """Return how far a counter went up; one that fell was started anew."""
    return now - before if now >= before else now
