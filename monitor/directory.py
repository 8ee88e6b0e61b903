"""Asks the metadata service which nodes there are and what lies on them, in a thread of its own."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from common.errors import CatalogError

if TYPE_CHECKING:
    from common.catalog import Catalog

logger = logging.getLogger(__name__)

# Whoever starts a private stack wants the first picture now, and learns its nodes from the manifest: until then the
# processors are left to that.
FIRST_ASK_SEC = 1.0
ASK_SEC = 30.0
# Clients started together must not ask in step.
JITTER_RATIO = 0.1
# A service that starts with us is there in a few seconds, one that is away is not asked more often for that.
RETRY_BASE_SEC = 2.0
# Nodes seldom gain or lose chunks. A changed set of nodes is reason to look sooner.
SAMPLE_SEC = 600.0
SAMPLE_CHANGED_SEC = 60.0
# One film lies on some of the nodes; a few tell about most of them.
MAX_LISTED_FILMS = 50
MAX_SAMPLED_FILMS = 8
# Longer films are left out: their manifests take tens of milliseconds to check, in which no ping is timed.
MAX_SAMPLED_CHUNKS = 2000
MAX_SAMPLED_BYTES = 4 * 1024 * 1024
_THREAD_NAME = "directory"


def wait_sec(failures: int, rng: random.Random) -> float:
    """Return how long to wait for the next question, after so many failures in a row."""
    length_sec = min(ASK_SEC, RETRY_BASE_SEC * 2.0 ** (failures - 1)) if failures else ASK_SEC
    return length_sec * rng.uniform(1 - JITTER_RATIO, 1 + JITTER_RATIO)


def chunk_samples(catalog: Catalog, node_urls: tuple[str, ...]) -> dict[str, str]:
    """Return the URL of one chunk or fragment for as many nodes as a few films tell; raise CatalogError."""
    # Imported here: checking manifests takes a large package that pings can do without.
    from common.manifest import parse_manifest
    from common.units import node_of

    missing = set(node_urls)
    samples: dict[str, str] = {}
    films = [f for f in catalog.videos(limit=MAX_LISTED_FILMS) if f.status in ("active", "")]
    short = [film for film in films if 0 < film.total_chunks <= MAX_SAMPLED_CHUNKS]
    for film in short[:MAX_SAMPLED_FILMS]:
        try:
            raw = catalog.manifest_json(film.video_id, max_bytes=MAX_SAMPLED_BYTES)
            chunks = parse_manifest(raw, video_id=film.video_id).chunks
        except CatalogError as error:
            logger.debug("film gives no samples video_id=%s: %s", film.video_id, error)
            continue
        for chunk in chunks:
            fragments = (replica for f in chunk.fragments for replica in f.replicas)
            for replica in (*chunk.replicas, *fragments):
                samples.setdefault(node_of(replica.url), replica.url)
        if not missing.difference(samples):
            break
    return samples


class Directory:
    """The thread. What it learns it tells by the two functions, called in the thread; they must only hand it on.

    It is a daemon: a metadata service that hangs must not keep the process from ending.
    """

    def __init__(
        self,
        metadata_url: str,
        *,
        timeout_sec: float,
        rng: random.Random,
        on_nodes: Callable[[tuple[str, ...]], None],
        on_samples: Callable[[dict[str, str]], None],
    ) -> None:
        self._metadata_url = metadata_url
        self._timeout_sec = timeout_sec
        self._rng = rng
        self._on_nodes = on_nodes
        self._on_samples = on_samples
        self._stop = threading.Event()
        self._answers: bool | None = None
        self._sampled_for: tuple[str, ...] = ()
        self._sampled_sec: float | None = None
        self._thread = threading.Thread(target=self._run, name=_THREAD_NAME, daemon=True)

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def request_stop(self) -> None:
        """Ask no more; returns at once."""
        self._stop.set()

    def join(self, timeout_sec: float) -> bool:
        """Wait for the thread after `request_stop`; False when it still waits for an answer."""
        self._thread.join(timeout_sec)
        return not self._thread.is_alive()

    def _run(self) -> None:
        if self._stop.wait(FIRST_ASK_SEC):
            return
        # Imported here: requests is slow to import, and the first pings need not wait for it.
        from common.catalog import Catalog

        catalog = Catalog(self._metadata_url, timeout_sec=self._timeout_sec)
        failures = 0
        try:
            while True:
                failures = 0 if self._ask(catalog) else failures + 1
                if self._stop.wait(wait_sec(failures, self._rng)):
                    return
        finally:
            catalog.close()

    def _ask(self, catalog: Catalog) -> bool:
        try:
            node_urls = catalog.healthy_nodes()
            self._say_answers(len(node_urls))
            if not self._stop.is_set():
                self._on_nodes(node_urls)
            self._sample(catalog, node_urls)
        except CatalogError as error:
            if self._answers is not False:
                self._answers = False
                logger.info("nodes are learned from sessions alone: %s", error)
            return False
        except Exception:
            logger.exception("asking the metadata service failed")
            return False
        return True

    def _say_answers(self, nodes: int) -> None:
        if not self._answers:
            self._answers = True
            logger.info("metadata service lists nodes url=%s nodes=%d", self._metadata_url, nodes)

    def _sample(self, catalog: Catalog, node_urls: tuple[str, ...]) -> None:
        now_sec = time.monotonic()
        if self._sampled_sec is not None and node_urls:
            changed = set(node_urls) != set(self._sampled_for)
            gap_sec = SAMPLE_CHANGED_SEC if changed else SAMPLE_SEC
            if now_sec - self._sampled_sec < gap_sec:
                return
        if not node_urls or self._stop.is_set():
            return
        samples = chunk_samples(catalog, node_urls)
        if samples:
            # Without any film it is looked again the next time.
            self._sampled_for, self._sampled_sec = node_urls, now_sec
            self._on_samples(samples)
