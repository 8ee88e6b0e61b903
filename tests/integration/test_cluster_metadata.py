"""The metadata service: manifests, lists, commits, nodes, and what it refuses."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster import EmbeddedCluster
from cluster.client import Answer, call
from cluster.metadata_schema import SCHEMA_VERSION
from cluster.state import ClusterError

pytestmark = pytest.mark.timeout(30)

SHA256 = "ab" * 32


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedCluster]:
    with EmbeddedCluster(nodes=2, data=tmp_path_factory.mktemp("metadata")) as started:
        yield started


@pytest.fixture
def url(cluster: EmbeddedCluster) -> str:
    return cluster.metadata_url


def post_video(url: str, video_id: str, **fields: object) -> Answer:
    body = {"title": "A film", "duration_sec": 19.6, "video_id": video_id, **fields}
    return call("POST", f"{url}/video", json_body=body)


def a_commit(cluster: EmbeddedCluster, video_id: str, number: int = 0) -> dict[str, object]:
    return {
        "node_urls": cluster.node_urls,
        "checksum": SHA256,
        "size_bytes": 1234,
        "video_id": video_id,
        "sequence_num": number,
        "redundancy_mode": "replication",
        "fragments_metadata": None,
    }


def commit(cluster: EmbeddedCluster, body: dict[str, object], chunk_id: str = "") -> Answer:
    chunk_id = chunk_id or f"{body['video_id']}-chunk-{body['sequence_num']:03d}"
    return call("POST", f"{cluster.metadata_url}/chunk/{chunk_id}/commit", json_body=body)


def set_status(url: str, video_id: str, status: str) -> Answer:
    return call("PATCH", f"{url}/video/{video_id}/status", json_body={"status": status})


def test_health_counts_nodes(url: str) -> None:
    assert call("GET", f"{url}/health").json() == {
        "status": "healthy",
        "service": "metadata-service",
        "healthy_nodes": 2,
        "total_nodes": 2,
        "database_status": "healthy",
    }


def test_a_manifest_appears_with_the_status_active_and_goes_with_deleted(
    cluster: EmbeddedCluster, url: str
) -> None:
    assert post_video(url, "life").status == 200
    assert commit(cluster, a_commit(cluster, "life")).json()["success"] is True
    hidden = call("GET", f"{url}/manifest/life")
    assert (hidden.status, hidden.json()) == (404, {"detail": "Video not found"})
    assert set_status(url, "life", "active").status == 200
    manifest = call("GET", f"{url}/manifest/life").json()
    created_at = manifest.pop("created_at")
    assert "T" in created_at
    assert manifest == {
        "video_id": "life",
        "title": "A film",
        "duration_sec": 20,
        "total_chunks": 1,
        "chunk_duration_sec": 10,
        "chunk_size_bytes": 1234,
        "status": "active",
        "chunks": [
            {
                "chunk_id": "life-chunk-000",
                "sequence_num": 0,
                "size_bytes": 1234,
                "checksum": SHA256,
                "replicas": cluster.node_urls,
                "redundancy_mode": "replication",
                "fragments": None,
            }
        ],
    }
    assert set_status(url, "life", "deleted").status == 200
    assert call("GET", f"{url}/manifest/life").status == 404
    assert post_video(url, "life").status == 200, "the id of a deleted video is free"


def test_fragments_are_listed_with_their_nodes(cluster: EmbeddedCluster, url: str) -> None:
    post_video(url, "coded")
    rows = [
        {
            "fragment_id": f"coded-chunk-000-f{index}",
            "fragment_index": index,
            "node_url": f"http://10.0.0.{index}:8081/",
            "size_bytes": 412,
            "checksum": f"sha256:{SHA256}",
        }
        for index in range(5)
    ]
    body = a_commit(cluster, "coded") | {
        "node_urls": [],
        "redundancy_mode": "erasure_coding",
        "fragments_metadata": rows,
    }
    assert commit(cluster, body).status == 200
    set_status(url, "coded", "active")
    (chunk,) = call("GET", f"{url}/manifest/coded").json()["chunks"]
    assert chunk["replicas"] == []
    assert chunk["fragments"][3] == {
        "fragment_id": "coded-chunk-000-f3",
        "chunk_id": "coded-chunk-000",
        "fragment_index": 3,
        "node_url": "http://10.0.0.3:8081",
        "size_bytes": 412,
        "checksum": SHA256,
        "status": "active",
    }


def test_chunks_come_in_order_whatever_the_order_of_commits(
    cluster: EmbeddedCluster, url: str
) -> None:
    post_video(url, "order", chunk_duration_sec=4)
    for number in (2, 0, 1):
        commit(cluster, a_commit(cluster, "order", number))
    set_status(url, "order", "active")
    manifest = call("GET", f"{url}/manifest/order").json()
    assert [chunk["sequence_num"] for chunk in manifest["chunks"]] == [0, 1, 2]
    assert (manifest["total_chunks"], manifest["chunk_duration_sec"]) == (3, 4)


def test_a_second_commit_replaces_the_places(cluster: EmbeddedCluster, url: str) -> None:
    post_video(url, "again")
    commit(cluster, a_commit(cluster, "again"))
    commit(cluster, a_commit(cluster, "again") | {"node_urls": cluster.node_urls[:1]})
    set_status(url, "again", "active")
    (chunk,) = call("GET", f"{url}/manifest/again").json()["chunks"]
    assert chunk["replicas"] == cluster.node_urls[:1]


def test_ids_and_places_cannot_be_taken_twice(cluster: EmbeddedCluster, url: str) -> None:
    post_video(url, "one")
    post_video(url, "two")
    assert post_video(url, "one").status == 409
    commit(cluster, a_commit(cluster, "one"))
    assert commit(cluster, a_commit(cluster, "one"), "other-id").status == 409
    assert commit(cluster, a_commit(cluster, "two"), "one-chunk-000").status == 409


def test_delete_tells_what_was_stored(cluster: EmbeddedCluster, url: str) -> None:
    post_video(url, "gone")
    commit(cluster, a_commit(cluster, "gone"))
    objects = call("DELETE", f"{url}/video/gone").json()["objects"]
    assert [(row["object_id"], row["node_url"]) for row in objects] == [
        ("gone-chunk-000", node_url) for node_url in cluster.node_urls
    ]
    assert call("DELETE", f"{url}/video/gone").status == 404


def test_videos_are_listed_in_pages(url: str) -> None:
    for number in range(3):
        post_video(url, f"page-{number}")
    everything = call("GET", f"{url}/videos").json()
    assert everything[0].keys() == {
        *("video_id", "title", "duration_sec", "total_chunks"),
        *("chunk_size_bytes", "created_at", "status"),
    }
    first = call("GET", f"{url}/videos?limit=2").json()
    rest = call("GET", f"{url}/videos?limit=1000&offset=2").json()
    assert first + rest == everything


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "offset=-1", "limit="])
def test_a_page_out_of_range_is_400(url: str, query: str) -> None:
    answer = call("GET", f"{url}/videos?{query}")
    assert answer.status == 400
    assert query.partition("=")[0] in answer.json()["detail"]


def test_views_are_counted(cluster: EmbeddedCluster, url: str) -> None:
    post_video(url, "seen")
    assert call("POST", f"{url}/video/seen/view").status == 404
    commit(cluster, a_commit(cluster, "seen"))
    set_status(url, "seen", "active")
    for _ in range(2):
        assert call("POST", f"{url}/video/seen/view").status == 200
    assert call("GET", f"{url}/video/seen/popularity").json()["view_count"] == 2
    assert call("GET", f"{url}/video/none/popularity").status == 404


def test_nodes_are_listed_and_summed_up(cluster: EmbeddedCluster, url: str) -> None:
    nodes = call("GET", f"{url}/nodes/healthy").json()
    assert [node["node_url"] for node in nodes] == cluster.node_urls
    assert nodes[0].keys() == {
        *("node_url", "node_id", "last_heartbeat", "disk_usage_percent"),
        *("chunk_count", "status", "version"),
    }
    assert call("GET", f"{url}/nodes/health-summary").json()["healthy_nodes"] == 2
    assert call("GET", f"{url}/stats").json()["total_nodes"] == 2


def test_a_heartbeat_of_an_unknown_node_is_404(url: str) -> None:
    beat = {"disk_usage_percent": 1.0, "chunk_count": 0, "version": "1"}
    assert call("POST", f"{url}/nodes/stranger/heartbeat", json_body=beat).status == 404


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("POST", "/video", {"duration_sec": 1}, "title"),
        ("POST", "/video", {"title": " ", "duration_sec": 1}, "title"),
        ("POST", "/video", {"title": "t"}, "duration_sec"),
        ("POST", "/video", {"title": "t", "duration_sec": "1"}, "duration_sec"),
        ("POST", "/video", {"title": "t", "duration_sec": 1, "video_id": "a/b"}, "video_id"),
        ("POST", "/video", [], "body"),
        ("PATCH", "/video/x/status", {"status": "lost"}, "status"),
        ("POST", "/nodes/register", {"node_id": "n", "node_url": "ftp://x"}, "node_url"),
        ("POST", "/nodes/n/heartbeat", {"disk_usage_percent": 101}, "disk_usage_percent"),
        ("POST", "/nodes/n/heartbeat", {"disk_usage_percent": 1}, "chunk_count"),
    ],
)
def test_a_bad_field_is_400_and_named(
    url: str, method: str, path: str, body: object, field: str
) -> None:
    answer = call(method, url + path, json_body=body)
    assert answer.status == 400
    assert answer.json()["detail"].startswith(field)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"node_urls": []}, "node_urls"),
        ({"node_urls": ["nonsense"]}, "node_urls"),
        ({"checksum": "12"}, "checksum"),
        ({"size_bytes": 0}, "size_bytes"),
        ({"size_bytes": True}, "size_bytes"),
        ({"sequence_num": -1}, "sequence_num"),
        ({"redundancy_mode": "hope"}, "redundancy_mode"),
        ({"redundancy_mode": "erasure_coding"}, "fragments_metadata"),
        (
            {"redundancy_mode": "erasure_coding", "fragments_metadata": [{"fragment_id": "f"}]},
            "fragments_metadata: fragment_index",
        ),
    ],
)
def test_a_bad_commit_is_400_and_named(
    cluster: EmbeddedCluster, change: dict[str, object], field: str
) -> None:
    answer = commit(cluster, a_commit(cluster, "any") | change, "any-chunk-000")
    assert answer.status == 400
    assert answer.json()["detail"].startswith(field)


def test_unknown_videos_and_paths_are_404(cluster: EmbeddedCluster, url: str) -> None:
    assert set_status(url, "nobody", "active").status == 404
    assert commit(cluster, a_commit(cluster, "nobody")).status == 404
    assert call("GET", f"{url}/nowhere").json()["detail"]


def test_health_is_503_without_a_healthy_node(tmp_path: Path) -> None:
    with EmbeddedCluster(nodes=1, data=tmp_path) as cluster:
        cluster.stop_node(1)
        cluster.stop_metadata()
        with sqlite3.connect(tmp_path / "metadata.sqlite3") as database:
            database.execute("UPDATE nodes SET last_heartbeat_unix_sec=0")
        database.close()
        cluster.start_metadata()
        answer = call("GET", f"{cluster.metadata_url}/health")
        assert (answer.status, answer.json()["status"]) == (503, "unhealthy")
        assert call("GET", f"{cluster.metadata_url}/nodes/healthy").json() == []


def test_a_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "metadata.sqlite3")
    database.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    database.close()
    with pytest.raises(ClusterError, match="schema version 2, newer than"):
        EmbeddedCluster(nodes=1, data=tmp_path).start()
