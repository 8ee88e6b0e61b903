"""The manifest of a video: validated once, then trusted.

No I/O, no clock, no randomness. Sizes are bounded before anything is allocated for them.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from common.errors import CatalogError
from common.messages import ChunkSpec, FragmentSpec, Replica

# Whoever has a manifest mostly has its nodes: their URLs' functions are exported from here as well.
from common.node_urls import check_node_url as check_node_url, chunk_url as chunk_url
from common.units import node_of

# A chunk lives in memory while it is assembled; the store's own limit is 2 MiB + 1 KiB, other stores may allow more.
MAX_CHUNK_BYTES = 64 * 1024 * 1024
MAX_CHUNKS = 200_000
MAX_REPLICAS = 64
MAX_MANIFEST_BYTES = 256 * 1024 * 1024
_SHA256 = re.compile(r"(?:sha256:)?([0-9a-fA-F]{64})")

ChunkId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Size = Annotated[int, Field(gt=0, le=MAX_CHUNK_BYTES, strict=True)]


def parse_checksum(text: str) -> str:
    """Return 64 lower-case hex digits from `HEX` or `sha256:HEX`; raise ValueError otherwise."""
    found = _SHA256.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:80]!r} is no sha256 (64 hex digits, optionally after 'sha256:')")
    return found.group(1).lower()


class _Fragment(BaseModel):
    model_config = ConfigDict(extra="ignore")
    fragment_id: ChunkId
    fragment_index: Annotated[int, Field(ge=0, le=4, strict=True)]
    node_url: str
    size_bytes: Size
    checksum: str

    _node = field_validator("node_url")(check_node_url)
    _checksum = field_validator("checksum")(parse_checksum)


class _Chunk(BaseModel):
    model_config = ConfigDict(extra="ignore")
    chunk_id: ChunkId
    sequence_num: Annotated[int, Field(ge=0, le=MAX_CHUNKS, strict=True)]
    size_bytes: Size
    checksum: str
    replicas: Annotated[list[str], Field(max_length=MAX_REPLICAS)] = []
    redundancy_mode: Literal["replication", "erasure_coding"] = "replication"
    fragments: Annotated[list[_Fragment], Field(max_length=5 * MAX_REPLICAS)] | None = None

    _checksum = field_validator("checksum")(parse_checksum)

    @field_validator("replicas")
    @classmethod
    def _replica_urls(cls, urls: list[str]) -> list[str]:
        return list(dict.fromkeys(check_node_url(url) for url in urls))

    def to_spec(self) -> ChunkSpec:
        fragments: dict[int, FragmentSpec] = {}
        for f in self.fragments or [] if self.redundancy_mode == "erasure_coding" else []:
            known = fragments.get(f.fragment_index)
            if known and (known.size_bytes, known.checksum_sha256) != (f.size_bytes, f.checksum):
                raise ValueError(
                    f"chunk {self.chunk_id}: two different fragments {f.fragment_index}"
                )
            expected = -(-self.size_bytes // 3)
            if f.size_bytes != expected:
                raise ValueError(
                    f"chunk {self.chunk_id}: fragment {f.fragment_index} has {f.size_bytes} bytes, "
                    f"a third of {self.size_bytes} is {expected}"
                )
            here = Replica(url=chunk_url(f.node_url, f.fragment_id))
            fragments[f.fragment_index] = FragmentSpec(
                fragment_index=f.fragment_index,
                size_bytes=f.size_bytes,
                checksum_sha256=f.checksum,
                replicas=(*(known.replicas if known else ()), here),
            )
        if self.redundancy_mode == "erasure_coding" and len(fragments) < 3:
            raise ValueError(
                f"chunk {self.chunk_id}: {len(fragments)} fragments listed, 3 are needed to decode"
            )
        return ChunkSpec(
            chunk_id=self.chunk_id,
            sequence_num=self.sequence_num,
            size_bytes=self.size_bytes,
            checksum_sha256=self.checksum,
            replicas=tuple(Replica(url=chunk_url(base, self.chunk_id)) for base in self.replicas),
            fragments=tuple(fragments[i] for i in sorted(fragments)),
        )


class _ManifestBody(BaseModel):
    model_config = ConfigDict(extra="ignore")
    video_id: ChunkId
    title: Annotated[str, Field(max_length=1000)] = ""
    duration_sec: Annotated[float, Field(ge=0, le=1e8)] = 0.0
    total_chunks: Annotated[int, Field(ge=0, le=MAX_CHUNKS, strict=True)]
    chunk_duration_sec: Annotated[float, Field(gt=0, le=3600)] | None = None
    chunks: Annotated[list[_Chunk], Field(max_length=MAX_CHUNKS)]


class Manifest:
    """A validated manifest: chunks in playing order, sequence numbers 0..n-1 without a gap."""

    __slots__ = (
        *("_holders", "_node_urls", "_places"),
        *("chunk_duration_sec", "chunks", "duration_sec", "title", "video_id"),
    )

    def __init__(self, body: _ManifestBody, fallback_chunk_duration_sec: float) -> None:
        self.video_id = body.video_id
        self.title = body.title or body.video_id
        self.duration_sec = body.duration_sec
        self.chunk_duration_sec = body.chunk_duration_sec or fallback_chunk_duration_sec
        self.chunks = tuple(
            chunk.to_spec() for chunk in sorted(body.chunks, key=lambda c: c.sequence_num)
        )
        self._node_urls: tuple[str, ...] | None = None
        self._places: dict[str, int] = {}
        # By chunk: the places of the nodes that have it, and of which fragment each is. Told with every chunk map.
        self._holders: dict[int, tuple[tuple[int, ...], tuple[int, ...]]] = {}

    @property
    def size_bytes(self) -> int:
        """Sum of the chunks' sizes."""
        return sum(chunk.size_bytes for chunk in self.chunks)

    def node_urls(self) -> tuple[str, ...]:
        """Return every node named, each once, in order of appearance."""
        if self._node_urls is None:
            # Asked with every status of a session, and a film may name a million replicas.
            urls = (
                replica.url
                for chunk in self.chunks
                for replica in (*chunk.replicas, *(r for f in chunk.fragments for r in f.replicas))
            )
            self._node_urls = tuple(dict.fromkeys(node_of(url) for url in urls))
            self._places = {url: place for place, url in enumerate(self._node_urls)}
        return self._node_urls

    def holders(self, sequence_num: int) -> tuple[int, ...]:
        """Return the nodes that have a chunk or a fragment of it, as places in `node_urls`."""
        return self._held(sequence_num)[0]

    def holders_parts(self, sequence_num: int) -> tuple[int, ...]:
        """Return which fragment each of the `holders` has; nothing for a chunk that lies whole."""
        return self._held(sequence_num)[1]

    def _held(self, sequence_num: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        found = self._holders.get(sequence_num)
        if found is None:
            self.node_urls()
            chunk = self.chunks[sequence_num]
            places = [self._places[node_of(r.url)] for r in chunk.replicas]
            parts: list[int] = []
            if chunk.fragments:
                pairs = [(r, f.fragment_index) for f in chunk.fragments for r in f.replicas]
                places = [self._places[node_of(replica.url)] for replica, _ in pairs]
                parts = [index for _, index in pairs]
            found = self._holders[sequence_num] = tuple(places), tuple(parts)
        return found


def parse_manifest(
    raw: bytes, *, video_id: str, fallback_chunk_duration_sec: float = 10.0
) -> Manifest:
    """Return the manifest in `raw`; raise CatalogError (fault `invalid`) naming the field that is wrong.

    A chunk may have no replica (none is known yet); a video must have chunks.
    """

    def refuse(why: str) -> CatalogError:
        return CatalogError(f"manifest of {video_id}: {why}", fault="invalid")

    if len(raw) > MAX_MANIFEST_BYTES:
        raise refuse(f"{len(raw)} bytes, at most {MAX_MANIFEST_BYTES} are accepted")
    try:
        body = _ManifestBody.model_validate_json(raw)
    except ValidationError as error:
        raise refuse(_explain(error)) from error
    if body.video_id != video_id:
        raise refuse(f"video_id: it is for {body.video_id!r}")
    if not body.chunks:
        raise refuse("chunks: the video has none")
    if len(body.chunks) != body.total_chunks:
        raise refuse(
            f"total_chunks: says {body.total_chunks}, {len(body.chunks)} chunks are listed"
        )
    _check_order(body.chunks, refuse)
    try:
        return Manifest(body, fallback_chunk_duration_sec)
    except ValueError as error:
        raise refuse(str(error)) from error


def _check_order(chunks: list[_Chunk], refuse: Any) -> None:
    numbers: set[int] = set()
    names: set[str] = set()
    for chunk in chunks:
        if chunk.sequence_num in numbers:
            raise refuse(f"chunks: sequence_num {chunk.sequence_num} stands twice")
        if chunk.chunk_id in names:
            raise refuse(f"chunks: chunk_id {chunk.chunk_id} stands twice")
        numbers.add(chunk.sequence_num)
        names.add(chunk.chunk_id)
    missing = next(i for i in range(len(chunks) + 1) if i not in numbers)
    if missing < len(chunks):
        raise refuse(f"chunks: sequence_num {missing} is missing")


def _explain(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=True)[0]
    if first["type"] == "json_invalid":
        return f"not JSON: {first['ctx']['error']}"
    path = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in first["loc"]).lstrip(".")
    shown = "" if first["type"] == "missing" else f" (got {str(first.get('input'))[:60]!r})"
    return f"{path or 'body'}: {first['msg']}{shown}"
