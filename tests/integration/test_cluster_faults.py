"""Faults, switched while a node runs, as its clients see them."""

import hashlib
import socket
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

import pytest

from cluster import EmbeddedCluster
from cluster.client import CallError, call
from cluster.state import ClusterError
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(30)

CHUNK = bytes(range(256)) * 2000
# Long enough to be sure that nothing comes, short enough to wait for.
NOTHING_SEC = 0.3


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedCluster]:
    data = tmp_path_factory.mktemp("faults")
    with EmbeddedCluster(nodes=2, data=data, links=[None, "rate=4"]) as cluster:
        for url in cluster.node_urls:
            assert call("PUT", f"{url}/chunk/c", data=CHUNK).status == 201
        yield cluster


@pytest.fixture
def cluster(started: EmbeddedCluster) -> Iterator[EmbeddedCluster]:
    yield started
    for node in (1, 2):
        started.set_fault(node, "none")


class Download:
    """A GET of the chunk whose bytes are read when the test says so."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname
        self.connection = HTTPConnection(parts.hostname, parts.port, timeout=10)
        self.connection.request("GET", "/chunk/c")
        self.response: HTTPResponse | None = None

    def open(self) -> HTTPResponse:
        self.response = self.response or self.connection.getresponse()
        return self.response

    def stays_quiet(self) -> bool:
        """Say whether no byte comes for a while (and swallow what was under way before)."""
        sock = self.connection.sock or self.open().fp.raw._sock  # type: ignore[attr-defined]
        sock.settimeout(NOTHING_SEC)
        try:
            while sock.recv(65536):
                pass
        except TimeoutError:
            return True
        finally:
            sock.settimeout(10)
        return False

    def close(self) -> None:
        if self.response is not None:
            self.response.close()
        self.connection.close()


@pytest.fixture
def download() -> Iterator[Callable[[str], Download]]:
    made: list[Download] = []

    def begin(url: str) -> Download:
        made.append(Download(url))
        return made[-1]

    yield begin
    for one in made:
        one.close()


def last_outcome(cluster: EmbeddedCluster, node: int, path: str = "/chunk/c") -> str:
    records = [record for record in cluster.requests(node) if record["path"] == path]
    return str(records[-1]["outcome"])


def wait_for_record(cluster: EmbeddedCluster, node: int, count: int) -> dict[str, Any]:
    wait_until(lambda: len(cluster.requests(node)) > count)
    return cluster.requests(node)[-1]


def test_down_refuses_connections_and_comes_back(cluster: EmbeddedCluster) -> None:
    url = cluster.node_urls[0]
    cluster.set_fault(1, "down")
    with pytest.raises(CallError, match="refused"):
        call("GET", f"{url}/chunk/c")
    assert cluster.status(1)["fault"]["kind"] == "down"
    cluster.set_fault(1, "none")
    assert call("GET", f"{url}/chunk/c").data == CHUNK


def test_down_resets_a_running_transfer(
    cluster: EmbeddedCluster, download: Callable[[str], Download]
) -> None:
    response = download(cluster.node_urls[1]).open()
    assert response.read(1000) == CHUNK[:1000]
    cluster.set_fault(2, "down")
    with pytest.raises(ConnectionResetError):
        response.read()
    assert last_outcome(cluster, 2) == "down"


def test_silent_answers_nothing_not_even_a_ping(
    cluster: EmbeddedCluster, download: Callable[[str], Download]
) -> None:
    cluster.set_fault(1, "silent")
    assert download(cluster.node_urls[0]).stays_quiet()
    with pytest.raises(CallError, match="timed out"):
        call("HEAD", f"{cluster.node_urls[0]}/ping", timeout_sec=NOTHING_SEC)


def test_silence_holds_a_running_transfer_until_it_ends(
    cluster: EmbeddedCluster, download: Callable[[str], Download]
) -> None:
    response = download(cluster.node_urls[1]).open()
    begin = response.read(1000)
    cluster.set_fault(2, "silent")
    sent = cluster.status(2)["link"]["granted_bytes"]
    cluster.set_fault(2, "none")
    assert begin + response.read() == CHUNK
    assert cluster.status(2)["link"]["granted_bytes"] > sent
    assert cluster.requests(2)[-1]["outcome"] == "complete"


def test_a_client_that_gives_up_on_silence_is_recorded_as_such(
    cluster: EmbeddedCluster, download: Callable[[str], Download]
) -> None:
    count = len(cluster.requests(1))
    cluster.set_fault(1, "silent")
    one = download(cluster.node_urls[0])
    assert one.stays_quiet()
    one.close()
    assert wait_for_record(cluster, 1, count)["outcome"] == "silent"


def test_a_grey_node_answers_pings_and_hangs_on_data(
    cluster: EmbeddedCluster, download: Callable[[str], Download]
) -> None:
    cluster.set_fault(1, "silent_data")
    assert call("HEAD", f"{cluster.node_urls[0]}/ping").status == 200
    assert call("GET", f"{cluster.node_urls[0]}/health").status == 200
    assert download(cluster.node_urls[0]).stays_quiet()


def test_503_answers_everything_with_503(cluster: EmbeddedCluster) -> None:
    cluster.set_fault(1, "503")
    assert call("GET", f"{cluster.node_urls[0]}/chunk/c").status == 503
    assert call("HEAD", f"{cluster.node_urls[0]}/ping").status == 503
    assert last_outcome(cluster, 1) == "503"


def test_stall_stops_halfway_and_goes_on_when_it_ends(
    cluster: EmbeddedCluster, download: Callable[[str], Download]
) -> None:
    cluster.set_fault(1, "stall")
    one = download(cluster.node_urls[0])
    response = one.open()
    half = response.read(len(CHUNK) // 2)
    assert half == CHUNK[: len(CHUNK) // 2]
    assert cluster.status(1)["connections"] >= 1
    cluster.set_fault(1, "none")
    assert half + response.read() == CHUNK


def test_stall_keeps_the_socket_open_and_quiet(
    cluster: EmbeddedCluster, download: Callable[[str], Download]
) -> None:
    count = len(cluster.requests(1))
    cluster.set_fault(1, "stall")
    one = download(cluster.node_urls[0])
    assert one.stays_quiet()
    assert call("HEAD", f"{cluster.node_urls[0]}/ping").status == 200
    one.close()
    wait_until(lambda: len(cluster.requests(1)) > count + 1)
    assert last_outcome(cluster, 1) == "stall"


def test_slow_keeps_two_percent_of_the_rate_and_fast_pings(cluster: EmbeddedCluster) -> None:
    assert cluster.status(2)["link"]["rate_mbps"] == pytest.approx(4.0)
    cluster.set_fault(2, "slow")
    assert cluster.status(2)["link"]["rate_mbps"] == pytest.approx(0.08)
    before = cluster.status(2)["link"]
    headers = {"Range": "bytes=0-2999"}
    assert call("GET", f"{cluster.node_urls[1]}/chunk/c", headers=headers).data == CHUNK[:3000]
    after = cluster.status(2)["link"]
    assert after["busy_sec"] - before["busy_sec"] >= 0.99 * 3000 * 8 / 0.08e6


def test_corrupt_keeps_length_and_checksum_but_not_the_bytes(cluster: EmbeddedCluster) -> None:
    cluster.set_fault(1, "corrupt")
    answer = call("GET", f"{cluster.node_urls[0]}/chunk/c")
    assert (answer.status, len(answer.data)) == (200, len(CHUNK))
    assert answer.headers["etag"].strip('"') == hashlib.sha256(CHUNK).hexdigest()
    assert answer.data != CHUNK
    assert last_outcome(cluster, 1) == "corrupt"


def test_truncate_closes_early(
    cluster: EmbeddedCluster, download: Callable[[str], Download]
) -> None:
    cluster.set_fault(1, "truncate")
    response = download(cluster.node_urls[0]).open()
    assert response.headers["Content-Length"] == str(len(CHUNK))
    with pytest.raises(HTTPException, match="IncompleteRead"):
        response.read()
    assert last_outcome(cluster, 1) == "truncate"


def test_missing_knows_no_chunk(cluster: EmbeddedCluster) -> None:
    cluster.set_fault(1, "missing")
    assert call("GET", f"{cluster.node_urls[0]}/chunk/c").status == 404
    assert call("HEAD", f"{cluster.node_urls[0]}/ping").status == 200


@pytest.mark.parametrize("kind", ["down", "503", "slow"])
def test_a_fault_with_an_end_ends_by_itself(cluster: EmbeddedCluster, kind: str) -> None:
    cluster.set_fault(1, kind, for_sec=0.2)
    wait_until(lambda: cluster.status(1)["fault"]["kind"] == "none")
    assert call("GET", f"{cluster.node_urls[0]}/chunk/c").data == CHUNK


def test_a_new_fault_replaces_the_end_of_the_old_one(cluster: EmbeddedCluster) -> None:
    cluster.set_fault(1, "503", for_sec=0.05)
    cluster.set_fault(1, "missing")
    fault = cluster.status(1)["fault"]
    assert (fault["kind"], fault["remaining_sec"]) == ("missing", None)


def test_an_unknown_fault_or_node_is_refused(cluster: EmbeddedCluster) -> None:
    with pytest.raises(ClusterError, match="unknown fault 'asleep'; accepted: none, down"):
        cluster.set_fault(1, "asleep")
    with pytest.raises(ClusterError, match="no node '7'; accepted: node-1, node-2, 1-2"):
        cluster.set_fault(7, "down")


def test_a_client_that_leaves_is_recorded_as_reset(
    cluster: EmbeddedCluster, download: Callable[[str], Download]
) -> None:
    count = len(cluster.requests(2))
    one = download(cluster.node_urls[1])
    assert one.open().read(1000) == CHUNK[:1000]
    one.close()
    assert wait_for_record(cluster, 2, count)["outcome"] == "reset"


def test_a_node_that_is_off_the_network_is_not_fed_by_the_kernel(cluster: EmbeddedCluster) -> None:
    parts = urlsplit(cluster.node_urls[0])
    assert parts.port is not None
    cluster.set_fault(1, "down")
    with socket.socket() as sock:
        assert sock.connect_ex(("127.0.0.1", parts.port)) != 0
