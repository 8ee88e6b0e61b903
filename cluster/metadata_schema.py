"""The metadata service's tables and the values its store takes."""

from dataclasses import dataclass

SCHEMA_VERSION = 1

# Copies refer to a node by its id, so that a node may come back on another address. `node_url` is
# only used for a copy on an address that no registered node has.
SCHEMA = """
CREATE TABLE nodes (
    node_id TEXT PRIMARY KEY,
    node_url TEXT,
    version TEXT NOT NULL,
    disk_usage_percent REAL NOT NULL DEFAULT 0,
    chunk_count INTEGER NOT NULL DEFAULT 0,
    last_heartbeat_unix_sec REAL NOT NULL
);
CREATE TABLE videos (
    video_id TEXT PRIMARY KEY,
    title TEXT NOT NULL,
    duration_sec REAL NOT NULL,
    chunk_duration_sec REAL NOT NULL,
    status TEXT NOT NULL,
    created_unix_sec REAL NOT NULL,
    view_count INTEGER NOT NULL DEFAULT 0,
    last_viewed_unix_sec REAL
);
CREATE TABLE chunks (
    chunk_id TEXT PRIMARY KEY,
    video_id TEXT NOT NULL REFERENCES videos ON DELETE CASCADE,
    sequence_num INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    checksum TEXT NOT NULL,
    redundancy_mode TEXT NOT NULL,
    UNIQUE (video_id, sequence_num)
);
CREATE TABLE copies (
    object_id TEXT NOT NULL,
    chunk_id TEXT NOT NULL REFERENCES chunks ON DELETE CASCADE,
    place INTEGER NOT NULL,
    fragment_index INTEGER,
    node_id TEXT,
    node_url TEXT,
    size_bytes INTEGER NOT NULL,
    checksum TEXT NOT NULL,
    PRIMARY KEY (chunk_id, place)
) WITHOUT ROWID;
"""


class SchemaError(Exception):
    """The database was written by a newer version."""


class ConflictError(Exception):
    """The id or place is taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """One stored object of a chunk: a replica (no index) or a fragment."""

    object_id: str
    fragment_index: int | None
    node_url: str
    size_bytes: int
    checksum: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkCommit:
    """A chunk that has been stored, as its uploader reports it."""

    chunk_id: str
    video_id: str
    sequence_num: int
    size_bytes: int
    checksum: str
    redundancy_mode: str
    copies: tuple[Copy, ...]
