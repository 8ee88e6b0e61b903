"""How static files are served: their types, compressed twins and lifetimes."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest
from flask import Flask, render_template_string, url_for
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from common.messages import CommandResult, ViewerReport
from dashboard.app import create_app
from dashboard.assets import LIBRARIES, add_assets
from dashboard.control import Command
from dashboard.feed import Feed

SCRIPT = "globalThis.Hls = class {};\n" * 100
# Not what the script gives: so a test sees that the twin is what is served.
TWIN = gzip.compress(b"// the twin\n" * 30, mtime=0)
FOR_GOOD = "public, max-age=31536000, immutable"


@pytest.fixture
def app(tmp_path: Path) -> Flask:
    """Return an application whose page lacks one library."""
    vendor = tmp_path / "vendor"
    vendor.mkdir()
    (vendor / "hls.light.min.js").write_text(SCRIPT)
    (vendor / "hls.light.min.js.gz").write_bytes(TWIN)
    (vendor / "uPlot.min.css").write_text(".uplot {}\n")
    (tmp_path / "app.js").write_text("import './dom.js';\n")
    (tmp_path / "photo.png").write_bytes(b"\x89PNG")
    (tmp_path.parent / "secret.js").write_text("secret")
    made = Flask("page", static_folder=str(tmp_path), static_url_path="/static")
    add_assets(made)
    return made


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def get(client: FlaskClient, address: str, **headers: str) -> TestResponse:
    """Ask for a file with gzip accepted, unless told otherwise."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = client.get(address, headers={"Accept-Encoding": "gzip, br"} | named)
    answer.get_data()
    answer.close()
    return answer


def test_who_takes_gzip_gets_the_twin(client: FlaskClient) -> None:
    answer = get(client, "/static/vendor/hls.light.min.js")
    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.headers["Content-Length"] == str(len(TWIN))
    assert answer.data == TWIN


@pytest.mark.parametrize("accepted", ["", "br", "gzip;q=0", "identity"])
def test_who_takes_no_gzip_gets_the_file(client: FlaskClient, accepted: str) -> None:
    answer = get(client, "/static/vendor/hls.light.min.js", Accept_Encoding=accepted)
    assert "Content-Encoding" not in answer.headers
    assert answer.headers["Vary"] == "Accept-Encoding"
    assert answer.text == SCRIPT


def test_a_text_without_twin_is_compressed_all_the_same(client: FlaskClient) -> None:
    answer = get(client, "/static/app.js")
    assert answer.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(answer.data) == b"import './dom.js';\n"


def test_a_picture_is_not_compressed(client: FlaskClient) -> None:
    answer = get(client, "/static/photo.png")
    assert "Content-Encoding" not in answer.headers
    assert "Vary" not in answer.headers
    assert (answer.mimetype, answer.data) == ("image/png", b"\x89PNG")


@pytest.mark.parametrize(
    ("address", "mimetype"),
    [
        ("/static/vendor/hls.light.min.js", "text/javascript"),
        ("/static/vendor/uPlot.min.css", "text/css"),
    ],
)
@pytest.mark.parametrize("accepted", ["gzip", "identity"])
def test_the_type_is_that_of_the_content(
    client: FlaskClient, address: str, mimetype: str, accepted: str
) -> None:
    assert get(client, address, Accept_Encoding=accepted).mimetype == mimetype


def test_an_address_with_the_version_is_kept_for_good(app: Flask, client: FlaskClient) -> None:
    with app.test_request_context():
        address = url_for("static", filename="vendor/hls.light.min.js")
    assert "?v=" in address
    assert get(client, address).headers["Cache-Control"] == FOR_GOOD


@pytest.mark.parametrize("query", ["", "?v=earlier"])
def test_any_other_address_is_asked_about_each_time(client: FlaskClient, query: str) -> None:
    answer = get(client, f"/static/vendor/hls.light.min.js{query}")
    assert answer.headers["Cache-Control"] == "no-cache"


def test_another_content_has_another_address_and_tag(
    app: Flask, client: FlaskClient, tmp_path: Path
) -> None:
    with app.test_request_context():
        before = url_for("static", filename="app.js")
        tag = get(client, before).headers["ETag"]
        (tmp_path / "app.js").write_text("import './view.js';\n\n")
        after = url_for("static", filename="app.js")
    assert after != before
    assert get(client, before).headers["Cache-Control"] == "no-cache"
    assert get(client, after).headers["ETag"] != tag
    assert gzip.decompress(get(client, after).data) == b"import './view.js';\n\n"


@pytest.mark.parametrize("accepted", ["gzip", "identity"])
def test_who_has_the_file_is_not_sent_it_again(client: FlaskClient, accepted: str) -> None:
    address = "/static/vendor/hls.light.min.js"
    tag = get(client, address, Accept_Encoding=accepted).headers["ETag"]
    again = get(client, address, Accept_Encoding=accepted, If_None_Match=tag)
    assert (again.status_code, again.data) == (304, b"")
    assert again.headers["Vary"] == "Accept-Encoding"


def test_the_two_forms_of_a_file_have_tags_of_their_own(client: FlaskClient) -> None:
    address = "/static/vendor/hls.light.min.js"
    tag = get(client, address).headers["ETag"]
    other = get(client, address, Accept_Encoding="identity", If_None_Match=tag)
    assert (other.status_code, other.text) == (200, SCRIPT)


@pytest.mark.parametrize(
    "path",
    ["nothing.js", "vendor", "vendor/", "../secret.js", "%2e%2e/secret.js"],
)
def test_nothing_else_is_served(client: FlaskClient, path: str) -> None:
    assert get(client, f"/static/{path}").status_code == 404


def test_the_page_is_told_which_libraries_are_missing_and_how_to_get_them(
    app: Flask, tmp_path: Path
) -> None:
    with app.test_request_context():
        text = render_template_string("{{ missing_libraries() }}")
        assert "uPlot.iife.min.js" in text
        assert "hls.light.min.js" not in text
        assert "`make setup`, or `python tools/frontend.py`" in text
        (tmp_path / "vendor" / "uPlot.iife.min.js").touch()
        assert render_template_string("{{ missing_libraries() }}") == ""


def test_every_library_missing_is_named(app: Flask, tmp_path: Path) -> None:
    for path in (tmp_path / "vendor").iterdir():
        path.unlink()
    (tmp_path / "vendor").rmdir()
    with app.test_request_context():
        text = render_template_string("{{ missing_libraries() }}")
    assert [name for name in LIBRARIES if name not in text] == []


class Nobody:
    """The way to a stack that nobody takes."""

    def ask(self, command: Command, timeout_sec: float) -> CommandResult:
        raise AssertionError(f"nobody sends {command}")

    def tell(self, report: ViewerReport) -> None:
        raise AssertionError(f"nobody reports {report}")


def test_the_dashboard_keeps_its_page_and_figures_fresh_and_its_files_as_long_as_they_last() -> (
    None
):
    app = create_app(Feed(boot_id="boot", started_unix_sec=1000.0), Nobody())
    client = app.test_client()
    page = get(client, "/")
    address = re.search(r'src="(/static/app\.js\?v=[^"]+)"', page.text)
    assert address is not None
    answers = (page, get(client, address[1]), get(client, "/static/dom.js"))
    lifetimes = [answer.headers["Cache-Control"] for answer in answers]
    assert lifetimes == ["no-cache", FOR_GOOD, "no-cache"]
    assert get(client, "/static/nothing.js").headers["Cache-Control"] == "no-cache"
    assert get(client, "/api/status?v=1").headers["Cache-Control"] == "no-store"
    assert {answer.headers["X-Content-Type-Options"] for answer in answers} == {"nosniff"}
