"""docs/recordings.md tells the truth: its programs run, and its tables are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from client.recording import blocks, records, thinning
from client.recording.values import ChunkChanges, End, Header, Lost
from tests.recordings import a_recording, an_end, field_names
from tests.status_builders import a_session, a_transfer, an_event

DOC = Path(__file__).resolve().parents[2] / "docs" / "recordings.md"
TEXT = DOC.read_text(encoding="utf-8")
PROGRAMS = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("program", PROGRAMS, ids=["with our code", "without"])
def test_its_programs_read_a_recording(
    program: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = a_recording(
        (0.1, a_session()),
        (0.5, an_event("node-b is silent")),
        (0.7, a_transfer()),
        (1.0, an_end()),
    )
    (tmp_path / "film.vsrec").write_bytes(data)
    monkeypatch.chdir(tmp_path)
    exec(program, {})
    said = capsys.readouterr().out
    assert "node-b is silent" in said
    assert "test-video-001" in said
    assert "played" in said


@pytest.mark.parametrize(
    ("tag", "kind"), [("header", Header), ("chunks", ChunkChanges), ("lost", Lost), ("end", End)]
)
def test_every_field_of_its_own_records_is_named(tag: str, kind: type) -> None:
    (row,) = re.findall(rf"^\| `{tag}` \| (.*) \|$", TEXT, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", row)) == set(field_names(kind))


def test_its_limits_are_those_of_the_code() -> None:
    mebibyte = 1024 * 1024
    assert blocks.MAGIC == b"VSTKREC"
    assert f"Version {blocks.FORMAT_VERSION}." in TEXT
    assert 8 * mebibyte == blocks.MAX_RAW_BYTES
    assert 8 * mebibyte + 64 * 1024 == blocks.MAX_PACKED_BYTES
    assert 4 * mebibyte == records.MAX_RECORD_BYTES
    assert thinning.BUDGET_BYTES_PER_SEC == 32 * 1024
    assert 4 * mebibyte == thinning.BURST_BYTES
    most = thinning.BURST_BYTES + 3600 * thinning.BUDGET_BYTES_PER_SEC
    assert f"{most / 1e6:.0f} MB: the budget" in TEXT
