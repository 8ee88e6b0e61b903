"""Downloads as they were asked for, checked."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from common.errors import ConfigError
from common.manifest import MAX_CHUNK_BYTES, check_node_url, chunk_url, parse_checksum
from common.messages import ChunkSpec, Replica
from scheduler.chunk_facts import ChunkFacts

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Order:
    """One chunk to download, checked; `size_bytes` 0 and an empty checksum are to be asked for."""

    chunk_id: str
    node_urls: tuple[str, ...]
    size_bytes: int
    checksum_sha256: str

    @property
    def complete(self) -> bool:
        return bool(self.size_bytes and self.checksum_sha256)

    def facts(self, told: ChunkFacts) -> ChunkFacts:
        """Return what the caller said, filled up with what a replica told."""
        checksum = self.checksum_sha256
        if not checksum and self.size_bytes in (0, told.size_bytes):
            checksum = told.checksum_sha256
        return ChunkFacts(self.size_bytes or told.size_bytes, checksum)

    def urls(self) -> list[str]:
        return [chunk_url(node_url, self.chunk_id) for node_url in self.node_urls]

    def spec(self, number: int, facts: ChunkFacts, node_urls: Sequence[str]) -> ChunkSpec:
        """Return what the planner needs to fetch the chunk from these of its nodes."""
        return ChunkSpec(
            chunk_id=self.chunk_id,
            sequence_num=number,
            size_bytes=facts.size_bytes,
            checksum_sha256=facts.checksum_sha256,
            replicas=tuple(Replica(url=chunk_url(n, self.chunk_id)) for n in node_urls),
        )


def order_from(chunk: Mapping[str, Any]) -> Order:
    try:
        chunk_id, replicas = chunk["chunk_id"], chunk["replicas"]
    except (KeyError, TypeError) as error:
        raise ConfigError(
            f"chunks_to_download: {chunk!r} has no 'chunk_id' or no 'replicas'"
        ) from error
    return order_of(chunk_id, replicas, chunk.get("size_bytes"), chunk.get("checksum"))


def order_of(
    chunk_id: Any, replicas: Iterable[str], size_bytes: int | None, checksum: str | None
) -> Order:
    """Check the arguments of a download; replicas that are no URL of a node are left out."""
    if not isinstance(chunk_id, str) or not chunk_id:
        raise ConfigError(f"chunk_id: {chunk_id!r} is not a non-empty text")
    if isinstance(replicas, str | bytes):
        raise ConfigError(f"available_replicas: {replicas!r} is one text, not a list of URLs")
    if size_bytes is not None and not 1 <= size_bytes <= MAX_CHUNK_BYTES:
        raise ConfigError(f"size_bytes: {size_bytes!r} is not 1 to {MAX_CHUNK_BYTES}")
    try:
        checksum_sha256 = parse_checksum(checksum) if checksum else ""
    except ValueError as error:
        raise ConfigError(f"checksum: {error}") from error
    usable: list[str] = []
    for node_url in dict.fromkeys(replicas):
        try:
            check_node_url(node_url)
        except ValueError as error:
            logger.warning("replica left out chunk_id=%s reason=%s", chunk_id, error)
            continue
        usable.append(node_url)
    return Order(chunk_id, tuple(usable), size_bytes or 0, checksum_sha256)
