"""What a node notes for a measurement: when bytes left, when a fault began; and one chunk missing."""

import itertools
import time
from collections.abc import Iterator

import pytest

from cluster import EmbeddedCluster
from cluster.client import call
from cluster.slow_start import INITIAL_WINDOW_BYTES
from cluster.state import UsageError

pytestmark = pytest.mark.timeout(30)

CHUNK = bytes(range(256)) * 400
RTT_SEC = 0.1


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedCluster]:
    links = [f"rate=20,rtt={RTT_SEC * 1000:g},slow_start=true", "rate=40"]
    data = tmp_path_factory.mktemp("delivery")
    with EmbeddedCluster(2, data, links, arguments=["--delivery-log"]) as started:
        for url, name in itertools.product(started.node_urls, ("c", "c-f0", "d")):
            assert call("PUT", f"{url}/chunk/{name}", data=CHUNK).status == 201
        yield started


def test_the_log_tells_when_the_bytes_left(cluster: EmbeddedCluster) -> None:
    before_unix_sec = time.time()
    assert call("GET", f"{cluster.node_urls[1]}/chunk/c").data == CHUNK
    points = cluster.requests(2)[-1]["sent_at"]
    at_unix_sec, sent_bytes = zip(*points, strict=True)
    assert list(at_unix_sec) == sorted(at_unix_sec)
    assert list(sent_bytes) == sorted(sent_bytes)
    assert sent_bytes[-1] == len(CHUNK)
    assert before_unix_sec - 0.001 < at_unix_sec[0] < at_unix_sec[-1] < time.time() + 0.001


def test_a_connection_with_slow_start_sends_a_window_a_round_trip(cluster: EmbeddedCluster) -> None:
    assert call("GET", f"{cluster.node_urls[0]}/chunk/d").data == CHUNK
    points = cluster.requests(1)[-1]["sent_at"]
    begun_unix_sec = points[0][0]
    # However late the node's thread woke, a window's reply comes a round trip after it left.
    first = max(sent for at, sent in points if at < begun_unix_sec + 0.9 * RTT_SEC)
    second = max(sent for at, sent in points if at < begun_unix_sec + 1.9 * RTT_SEC)
    assert first <= INITIAL_WINDOW_BYTES
    assert second <= 3 * INITIAL_WINDOW_BYTES


def test_one_chunk_can_be_missing_with_its_fragments(cluster: EmbeddedCluster) -> None:
    before_unix_sec = time.time()
    status = cluster.set_fault(2, "missing", chunk_id="c")
    assert status["fault"]["chunk_id"] == "c"
    assert before_unix_sec <= status["fault"]["since_unix_sec"] <= time.time()
    base = f"{cluster.node_urls[1]}/chunk"
    assert [call("GET", f"{base}/{name}").status for name in ("c", "c-f0", "d")] == [404, 404, 200]
    cluster.set_fault(2, "none")
    assert call("GET", f"{base}/c").status == 200


def test_the_log_tells_where_a_node_lied(cluster: EmbeddedCluster) -> None:
    cluster.set_fault(2, "corrupt")
    data = call("GET", f"{cluster.node_urls[1]}/chunk/c", headers={"Range": "bytes=300-"}).data
    cluster.set_fault(2, "none")
    wrong = [
        300 + n
        for n, (sent, true) in enumerate(zip(data, CHUNK[300:], strict=True))
        if sent != true
    ]
    assert wrong
    assert cluster.requests(2)[-1]["wrong_at"] == wrong


def test_only_a_missing_chunk_has_a_name(cluster: EmbeddedCluster) -> None:
    with pytest.raises(UsageError, match="only the fault missing"):
        cluster.set_fault(2, "silent", chunk_id="c")


def test_a_link_begins_again_when_told(cluster: EmbeddedCluster) -> None:
    before_unix_sec = time.time()
    status = cluster.restart_link(2)
    assert before_unix_sec - 0.01 <= status["link"]["origin_unix_sec"] <= time.time() + 0.01
    assert call("GET", f"{cluster.node_urls[1]}/chunk/c").data == CHUNK
