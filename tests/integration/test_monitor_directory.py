"""Nodes learned from the metadata service before there is a session; real HTTP, real processes."""

from __future__ import annotations

import json
import random
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from monitor import directory as directory_module
from monitor.directory import Directory
from tests.monitor_rig import Stack, Start
from tests.ping_nodes import Answer, PingNode, ping_nodes, say
from tests.waiting import wait_until

VIDEOS = "/videos?limit=50&offset=0"


class Metadata:
    """Answers what a test puts into `answers`, 404 to all else."""

    def __init__(self) -> None:
        answers: dict[str, Any] = {}
        asked: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                known = self.path in answers
                body = json.dumps(answers.get(self.path)).encode()
                self.send_response(200 if known else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.answers = answers
        self.asked = asked
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def list_nodes(self, *node_urls: str) -> None:
        rows = [{"node_id": str(i), "node_url": url} for i, url in enumerate(node_urls)]
        self.answers["/nodes/healthy"] = rows

    def list_film(self, *node_urls: str, video_id: str = "film", coded: bool = False) -> None:
        """Let every node hold one chunk, or one fragment each of one chunk."""
        row = {"video_id": video_id, "title": "", "duration_sec": 4, "status": "active"}
        self.answers.setdefault(VIDEOS, []).append({**row, "total_chunks": 1})
        fragments = [
            {
                "fragment_id": f"f{i}",
                "fragment_index": i % 5,
                "node_url": url,
                "size_bytes": 100,
                "checksum": "0" * 64,
            }
            for i, url in enumerate(node_urls)
        ]
        chunk = {
            "chunk_id": f"{video_id}-0",
            "sequence_num": 0,
            "size_bytes": 300,
            "checksum": "0" * 64,
            "replicas": [] if coded else list(node_urls),
            "redundancy_mode": "erasure_coding" if coded else "replication",
            "fragments": fragments if coded else None,
        }
        manifest = {"video_id": video_id, "total_chunks": 1, "chunks": [chunk]}
        self.answers[f"/manifest/{video_id}"] = manifest

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def metadata() -> Iterator[Metadata]:
    made = Metadata()
    yield made
    made.close()


def storing(chunk_status: str) -> Answer:
    """Answer pings, and requests for chunks with a status of their own."""

    def answer(node: PingNode, connection: socket.socket) -> bool:
        wants_chunk = node.requests[-1].startswith(b"GET /chunk/")
        return say(chunk_status if wants_chunk else "200 OK")(node, connection)

    return answer


# ---------------------------------------------------------------- the process


def test_nodes_are_measured_before_there_is_a_session(
    start: Start, stack: Stack, metadata: Metadata
) -> None:
    with ping_nodes(storing("206 Partial Content"), storing("200 OK")) as (ranges, whole):
        metadata.list_nodes(ranges.url, whole.url + "/", "ftp://odd", "http://a\nb")
        metadata.list_film(ranges.url, whole.url)
        start(PING_INTERVAL="0.5", METADATA_SERVICE_URL=metadata.url)
        wait_until(stack.says(ranges.url, lambda node: node.healthy and node.latency_ms))
        wait_until(stack.says(ranges.url, lambda node: node.accepts_ranges is True))
        wait_until(stack.says(whole.url, lambda node: node.accepts_ranges is False))
        assert len(stack.snapshots[-1][1].nodes) == 2
        for node in (ranges, whole):
            checks = [r for r in node.requests if r.startswith(b"GET /chunk/film-0 HTTP/1.1")]
            assert len(checks) == 1
            assert b"Range: bytes=0-0" in checks[0]


def test_session_may_use_a_listed_node_and_others(
    start: Start, stack: Stack, metadata: Metadata
) -> None:
    with ping_nodes(say(), say()) as (listed, other):
        metadata.list_nodes(listed.url)
        start(METADATA_SERVICE_URL=metadata.url)
        wait_until(stack.says(listed.url, lambda node: node.healthy))
        stack.session(listed.url, other.url)
        wait_until(stack.says(other.url, lambda node: node.healthy))
        stack.session(listed.url, other.url, outcome="played")
        assert listed.connections == 1


def test_without_a_metadata_service_sessions_are_enough(start: Start, stack: Stack) -> None:
    with ping_nodes(say()) as (node,):
        process = start(VSTACK_LOG_LEVEL="INFO", PING_INTERVAL="0.1")
        stack.session(node.url)
        wait_until(stack.says(node.url, lambda node: node.healthy))
        # The first question and the first repetition, 2 s later, have passed.
        wait_until(lambda: len(node.requests) > 45, 20)
        process.terminate()
        told = process.communicate(timeout=10)[1]
        assert told.count("nodes are learned from sessions alone") == 1


# ---------------------------------------------------------------- the thread


class Asking:
    """A directory that asks ten times a second, and what it tells."""

    def __init__(self, metadata_url: str) -> None:
        self.nodes: list[tuple[str, ...]] = []
        self.samples: list[dict[str, str]] = []
        self.directory = Directory(
            metadata_url,
            timeout_sec=5.0,
            rng=random.Random(1),
            on_nodes=self.nodes.append,
            on_samples=self.samples.append,
        )
        self.directory.start()


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Asking]]:
    for name in ("FIRST_ASK_SEC", "ASK_SEC", "RETRY_BASE_SEC", "SAMPLE_CHANGED_SEC"):
        monkeypatch.setattr(directory_module, name, 0.05)
    made: list[Asking] = []

    def begin(metadata_url: str) -> Asking:
        made.append(Asking(metadata_url))
        return made[-1]

    yield begin
    for each in made:
        each.directory.request_stop()
        assert each.directory.join(10)


Ask = Callable[[str], Asking]


def test_what_is_listed_no_more_is_told(ask: Ask, metadata: Metadata) -> None:
    metadata.list_nodes("http://a:1", "http://b:1")
    asking = ask(metadata.url)
    wait_until(lambda: asking.nodes)
    metadata.list_nodes("http://b:1")
    wait_until(lambda: asking.nodes[-1] == ("http://b:1",))


def test_what_is_no_list_changes_nothing(ask: Ask, metadata: Metadata) -> None:
    metadata.list_nodes("http://a:1")
    asking = ask(metadata.url)
    wait_until(lambda: asking.nodes)
    for nonsense in ({"nodes": "http://b:1"}, [{"url": "http://b:1"}], "http://b:1", None, 7):
        metadata.answers["/nodes/healthy"] = nonsense
        seen = len(metadata.asked)
        wait_until(lambda seen=seen: len(metadata.asked) >= seen + 3)  # type: ignore[misc]
    del metadata.answers["/nodes/healthy"]
    seen = len(metadata.asked)
    wait_until(lambda: len(metadata.asked) >= seen + 3)
    assert set(asking.nodes) == {("http://a:1",)}


@pytest.mark.parametrize("coded", [False, True])
def test_samples_come_from_as_many_films_as_are_needed(
    ask: Ask, metadata: Metadata, coded: bool
) -> None:
    first = tuple(f"http://a{i}:1" for i in range(5))
    metadata.list_nodes(*first, "http://b:1")
    metadata.list_film(*first, video_id="one", coded=coded)
    metadata.list_film("http://b:1", video_id="two")
    metadata.list_film("http://b:1", video_id="three")
    asking = ask(metadata.url)
    wait_until(lambda: asking.samples)
    samples = asking.samples[0]
    assert samples.keys() == {*first, "http://b:1"}
    assert samples["http://a1:1"] == f"http://a1:1/chunk/{'f1' if coded else 'one-0'}"
    assert "/manifest/three" not in metadata.asked


def test_a_broken_film_does_not_hide_the_next(ask: Ask, metadata: Metadata) -> None:
    metadata.list_nodes("http://a:1")
    metadata.list_film("http://a:1", video_id="broken")
    metadata.answers["/manifest/broken"] = {"video_id": "broken"}
    metadata.list_film("http://a:1", video_id="whole")
    asking = ask(metadata.url)
    wait_until(lambda: asking.samples)
    assert asking.samples[0] == {"http://a:1": "http://a:1/chunk/whole-0"}


def test_samples_are_looked_for_until_there_is_a_film_and_then_kept(
    ask: Ask, metadata: Metadata
) -> None:
    metadata.list_nodes("http://a:1")
    asking = ask(metadata.url)
    wait_until(lambda: VIDEOS in metadata.asked)
    metadata.list_film("http://a:1")
    wait_until(lambda: asking.samples)
    seen = len(asking.nodes)
    wait_until(lambda: len(asking.nodes) >= seen + 3)
    assert len(asking.samples) == 1
    metadata.list_nodes("http://a:1", "http://b:1")
    wait_until(lambda: len(asking.samples) == 2)
