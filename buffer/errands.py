"""What the buffer asks of the metadata service, in threads of its own."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from common.catalog import Catalog
from common.errors import CatalogError
from common.manifest import Manifest, parse_manifest

logger = logging.getLogger(__name__)

# A slow service must not keep another session from starting.
THREADS = 4


class Errands:
    """Runs blocking work beside the loop; results come back through `call_soon`."""

    def __init__(
        self, *, timeout_sec: float, call_soon: Callable[[Callable[[], None]], None]
    ) -> None:
        self._timeout_sec = timeout_sec
        self._call_soon = call_soon
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="errand")

    def submit(self, work: Callable[[], None]) -> None:
        """Run `work` in a thread."""
        self._pool.submit(work)

    def stop(self) -> None:
        """Start nothing more; what runs ends with its request's timeout."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def fetch_manifest(self, metadata_url: str, video_id: str) -> bytes:
        """Return a manifest as sent. Blocking; raises CatalogError."""
        catalog = Catalog(metadata_url, timeout_sec=self._timeout_sec)
        try:
            return catalog.manifest_json(video_id)
        finally:
            catalog.close()

    def refresh(self, metadata_url: str, old: Manifest, fresh: Callable[[Manifest], None]) -> None:
        """Fetch a manifest again; a service that is down changes nothing."""

        def fetch() -> None:
            try:
                manifest = parse_manifest(
                    self.fetch_manifest(metadata_url, old.video_id),
                    video_id=old.video_id,
                    fallback_chunk_duration_sec=old.chunk_duration_sec,
                )
            except CatalogError as error:
                logger.info("no fresh replicas video_id=%s error=%s", old.video_id, error)
                return
            self._call_soon(lambda: fresh(manifest))

        self.submit(fetch)

    def count_view(self, metadata_url: str, video_id: str) -> None:
        """Tell the service that somebody watches; it may not care."""

        def post() -> None:
            catalog = Catalog(metadata_url, timeout_sec=self._timeout_sec)
            try:
                catalog.post_view(video_id)
            except CatalogError as error:
                logger.info("view not counted video_id=%s error=%s", video_id, error)
            finally:
                catalog.close()

        self.submit(post)
