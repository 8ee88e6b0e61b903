"""Manifests that cannot be trusted: refused with the field that is wrong, or found out by the bytes."""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from cluster import EmbeddedCluster
from tests.process.support import FILM_ID, Viewer

Manifest = dict[str, Any]


class FakeMetadata:
    """A metadata service that says `body` to every GET."""

    def __init__(self) -> None:
        self.body = b""
        self.status = 200
        fake = self

        class Handler(BaseHTTPRequestHandler):
            """Answers; the base class finds do_GET by its name."""

            def do_GET(self) -> None:
                self.send_response(fake.status)
                self.send_header("Content-Length", str(len(fake.body)))
                self.end_headers()
                self.wfile.write(fake.body)

            def log_message(self, format: str, *arguments: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def fake(viewer: Viewer) -> Iterator[FakeMetadata]:
    """The viewer's metadata service, to be told what to say."""
    made = FakeMetadata()
    viewer.settings["METADATA_SERVICE_URL"] = made.url
    yield made
    made.close()


@pytest.fixture
def true_manifest(sound_cluster: EmbeddedCluster) -> Manifest:
    return sound_cluster.manifest(FILM_ID)


@pytest.fixture(scope="module")
def short_film(cluster: EmbeddedCluster) -> Manifest:
    """Three chunks of little weight."""
    return cluster.add_raw(bytes(range(250)) * 240, "short", "--chunk-bytes", "20000")


def no_chunks(manifest: Manifest) -> None:
    manifest["chunks"], manifest["total_chunks"] = [], 0


def duplicate_sequence(manifest: Manifest) -> None:
    manifest["chunks"][2]["sequence_num"] = 1


def missing_sequence(manifest: Manifest) -> None:
    manifest["chunks"][3]["sequence_num"] = 4


def duplicate_chunk(manifest: Manifest) -> None:
    manifest["chunks"][3]["chunk_id"] = manifest["chunks"][2]["chunk_id"]


def wrong_count(manifest: Manifest) -> None:
    manifest["total_chunks"] = 5


def other_video(manifest: Manifest) -> None:
    manifest["video_id"] = "another"


def file_url(manifest: Manifest) -> None:
    manifest["chunks"][1]["replicas"][0] = "file:///etc/passwd"


def url_without_host(manifest: Manifest) -> None:
    manifest["chunks"][0]["replicas"] = ["http://"]


def huge_chunk(manifest: Manifest) -> None:
    manifest["chunks"][0]["size_bytes"] = 2**40


def negative_chunk(manifest: Manifest) -> None:
    manifest["chunks"][0]["size_bytes"] = -1


def no_checksum(manifest: Manifest) -> None:
    manifest["chunks"][0]["checksum"] = "trust me"


def path_as_id(manifest: Manifest) -> None:
    manifest["chunks"][0]["chunk_id"] = "../../secret"


def endless_duration(manifest: Manifest) -> None:
    manifest["duration_sec"] = 1e300


def no_list(manifest: Manifest) -> None:
    manifest["chunks"] = "all of them"


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (no_chunks, ["chunks", "none"]),
        (duplicate_sequence, ["sequence_num 1", "twice"]),
        (missing_sequence, ["sequence_num 3", "missing"]),
        (duplicate_chunk, ["chunk_id", "twice"]),
        (wrong_count, ["total_chunks", "5", "4"]),
        (other_video, ["video_id", "another"]),
        (file_url, ["chunks[1].replicas", "file:///etc/passwd", "http(s)"]),
        (url_without_host, ["chunks[0].replicas", "http(s)"]),
        (huge_chunk, ["chunks[0].size_bytes"]),
        (negative_chunk, ["chunks[0].size_bytes"]),
        (no_checksum, ["chunks[0].checksum", "sha256"]),
        (path_as_id, ["chunks[0].chunk_id"]),
        (endless_duration, ["duration_sec"]),
        (no_list, ["chunks"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_manifest_is_refused_with_the_field_that_is_wrong(
    viewer: Viewer,
    fake: FakeMetadata,
    true_manifest: Manifest,
    spoil: Callable[[Manifest], None],
    words: list[str],
) -> None:
    spoil(true_manifest)
    fake.body = json.dumps(true_manifest).encode()
    done = viewer.run(FILM_ID)
    assert done.code == 3, done
    assert len(done.err.splitlines()) == 1, done
    for word in [f"manifest of {FILM_ID}", *words]:
        assert word in done.err
    assert viewer.private_dirs() == []


@pytest.mark.parametrize("body", [b"<html>Welcome</html>", b"", b"\xff\xfe", b"[]"], ids=repr)
def test_a_manifest_that_is_none_is_refused(
    viewer: Viewer, fake: FakeMetadata, body: bytes
) -> None:
    fake.body = body
    done = viewer.run(FILM_ID)
    assert done.code == 3, done
    assert len(done.err.splitlines()) == 1, done
    assert f"manifest of {FILM_ID}" in done.err


def test_a_metadata_service_in_trouble_is_told(viewer: Viewer, fake: FakeMetadata) -> None:
    fake.status, fake.body = 500, b"oops"
    done = viewer.run(FILM_ID)
    assert done.code == 3
    assert "answered 500" in done.err


@pytest.mark.parametrize(
    ("lie", "policy"), [(-1, "wait"), (-1000, "fail"), (1, "wait"), (1000, "fail")]
)
def test_a_lie_about_a_chunks_size_ends_with_a_message(
    viewer: Viewer,
    fake: FakeMetadata,
    short_film: Manifest,
    lie: int,
    policy: str,
) -> None:
    lying = copy.deepcopy(short_film)
    lying["chunks"][1]["size_bytes"] += lie
    fake.body = json.dumps(lying).encode()
    policy_arguments = ["--on-missing", policy, "--give-up-after", "2"]
    done = viewer.run(lying["video_id"], "--no-pace", "--quiet", *policy_arguments)
    assert done.code in (5, 6), done
    assert "chunk 1" in done.err
    assert "Traceback" not in done.err
