"""A scenario on real nodes: its film on a cluster, its faults in time, and what the nodes noted."""

from __future__ import annotations

import hashlib
import json
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench.scenarios import FaultEvent, Scenario
from bench.stack import NotingMetadata
from cluster import EmbeddedCluster
from cluster.client import call
from scheduler.erasure import encode_fragments

VIDEO_ID = "bench"
# Connections end soon after their client; records are written when they do.
_SETTLE_LIMIT_SEC = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedFault:
    """A fault as it really was: unix times, None while it lasts."""

    event: FaultEvent
    from_unix_sec: float
    until_unix_sec: float | None


class Stage:
    """Run a scenario's nodes for the length of a `with` block."""

    def __init__(self, scenario: Scenario, folder: Path) -> None:
        self.scenario = scenario
        self.cluster = EmbeddedCluster(
            len(scenario.nodes), folder, scenario.nodes, arguments=["--delivery-log"]
        )
        self.manifest: dict[str, Any] = {}

    def __enter__(self) -> Self:
        self.cluster.start()
        try:
            _store_film(self.cluster, self.scenario)
            self.manifest = self.cluster.manifest(VIDEO_ID)
        except BaseException:
            self.cluster.stop()
            raise
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.cluster.stop()

    def show(self) -> Show:
        """Prepare the scenario for one run of a client."""
        return Show(self)

    def records_since(self, unix_sec: float) -> list[list[dict[str, Any]]]:
        """Return each node's records of requests that arrived since then."""
        return [
            [r for r in self.cluster.requests(url) if r["start_unix_sec"] >= unix_sec]
            for url in self.cluster.node_urls
        ]

    def settle(self) -> None:
        """Wait until the nodes have no connections left, so that all records are there."""
        deadline_sec = time.monotonic() + _SETTLE_LIMIT_SEC
        for url in self.cluster.node_urls:
            while self.cluster.status(url)["connections"] and time.monotonic() < deadline_sec:
                time.sleep(0.02)


class Show:
    """One run of a scenario: a metadata service that notes the manifest request, and faults from then on.

    Faults due at 0 are in force before the client starts.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._cluster = stage.cluster
        self.metadata = NotingMetadata(json.dumps(stage.manifest).encode())
        self.applied: list[AppliedFault] = []
        self.origin_unix_sec: list[float] = []
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._conduct)

    def __enter__(self) -> Self:
        for event in self._stage.scenario.faults:
            if event.at_sec <= 0:
                self._apply(event)
        self._thread.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._closing.set()
        self._thread.join()
        self.metadata.close()
        for url in self._cluster.node_urls:
            self._cluster.set_fault(url, "none")

    @property
    def zero_unix_sec(self) -> float | None:
        """Return when the manifest was first asked for."""
        asked = self.metadata.asked_unix_sec
        return asked[0] if asked else None

    def restart_links(self) -> None:
        """Play all traces from their beginning; called right before the client starts.

        Not with the manifest request: nothing but the client is to be busy in the moments that count.
        """
        statuses = [self._cluster.restart_link(url) for url in self._cluster.node_urls]
        self.origin_unix_sec = [status["link"]["origin_unix_sec"] for status in statuses]

    def _conduct(self) -> None:
        while not self.metadata.asked.wait(0.1):
            if self._closing.is_set():
                return
        zero_unix_sec = self.metadata.asked_unix_sec[0]
        for at_sec, event, begins in timetable(self._stage.scenario.faults):
            if self._closing.wait(max(0.0, zero_unix_sec + at_sec - time.time())):
                return
            if begins:
                self._apply(event)
            else:
                self._end(event)

    def _apply(self, event: FaultEvent) -> None:
        self._close_on(event.node, time.time())
        chunk_id = None
        if event.chunk is not None:
            chunk_id = str(self._stage.manifest["chunks"][event.chunk]["chunk_id"])
        status = self._cluster.set_fault(event.node + 1, event.kind, chunk_id=chunk_id)
        since_unix_sec = float(status["fault"]["since_unix_sec"])
        self.applied.append(
            AppliedFault(event=event, from_unix_sec=since_unix_sec, until_unix_sec=None)
        )

    def _end(self, event: FaultEvent) -> None:
        # Another fault may have taken this one's place.
        open_now = [a for a in self.applied if a.event is event and a.until_unix_sec is None]
        if open_now:
            status = self._cluster.set_fault(event.node + 1, "none")
            self._close_on(event.node, float(status["fault"]["since_unix_sec"]))

    def _close_on(self, node: int, unix_sec: float) -> None:
        self.applied = [
            AppliedFault(event=a.event, from_unix_sec=a.from_unix_sec, until_unix_sec=unix_sec)
            if a.event.node == node and a.until_unix_sec is None
            else a
            for a in self.applied
        ]


def timetable(faults: Sequence[FaultEvent]) -> list[tuple[float, FaultEvent, bool]]:
    """Return what is to be done after the manifest request: (when, which, begins); ends before beginnings."""
    begins = [(f.at_sec, 1, f) for f in faults if f.at_sec > 0]
    ends = [(max(0.0, f.at_sec) + f.for_sec, 0, f) for f in faults if f.for_sec is not None]
    due = sorted(begins + ends, key=lambda row: row[:2])
    return [(at_sec, event, bool(is_begin)) for at_sec, is_begin, event in due]


def _store_film(cluster: EmbeddedCluster, scenario: Scenario) -> None:
    """Put the film on the nodes where the scenario wants it, and make it active."""
    base, urls = cluster.metadata_url, cluster.node_urls
    duration_sec = scenario.chunks * scenario.chunk_sec
    video = {
        "video_id": VIDEO_ID,
        "title": scenario.title,
        "duration_sec": duration_sec,
        "chunk_duration_sec": scenario.chunk_sec,
    }
    _expect("POST", f"{base}/video", json_body=video)
    # Bytes without meaning: no client looks into them, and every chunk differs.
    rng = random.Random(f"{scenario.name}")
    for number in range(scenario.chunks):
        data = rng.randbytes(scenario.chunk_bytes)
        chunk_id = f"{VIDEO_ID}-chunk-{number:03d}"
        body: dict[str, object] = {
            "checksum": hashlib.sha256(data).hexdigest(),
            "size_bytes": len(data),
            "video_id": VIDEO_ID,
            "sequence_num": number,
        }
        if scenario.coded:
            rows = []
            for index, fragment in enumerate(encode_fragments(data)):
                rows.append(_store(urls[index], f"{chunk_id}-f{index}", fragment, index))
            body |= {
                "node_urls": [],
                "redundancy_mode": "erasure_coding",
                "fragments_metadata": rows,
            }
        else:
            chosen = [urls[node] for node in scenario.nodes_of(number)]
            for url in chosen:
                _store(url, chunk_id, data, 0)
            body |= {
                "node_urls": chosen,
                "redundancy_mode": "replication",
                "fragments_metadata": None,
            }
        _expect("POST", f"{base}/chunk/{chunk_id}/commit", json_body=body)
    status = {"status": "active", "duration_sec": duration_sec}
    _expect("PATCH", f"{base}/video/{VIDEO_ID}/status", json_body=status)


def _store(url: str, object_id: str, data: bytes, index: int) -> dict[str, object]:
    _expect("PUT", f"{url}/chunk/{object_id}", data=data)
    return {
        "fragment_id": object_id,
        "fragment_index": index,
        "node_url": url,
        "size_bytes": len(data),
        "checksum": hashlib.sha256(data).hexdigest(),
    }


def _expect(method: str, url: str, *, json_body: object = None, data: bytes | None = None) -> None:
    answer = call(method, url, json_body=json_body, data=data)
    if answer.status >= 300:
        raise RuntimeError(f"{method} {url}: {answer.detail()}")
