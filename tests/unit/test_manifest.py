"""Manifests: what is accepted, and which field a refusal names."""

from __future__ import annotations

import json
from typing import Any

import pytest

from common.errors import CatalogError, ExitCode
from common.manifest import MAX_CHUNK_BYTES, Manifest, parse_checksum, parse_manifest
from common.messages import Replica
from tests.builders import A, B, manifest_fields

CODE = "ab" * 32


def parse(fields: dict[str, Any], video_id: str = "video") -> Manifest:
    return parse_manifest(json.dumps(fields).encode(), video_id=video_id)


def refusal(fields: Any, video_id: str = "video") -> str:
    raw = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
    with pytest.raises(CatalogError) as caught:
        parse_manifest(raw, video_id=video_id)
    assert caught.value.fault == "invalid"
    assert caught.value.exit_code == ExitCode.METADATA_UNREACHABLE
    text = str(caught.value)
    assert text.startswith("manifest of video: ")
    assert len(text) < 400
    return text.removeprefix("manifest of video: ")


def with_chunk(number: int = 1, **changed: Any) -> dict[str, Any]:
    """Return a manifest in which one chunk is different."""
    fields = manifest_fields(3)
    fields["chunks"][number] |= changed
    return fields


def coded(**changed: Any) -> dict[str, Any]:
    """Return a manifest with one erasure-coded chunk of 10 bytes."""
    fragments = [
        {
            "fragment_id": f"video-chunk-000-frag-{index}",
            "chunk_id": "video-chunk-000",
            "fragment_index": index,
            "node_url": f"http://node-{index}:80",
            "size_bytes": 4,
            "checksum": CODE,
            "status": "active",
        }
        for index in range(5)
    ]
    fields = manifest_fields(1)
    fields["chunks"][0] |= {
        "size_bytes": 10,
        "replicas": [],
        "redundancy_mode": "erasure_coding",
        "fragments": fragments,
    } | changed
    return fields


# ---------------------------------------------------------------- accepted


def test_a_manifest_of_the_original_is_read() -> None:
    manifest = parse(manifest_fields(3))
    assert (manifest.video_id, manifest.title, len(manifest.chunks)) == ("video", "A film", 3)
    assert manifest.size_bytes == 1000 + 1001 + 1002
    assert manifest.chunks[1].replicas == (
        Replica(url=f"{A}/chunk/video-chunk-001"),
        Replica(url=f"{B}/chunk/video-chunk-001"),
    )
    assert manifest.node_urls() == (A, B)


def test_chunks_are_put_in_playing_order() -> None:
    fields = manifest_fields(3)
    fields["chunks"].reverse()
    assert [chunk.sequence_num for chunk in parse(fields).chunks] == [0, 1, 2]


@pytest.mark.parametrize("text", [CODE, CODE.upper(), f"sha256:{CODE}"])
def test_checksums_may_have_a_prefix(text: str) -> None:
    assert parse(with_chunk(checksum=text)).chunks[1].checksum_sha256 == CODE
    assert parse_checksum(text) == CODE


def test_a_missing_chunk_duration_falls_back() -> None:
    fields = manifest_fields()
    del fields["chunk_duration_sec"]
    assert parse(fields).chunk_duration_sec == 10.0
    fields["chunk_duration_sec"] = None
    assert parse(fields).chunk_duration_sec == 10.0


def test_fields_nobody_knows_are_ignored() -> None:
    fields = manifest_fields(3, codec="h264") | {"created_at": "2025-01-01 00:00:00"}
    assert len(parse(fields).chunks) == 3


def test_a_chunk_may_have_no_replica_yet() -> None:
    assert parse(with_chunk(replicas=[])).chunks[1].replicas == ()


def test_a_replica_named_twice_is_one() -> None:
    replicas = parse(with_chunk(replicas=[A, A + "/", B])).chunks[1].replicas
    assert [r.url.split("/chunk")[0] for r in replicas] == [A, B]


def test_a_title_may_be_missing() -> None:
    fields = manifest_fields()
    del fields["title"]
    assert parse(fields).title == "video"


def test_fragments_become_parts_with_places() -> None:
    (chunk,) = parse(coded()).chunks
    assert [f.fragment_index for f in chunk.fragments] == [0, 1, 2, 3, 4]
    assert chunk.fragments[3].replicas == (
        Replica(url="http://node-3:80/chunk/video-chunk-000-frag-3"),
    )
    assert len(parse(coded()).node_urls()) == 5


def test_a_fragment_on_two_nodes_has_two_places() -> None:
    fields = coded()
    fragments = fields["chunks"][0]["fragments"]
    fragments.append(fragments[0] | {"node_url": "http://other:80"})
    assert len(parse(fields).chunks[0].fragments[0].replicas) == 2


def test_three_fragments_are_enough() -> None:
    fields = coded()
    del fields["chunks"][0]["fragments"][1:3]
    assert [f.fragment_index for f in parse(fields).chunks[0].fragments] == [0, 3, 4]


# ---------------------------------------------------------------- refused


@pytest.mark.parametrize(
    "raw",
    [b"", b"<html>", b"{", b"\xff\xfe", b"null", b"[]", b'"x"', b"[" * 100_000],
)
def test_what_is_no_manifest_is_refused(raw: bytes) -> None:
    text = refusal(raw)
    assert text.startswith(("not JSON", "body"))


def test_the_manifest_of_another_video_is_refused() -> None:
    assert "video_id" in refusal(manifest_fields(video_id="other"))


def test_a_video_without_chunks_is_refused() -> None:
    assert "chunks: the video has none" in refusal(manifest_fields(0))


@pytest.mark.parametrize("missing", ["video_id", "total_chunks", "chunks"])
def test_a_missing_field_is_named(missing: str) -> None:
    fields = manifest_fields()
    del fields[missing]
    assert refusal(fields).startswith(f"{missing}: Field required")


@pytest.mark.parametrize("missing", ["chunk_id", "sequence_num", "size_bytes", "checksum"])
def test_a_missing_field_of_a_chunk_is_named(missing: str) -> None:
    fields = manifest_fields()
    del fields["chunks"][2][missing]
    assert refusal(fields).startswith(f"chunks[2].{missing}: Field required")


def test_a_wrong_number_of_chunks_is_refused() -> None:
    assert "total_chunks: says 4, 3 chunks" in refusal(manifest_fields(3, total_chunks=4))


def test_a_sequence_number_that_stands_twice_is_refused() -> None:
    assert "sequence_num 0 stands twice" in refusal(with_chunk(sequence_num=0))


def test_a_gap_in_the_sequence_is_refused() -> None:
    assert "sequence_num 1 is missing" in refusal(with_chunk(sequence_num=7))


def test_a_chunk_that_stands_twice_is_refused() -> None:
    assert "video-chunk-000 stands twice" in refusal(with_chunk(chunk_id="video-chunk-000"))


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("size_bytes", 0),
        ("size_bytes", -1),
        ("size_bytes", MAX_CHUNK_BYTES + 1),
        ("size_bytes", 10**400),
        ("size_bytes", 1000.5),
        ("size_bytes", "1000"),
        ("size_bytes", True),
        ("size_bytes", None),
        ("sequence_num", -1),
        ("sequence_num", "1"),
        ("chunk_id", ""),
        ("chunk_id", "../../etc/passwd"),
        ("chunk_id", "x" * 65),
        ("chunk_id", "video-chunk-001\n"),
        ("chunk_id", 7),
        ("checksum", ""),
        ("checksum", "md5:" + "0" * 32),
        ("checksum", "0" * 63),
        ("checksum", "g" * 64),
        ("replicas", "http://node-a:8081"),
        ("replicas", [A] * 65),
        ("redundancy_mode", "raid"),
        ("fragments", {}),
    ],
)
def test_a_wrong_value_of_a_chunk_is_named(field: str, wrong: Any) -> None:
    assert refusal(with_chunk(**{field: wrong})).startswith(f"chunks[1].{field}: ")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "node-a:8081",
        "ftp://node-a",
        "file:///etc/passwd",
        "http://",
        "http://:80",
        "http://node:0",
        "http://node:99999",
        "http://node:port",
        "http://[::1",
        "http://user:secret@node",
        "http://:secret@node",
        "http://node?x=1",
        "http://node#x",
        "http://no de",
        "http://node\n",
        "http://node\r\nX-Evil: 1",
        "http://node/\x00",
        "http://" + "x" * 2000,
        7,
        None,
    ],
)
def test_a_replica_that_is_no_http_url_is_refused(url: object) -> None:
    assert refusal(with_chunk(replicas=[A, url])).startswith("chunks[1].replicas")


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("duration_sec", -1),
        ("duration_sec", "long"),
        ("chunk_duration_sec", 0),
        ("chunk_duration_sec", 10**9),
        ("total_chunks", -1),
        ("total_chunks", 10**7),
        ("title", "x" * 1001),
        ("title", 7),
        ("video_id", ""),
        ("chunks", {}),
        ("chunks", [7]),
    ],
)
def test_a_wrong_value_of_the_video_is_named(field: str, wrong: Any) -> None:
    assert refusal(manifest_fields(3, **{field: wrong})).startswith(field)


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_duration_that_is_no_number_is_refused(word: str) -> None:
    raw = json.dumps(manifest_fields(3, duration_sec="WORD")).replace('"WORD"', word)
    assert refusal(raw.encode())


def test_fragments_of_a_wrong_size_are_refused() -> None:
    fields = coded()
    fields["chunks"][0]["fragments"][2]["size_bytes"] = 5
    assert "fragment 2 has 5 bytes, a third of 10 is 4" in refusal(fields)


def test_too_few_fragments_are_refused() -> None:
    fields = coded()
    del fields["chunks"][0]["fragments"][2:]
    assert "2 fragments listed, 3 are needed" in refusal(fields)
    assert "0 fragments listed" in refusal(coded(fragments=None))


def test_two_different_fragments_of_one_index_are_refused() -> None:
    fields = coded()
    fragments = fields["chunks"][0]["fragments"]
    fragments.append(fragments[0] | {"checksum": "cd" * 32})
    assert "two different fragments 0" in refusal(fields)


@pytest.mark.parametrize(
    ("field", "wrong"),
    [("fragment_index", 5), ("fragment_index", "0"), ("node_url", "x"), ("checksum", "y")],
)
def test_a_wrong_value_of_a_fragment_is_named(field: str, wrong: object) -> None:
    fields = coded()
    fields["chunks"][0]["fragments"][1][field] = wrong
    assert refusal(fields).startswith(f"chunks[0].fragments[1].{field}")
