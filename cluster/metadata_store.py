"""The metadata service's SQLite file: videos, chunks, where they lie, nodes."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cluster.metadata_schema import SCHEMA, SCHEMA_VERSION, ChunkCommit, ConflictError, SchemaError


class MetadataStore:
    """Read and write the metadata. Safe to use from several threads: one at a time."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            self._connection.close()
            raise SchemaError(
                f"{path} has schema version {version}, newer than this program's "
                f"{SCHEMA_VERSION}: use the program that wrote it, or another data directory"
            )
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.execute("PRAGMA foreign_keys=ON")
        if version == 0:
            with self._writing():
                for statement in SCHEMA.split(";"):
                    self._connection.execute(statement)
                self._connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def add_video(
        self,
        video_id: str,
        title: str,
        *,
        duration_sec: float,
        chunk_duration_sec: float,
        now_unix_sec: float,
    ) -> None:
        """Insert a video that is being uploaded; raises ConflictError when the id is in use."""
        with self._writing():
            self._connection.execute(
                "DELETE FROM videos WHERE video_id=? AND status='deleted'", (video_id,)
            )
            try:
                self._connection.execute(
                    "INSERT INTO videos (video_id, title, duration_sec, chunk_duration_sec, status,"
                    " created_unix_sec) VALUES (?, ?, ?, ?, 'uploading', ?)",
                    (video_id, title, duration_sec, chunk_duration_sec, now_unix_sec),
                )
            except sqlite3.IntegrityError as error:
                raise ConflictError("Video id already exists") from error

    def set_status(self, video_id: str, status: str, duration_sec: float | None) -> bool:
        """Change a video's status, and its duration where given; False when it is unknown."""
        with self._writing():
            return (
                self._connection.execute(
                    "UPDATE videos SET status=?, duration_sec=COALESCE(?, duration_sec)"
                    " WHERE video_id=?",
                    (status, duration_sec, video_id),
                ).rowcount
                > 0
            )

    def delete_video(self, video_id: str) -> list[sqlite3.Row] | None:
        """Forget a video; return its copies (object_id, node_url), None when it is unknown."""
        with self._writing():
            copies = self._connection.execute(
                "SELECT p.object_id, COALESCE(n.node_url, p.node_url) AS node_url FROM copies p"
                " JOIN chunks c USING (chunk_id) LEFT JOIN nodes n ON n.node_id = p.node_id"
                " WHERE c.video_id=? ORDER BY c.sequence_num, p.place",
                (video_id,),
            ).fetchall()
            deleted = self._connection.execute("DELETE FROM videos WHERE video_id=?", (video_id,))
            return copies if deleted.rowcount else None

    def find_video(self, video_id: str) -> sqlite3.Row | None:
        """Return a video's row with its total_chunks and chunk_size_bytes (of the largest)."""
        rows = self._read(f"{_VIDEO_QUERY} WHERE v.video_id=?", video_id)
        return rows[0] if rows else None

    def list_videos(self, limit: int, offset: int) -> list[sqlite3.Row]:
        """Return the videos that are not deleted, newest first."""
        return self._read(
            f"{_VIDEO_QUERY} WHERE v.status != 'deleted'"
            " ORDER BY v.created_unix_sec DESC, v.video_id LIMIT ? OFFSET ?",
            limit,
            offset,
        )

    def list_chunks(self, video_id: str) -> list[sqlite3.Row]:
        """Return a video's chunks in order."""
        return self._read("SELECT * FROM chunks WHERE video_id=? ORDER BY sequence_num", video_id)

    def list_copies(self, video_id: str) -> list[sqlite3.Row]:
        """Return all copies of a video's chunks whose address is known, in order of place."""
        return self._read(
            "SELECT p.*, COALESCE(n.node_url, p.node_url) AS url FROM copies p"
            " JOIN chunks c USING (chunk_id) LEFT JOIN nodes n ON n.node_id = p.node_id"
            " WHERE c.video_id=? AND url IS NOT NULL ORDER BY p.chunk_id, p.place",
            video_id,
        )

    def commit_chunk(self, commit: ChunkCommit) -> None:
        """Insert or replace a chunk and its copies.

        Raises KeyError for an unknown video, ConflictError when the place or id is another's.
        """
        with self._writing():
            video = self._connection.execute(
                "SELECT 1 FROM videos WHERE video_id=? AND status != 'deleted'", (commit.video_id,)
            ).fetchone()
            if video is None:
                raise KeyError(commit.video_id)
            owner = self._connection.execute(
                "SELECT video_id FROM chunks WHERE chunk_id=?", (commit.chunk_id,)
            ).fetchone()
            if owner is not None and owner[0] != commit.video_id:
                raise ConflictError(f"chunk_id belongs to video {owner[0]}")
            self._connection.execute("DELETE FROM chunks WHERE chunk_id=?", (commit.chunk_id,))
            try:
                self._connection.execute(
                    "INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?)",
                    (
                        commit.chunk_id,
                        commit.video_id,
                        commit.sequence_num,
                        commit.size_bytes,
                        commit.checksum,
                        commit.redundancy_mode,
                    ),
                )
            except sqlite3.IntegrityError as error:
                raise ConflictError("sequence_num is taken by another chunk") from error
            for place, copy in enumerate(commit.copies):
                node = self._connection.execute(
                    "SELECT node_id FROM nodes WHERE node_url=?", (copy.node_url,)
                ).fetchone()
                self._connection.execute(
                    "INSERT INTO copies VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        copy.object_id,
                        commit.chunk_id,
                        place,
                        copy.fragment_index,
                        None if node is None else node[0],
                        copy.node_url if node is None else None,
                        copy.size_bytes,
                        copy.checksum,
                    ),
                )

    def register_node(self, node_id: str, node_url: str, version: str, now_unix_sec: float) -> None:
        """Insert a node or give it a new address; an older owner of the address loses it."""
        with self._writing():
            self._connection.execute(
                "UPDATE nodes SET node_url=NULL WHERE node_url=? AND node_id != ?",
                (node_url, node_id),
            )
            self._connection.execute(
                "INSERT INTO nodes (node_id, node_url, version, last_heartbeat_unix_sec)"
                " VALUES (?, ?, ?, ?) ON CONFLICT (node_id) DO UPDATE SET"
                " node_url=excluded.node_url, version=excluded.version,"
                " last_heartbeat_unix_sec=excluded.last_heartbeat_unix_sec",
                (node_id, node_url, version, now_unix_sec),
            )

    def beat_node(
        self,
        node_id: str,
        *,
        disk_usage_percent: float,
        chunk_count: int,
        version: str | None,
        now_unix_sec: float,
    ) -> bool:
        """Record a heartbeat; False when the node is unknown or has lost its address."""
        with self._writing():
            return (
                self._connection.execute(
                    "UPDATE nodes SET disk_usage_percent=?, chunk_count=?,"
                    " version=COALESCE(?, version), last_heartbeat_unix_sec=?"
                    " WHERE node_id=? AND node_url IS NOT NULL",
                    (disk_usage_percent, chunk_count, version, now_unix_sec, node_id),
                ).rowcount
                > 0
            )

    def list_nodes(self) -> list[sqlite3.Row]:
        """Return all nodes by id."""
        return self._read("SELECT * FROM nodes ORDER BY LENGTH(node_id), node_id")

    def count_view(self, video_id: str, now_unix_sec: float) -> bool:
        """Count one view; False when there is no such active video."""
        with self._writing():
            return (
                self._connection.execute(
                    "UPDATE videos SET view_count=view_count+1, last_viewed_unix_sec=?"
                    " WHERE video_id=? AND status='active'",
                    (now_unix_sec, video_id),
                ).rowcount
                > 0
            )

    def totals(self) -> sqlite3.Row:
        """Return the sums over everything stored."""
        return self._read(
            "SELECT (SELECT COUNT(*) FROM videos WHERE status='active') AS active_videos,"
            " (SELECT COUNT(*) FROM videos WHERE status='uploading') AS uploading_videos,"
            " (SELECT COALESCE(SUM(view_count), 0) FROM videos) AS total_views,"
            " (SELECT COUNT(*) FROM chunks) AS total_chunks,"
            " (SELECT COALESCE(SUM(size_bytes), 0) FROM chunks) AS total_chunk_bytes,"
            " (SELECT COALESCE(SUM(size_bytes), 0) FROM copies) AS total_stored_bytes"
        )[0]

    def _read(self, query: str, *values: object) -> list[sqlite3.Row]:
        with self._lock:
            return self._connection.execute(query, values).fetchall()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")


_VIDEO_QUERY = (
    "SELECT v.*, (SELECT COUNT(*) FROM chunks c WHERE c.video_id=v.video_id) AS total_chunks,"
    " (SELECT COALESCE(MAX(size_bytes), 0) FROM chunks c WHERE c.video_id=v.video_id)"
    " AS chunk_size_bytes FROM videos v"
)
