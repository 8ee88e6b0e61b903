"""The page's files: compressed for who takes that, kept by browsers under addresses with versions."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from flask import Flask, render_template_string
from werkzeug.test import TestResponse

from dashboard.assets import LIBRARIES, add_assets, missing_libraries

SCRIPT = b"const answer = 42;" * 100


@pytest.fixture
def app(tmp_path: Path) -> Flask:
    (tmp_path / "vendor").mkdir()
    (tmp_path / "a.js").write_bytes(SCRIPT)
    (tmp_path / "a.png").write_bytes(b"picture")
    (tmp_path.parent / "secret").write_bytes(b"not yours")
    made = Flask("test", static_folder=str(tmp_path), static_url_path="/static")
    add_assets(made)
    return made


def get(app: Flask, path: str, **headers: str) -> TestResponse:
    """Return a whole answer, its file closed."""
    answer = app.test_client().get(path, headers=headers)
    answer.get_data()
    answer.close()
    return answer


def test_who_takes_gzip_gets_it(app: Flask) -> None:
    packed = get(app, "/static/a.js", **{"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.data) == SCRIPT
    assert packed.mimetype == "text/javascript"
    plain = get(app, "/static/a.js")
    assert plain.data == SCRIPT
    assert "Content-Encoding" not in plain.headers
    assert plain.headers["Vary"] == packed.headers["Vary"] == "Accept-Encoding"
    assert plain.headers["ETag"] != packed.headers["ETag"]


def test_a_picture_is_sent_as_it_is(app: Flask) -> None:
    answer = get(app, "/static/a.png", **{"Accept-Encoding": "gzip"})
    assert answer.data == b"picture"
    assert "Content-Encoding" not in answer.headers


def test_an_address_with_the_present_version_is_kept(app: Flask) -> None:
    with app.test_request_context():
        address = render_template_string("{{ url_for('static', filename='a.js') }}")
    assert "?v=" in address
    kept = get(app, address)
    assert "immutable" in kept.headers["Cache-Control"]
    stale = get(app, "/static/a.js?v=old")
    assert "immutable" not in stale.headers["Cache-Control"]
    again = get(app, "/static/a.js", **{"If-None-Match": stale.headers["ETag"]})
    assert again.status_code == 304


@pytest.mark.parametrize("path", ["nothing.js", "../secret", "vendor", "%2e%2e/secret"])
def test_nothing_else_is_served(app: Flask, path: str) -> None:
    assert get(app, f"/static/{path}").status_code == 404


def test_missing_libraries_are_named_with_the_way_to_get_them(tmp_path: Path) -> None:
    text = missing_libraries(tmp_path)
    assert all(name in text for name in LIBRARIES)
    assert "make setup" in text
    (tmp_path / "vendor").mkdir()
    for name in LIBRARIES:
        (tmp_path / "vendor" / name).write_bytes(b"")
    assert missing_libraries(tmp_path) == ""
