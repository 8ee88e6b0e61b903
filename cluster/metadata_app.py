"""The metadata service's HTTP interface (Flask)."""

import sqlite3
import time
from collections import defaultdict
from datetime import UTC, datetime
from uuid import uuid4

from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import HTTPException

from cluster import metadata_fields as fields
from cluster.metadata_schema import ConflictError
from cluster.metadata_store import MetadataStore

# A node counts as healthy for this long after its last heartbeat.
_HEALTHY_SEC = 15.0
_MAX_BODY_BYTES = 1024 * 1024
_CHUNK_DURATION_SEC = 10.0

_Reply = Response | tuple[Response, int]


def create_app(store: MetadataStore) -> Flask:
    """Build the application on an open store."""
    app = Flask("cluster.metadata")
    app.config["MAX_CONTENT_LENGTH"] = _MAX_BODY_BYTES
    _add_errors(app)
    _add_video_routes(app, store)
    _add_node_routes(app, store)
    return app


def _add_errors(app: Flask) -> None:
    @app.errorhandler(fields.FieldError)
    def bad_field(error: fields.FieldError) -> _Reply:
        return _detail(400, str(error))

    @app.errorhandler(ConflictError)
    def conflict(error: ConflictError) -> _Reply:
        return _detail(409, str(error))

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> _Reply:
        return _detail(error.code or 500, error.description or error.name)


def _add_video_routes(app: Flask, store: MetadataStore) -> None:
    @app.get("/manifest/<video_id>")
    def manifest(video_id: str) -> _Reply:
        video = store.find_video(video_id)
        if video is None or video["status"] != "active":
            return _detail(404, "Video not found")
        chunks = _chunks_of(store, video_id)
        return jsonify(
            {
                **_video_fields(video),
                "chunk_duration_sec": _whole(video["chunk_duration_sec"]),
                "chunks": chunks,
            }
        )

    @app.get("/videos")
    def videos() -> _Reply:
        limit = _query_count("limit", 100, low=1, high=1000)
        offset = _query_count("offset", 0, low=0, high=1_000_000_000)
        return jsonify([_video_fields(video) for video in store.list_videos(limit, offset)])

    @app.post("/video")
    def add_video() -> _Reply:
        body = _body()
        video_id = fields.id_field(body, "video_id") if "video_id" in body else uuid4().hex
        chunk_duration_sec = fields.number_field(
            body, "chunk_duration_sec", low=0.001, high=3600, default=_CHUNK_DURATION_SEC
        )
        store.add_video(
            video_id,
            fields.text_field(body, "title"),
            duration_sec=fields.duration_field(body, "duration_sec"),
            chunk_duration_sec=chunk_duration_sec,
            now_unix_sec=time.time(),
        )
        return jsonify({"video_id": video_id, "upload_url": f"/upload/{video_id}"})

    @app.patch("/video/<video_id>/status")
    def set_status(video_id: str) -> _Reply:
        body = _body()
        status = fields.status_field(body)
        given = "duration_sec" in body
        duration_sec = fields.duration_field(body, "duration_sec") if given else None
        if not store.set_status(video_id, status, duration_sec):
            return _detail(404, "Video not found")
        return jsonify({"video_id": video_id, "status": status})

    @app.delete("/video/<video_id>")
    def delete_video(video_id: str) -> _Reply:
        copies = store.delete_video(video_id)
        if copies is None:
            return _detail(404, "Video not found")
        objects = [{"object_id": row["object_id"], "node_url": row["node_url"]} for row in copies]
        return jsonify({"video_id": video_id, "status": "deleted", "objects": objects})

    @app.post("/chunk/<chunk_id>/commit")
    def commit_chunk(chunk_id: str) -> _Reply:
        commit = fields.commit_from(chunk_id, _body())
        try:
            store.commit_chunk(commit)
        except KeyError:
            return _detail(404, "Video not found")
        nodes = [copy.node_url for copy in commit.copies]
        message = f"Chunk committed on {len(nodes)} nodes"
        return jsonify({"success": True, "committed_nodes": nodes, "message": message})

    @app.post("/video/<video_id>/view")
    def count_view(video_id: str) -> _Reply:
        if not store.count_view(video_id, time.time()):
            return _detail(404, "Video not found")
        return popularity(video_id)

    @app.get("/video/<video_id>/popularity")
    def popularity(video_id: str) -> _Reply:
        video = store.find_video(video_id)
        if video is None or video["status"] == "deleted":
            return _detail(404, "Video not found")
        viewed = video["last_viewed_unix_sec"]
        return jsonify(
            {
                "video_id": video_id,
                "view_count": video["view_count"],
                "last_viewed": None if viewed is None else _iso(viewed),
            }
        )


def _add_node_routes(app: Flask, store: MetadataStore) -> None:
    @app.get("/health")
    def health() -> _Reply:
        nodes = _nodes(store)
        healthy = sum(node["status"] == "healthy" for node in nodes)
        body = {
            "status": "healthy" if healthy else "unhealthy",
            "service": "metadata-service",
            "healthy_nodes": healthy,
            "total_nodes": len(nodes),
            "database_status": "healthy",
        }
        return jsonify(body), 200 if healthy else 503

    @app.get("/nodes/healthy")
    def healthy_nodes() -> _Reply:
        return jsonify([node for node in _nodes(store) if node["status"] == "healthy"])

    @app.get("/nodes/all")
    def all_nodes() -> _Reply:
        return jsonify(_nodes(store))

    @app.get("/nodes/health-summary")
    def health_summary() -> _Reply:
        nodes = _nodes(store)
        healthy = sum(node["status"] == "healthy" for node in nodes)
        return jsonify(
            {
                "total_nodes": len(nodes),
                "healthy_nodes": healthy,
                "unhealthy_nodes": len(nodes) - healthy,
                "nodes": {node["node_id"]: node["status"] for node in nodes},
            }
        )

    @app.get("/stats")
    def stats() -> _Reply:
        nodes = _nodes(store)
        healthy = sum(node["status"] == "healthy" for node in nodes)
        totals = store.totals()
        return jsonify(
            {
                "total_videos": totals["active_videos"] + totals["uploading_videos"],
                **{key: totals[key] for key in totals.keys()},  # noqa: SIM118 - a Row has values
                "total_nodes": len(nodes),
                "healthy_nodes": healthy,
            }
        )

    @app.post("/nodes/register")
    def register() -> _Reply:
        body = _body()
        version = fields.text_field(body, "version", longest=64) if "version" in body else ""
        node_id = fields.id_field(body, "node_id")
        store.register_node(node_id, fields.url_field(body, "node_url"), version, time.time())
        return jsonify({"status": "registered"})

    @app.post("/nodes/<node_id>/heartbeat")
    def heartbeat(node_id: str) -> _Reply:
        body = _body()
        known = store.beat_node(
            node_id,
            disk_usage_percent=fields.number_field(body, "disk_usage_percent", low=0, high=100),
            chunk_count=fields.count_field(body, "chunk_count", high=1_000_000_000),
            version=fields.text_field(body, "version", longest=64) if "version" in body else None,
            now_unix_sec=time.time(),
        )
        return jsonify({"status": "ok"}) if known else _detail(404, "Node not found")


def _chunks_of(store: MetadataStore, video_id: str) -> list[dict[str, object]]:
    copies: defaultdict[str, list[sqlite3.Row]] = defaultdict(list)
    for copy in store.list_copies(video_id):
        copies[copy["chunk_id"]].append(copy)
    return [_chunk_fields(row, copies[row["chunk_id"]]) for row in store.list_chunks(video_id)]


def _chunk_fields(row: sqlite3.Row, copies: list[sqlite3.Row]) -> dict[str, object]:
    is_coded = row["redundancy_mode"] == "erasure_coding"
    fragments = [
        {
            "fragment_id": copy["object_id"],
            "chunk_id": copy["chunk_id"],
            "fragment_index": copy["fragment_index"],
            "node_url": copy["url"],
            "size_bytes": copy["size_bytes"],
            "checksum": copy["checksum"],
            "status": "active",
        }
        for copy in copies
        if copy["fragment_index"] is not None
    ]
    return {
        "chunk_id": row["chunk_id"],
        "sequence_num": row["sequence_num"],
        "size_bytes": row["size_bytes"],
        "checksum": row["checksum"],
        "replicas": [copy["url"] for copy in copies if copy["fragment_index"] is None],
        "redundancy_mode": row["redundancy_mode"],
        "fragments": fragments if is_coded else None,
    }


def _video_fields(video: sqlite3.Row) -> dict[str, object]:
    return {
        "video_id": video["video_id"],
        "title": video["title"],
        "duration_sec": round(video["duration_sec"]),
        "total_chunks": video["total_chunks"],
        "chunk_size_bytes": video["chunk_size_bytes"],
        "created_at": _iso(video["created_unix_sec"]),
        "status": video["status"],
    }


def _nodes(store: MetadataStore) -> list[dict[str, object]]:
    oldest_unix_sec = time.time() - _HEALTHY_SEC
    return [
        {
            "node_url": node["node_url"],
            "node_id": node["node_id"],
            "last_heartbeat": _iso(node["last_heartbeat_unix_sec"]),
            "disk_usage_percent": node["disk_usage_percent"],
            "chunk_count": node["chunk_count"],
            "status": (
                "healthy" if node["last_heartbeat_unix_sec"] >= oldest_unix_sec else "unhealthy"
            ),
            "version": node["version"],
        }
        for node in store.list_nodes()
        if node["node_url"] is not None
    ]


def _body() -> dict[str, object]:
    body = request.get_json(force=True, silent=True)
    if not isinstance(body, dict):
        raise fields.FieldError("body must be a JSON object")
    return body


def _query_count(name: str, default: int, *, low: int, high: int) -> int:
    text = request.args.get(name, str(default))
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 12 else -1
    return fields.count_field({name: number}, name, low=low, high=high)


def _detail(status: int, text: str) -> _Reply:
    return jsonify({"detail": text}), status


def _iso(unix_sec: float) -> str:
    return datetime.fromtimestamp(unix_sec, UTC).isoformat()


def _whole(number: float) -> float | int:
    return int(number) if number == int(number) else number
