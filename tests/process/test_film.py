"""The whole film, from one command: every output holds the source's pictures."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from cluster import EmbeddedCluster
from tests.media_fixtures import Reading
from tests.process.support import FILM_ID, Viewer, assert_same_film


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "out.ts"])
def test_file_holds_the_film(viewer: Viewer, film: Reading, tmp_path: Path, name: str) -> None:
    done = viewer.run(FILM_ID, "--output", str(tmp_path / name), "--no-pace")
    assert (done.code, done.err) == (0, "")
    assert_same_film(tmp_path / name, film)
    assert [p.name for p in tmp_path.iterdir()] == [name]
    assert f"{FILM_ID}: played, 40.0 s played" in done.out


def test_standard_output_carries_the_film_and_nothing_else(
    viewer: Viewer, film: Reading, tmp_path: Path
) -> None:
    playing = viewer.play(FILM_ID, "--output", "-", "--no-pace")
    done = playing.finish()
    assert done.code == 0
    assert f"{FILM_ID}: played, 40.0 s played" in done.err
    captured = tmp_path / "captured.ts"
    captured.write_bytes(playing.out_path.read_bytes())
    assert_same_film(captured, film)
    assert viewer.private_dirs() == []


def test_raw_file_holds_the_chunks_as_they_are(
    viewer: Viewer, cluster: EmbeddedCluster, tmp_path: Path
) -> None:
    path = tmp_path / "out.bin"
    assert viewer.run(FILM_ID, "--raw", "--output", str(path), "--no-pace").code == 0
    data = path.read_bytes()
    for chunk in cluster.manifest(FILM_ID)["chunks"]:
        piece, data = data[: chunk["size_bytes"]], data[chunk["size_bytes"] :]
        assert hashlib.sha256(piece).hexdigest() == chunk["checksum"]
    assert data == b""


def test_bytes_that_are_no_media_play_raw(
    viewer: Viewer, cluster: EmbeddedCluster, tmp_path: Path
) -> None:
    noise = bytes(i * 7 % 251 for i in range(150_000))
    cluster.add_raw(noise, "noise", "--chunk-bytes", "60000")
    path = tmp_path / "noise"
    assert viewer.run("noise", "--raw", "--output", str(path), "--no-pace").code == 0
    assert path.read_bytes() == noise


def test_without_output_the_film_plays_to_nowhere(viewer: Viewer) -> None:
    done = viewer.run(FILM_ID, "--no-pace")
    assert (done.code, done.err) == (0, "")
    assert "startup latency" in done.out
    assert viewer.private_dirs() == []


def test_an_existing_file_is_replaced(viewer: Viewer, film: Reading, tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    path.write_bytes(b"an older recording")
    assert viewer.run(FILM_ID, "--output", str(path), "--no-pace").code == 0
    assert_same_film(path, film)


def test_list_shows_the_videos(viewer: Viewer) -> None:
    done = viewer.run("--list")
    assert done.code == 0
    assert FILM_ID in done.out
    assert "4 chunks" in done.out
