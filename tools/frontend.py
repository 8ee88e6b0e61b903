"""Fetch the libraries of the dashboard's page into dashboard/static/vendor, as frontend/package-lock.json says.

    python tools/frontend.py             what the page is made of
    python tools/frontend.py --tests     what its tests need, into tests/browser/vendor

They come from the npm registry, and Node is not needed; NPM_CONFIG_REGISTRY names another registry. Nothing is unpacked
before its checksum is found to be the lock's, and nothing is written before every package is there. What is up to date
is left alone, without a request. Exit codes, alike main.py's: 2 wrong lock or setting, 3 registry not reachable, 4 no
such package, 5 a file is not in its package, 6 wrong bytes, 7 cannot be written.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "frontend" / "package-lock.json"
VENDOR = ROOT / "dashboard" / "static" / "vendor"
TEST_VENDOR = ROOT / "tests" / "browser" / "vendor"
# Says which lock, and which version of this file, a folder was filled from; written last.
ORIGIN_NAME = ".origin"
# What is taken of each package, and the name it gets.
FILES = {
    "hls.js": {"dist/hls.light.min.js": "hls.light.min.js", "LICENSE": "hls.js.LICENSE.txt"},
    "uplot": {
        "dist/uPlot.iife.min.js": "uPlot.iife.min.js",
        "dist/uPlot.min.css": "uPlot.min.css",
        "LICENSE": "uPlot.LICENSE.txt",
    },
}
# Of the packages for development; no page gets them.
TEST_FILES = {"axe-core": {"axe.min.js": "axe.min.js", "LICENSE": "axe-core.LICENSE.txt"}}
DEFAULT_REGISTRY = "https://registry.npmjs.org/"
ATTEMPTS = 3
TIMEOUT_SEC = (10.0, 60.0)
NPM_TIMEOUT_SEC = 20.0
# hls.js has 8 MB, with all its builds and their source maps.
MAX_PACKAGE_BYTES = 64 * 1024 * 1024


class FrontendError(Exception):
    """What is wrong, in words, and the exit code of its kind."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def main() -> int:
    """Fetch what is missing; return the exit code."""
    try:
        if sys.argv[1:] == ["--tests"]:
            _run(TEST_FILES, TEST_VENDOR)
        elif sys.argv[1:]:
            raise FrontendError(2, f"unknown arguments: {' '.join(sys.argv[1:])}")
        else:
            _run(FILES, VENDOR)
    except FrontendError as error:
        # An address may hold a name and a password.
        print("frontend:", re.sub(r"//[^/@\s]*@", "//", str(error)), file=sys.stderr)
        return error.code
    return 0


def _run(files_by_package: dict[str, dict[str, str]], folder: Path) -> None:
    try:
        lock = LOCK.read_bytes()
        entries = json.loads(lock)["packages"]
        pins = {package: _pin(entries[f"node_modules/{package}"]) for package in files_by_package}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FrontendError(2, f"{LOCK}: {type(error).__name__}: {error}") from error
    digest = hashlib.sha256(lock + Path(__file__).read_bytes()).hexdigest()
    names = [name for wanted in files_by_package.values() for name in wanted.values()]
    names += [f"{name}.gz" for name in names if _is_packed(name)]
    origin = folder / ORIGIN_NAME
    filled = origin.is_file() and origin.read_text(errors="replace") == digest
    if filled and all((folder / name).is_file() for name in names):
        return
    print(
        "Fetching", ", ".join(f"{name} {pin[0]}" for name, pin in pins.items()), "...", flush=True
    )
    registry = _registry()
    files: dict[str, bytes] = {}
    for package, (version, checksum) in pins.items():
        # The address npm's registry and its mirrors have; a scope is no part of the file's name.
        address = f"{registry}/{package}/-/{package.rpartition('/')[2]}-{version}.tgz"
        tarball = _download(address)
        if hashlib.sha512(tarball).digest() != checksum:
            raise FrontendError(
                6, f"{address}: the bytes that came do not have the lock's checksum"
            )
        files |= _unpack(package, version, tarball, files_by_package[package])
    files |= {f"{n}.gz": gzip.compress(d, 9, mtime=0) for n, d in files.items() if _is_packed(n)}
    try:
        _write(folder, files | {ORIGIN_NAME: digest.encode()})
    except OSError as error:
        raise FrontendError(7, f"the libraries cannot be written: {error}") from error


def _pin(entry: dict[str, str]) -> tuple[str, bytes]:
    """Return version and checksum of a package in the lock."""
    kind, _, encoded = entry["integrity"].partition("-")
    if kind != "sha512":
        raise ValueError(f"integrity: expected sha512, not {kind!r}")
    return entry["version"], base64.b64decode(encoded, validate=True)


def _is_packed(name: str) -> bool:
    return name.endswith((".js", ".css"))


def _registry() -> str:
    """Return the registry's address without a slash at its end."""
    named = [os.environ.get(name) for name in ("NPM_CONFIG_REGISTRY", "npm_config_registry")]
    address = named[0] or named[1] or _registry_of_npm() or DEFAULT_REGISTRY
    if not address.startswith(("http://", "https://")):
        raise FrontendError(2, f"NPM_CONFIG_REGISTRY: {address!r} is not an http(s) URL")
    return address.rstrip("/")


def _registry_of_npm() -> str:
    """Return the address npm is set up with; nothing where there is no npm, or none that answers."""
    command = [shutil.which("npm") or "", "config", "get", "registry"]
    if not command[0]:
        return ""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=NPM_TIMEOUT_SEC, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip() if done.stdout.startswith("http") else ""


def _download(address: str) -> bytes:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _body(address)
        except FrontendError as error:
            if error.code != 3 or attempt == ATTEMPTS:
                raise
    raise AssertionError("the last attempt returns or raises")


def _body(address: str) -> bytes:
    try:
        import requests
    except ImportError as error:
        raise FrontendError(2, "requests is missing: pip install -r requirements.txt") from error
    body = bytearray()
    try:
        with requests.get(address, stream=True, timeout=TIMEOUT_SEC) as answer:
            if answer.status_code == 404:
                raise FrontendError(4, f"{address}: the registry has no such package")
            if answer.status_code != 200:
                raise FrontendError(3, f"{address}: the registry answers {answer.status_code}")
            for block in answer.iter_content(1 << 16):
                body += block
                if len(body) > MAX_PACKAGE_BYTES:
                    raise FrontendError(6, f"{address}: more than {MAX_PACKAGE_BYTES} bytes")
    except requests.RequestException as error:
        cause: BaseException = error
        while cause.__context__ is not None:
            cause = cause.__context__
        text = f"{address} cannot be fetched: {cause} (another registry: set NPM_CONFIG_REGISTRY)"
        raise FrontendError(3, text) from error
    return bytes(body)


def _unpack(package: str, version: str, tarball: bytes, wanted: dict[str, str]) -> dict[str, bytes]:
    """Return the wanted files under their new names; the tarball's other names are of no interest."""
    found = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(tarball), mode="r:gz") as archive:
            for path, name in wanted.items():
                member = archive.getmember(f"package/{path}")
                # A link is not followed, wherever it leads.
                content = archive.extractfile(member) if member.isreg() else None
                if content is None:
                    raise FrontendError(5, f"{package} {version}: {path} is no regular file")
                found[name] = content.read()
    except KeyError as error:
        raise FrontendError(5, f"{package} {version} does not contain {path}") from error
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise FrontendError(5, f"{package} {version} cannot be unpacked: {error}") from error
    return found


def _write(folder: Path, files: dict[str, bytes]) -> None:
    """Make the folder hold these files alone, each of them whole at every moment."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ORIGIN_NAME).unlink(missing_ok=True)
    for old in [path for path in folder.iterdir() if path.name not in files]:
        shutil.rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink()
    part = folder / ".part"
    try:
        for name, content in files.items():
            part.write_bytes(content)
            part.replace(folder / name)
    finally:
        part.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
