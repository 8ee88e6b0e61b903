"""The original V-Stack client's policy, rebuilt from how it was seen to behave; no code of it is used.

One second of sleep after the manifest, then batches of up to five chunks, four at a time; none is played before all of
a batch have ended, well or not. The node with the best `bandwidth * reliability / (1 + 0.1 * latency_ms)`, less a
fifth for each running download, gives the whole chunk; 30 s in all are allowed, three tries at the same node with
0.5 s and 1 s between, then the next node. Bandwidth is the mean of the last ten downloads, reliability that of the
pings every 10 s; a failed download changes neither. The next batch is begun when less than 15 s are held and starts
behind the highest chunk that has come: one that failed is never asked for again, and playback waits for it for ever.
Nothing is verified.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import requests

from bench.clients.http import FetchFailed, Limits, fetch, session
from bench.clients.viewing import Viewing
from common.messages import ChunkSpec
from common.units import megabits_per_sec, node_of

FIRST_SLEEP_SEC = 1.0
POLL_SEC = 0.5
BATCH = 5
PARALLEL = 4
LOW_WATER_SEC = 15.0
LIMITS = Limits(connect_sec=30, first_byte_sec=30, silence_sec=30, total_sec=30)
TRIES = 3
BACK_OFF_SEC = 0.5
PING_SEC = 10.0
HISTORY = 10
FIRST_BANDWIDTH_MBPS = 50.0
FIRST_LATENCY_MS = 50.0
LOAD_PENALTY = 0.2


class Scores:
    """What is known of the nodes, in the original's terms."""

    def __init__(self, node_urls: tuple[str, ...]) -> None:
        self._lock = threading.Lock()
        self._latencies_ms = {url: deque[float](maxlen=HISTORY) for url in node_urls}
        self._bandwidths_mbps = {url: deque[float](maxlen=HISTORY) for url in node_urls}
        self._pings = {url: deque[bool](maxlen=HISTORY) for url in node_urls}
        self._running = dict.fromkeys(node_urls, 0)

    def note_ping(self, node_url: str, latency_ms: float | None) -> None:
        """Fold in a ping; None for one without an answer."""
        with self._lock:
            self._pings[node_url].append(latency_ms is not None)
            if latency_ms is not None:
                self._latencies_ms[node_url].append(latency_ms)

    def begin(self, node_url: str) -> None:
        """Count a download that runs."""
        with self._lock:
            self._running[node_url] += 1

    def end(self, node_url: str, bandwidth_mbps: float | None) -> None:
        """Count a download that is over; None for one that failed."""
        with self._lock:
            self._running[node_url] -= 1
            if bandwidth_mbps is not None:
                self._bandwidths_mbps[node_url].append(bandwidth_mbps)

    def ranked(self, node_urls: list[str]) -> list[str]:
        """Return nodes, best first; those whose last ping went unanswered come last."""
        with self._lock:
            return sorted(node_urls, key=lambda url: (not self._healthy(url), -self._score(url)))

    def _healthy(self, url: str) -> bool:
        return not self._pings[url] or self._pings[url][-1]

    def _score(self, url: str) -> float:
        bandwidth_mbps = statistics.fmean(self._bandwidths_mbps[url] or [FIRST_BANDWIDTH_MBPS])
        latency_ms = statistics.fmean(self._latencies_ms[url] or [FIRST_LATENCY_MS])
        reliability = statistics.fmean(self._pings[url] or [1.0])
        score = bandwidth_mbps * reliability / (1 + latency_ms * 0.1)
        return score / (1 + LOAD_PENALTY * self._running[url])


def play(viewing: Viewing) -> None:
    """Fetch the film."""
    scores = Scores(viewing.manifest.node_urls())
    done = threading.Event()
    pinging = threading.Thread(target=_ping_all, args=(viewing, scores, done), name="pings")
    pinging.start()
    try:
        time.sleep(FIRST_SLEEP_SEC)
        with ThreadPoolExecutor(PARALLEL, thread_name_prefix="fetch") as pool:
            while not viewing.complete:
                first = viewing.highest() + 1
                batch = viewing.chunks[first : first + BATCH]
                if not batch or viewing.held_sec() >= LOW_WATER_SEC:
                    time.sleep(POLL_SEC)
                    continue
                got = list(pool.map(lambda chunk: _download(viewing, scores, chunk), batch))
                for chunk, data in zip(batch, got, strict=True):
                    if data is not None:
                        viewing.arrive(chunk, data)
    finally:
        done.set()
        pinging.join()


def _download(viewing: Viewing, scores: Scores, chunk: ChunkSpec) -> bytearray | None:
    urls = {node_of(replica.url): replica.url for replica in chunk.replicas}
    waiting = list(urls)
    while waiting:
        node_url = scores.ranked(waiting)[0]
        waiting.remove(node_url)
        for attempt in range(TRIES):
            if attempt:
                time.sleep(BACK_OFF_SEC * attempt)
            scores.begin(node_url)
            began_sec = time.monotonic()
            try:
                data = fetch(urls[node_url], chunk.size_bytes, LIMITS)
            except FetchFailed:
                scores.end(node_url, None)
                viewing.note_failure()
                continue
            scores.end(node_url, megabits_per_sec(len(data), time.monotonic() - began_sec))
            return data
    return None


def _ping_all(viewing: Viewing, scores: Scores, done: threading.Event) -> None:
    """Ping all nodes at once, every 10 s after the slowest has answered."""
    nodes = viewing.manifest.node_urls()
    with ThreadPoolExecutor(len(nodes), thread_name_prefix="ping") as pool:
        while True:
            list(pool.map(lambda url: scores.note_ping(url, _ping_ms(url)), nodes))
            if done.wait(PING_SEC):
                return


def _ping_ms(node_url: str) -> float | None:
    began_sec = time.monotonic()
    try:
        answer = session().head(f"{node_url}/ping", timeout=PING_SEC, allow_redirects=False)
    except requests.RequestException:
        return None
    return (time.monotonic() - began_sec) * 1000 if answer.status_code == 200 else None
