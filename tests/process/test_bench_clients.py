"""The comparison clients against a real store: they play, fail over as they say, and leave nothing behind."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from bench.clients.http import FetchFailed, Limits, close_session, fetch
from bench.stack import NotingMetadata, client_environment
from cluster import EmbeddedCluster
from tests.needs import needs
from tests.process.support import Command, Finished
from tests.waiting import wait_until

VIDEO_ID, CODED_ID = "peers", "peers-coded"
CHUNKS, CHUNK_BYTES = 6, 128 * 1024
ARIA2 = pytest.param("aria2", marks=needs("aria2c"))
ARIA2_TUNED = pytest.param("aria2-tuned", marks=needs("aria2c"))
CLIENTS = ("roundrobin", "single", ARIA2, ARIA2_TUNED, "original")
# Everything lies within the 30 s a player holds: nobody waits for the playhead.
SHORT_CHUNK_SEC = 0.5


@pytest.fixture(scope="module")
def store() -> Iterator[EmbeddedCluster]:
    """Five nodes with a replicated and a coded film."""
    with (
        tempfile.TemporaryDirectory(prefix="vc-", dir="/tmp") as folder,
        EmbeddedCluster(5, folder) as running,
    ):
        # No two chunks alike.
        data = b"".join(bytes([i]) * CHUNK_BYTES for i in range(CHUNKS))
        cut = ("--chunk-bytes", str(CHUNK_BYTES))
        running.add_raw(data, VIDEO_ID, *cut, "--replicas", "3")
        running.add_raw(data, CODED_ID, *cut, "--redundancy", "erasure_coding")
        yield running


@pytest.fixture
def sound(store: EmbeddedCluster) -> Iterator[EmbeddedCluster]:
    """The store without a fault before and after."""
    yield store
    for node in store.state.nodes:
        store.set_fault(node.id, "none")


def chunks_of(store: EmbeddedCluster, video_id: str = VIDEO_ID) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = store.manifest(video_id)["chunks"]
    return found


@contextmanager
def client(store: EmbeddedCluster, name: str, video_id: str = VIDEO_ID) -> Iterator[Command]:
    """Run a client on a film whose chunks are short; it is gone at the end."""
    manifest = store.manifest(video_id)
    manifest["chunk_duration_sec"] = SHORT_CHUNK_SEC
    metadata = NotingMetadata(json.dumps(manifest).encode())
    with tempfile.TemporaryDirectory(prefix="vc-", dir="/tmp") as folder:
        arguments = [sys.executable, "-m", "bench.clients", name, "--metadata-url", metadata.url]
        arguments += ["--video", video_id, "--work-dir", folder]
        command = Command(arguments, Path(folder), client_environment(folder))
        try:
            yield command
        finally:
            if command.running:
                command.process.kill()
            command.process.wait()
            metadata.close()


def report_of(finished: Finished) -> dict[str, Any]:
    return finished.lines[-1]


@pytest.mark.parametrize("name", CLIENTS)
def test_a_client_plays_the_whole_film(sound: EmbeddedCluster, name: str) -> None:
    with client(sound, name) as command:
        finished = command.finish()
        left = [path.name for path in command.out_path.parent.iterdir()]
    assert finished.code == 0, finished.err
    report = report_of(finished)
    assert report["finished"]
    assert report["received_bytes"] == CHUNKS * CHUNK_BYTES
    assert report["wrong_chunks"] == 0
    assert 0 < report["startup_sec"] <= report["wall_sec"]
    assert sorted(left) == ["0.stderr", "0.stdout"]


@pytest.mark.parametrize("name", ["roundrobin", "single", ARIA2, "original"])
def test_a_refusing_node_is_gone_around(sound: EmbeddedCluster, name: str) -> None:
    sound.set_fault(chunks_of(sound)[0]["replicas"][0], "down")
    with client(sound, name) as command:
        finished = command.finish()
    assert finished.code == 0, finished.err
    assert report_of(finished)["wrong_chunks"] == 0


def test_round_robin_takes_its_turn_from_the_chunk(sound: EmbeddedCluster) -> None:
    before = {url: len(sound.requests(url)) for url in sound.node_urls}
    with client(sound, "roundrobin") as command:
        assert command.finish().code == 0
    asked = {
        Path(request["path"]).name: url
        for url in sound.node_urls
        for request in sound.requests(url)[before[url] :]
    }
    for chunk in chunks_of(sound):
        turn = chunk["sequence_num"] % len(chunk["replicas"])
        assert asked[chunk["chunk_id"]] == chunk["replicas"][turn]


def test_round_robin_plays_nothing_wrong(sound: EmbeddedCluster) -> None:
    sound.set_fault(chunks_of(sound)[0]["replicas"][0], "corrupt")
    with client(sound, "roundrobin") as command:
        report = report_of(command.finish())
    assert report["finished"]
    assert report["failed_fetches"] > 0
    assert report["wrong_chunks"] == 0


def test_a_player_without_checksums_shows_what_it_gets(sound: EmbeddedCluster) -> None:
    for url in sound.node_urls:
        sound.set_fault(url, "corrupt")
    with client(sound, "single") as command:
        report = report_of(command.finish())
    assert report["finished"]
    assert report["wrong_chunks"] == CHUNKS


@pytest.mark.parametrize("name", ["roundrobin", "single"])
def test_any_three_fragments_are_enough(sound: EmbeddedCluster, name: str) -> None:
    for url in sound.node_urls[:2]:
        sound.set_fault(url, "down")
    with client(sound, name, CODED_ID) as command:
        finished = command.finish()
    assert finished.code == 0, finished.err
    assert report_of(finished)["wrong_chunks"] == 0


@pytest.mark.parametrize("name", [ARIA2, ARIA2_TUNED, "original"])
def test_who_cannot_decode_says_so(sound: EmbeddedCluster, name: str) -> None:
    with client(sound, name, CODED_ID) as command:
        finished = command.finish()
    assert finished.code == 2
    assert finished.out == ""
    assert "cannot play coded films" in finished.err
    assert len(finished.err.splitlines()) == 1


@pytest.mark.parametrize("name", CLIENTS)
def test_a_client_that_waits_for_silent_nodes_ends_when_told(
    sound: EmbeddedCluster, name: str
) -> None:
    for url in sound.node_urls:
        sound.set_fault(url, "silent_data")
    with client(sound, name) as command:
        wait_until(lambda: any(sound.status(url)["connections"] for url in sound.node_urls))
        children = psutil.Process(command.process.pid).children(recursive=True)
        command.signal(signal.SIGTERM)
        finished = command.finish(5)
        left = [path.name for path in command.out_path.parent.iterdir()]
    assert finished.code in (-signal.SIGTERM, 128 + signal.SIGTERM)
    report = report_of(finished)
    assert not report["finished"]
    assert report["startup_sec"] is None
    assert [child for child in children if child.is_running()] == []
    assert sorted(left) == ["0.stderr", "0.stdout"]


@pytest.mark.parametrize(
    ("fault", "limits"),
    [
        ("silent_data", Limits(first_byte_sec=0.2)),
        ("stall", Limits(silence_sec=0.2)),
        ("slow", Limits(total_sec=0.2)),
        ("truncate", Limits()),
        ("503", Limits()),
        ("missing", Limits()),
    ],
)
def test_a_body_that_does_not_come_in_time_or_whole_is_a_failure(
    sound: EmbeddedCluster, fault: str, limits: Limits
) -> None:
    chunk = chunks_of(sound)[0]
    node_url = chunk["replicas"][0]
    url = f"{node_url}/chunk/{chunk['chunk_id']}"
    assert len(fetch(url, CHUNK_BYTES, limits)) == CHUNK_BYTES
    sound.set_fault(node_url, fault)
    with pytest.raises(FetchFailed):
        fetch(url, CHUNK_BYTES, limits)
    close_session()


@needs("nginx")
def test_the_bulk_bench_measures_and_proves_what_it_delivers() -> None:
    with tempfile.TemporaryDirectory(prefix="vc-", dir="/tmp") as folder:
        arguments = [sys.executable, "-m", "bench.bulk", "--mib=8", "--runs=1", "--workers=1"]
        command = Command(arguments, Path(folder), client_environment(folder))
        finished = command.finish()
    assert finished.code == 0, finished.err
    assert "delivered bytes equal the film: yes" in finished.out
    rows = [line.split()[0] for line in finished.out.splitlines() if line]
    assert "ours-1" in rows
    assert "requests-4x1" in rows


@needs("nginx")
def test_the_bulk_bench_leaves_nothing_when_ended_early() -> None:
    with tempfile.TemporaryDirectory(prefix="vc-", dir="/tmp") as folder:
        arguments = [sys.executable, "-m", "bench.bulk", "--mib=64", "--runs=50", "--workers=1"]
        command = Command(arguments, Path(folder), client_environment(folder))
        command.wait_for("ours-1")
        children = psutil.Process(command.process.pid).children(recursive=True)
        configs = [word for c in children for word in c.cmdline() if word.endswith("nginx.conf")]
        command.signal(signal.SIGTERM)
        finished = command.finish(20)
    assert finished.code == 128 + signal.SIGTERM
    assert configs
    assert [path for path in configs if Path(path).exists()] == []
    _, left = psutil.wait_procs(children, 10)
    assert left == []


def test_no_store_is_said_in_one_line() -> None:
    with tempfile.TemporaryDirectory(prefix="vc-", dir="/tmp") as folder:
        # Port 9 is nobody's on a machine of today.
        arguments = [sys.executable, "-m", "bench.clients", "single", "--video", "x"]
        arguments += ["--metadata-url", "http://127.0.0.1:9"]
        finished = Command(arguments, Path(folder), dict(os.environ)).finish()
    assert finished.code == 3
    assert len(finished.err.splitlines()) == 1
