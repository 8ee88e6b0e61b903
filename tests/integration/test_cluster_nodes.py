"""Storage nodes over real sockets: chunks, ranges, limits, shaping."""

import hashlib
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from cluster import EmbeddedCluster, LinkProfile
from cluster.client import Answer, call
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(30)

CHUNK = bytes(range(256)) * 1000
SHA256 = hashlib.sha256(CHUNK).hexdigest()
MAX_CHUNK_BYTES = 2 * 1024 * 1024 + 1024


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedCluster]:
    links = [None, LinkProfile(rate_mbps=40.0, rtt_ms=30.0), "no_range=true"]
    with EmbeddedCluster(nodes=3, data=tmp_path_factory.mktemp("nodes"), links=links) as started:
        for url in started.node_urls:
            assert call("PUT", f"{url}/chunk/c", data=CHUNK).status == 201
        yield started


@pytest.fixture
def url(cluster: EmbeddedCluster) -> str:
    return cluster.node_urls[0]


def get(url: str, text: str, method: str = "GET") -> Answer:
    return call(method, f"{url}/chunk/c", headers={"Range": text})


def raw(url: str, request: bytes) -> bytes:
    """Send bytes, say no more, and return everything that comes back."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as sock:
        sock.sendall(request)
        answer = b""
        while data := sock.recv(65536):
            answer += data
        return answer


def test_ping_says_who_and_how_full(url: str) -> None:
    answer = call("HEAD", f"{url}/ping")
    assert answer.status == 200
    assert answer.headers["x-node-id"] == "node-1"
    assert answer.headers["cache-control"] == "no-cache"
    assert {"x-disk-usage-percent", "x-chunk-count", "x-response-time"} <= answer.headers.keys()


def test_health_is_complete(url: str) -> None:
    health = call("GET", f"{url}/health").json()
    assert health.keys() == {"status", "disk_usage", "chunk_count", "uptime", "node_id"}
    assert health["status"] == "healthy"


def test_a_chunk_comes_whole_with_its_checksum(url: str) -> None:
    answer = call("GET", f"{url}/chunk/c")
    assert (answer.status, answer.data) == (200, CHUNK)
    assert answer.headers["etag"] == f'"{SHA256}"'
    assert answer.headers["x-chunk-size"] == str(len(CHUNK))
    assert answer.headers["accept-ranges"] == "bytes"


def test_head_tells_the_size_without_a_body(url: str) -> None:
    answer = call("HEAD", f"{url}/chunk/c")
    assert (answer.status, answer.data) == (200, b"")
    assert answer.headers["content-length"] == str(len(CHUNK))


@pytest.mark.parametrize(
    ("text", "first", "end"),
    [("bytes=0-0", 0, 1), ("bytes=100-299", 100, 300), ("bytes=-5", 255_995, 256_000)],
)
def test_a_range_comes_alone(url: str, text: str, first: int, end: int) -> None:
    answer = get(url, text)
    assert (answer.status, answer.data) == (206, CHUNK[first:end])
    assert answer.headers["content-range"] == f"bytes {first}-{end - 1}/{len(CHUNK)}"


def test_head_of_a_range_tells_that_ranges_are_known(url: str) -> None:
    answer = get(url, "bytes=0-9", "HEAD")
    assert (answer.status, answer.headers["content-length"], answer.data) == (206, "10", b"")


def test_a_range_behind_the_end_is_416(url: str) -> None:
    answer = get(url, "bytes=256000-")
    assert (answer.status, answer.headers["content-range"]) == (416, "bytes */256000")


@pytest.mark.parametrize("text", ["bytes=0-1,5-6", "bytes=9-1", "nonsense"])
def test_ranges_it_cannot_serve_are_ignored(url: str, text: str) -> None:
    assert get(url, text).status == 200


def test_a_node_like_the_original_ignores_ranges(cluster: EmbeddedCluster) -> None:
    answer = get(cluster.node_urls[2], "bytes=0-9")
    assert (answer.status, answer.data) == (200, CHUNK)
    assert answer.headers["etag"] == SHA256
    assert "accept-ranges" not in answer.headers


def test_an_unknown_chunk_is_404_and_a_bad_id_400(url: str) -> None:
    assert call("GET", f"{url}/chunk/unknown").status == 404
    for bad in ("a.b", "x" * 65, "..%2Fnode.log", "a%00b", ""):
        assert call("GET", f"{url}/chunk/{bad}").status == 400, bad


def test_put_is_idempotent_and_get_and_delete_follow(url: str) -> None:
    target = f"{url}/chunk/put-1"
    headers = {"X-Chunk-Checksum": hashlib.sha256(b"one").hexdigest()}
    assert call("PUT", target, data=b"one", headers=headers).status == 201
    assert call("PUT", target, data=b"one", headers=headers).status == 200
    assert call("PUT", target, data=b"two").status == 409
    assert call("GET", target).data == b"one"
    assert call("DELETE", target).status == 204
    assert call("DELETE", target).status == 404
    assert call("GET", target).status == 404


def test_put_refuses_wrong_checksum_empty_body_and_excess(url: str) -> None:
    target = f"{url}/chunk/put-2"
    checksum = f"sha256:{SHA256}"
    assert call("PUT", target, data=b"x", headers={"X-Chunk-Checksum": checksum}).status == 400
    assert call("PUT", target, data=b"").status == 400
    assert call("PUT", target, data=bytes(MAX_CHUNK_BYTES + 1)).status == 413
    assert call("GET", target).status == 404
    assert call("PUT", target, data=bytes(MAX_CHUNK_BYTES)).status == 201
    assert call("DELETE", target).status == 204


def test_put_waits_for_a_client_that_expects_to_be_asked(url: str) -> None:
    request = b"PUT /chunk/expect HTTP/1.1\r\nConnection: close\r\nContent-Length: 2\r\n"
    answer = raw(url, request + b"Expect: 100-continue\r\n\r\nhi")
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\n")


def test_put_without_a_length_is_411(url: str) -> None:
    request = b"PUT /chunk/chunked HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    assert raw(url, request).startswith(b"HTTP/1.1 411 ")


def test_nonsense_is_400_and_the_connection_ends(url: str) -> None:
    assert raw(url, b"hello\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    assert raw(url, b"GET /" + b"x" * 20_000 + b"\r\n\r\n").startswith(b"HTTP/1.1 400 ")


def test_requests_sent_in_one_piece_are_answered_in_order(url: str) -> None:
    head = b"GET /chunk/c HTTP/1.1\r\nRange: bytes=0-1\r\n"
    answer = raw(url, head + b"\r\n" + head + b"Connection: close\r\n\r\n")
    assert answer.count(b"HTTP/1.1 206 ") == 2


def test_a_connection_is_kept(cluster: EmbeddedCluster, url: str) -> None:
    with requests.Session() as session:
        session.get(f"{url}/chunk/c", timeout=10)
        wait_until(lambda: cluster.status(1)["connections"] == 1)
        for _ in range(3):
            assert session.get(f"{url}/chunk/c", timeout=10).content == CHUNK
        assert cluster.status(1)["connections"] == 1


def test_other_paths_and_methods_are_refused(url: str) -> None:
    assert call("GET", f"{url}/").status == 404
    assert call("POST", f"{url}/chunk/c", data=b"x").status == 405
    assert call("DELETE", f"{url}/health").status == 405


def test_each_request_is_recorded(cluster: EmbeddedCluster, url: str) -> None:
    get(url, "bytes=7-16")
    record = cluster.requests(1)[-1]
    assert record["method"] == "GET"
    assert record["path"] == "/chunk/c"
    assert record["range"] == "bytes=7-16"
    assert (record["status"], record["sent_bytes"], record["outcome"]) == (206, 10, "complete")
    assert 0 <= record["first_byte_sec"] <= record["duration_sec"]


def test_the_link_carries_its_rate_and_no_more(cluster: EmbeddedCluster) -> None:
    before = cluster.status(2)["link"]
    assert call("GET", f"{cluster.node_urls[1]}/chunk/c").data == CHUNK
    record = cluster.requests(2)[-1]
    after = cluster.status(2)["link"]
    granted_bytes = after["granted_bytes"] - before["granted_bytes"]
    lost_bytes = after["lost_bytes"] - before["lost_bytes"]
    busy_sec = after["busy_sec"] - before["busy_sec"]
    assert granted_bytes == record["sent_bytes"] == len(CHUNK)
    assert granted_bytes + lost_bytes == pytest.approx(busy_sec * 40e6 / 8, rel=0.001)
    # The body cannot have taken less time than the link needs for it.
    assert record["duration_sec"] - record["first_byte_sec"] >= len(CHUNK) * 8 / 40e6 - 0.02


def test_the_first_byte_waits_for_the_round_trip(cluster: EmbeddedCluster) -> None:
    with requests.Session() as session:
        for _ in range(2):
            session.get(f"{cluster.node_urls[1]}/chunk/c", timeout=10)
    assert [record["first_byte_sec"] >= 0.03 for record in cluster.requests(2)[-2:]] == [True] * 2


def test_the_quota_answers_507(tmp_path: Path) -> None:
    with EmbeddedCluster(nodes=1, data=tmp_path, arguments=["--quota-bytes", "1000"]) as cluster:
        url = cluster.node_urls[0]
        assert call("PUT", f"{url}/chunk/a", data=bytes(900)).status == 201
        assert call("PUT", f"{url}/chunk/b", data=bytes(101)).status == 507
        assert call("PUT", f"{url}/chunk/b", data=bytes(100)).status == 201
        health = call("GET", f"{url}/health")
        assert (health.status, health.json()["status"]) == (503, "critical")


def test_the_free_space_floor_answers_507(tmp_path: Path) -> None:
    floor = ["--free-floor-bytes", str(1 << 60)]
    with EmbeddedCluster(nodes=1, data=tmp_path, arguments=floor) as cluster:
        assert call("PUT", f"{cluster.node_urls[0]}/chunk/a", data=b"x").status == 507


def test_a_response_is_cut_after_the_nodes_time_limit(tmp_path: Path) -> None:
    with EmbeddedCluster(nodes=1, data=tmp_path, links=["rate=0.1,cut=0.3"]) as cluster:
        url = f"{cluster.node_urls[0]}/chunk/c"
        call("PUT", url, data=CHUNK)
        with pytest.raises(requests.RequestException):
            requests.get(url, timeout=10)
        record = cluster.requests(1)[-1]
        assert record["outcome"] == "cut"
        assert 0 < record["sent_bytes"] < len(CHUNK)


def test_a_damaged_file_is_not_served(tmp_path: Path) -> None:
    with EmbeddedCluster(nodes=1, data=tmp_path) as cluster:
        url = f"{cluster.node_urls[0]}/chunk/c"
        call("PUT", url, data=CHUNK)
        (path,) = (tmp_path / "node-1" / "chunks").iterdir()
        path.write_bytes(CHUNK[:-1])
        assert call("GET", url).status == 500
        path.unlink()
        assert call("GET", url).status == 404
