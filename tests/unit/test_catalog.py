"""The metadata client against a real server on loopback."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from common import catalog as catalog_module
from common.catalog import Catalog, VideoEntry
from common.errors import CatalogError, ExitCode

Answer = tuple[int, bytes]


class MetadataServer(ThreadingHTTPServer):
    """Answers from a dictionary of `METHOD path`."""

    daemon_threads = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[str, Answer] = {}
        self.asked: list[str] = []
        self.silent = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: MetadataServer

    def handle_any(self) -> None:
        asked = f"{self.command} {self.path}"
        self.server.asked.append(asked)
        status, body = self.server.answers.get(asked, (404, b"{}"))
        if status == 0:
            self.server.silent.wait(20)
            return
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if status in (301, 302):
            self.send_header("Location", "/elsewhere")
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = handle_any  # the names http.server looks for

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[MetadataServer]:
    with MetadataServer() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield made
        made.silent.set()
        made.shutdown()
        thread.join()


@pytest.fixture
def catalog(server: MetadataServer) -> Iterator[Catalog]:
    made = Catalog(server.url + "/", timeout_sec=2)
    yield made
    made.close()


def test_a_manifest_is_returned_as_it_was_sent(server: MetadataServer, catalog: Catalog) -> None:
    server.answers["GET /manifest/video"] = (200, b'{"any": "thing"}')
    assert catalog.manifest_json("video") == b'{"any": "thing"}'


def test_an_unknown_video_is_told_from_a_broken_service(
    server: MetadataServer, catalog: Catalog
) -> None:
    with pytest.raises(CatalogError, match="no video 'video'") as caught:
        catalog.manifest_json("video")
    assert (caught.value.fault, caught.value.exit_code) == ("not_found", ExitCode.NO_SUCH_VIDEO)
    server.answers["GET /manifest/video"] = (500, b"oops")
    with pytest.raises(CatalogError, match="answered 500") as caught:
        catalog.manifest_json("video")
    assert caught.value.exit_code == ExitCode.METADATA_UNREACHABLE


def test_ids_cannot_leave_their_place_in_the_path(server: MetadataServer, catalog: Catalog) -> None:
    with pytest.raises(CatalogError):
        catalog.manifest_json("a/b?c#d")
    assert server.asked == ["GET /manifest/a%2Fb%3Fc%23d"]


def test_a_redirect_is_not_followed(server: MetadataServer, catalog: Catalog) -> None:
    server.answers["GET /manifest/video"] = (302, b"")
    server.answers["GET /elsewhere"] = (200, b"{}")
    with pytest.raises(CatalogError, match="answered 302"):
        catalog.manifest_json("video")


def test_a_service_that_is_down_is_unreachable() -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        catalog = Catalog(f"http://127.0.0.1:{unheard.getsockname()[1]}", timeout_sec=2)
        with pytest.raises(CatalogError, match="connection refused") as caught:
            catalog.manifest_json("video")
        assert caught.value.fault == "unreachable"
        assert not catalog.is_healthy()
        catalog.close()


def test_a_service_that_hangs_is_unreachable(server: MetadataServer) -> None:
    server.answers["GET /manifest/video"] = (0, b"")
    catalog = Catalog(server.url, timeout_sec=0.1)
    with pytest.raises(CatalogError, match="timed out"):
        catalog.manifest_json("video")
    catalog.close()


def test_an_endless_answer_is_cut_off(
    server: MetadataServer, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog_module, "_MAX_BODY_BYTES", 1000)
    server.answers["GET /manifest/video"] = (200, bytes(5000))
    with pytest.raises(CatalogError, match="larger than 1000 bytes"):
        catalog.manifest_json("video")


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
def test_health_is_the_status(
    server: MetadataServer, catalog: Catalog, status: int, healthy: bool
) -> None:
    server.answers["GET /health"] = (status, b"{}")
    assert catalog.is_healthy() is healthy


@pytest.mark.parametrize("wrapped", [False, True])
def test_videos_are_listed(server: MetadataServer, catalog: Catalog, wrapped: bool) -> None:
    rows = [
        {"video_id": "a", "title": "A", "duration_sec": 60, "total_chunks": 6, "status": "active"},
        {"video_id": "b", "title": None, "unknown": 1},
    ]
    body = json.dumps({"videos": rows} if wrapped else rows).encode()
    server.answers["GET /videos?limit=100&offset=0"] = (200, body)
    assert catalog.videos() == [
        VideoEntry(video_id="a", title="A", duration_sec=60.0, total_chunks=6, status="active"),
        VideoEntry(video_id="b", title="", duration_sec=0.0, total_chunks=0, status=""),
    ]


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"7",
        b'"x"',
        b"null",
        b"{}",
        b"[7]",
        b'[{"title": "x"}]',
        b'[{"video_id": "a", "duration_sec": "long"}]',
        b'[{"video_id": "a", "total_chunks": 1e999}]',
        b"[" * 200_000,
        b"\xff\xfe\x00",
    ],
)
def test_a_list_that_is_none_is_refused(
    server: MetadataServer, catalog: Catalog, body: bytes
) -> None:
    server.answers["GET /videos?limit=100&offset=0"] = (200, body)
    with pytest.raises(CatalogError) as caught:
        catalog.videos()
    assert caught.value.fault == "invalid"


def test_a_view_is_posted_and_may_be_unknown(server: MetadataServer, catalog: Catalog) -> None:
    catalog.post_view("video")
    assert server.asked == ["POST /video/video/view"]


# ---------------------------------------------------------------- nodes


def test_healthy_nodes_are_origins_each_once(server: MetadataServer, catalog: Catalog) -> None:
    rows = [
        {"node_url": "http://Node-A:8081/", "status": "healthy"},
        {"node_url": "http://node-a:8081"},
        "https://b",
        {"node_url": "ftp://c"},
        {"node_url": "http://user@d"},
        {"node_url": "http://e\r\nHost: f"},
        {"node_url": None},
        7,
    ]
    for body in (rows, {"nodes": rows}):
        server.answers["GET /nodes/healthy"] = (200, json.dumps(body).encode())
        assert catalog.healthy_nodes() == ("http://node-a:8081", "https://b")


@pytest.mark.parametrize("body", [b"{}", b"7", b"null", b'"x"', b"[{}]", b"no json", b"[" * 10_000])
def test_what_is_no_list_of_nodes_is_refused(
    server: MetadataServer, catalog: Catalog, body: bytes
) -> None:
    server.answers["GET /nodes/healthy"] = (200, body)
    with pytest.raises(CatalogError, match="/nodes/healthy is not the list we know") as caught:
        catalog.healthy_nodes()
    assert caught.value.fault == "invalid"


def test_a_service_that_lists_no_nodes_is_told_from_one_without_any(
    server: MetadataServer, catalog: Catalog
) -> None:
    with pytest.raises(CatalogError, match="answered 404 to /nodes/healthy"):
        catalog.healthy_nodes()
    server.answers["GET /nodes/healthy"] = (200, b"[]")
    assert catalog.healthy_nodes() == ()


def test_an_asker_may_want_less_than_everything(server: MetadataServer, catalog: Catalog) -> None:
    server.answers["GET /manifest/video"] = (200, bytes(5000))
    with pytest.raises(CatalogError, match="larger than 1000 bytes"):
        catalog.manifest_json("video", max_bytes=1000)
