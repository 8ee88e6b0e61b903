"""From the records of one session to the figures of its report. No I/O, no clock, no randomness.

The same while it plays and from a file; memory does not grow with the session's length.
"""

from __future__ import annotations

import math
from collections import Counter, deque

from client.recording.chunk_maps import ChunkFolder
from client.recording.values import ChunkChanges, End, Header, Item, Lost
from client.report.comparing import compare
from client.report.curves import LevelCurve, RateCurve
from client.report.figures import (
    ChunkFigures,
    EventFigures,
    Figures,
    LevelFigures,
    NodeFigures,
    RateFigures,
)
from client.report.nodes import HARMLESS, NodeTally
from client.report.stalls import StallLog
from common.messages import (
    LogEvent,
    NodeScores,
    SchedulerStatus,
    SessionStatus,
    Transfer,
)
from common.stack_state import NOTHING, Json
from common.status import StatusModel

# The beginning of a long session is worth as much as its end.
FIRST_EVENTS = 200
LAST_EVENTS = 800
# A session has nodes by the dozen; the rest is counted.
MAX_NODES = 200
MAX_TALLIES = 2000
# The nodes that have a colour of their own in the chart of rates.
MAX_BANDS = 9


class ReportBuilder:
    """Takes records in order; `figures` may be asked for at any time."""

    def __init__(self, header: Header) -> None:
        self._header = header
        self._model = StatusModel()
        self._folder = ChunkFolder()
        self._level = LevelCurve()
        self._rates = RateCurve()
        self._stalls = StallLog()
        self._status = NOTHING
        self._nodes: dict[str, NodeTally] = {}
        self._failures: dict[str, Counter[str]] = {}
        self._held_sec: dict[int, float] = {}
        self._first_events: list[EventFigures] = []
        self._last_events: deque[EventFigures] = deque(maxlen=LAST_EVENTS)
        self._events = 0
        self._moved = False
        self._queued_sec = math.inf
        self._lost = 0
        self._end: End | None = None
        self._at_sec = 0.0

    def add(self, at_sec: float, item: Item) -> None:
        """Fold one record."""
        self._at_sec = at_sec
        now_unix_sec = self._header.started_unix_sec + at_sec
        match item:
            case SessionStatus():
                self._model.apply(item, now_unix_sec)
                self._session(at_sec, item)
            case SchedulerStatus():
                self._model.apply(item, now_unix_sec)
                for load in item.nodes:
                    if (tally := self._tally(load.node_url)) is not None:
                        tally.load(load)
            case NodeScores():
                self._model.apply(item, now_unix_sec)
            case Transfer():
                self._transfer(at_sec, item)
            case LogEvent():
                self._event(at_sec, item)
            case ChunkChanges():
                self._folder.apply(item)
                for chunk in item.changed:
                    if chunk.state in ("held", "played"):
                        self._held_sec.setdefault(chunk.sequence_num, at_sec)
            case Lost():
                self._lost += item.count
            case End():
                self._end = item
            case _:
                pass

    # ------------------------------------------------------------ folding

    def _session(self, at_sec: float, status: SessionStatus) -> None:
        self._status = status
        # The session's own clock; messages come a little late, never early.
        self._queued_sec = min(self._queued_sec, max(0.0, at_sec - status.wall_sec))
        self._level.add(at_sec, status.buffer_level_sec)
        self._stalls.add(at_sec, status)
        self._moved = self._moved or status.state in ("paused", "seeking")

    def _tally(self, node_url: str) -> NodeTally | None:
        known = self._nodes.get(node_url)
        if known is None and len(self._nodes) < MAX_TALLIES:
            known = self._nodes[node_url] = NodeTally()
        return known

    def _transfer(self, at_sec: float, msg: Transfer) -> None:
        tally = self._tally(msg.node_url) or NodeTally()
        from_sec, until_sec = tally.transfer(at_sec, msg)
        if msg.size_bytes > 0:
            self._rates.add(msg.node_url, from_sec, until_sec, msg.size_bytes)
        if msg.outcome not in HARMLESS:
            self._failures.setdefault(msg.chunk_id, Counter())[msg.node_url] += 1

    def _event(self, at_sec: float, event: LogEvent) -> None:
        # Words from before the connection stood came late; none comes early.
        said_sec = event.at_unix_sec - self._header.started_unix_sec
        kept = EventFigures(
            at_sec=min(max(0.0, said_sec), at_sec), kind=event.kind, text=event.text
        )
        self._events += 1
        self._moved = self._moved or event.kind in ("paused", "seek")
        if len(self._first_events) < FIRST_EVENTS:
            self._first_events.append(kept)
        else:
            self._last_events.append(kept)

    # ------------------------------------------------------------ figures

    def figures(self) -> Figures:
        """Return the report as of the last record."""
        status, stalls = self._status, self._stalls
        queued_sec = self._queued_sec if math.isfinite(self._queued_sec) else 0.0
        # Whole maps are made once: of a long film they are large.
        if self._folder.session_id:
            self._model.apply(self._folder.map(), self._header.started_unix_sec + self._at_sec)
        summary = self._summary()
        chunks = self._chunk_figures()
        found_stalls, spans = stalls.finish(self._at_sec)
        nodes = self._node_figures(summary)
        return Figures(
            header=self._header,
            end=self._end,
            summary=summary,
            title=status.title,
            output=status.output.partition(" ")[0] or self._header.output,
            total_chunks=status.total_chunks,
            length_sec=self._at_sec,
            queued_sec=queued_sec,
            level=LevelFigures(
                points=tuple(self._level.points()),
                target_sec=status.target_buffer_sec,
                low_water_sec=status.low_water_mark_sec,
            ),
            rates=self._rate_figures(),
            spans=tuple(spans),
            stalls=tuple(found_stalls),
            stalls_left_out=stalls.left_out,
            chunks=chunks,
            nodes=nodes[:MAX_NODES],
            nodes_left_out=max(0, len(nodes) - MAX_NODES),
            events=(*self._first_events, *self._last_events),
            events_left_out=self._events - len(self._first_events) - len(self._last_events),
            comparisons=compare(
                summary=summary,
                chunks=chunks,
                paces=[t.pace for t in self._nodes.values() if t.pace is not None],
                arrived=[
                    (max(0.0, at_sec - queued_sec), total)
                    for at_sec, total in self._rates.arrived()
                ],
                moved=self._moved or not self._header.paced,
                lost_records=self._lost,
            ),
            lost_records=self._lost,
        )

    def _summary(self) -> Json:
        """Return what the command's own summary says."""
        session_id = self._end.session_id if self._end is not None else self._status.session_id
        found: Json = self._model.summary(session_id or "-")
        found["video_id"] = self._header.video_id
        if self._end is not None:
            found["exit_code"] = self._end.exit_code
            found["outcome"] = self._end.outcome
            if self._end.error:
                found["error"] = self._end.error
        return found

    def _rate_figures(self) -> RateFigures:
        totals = self._rates.totals
        largest = sorted(totals, key=lambda name: -totals[name])[:MAX_BANDS]
        order = {url: number for number, url in enumerate(self._urls())}
        names = tuple(sorted(largest, key=lambda name: order.get(name, len(order))))
        to_mbps = 8e-6 / self._rates.width_sec
        return RateFigures(
            width_sec=self._rates.width_sec,
            names=names,
            rows_mbps=tuple(
                tuple(share * to_mbps for share in row) for row in self._rates.rows(names)
            ),
        )

    def _chunk_figures(self) -> tuple[ChunkFigures, ...]:
        found = []
        for number in sorted(self._folder.chunks):
            chunk = self._folder.chunks[number]
            failures = self._failures.get(chunk.chunk_id, Counter())
            found.append(
                ChunkFigures(
                    sequence_num=number,
                    chunk_id=chunk.chunk_id,
                    state=chunk.state,
                    size_bytes=chunk.size_bytes,
                    duration_sec=chunk.duration_sec,
                    sources=tuple((s.node_url, s.size_bytes) for s in chunk.sources),
                    failures=tuple(sorted(failures.items())),
                    held_sec=self._held_sec.get(number) if chunk.sources else None,
                )
            )
        return tuple(found)

    def _urls(self) -> list[str]:
        """Return the nodes of the session, and those that answered for it, in a lasting order."""
        active = [url for url, tally in self._nodes.items() if tally.outcomes]
        return list(dict.fromkeys((*self._status.node_urls, *active)))

    def _node_figures(self, summary: Json) -> tuple[NodeFigures, ...]:
        delivered: dict[str, int] = summary["bytes_by_node"]
        whole = max(1, sum(delivered.values()))
        known = self._model.network_statistics()
        found = []
        for url in dict.fromkeys((*self._urls(), *delivered)):
            tally = self._nodes.get(url) or NodeTally()
            first_sec = tally.first_byte_sec
            found.append(
                NodeFigures(
                    node_url=url,
                    delivered_bytes=delivered.get(url, 0),
                    share_ratio=delivered.get(url, 0) / whole,
                    chunks=summary["chunks_by_node"].get(url, 0),
                    received_bytes=tally.received_bytes,
                    goodput_mbps=tally.goodput_mbps,
                    ping_ms=known[url]["latency_ms"]["average"] if url in known else None,
                    first_byte_ms=None if first_sec is None else first_sec * 1000,
                    failures=tuple(tally.failures.items()),
                    suspensions=tally.suspensions,
                )
            )
        return tuple(found)
