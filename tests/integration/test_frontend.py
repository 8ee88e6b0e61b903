"""tools/frontend.py against a registry of its own: what it takes, and what it refuses.

The script is copied into an empty checkout, where it runs as a user's would: it needs nothing else of ours.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import shutil
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = b"globalThis.Hls = class {};\n" * 100
HLS = {"package/dist/hls.light.min.js": SCRIPT, "package/LICENSE": b"Apache-2.0\n"}
UPLOT = {
    "package/dist/uPlot.iife.min.js": b"var uPlot;\n",
    "package/dist/uPlot.min.css": b".uplot {}\n",
    "package/LICENSE": b"MIT\n",
}
WANTED = {
    "hls.light.min.js",
    "hls.light.min.js.gz",
    "hls.js.LICENSE.txt",
    "uPlot.iife.min.js",
    "uPlot.iife.min.js.gz",
    "uPlot.min.css",
    "uPlot.min.css.gz",
    "uPlot.LICENSE.txt",
    ".origin",
}
Edit = Callable[[tarfile.TarFile], None]


def tarball(files: dict[str, bytes], edit: Edit | None = None) -> bytes:
    """Return a package as the registry has it; `edit` adds what no honest one holds."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        if edit is not None:
            edit(archive)
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def link(name: str, target: str) -> Edit:
    """Return what adds a symbolic link."""

    def edit(archive: tarfile.TarFile) -> None:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = tarfile.SYMTYPE, target
        archive.addfile(member)

    return edit


class Registry:
    """Answers with the tarballs it was given, notes what it was asked."""

    def __init__(self) -> None:
        self.bodies: dict[str, bytes] = {}
        self.failures: list[int] = []
        self.cut_short = False
        self.asked: list[str] = []
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                registry.asked.append(self.path)
                status = registry.failures.pop(0) if registry.failures else 200
                body = registry.bodies.get(self.path, b"")
                if status == 200 and self.path not in registry.bodies:
                    status = 404
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: len(body) // 2] if registry.cut_short else body)

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        # A short poll: the end of each test waits for one.
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Checkout:
    """A folder with the script and a lock."""

    def __init__(self, root: Path, registry: Registry) -> None:
        self.root, self.registry = root, registry
        self.vendor = root / "dashboard" / "static" / "vendor"
        self.environment = {
            "PATH": str(root / "bin"),
            "NPM_CONFIG_REGISTRY": registry.url,
            "NO_PROXY": "127.0.0.1",
        }
        for folder in ("bin", "tools", "frontend", "dashboard/static"):
            (root / folder).mkdir(parents=True)
        shutil.copy(ROOT / "tools" / "frontend.py", root / "tools")
        self.lock = root / "frontend" / "package-lock.json"
        self.offer("1.0.0", tarball(HLS), tarball(UPLOT))

    def offer(
        self,
        version: str,
        hls: bytes,
        uplot: bytes,
        names: tuple[str, str] = ("hls.js", "uplot"),
    ) -> None:
        """Lock these packages, and let the registry have them."""
        packages: dict[str, dict[str, str]] = {"": {}}
        for name, body in zip(names, (hls, uplot), strict=True):
            checksum = base64.b64encode(hashlib.sha512(body).digest()).decode()
            packages[f"node_modules/{name}"] = {
                "version": version,
                "integrity": f"sha512-{checksum}",
            }
            self.registry.bodies[f"/{name}/-/{name}-{version}.tgz"] = body
        self.lock.write_text(json.dumps({"lockfileVersion": 3, "packages": packages}))

    def run(self, *arguments: str, **environment: str) -> tuple[int, str]:
        """Return exit code and errors."""
        done = subprocess.run(
            [sys.executable, str(self.root / "tools" / "frontend.py"), *arguments],
            env=self.environment | environment,
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stderr

    def names(self) -> set[str]:
        return {path.name for path in self.vendor.iterdir()} if self.vendor.exists() else set()


@pytest.fixture
def registry() -> Iterator[Registry]:
    made = Registry()
    yield made
    made.close()


@pytest.fixture
def checkout(tmp_path: Path, registry: Registry) -> Checkout:
    return Checkout(tmp_path, registry)


def test_the_named_files_are_taken_each_with_its_compressed_twin(checkout: Checkout) -> None:
    assert checkout.run() == (0, "")
    assert checkout.names() == WANTED
    assert (checkout.vendor / "hls.light.min.js").read_bytes() == SCRIPT
    assert gzip.decompress((checkout.vendor / "hls.light.min.js.gz").read_bytes()) == SCRIPT
    assert (checkout.vendor / "uPlot.LICENSE.txt").read_bytes() == b"MIT\n"


def test_what_tests_need_goes_where_no_page_finds_it(checkout: Checkout) -> None:
    axe = tarball({"package/axe.min.js": SCRIPT, "package/LICENSE": b"MPL-2.0\n"})
    checkout.offer("1.0.0", axe, axe, names=("axe-core", "uplot"))
    assert checkout.run("--tests") == (0, "")
    folder = checkout.root / "tests" / "browser" / "vendor"
    assert (folder / "axe.min.js").read_bytes() == SCRIPT
    assert checkout.names() == set()


def test_unknown_arguments_are_refused(checkout: Checkout) -> None:
    assert checkout.run("--test") == (2, "frontend: unknown arguments: --test\n")


def test_a_second_run_asks_for_nothing(checkout: Checkout) -> None:
    checkout.run()
    asked = list(checkout.registry.asked)
    assert len(asked) == 2
    assert checkout.run() == (0, "")
    assert checkout.registry.asked == asked


def test_a_file_that_was_lost_is_fetched_again(checkout: Checkout) -> None:
    checkout.run()
    (checkout.vendor / "uPlot.min.css").unlink()
    assert checkout.run() == (0, "")
    assert checkout.names() == WANTED


def test_another_lock_replaces_the_files_and_clears_what_was_left(checkout: Checkout) -> None:
    checkout.run()
    (checkout.vendor / ".stamp-1").touch()
    (checkout.vendor / ".part").write_bytes(b"half")
    (checkout.vendor / "old").mkdir()
    checkout.offer("1.0.1", tarball(HLS | {"package/LICENSE": b"new"}), tarball(UPLOT))
    assert checkout.run() == (0, "")
    assert checkout.names() == WANTED
    assert (checkout.vendor / "hls.js.LICENSE.txt").read_bytes() == b"new"


def test_bytes_with_another_checksum_are_refused_before_anything_is_written(
    checkout: Checkout,
) -> None:
    checkout.registry.bodies["/uplot/-/uplot-1.0.0.tgz"] = tarball(UPLOT | {"package/x": b""})
    code, errors = checkout.run()
    assert code == 6
    assert "uplot-1.0.0.tgz" in errors
    assert "checksum" in errors
    assert checkout.names() == set()


def test_a_failure_leaves_the_earlier_version_in_place(checkout: Checkout) -> None:
    checkout.run()
    checkout.offer("1.0.1", tarball(HLS), tarball(UPLOT))
    checkout.registry.bodies["/hls.js/-/hls.js-1.0.1.tgz"] = b"something else"
    assert checkout.run()[0] == 6
    assert checkout.names() == WANTED


def test_a_package_the_registry_does_not_have_is_named(checkout: Checkout) -> None:
    del checkout.registry.bodies["/uplot/-/uplot-1.0.0.tgz"]
    code, errors = checkout.run()
    assert code == 4
    assert errors == (
        f"frontend: {checkout.registry.url}/uplot/-/uplot-1.0.0.tgz: "
        "the registry has no such package\n"
    )
    assert checkout.names() == set()


def test_a_file_that_is_not_in_its_package_is_named(checkout: Checkout) -> None:
    checkout.offer("1.0.0", tarball(HLS), tarball({"package/LICENSE": b"MIT\n"}))
    code, errors = checkout.run()
    assert code == 5
    assert "uplot 1.0.0 does not contain dist/uPlot.iife.min.js" in errors
    assert checkout.names() == set()


def test_hostile_names_lead_nowhere(checkout: Checkout) -> None:
    before = {path for path in checkout.root.rglob("*") if checkout.vendor not in path.parents}
    names = ("../evil.js", "package/../../evil.js", str(checkout.root / "evil.js"), "LICENSE")
    checkout.offer("1.0.0", tarball(HLS | dict.fromkeys(names, b"evil")), tarball(UPLOT))
    assert checkout.run() == (0, "")
    assert checkout.names() == WANTED
    after = {path for path in checkout.root.rglob("*") if checkout.vendor not in path.parents}
    assert after - before == {checkout.vendor}


@pytest.mark.parametrize("target", ["/etc/hostname", "../LICENSE", "../../../../frontend"])
def test_a_link_in_place_of_a_file_is_refused(checkout: Checkout, target: str) -> None:
    files = {"package/LICENSE": b"Apache-2.0\n"}
    body = tarball(files, link("package/dist/hls.light.min.js", target))
    checkout.offer("1.0.0", body, tarball(UPLOT))
    code, errors = checkout.run()
    assert code == 5
    assert "dist/hls.light.min.js is no regular file" in errors
    assert checkout.names() == set()


def test_what_is_no_tarball_is_refused(checkout: Checkout) -> None:
    checkout.offer("1.0.0", b"<html>", tarball(UPLOT))
    code, errors = checkout.run()
    assert code == 5
    assert "hls.js 1.0.0 cannot be unpacked" in errors


def test_a_registry_out_of_reach_is_named_without_its_password(checkout: Checkout) -> None:
    checkout.registry.close()
    address = checkout.registry.url.replace("//", "//someone:secret@")
    code, errors = checkout.run(NPM_CONFIG_REGISTRY=address)
    assert code == 3
    assert f"{checkout.registry.url}/hls.js/-/hls.js-1.0.0.tgz cannot be fetched" in errors
    assert "Connection refused" in errors
    assert "secret" not in errors
    assert checkout.names() == set()


def test_a_registry_that_recovers_is_asked_again(checkout: Checkout) -> None:
    checkout.registry.failures = [503, 502]
    assert checkout.run() == (0, "")
    assert len(checkout.registry.asked) == 4


def test_a_registry_that_does_not_recover_is_given_up(checkout: Checkout) -> None:
    checkout.registry.failures = [503] * 9
    code, errors = checkout.run()
    assert code == 3
    assert "the registry answers 503" in errors
    assert len(checkout.registry.asked) == 3


def test_a_body_that_breaks_off_is_not_taken_for_whole(checkout: Checkout) -> None:
    checkout.registry.cut_short = True
    assert checkout.run()[0] == 3
    assert checkout.names() == set()


@pytest.mark.parametrize(
    ("lock", "said"),
    [
        ("{", "JSONDecodeError"),
        ("{}", "packages"),
        ('{"packages": {}}', "node_modules/hls.js"),
        ('{"packages": {"node_modules/hls.js": {"version": "1"}}}', "integrity"),
        (
            '{"packages": {"node_modules/hls.js": {"version": "1", "integrity": "sha1-AA=="}}}',
            "sha512",
        ),
    ],
)
def test_a_lock_that_is_none_is_refused(checkout: Checkout, lock: str, said: str) -> None:
    checkout.lock.write_text(lock)
    code, errors = checkout.run()
    assert code == 2
    assert "package-lock.json" in errors
    assert said in errors
    assert checkout.registry.asked == []


def test_a_registry_that_is_no_address_is_refused(checkout: Checkout) -> None:
    code, errors = checkout.run(NPM_CONFIG_REGISTRY="ftp://127.0.0.1/")
    assert code == 2
    assert "NPM_CONFIG_REGISTRY: 'ftp://127.0.0.1/' is not an http(s) URL" in errors


def test_the_registry_is_the_one_npm_is_set_up_with(checkout: Checkout) -> None:
    npm = checkout.root / "bin" / "npm"
    npm.write_text(
        f'#!/bin/sh\n[ "$*" = "config get registry" ] && echo {checkout.registry.url}/\n'
    )
    npm.chmod(0o755)
    assert checkout.run(NPM_CONFIG_REGISTRY="") == (0, "")
    assert checkout.names() == WANTED


def test_a_folder_that_cannot_be_written_is_named(checkout: Checkout) -> None:
    checkout.vendor.write_text("in the way")
    code, errors = checkout.run()
    assert code == 7
    assert str(checkout.vendor) in errors
