"""Fetching the page's libraries: by checksum, whole or not at all, and not twice."""

from __future__ import annotations

import base64
import gzip
import hashlib
import importlib.util
import io
import json
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = b"var Hls = {};"


def tarball(*names: str, content: bytes = LIBRARY, link_to: str = "") -> bytes:
    """Return a package with these members, each a link where `link_to` says whither."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            if link_to:
                member.type, member.linkname = tarfile.SYMTYPE, link_to
                archive.addfile(member)
            else:
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


WHOLE = tarball("package/dist/hls.light.min.js", "package/LICENSE", "../../escaped", "/escaped")


class Registry:
    """A registry on loopback that has one package, and counts what it is asked."""

    def __init__(self) -> None:
        self.package = WHOLE
        self.asked: list[str] = []
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                registry.asked.append(self.path)
                found = registry.package if self.path.startswith("/hls.js/-/hls.js-") else b""
                self.send_response(200 if found else 404)
                self.send_header("Content-Length", str(len(found)))
                self.end_headers()
                self.wfile.write(found)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def registry() -> Iterator[Registry]:
    made = Registry()
    yield made
    made.close()


@pytest.fixture
def tool(tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, with a folder and a lock of its own."""
    spec = importlib.util.spec_from_file_location("frontend_tool", ROOT / "tools" / "frontend.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    folder = tmp_path / "vendor"
    for name, value in {
        "LOCK": tmp_path / "lock.json",
        "VENDOR": folder,
        "ORIGIN": folder / ".origin",
    }.items():
        monkeypatch.setattr(module, name, value)
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", registry.url)
    lock(tmp_path, WHOLE)
    return module


def lock(folder: Path, package: bytes) -> None:
    digest = base64.b64encode(hashlib.sha512(package).digest()).decode()
    entry = {"version": "1.2.3", "integrity": f"sha512-{digest}"}
    fields = {"lockfileVersion": 3, "packages": {"node_modules/hls.js": entry}}
    (folder / "lock.json").write_text(json.dumps(fields))


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in (folder / "vendor").glob("*")) if folder.exists() else []


def test_the_named_files_are_taken_and_nothing_else(
    tool: ModuleType, registry: Registry, tmp_path: Path
) -> None:
    (tmp_path / "vendor").mkdir()
    (tmp_path / "vendor" / "old.js").write_text("of an earlier version")
    assert tool.main() == 0
    wanted = ["hls.js.LICENSE.txt", "hls.light.min.js", "hls.light.min.js.gz"]
    assert [n for n in names(tmp_path) if n != ".origin"] == wanted
    folder = tmp_path / "vendor"
    assert (folder / "hls.light.min.js").read_bytes() == LIBRARY
    assert gzip.decompress((folder / "hls.light.min.js.gz").read_bytes()) == LIBRARY
    assert registry.asked == ["/hls.js/-/hls.js-1.2.3.tgz"]
    assert not (tmp_path / "escaped").exists()


def test_the_second_time_nothing_is_asked(
    tool: ModuleType, registry: Registry, tmp_path: Path
) -> None:
    assert [tool.main(), tool.main()] == [0, 0]
    assert len(registry.asked) == 1
    (tmp_path / "vendor" / "hls.light.min.js").unlink()
    assert tool.main() == 0
    assert len(registry.asked) == 2


@pytest.mark.parametrize(
    ("package", "code", "text"),
    [
        (WHOLE + b"more", 6, "checksum"),
        (b"", 4, "no such package"),
    ],
)
def test_what_is_not_the_locks_package_is_refused(
    tool: ModuleType,
    registry: Registry,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    package: bytes,
    code: int,
    text: str,
) -> None:
    registry.package = package
    assert tool.main() == code
    assert text in capsys.readouterr().err
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("package", "text"),
    [
        (tarball("package/LICENSE"), "does not contain dist/hls.light.min.js"),
        (
            tarball("package/dist/hls.light.min.js", "package/LICENSE", link_to="/etc/hostname"),
            "no regular file",
        ),
        (b"no archive", "cannot be unpacked"),
        (WHOLE[:-20], "cannot be unpacked"),
    ],
)
def test_a_package_without_the_files_leaves_nothing(
    tool: ModuleType,
    registry: Registry,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    package: bytes,
    text: str,
) -> None:
    registry.package = package
    lock(tmp_path, package)
    assert tool.main() == 5
    assert text in capsys.readouterr().err
    assert names(tmp_path) == []


def test_a_registry_that_is_not_there_is_named(
    tool: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "http://someone:secret@127.0.0.1:9")
    assert tool.main() == 3
    said = capsys.readouterr().err
    assert "127.0.0.1:9" in said
    assert "secret" not in said


def test_a_registry_that_is_no_address_is_refused(
    tool: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "ftp://127.0.0.1")
    assert tool.main() == 2
    assert "NPM_CONFIG_REGISTRY" in capsys.readouterr().err
