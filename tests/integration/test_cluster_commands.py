"""`python -m cluster`: life of a cluster, uploads, and what the commands refuse."""

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import psutil
import pytest

from cluster import EmbeddedCluster
from cluster.client import call
from cluster.state import ClusterError
from scheduler.erasure import decode_fragments
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(30)

ROOT = Path(__file__).resolve().parents[2]
DATA = bytes(range(256)) * 10_000
CHUNK_BYTES = 1024 * 1024


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedCluster]:
    with EmbeddedCluster(nodes=5, data=tmp_path_factory.mktemp("commands")) as started:
        yield started


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film.bin"
    path.write_bytes(DATA)
    return path


def cluster_command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "cluster", *arguments]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        cluster_command(*arguments),
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=25,
        check=False,
    )


def up(data: Path, *arguments: str) -> list[str]:
    ports = ["--metadata-port", "0", "--node-port", "0"]
    return cluster_command("up", "--data", str(data), *ports, *arguments)


def fetch(manifest: dict[str, list[dict[str, list[str]]]], replica: int) -> bytes:
    return b"".join(
        call("GET", f"{chunk['replicas'][replica]}/chunk/{chunk['chunk_id']}").data
        for chunk in manifest["chunks"]
    )


def stored_objects(cluster: EmbeddedCluster) -> int:
    return sum(cluster.status(node.id)["chunk_count"] for node in cluster.state.nodes)


def children_of(pid: int) -> list[psutil.Process]:
    return list(psutil.Process(pid).children(recursive=True))


def test_up_tells_its_addresses_and_stops_clean(tmp_path: Path) -> None:
    with subprocess.Popen(up(tmp_path, "--nodes", "2"), stdout=subprocess.PIPE, cwd=ROOT) as one:
        assert one.stdout is not None
        lines = [one.stdout.readline().decode().split() for _ in range(4)]
        assert [words[0] for words in lines] == ["metadata", "node-1", "node-2", "cluster"]
        state = json.loads((tmp_path / "cluster.json").read_text())
        assert state["metadata_url"] == lines[0][1]
        assert [node["url"] for node in state["nodes"]] == [lines[1][1], lines[2][1]]
        ports = [int(words[1].rpartition(":")[2]) for words in lines[:3]]
        assert all(20_000 <= port < 30_000 for port in ports)
        children = children_of(one.pid)
        one.send_signal(signal.SIGINT)
        assert one.wait(timeout=10) == 0
    assert not any(child.is_running() for child in children)
    assert not (tmp_path / "cluster.json").exists()


def test_the_children_end_with_a_killed_parent(tmp_path: Path) -> None:
    with subprocess.Popen(up(tmp_path, "--nodes", "2"), stdout=subprocess.PIPE, cwd=ROOT) as one:
        assert one.stdout is not None
        while one.stdout.readline() != b"cluster ready\n":
            pass
        children = children_of(one.pid)
        assert len(children) == 3
        one.kill()
    wait_until(lambda: not any(child.is_running() for child in children))
    assert run("status", "--data", str(tmp_path)).returncode == 1


def test_a_killed_child_ends_the_cluster(tmp_path: Path) -> None:
    with subprocess.Popen(
        up(tmp_path, "--nodes", "2"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
    ) as one:
        assert one.stdout is not None
        assert one.stderr is not None
        while one.stdout.readline() != b"cluster ready\n":
            pass
        state = json.loads((tmp_path / "cluster.json").read_text())
        os.kill(state["nodes"][1]["pid"], signal.SIGKILL)
        assert one.wait(timeout=10) == 1
        assert b"node-2 ended unexpectedly (exit code -9)" in one.stderr.read()


def test_a_data_directory_serves_one_cluster(cluster: EmbeddedCluster) -> None:
    done = run(*up(cluster.data)[3:])
    assert (done.returncode, "in use by another running cluster" in done.stderr) == (2, True)


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        arguments = ["--metadata-port", "0", "--node-port", str(port)]
        done = run("up", "--data", str(tmp_path), *arguments)
    assert done.returncode == 2
    assert f"node-1 port 127.0.0.1:{port} is in use" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--nodes", "0"], "--nodes must be 1 to 100, got 0"),
        (["--metadata-port", "70000"], "--metadata-port must be 0 to 65535"),
        (["--profile", "fibre"], "accepted: unshaped, demo, original"),
        (["--link", "4=rate=1"], "with NODE 1 to 3"),
        (["--link", "1=rate=0"], "--link 1: rate_mbps must be 0.01 to 100000"),
    ],
)
def test_up_refuses_bad_values(tmp_path: Path, arguments: list[str], message: str) -> None:
    done = run("up", "--data", str(tmp_path), *arguments)
    assert (done.returncode, message in done.stderr) == (2, True), done.stderr


def test_videos_survive_a_restart_on_other_ports(tmp_path: Path) -> None:
    with EmbeddedCluster(nodes=3, data=tmp_path) as first:
        before = first.add_raw(DATA, "kept")
        assert first.stop() == 0
    with EmbeddedCluster(nodes=3, data=tmp_path) as second:
        after = second.manifest("kept")
        assert after["chunks"][0]["replicas"] != before["chunks"][0]["replicas"]
        assert sorted(after["chunks"][0]["replicas"]) == sorted(second.node_urls)
        assert [fetch(after, replica) for replica in range(3)] == [DATA] * 3


def test_a_node_and_the_metadata_service_can_be_stopped_and_started(tmp_path: Path) -> None:
    with EmbeddedCluster(nodes=2, data=tmp_path) as cluster:
        manifest = cluster.add_raw(DATA, "film", "--replicas", "2")
        url = cluster.node_urls[1]
        cluster.stop_node(2)
        with socket.socket() as sock:
            assert sock.connect_ex(("127.0.0.1", int(url.rpartition(":")[2]))) != 0
        cluster.start_node(2)
        cluster.stop_metadata()
        cluster.start_metadata()
        assert cluster.node_urls[1] == url
        assert cluster.manifest("film") == manifest
        assert [fetch(manifest, replica) for replica in range(2)] == [DATA] * 2


def test_add_spreads_replicas_over_the_emptiest_nodes(cluster: EmbeddedCluster) -> None:
    manifest = cluster.add_raw(DATA, "spread", "--replicas", "2", "--title", "Spread")
    assert manifest["title"] == "Spread"
    assert [chunk["size_bytes"] for chunk in manifest["chunks"]] == [
        CHUNK_BYTES,
        CHUNK_BYTES,
        len(DATA) - 2 * CHUNK_BYTES,
    ]
    assert len({url for chunk in manifest["chunks"] for url in chunk["replicas"]}) == 5
    assert fetch(manifest, 0) == fetch(manifest, 1) == DATA
    for chunk, start in zip(manifest["chunks"], range(0, len(DATA), CHUNK_BYTES), strict=True):
        piece = DATA[start : start + CHUNK_BYTES]
        assert chunk["checksum"] == hashlib.sha256(piece).hexdigest()
    cluster.run("rm", "spread")


def test_add_codes_onto_five_nodes_and_any_three_fragments_do(cluster: EmbeddedCluster) -> None:
    manifest = cluster.add_raw(DATA, "coded", "--redundancy", "erasure_coding")
    chunk = manifest["chunks"][-1]
    assert {row["node_url"] for row in chunk["fragments"]} == set(cluster.node_urls)
    got = {
        row["fragment_index"]: call("GET", f"{row['node_url']}/chunk/{row['fragment_id']}").data
        for row in chunk["fragments"]
    }
    for used in combinations(range(5), 3):
        data = decode_fragments({index: got[index] for index in used}, chunk["size_bytes"])
        assert hashlib.sha256(data).hexdigest() == chunk["checksum"]
    cluster.run("rm", "coded")
    assert stored_objects(cluster) == 0


def test_too_few_nodes_are_a_clear_error(cluster: EmbeddedCluster, film: Path) -> None:
    with pytest.raises(ClusterError, match="exit code 2: cluster: 6 replicas need 6 nodes, 5 are"):
        cluster.run("add", str(film), "--raw", "--replicas", "6")


def test_an_id_is_added_once(cluster: EmbeddedCluster, film: Path) -> None:
    cluster.add_raw(b"first", "once")
    with pytest.raises(ClusterError, match="exit code 2: cluster: video 'once' exists already"):
        cluster.run("add", str(film), "--raw", "--id", "once")
    assert "once" in cluster.run("list")
    cluster.run("rm", "once")
    assert "once" not in cluster.run("list")
    with pytest.raises(ClusterError, match="exit code 2: cluster: no video 'once'"):
        cluster.run("rm", "once")


def test_without_an_id_the_service_chooses_one(cluster: EmbeddedCluster, film: Path) -> None:
    video_id = cluster.run("add", str(film), "--raw").split()[1].rstrip(":")
    assert cluster.manifest(video_id)["title"] == "film"
    cluster.run("rm", video_id)


@pytest.mark.parametrize(
    ("kind", "message"), [("503", "does not take half-chunk-000"), ("down", "refused")]
)
def test_a_failed_upload_leaves_nothing_behind(
    cluster: EmbeddedCluster, film: Path, kind: str, message: str
) -> None:
    cluster.set_fault(5, kind)
    try:
        with pytest.raises(ClusterError, match=f"(?s)exit code 1: .*{message}"):
            cluster.run("add", str(film), "--raw", "--id", "half", "--replicas", "5")
    finally:
        cluster.set_fault(5, "none")
    assert "half" not in cluster.run("list")
    assert stored_objects(cluster) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_upload_leaves_nothing_behind(
    cluster: EmbeddedCluster, film: Path, number: signal.Signals
) -> None:
    # A node withholds its answer to a PUT, so the upload is in the middle when it is told to end.
    # It may be the first to be asked: only when the next one is held, too, is anything stored.
    cluster.set_fault(5, "silent_data")
    arguments = ["add", str(film), "--raw", "--id", "cut", "--replicas", "5"]
    command = cluster_command(*arguments, "--data", str(cluster.data))
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as adding:
        try:
            wait_until(lambda: cluster.status(5)["connections"] > 0)
            cluster.set_fault(4, "silent_data")
            cluster.set_fault(5, "none")
            wait_until(lambda: cluster.status(4)["connections"] > 0 and stored_objects(cluster) > 0)
            adding.send_signal(number)
        finally:
            cluster.set_fault(4, "none")
            cluster.set_fault(5, "none")
        assert adding.wait(timeout=20) == 130
    assert "cut" not in cluster.run("list")
    assert stored_objects(cluster) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fault", "9", "down"], "no node '9'; accepted: node-1"),
        (["fault", "1", "asleep"], "unknown fault 'asleep'; accepted: none, down"),
        (["fault", "1", "down", "--for", "0"], "--for must be above 0"),
        (["add", "no-such-file"], "no-such-file is no file"),
        (["rm", "a/b"], "video id must match"),
        (["list", "--metadata-url", "ftp://x"], "--metadata-url ftp://x: expected http"),
    ],
)
def test_commands_refuse_bad_values(
    cluster: EmbeddedCluster, arguments: list[str], message: str
) -> None:
    done = run(*arguments, "--data", str(cluster.data))
    assert (done.returncode, message in done.stderr) == (2, True), done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--raw", "--chunk-bytes", "0"], "--chunk-bytes must be 1 to"),
        (["--raw", "--chunk-duration", "0"], "--chunk-duration must be 0.1 to 600"),
        (["--raw", "--replicas", "0"], "--replicas must be 1 to 100"),
        (["--raw", "--id", "x" * 49], "video id must match"),
        (["--id", "nomedia"], "cluster: "),
    ],
)
def test_add_refuses_bad_values(
    cluster: EmbeddedCluster, film: Path, arguments: list[str], message: str
) -> None:
    done = run("add", str(film), *arguments, "--data", str(cluster.data))
    assert (done.returncode, message in done.stderr) == (2, True), done.stderr
    assert cluster.run("list") == ""


def test_fault_takes_an_id_a_number_or_a_url(cluster: EmbeddedCluster) -> None:
    for name in ("node-1", "1", cluster.node_urls[0]):
        assert cluster.run("fault", name, "503", "--for", "60") == "node-1 503 for 60 s\n"
        assert cluster.status(1)["fault"]["kind"] == "503"
        assert cluster.run("fault", name, "none") == "node-1 none\n"


def test_status_shows_every_node(cluster: EmbeddedCluster) -> None:
    lines = cluster.run("status").splitlines()
    assert lines[0] == f"metadata {cluster.metadata_url} healthy"
    assert [line.split()[0] for line in lines[1:]] == [f"node-{n}" for n in range(1, 6)]
    assert len(run("status", "--metadata-url", cluster.metadata_url).stdout.splitlines()) == 6


def test_commands_work_against_any_metadata_url(cluster: EmbeddedCluster, film: Path) -> None:
    target = ["--metadata-url", cluster.metadata_url]
    assert run("add", str(film), "--raw", "--id", "far", *target).returncode == 0
    assert run("list", *target).stdout.startswith("far ")
    assert run("rm", "far", *target).stdout == "removed far\n"


def test_without_a_cluster_the_commands_say_so(tmp_path: Path) -> None:
    done = run("list", "--data", str(tmp_path))
    assert (done.returncode, "no cluster is running on" in done.stderr) == (1, True)


def test_a_service_that_is_not_there_is_an_error() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        done = run("list", "--metadata-url", f"http://127.0.0.1:{port}")
    assert (done.returncode, "refused" in done.stderr) == (1, True)
