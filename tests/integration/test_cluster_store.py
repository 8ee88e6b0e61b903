"""A node's chunks on disk."""

import hashlib
from pathlib import Path

import pytest

from cluster.chunk_store import ChunkConflictError, ChunkStore, StoreFullError


def a_store(folder: Path, quota_bytes: int | None = None) -> ChunkStore:
    return ChunkStore(folder, quota_bytes=quota_bytes, free_floor_bytes=0)


def put(store: ChunkStore, chunk_id: str, data: bytes) -> bool:
    return store.put(chunk_id, data, expected_sha256=None, check_wanted=lambda: None)[1]


def client_has_left() -> None:
    raise ConnectionError


def test_chunks_are_found_again(tmp_path: Path) -> None:
    assert put(a_store(tmp_path), "c", b"bytes")
    found = a_store(tmp_path).find("c")
    assert found is not None
    assert found.path.read_bytes() == b"bytes"
    assert (found.size_bytes, found.sha256) == (5, hashlib.sha256(b"bytes").hexdigest())


def test_a_second_put_changes_nothing(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    assert [put(store, "c", b"bytes"), put(store, "c", b"bytes")] == [True, False]
    with pytest.raises(ChunkConflictError):
        put(store, "c", b"other")
    assert (len(store), store.used_bytes, len(list(tmp_path.iterdir()))) == (1, 5, 1)


def test_a_chunk_whose_client_left_is_not_stored(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    with pytest.raises(ConnectionError):
        store.put("c", b"bytes", expected_sha256=None, check_wanted=client_has_left)
    assert (len(store), list(tmp_path.iterdir())) == (0, [])


def test_a_wrong_checksum_leaves_nothing(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    with pytest.raises(ValueError, match="does not match"):
        store.put("c", b"bytes", expected_sha256="0" * 64, check_wanted=lambda: None)
    assert list(tmp_path.iterdir()) == []


def test_deleting_makes_room(tmp_path: Path) -> None:
    store = a_store(tmp_path, quota_bytes=5)
    put(store, "c", b"bytes")
    with pytest.raises(StoreFullError):
        put(store, "d", b"x")
    assert [store.delete("c"), store.delete("c")] == [True, False]
    assert put(store, "d", b"x")


def test_what_an_interrupted_put_left_is_cleared_at_the_start(tmp_path: Path) -> None:
    (tmp_path / ".incoming-abc").write_bytes(b"half")
    assert len(a_store(tmp_path)) == 0
    assert list(tmp_path.iterdir()) == []
