"""The Flask application: the page, its JSON, the event stream and the controls."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import asdict
from typing import Any, Protocol

from flask import Flask, Response, abort, render_template, request
from werkzeug.exceptions import HTTPException

from common import http_guard as guard
from common.catalog import Catalog
from common.config import Settings
from common.errors import CatalogError
from common.messages import CommandResult, ViewerReport
from dashboard import assets
from dashboard.comparer import Busy, Comparer
from dashboard.comparison import NothingToCompare, session_from
from dashboard.control import (
    Command,
    NoAnswer,
    NoSession,
    StackAbsent,
    command_from,
    result_json,
)
from dashboard.feed import HISTORY_SEC, Feed, json_text
from dashboard.fields import BadRequest
from dashboard.metrics import exposition
from dashboard.proxy import film
from dashboard.stream import compressed, event_stream
from dashboard.viewing import report_from

SERVICE_NAME = "vstack-dashboard"
COMMAND_TIMEOUT_SEC = 3.0
MAX_BODY_BYTES = 16 * 1024
# More are nothing to choose from in a page.
MAX_VIDEOS = 200


class Commands(Protocol):
    """The way to the stack that is watched."""

    def ask(self, command: Command, timeout_sec: float) -> CommandResult:
        """Send a command and return its outcome; raise StackAbsent or NoAnswer."""

    def tell(self, report: ViewerReport) -> None:
        """Pass on what a player shows; raise StackAbsent."""


def create_app(
    feed: Feed,
    commands: Commands,
    *,
    settings: Settings | None = None,
    configured_hosts: frozenset[str] = frozenset(),
    comparer: Comparer | None = None,
) -> Flask:
    """Return the application; `settings` tell the bound host and the defaults of new sessions.

    Whoever hands in a `comparer` stops it.
    """
    chosen = settings or Settings()
    app = Flask(__name__)
    assets.add_assets(app)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    _add_guards(app, chosen, configured_hosts)
    _add_pages(app, feed)
    _add_readers(app, feed)
    _add_control(app, feed, commands, chosen)
    _add_watching(app, feed, commands, chosen)
    _add_comparing(app, feed, comparer or Comparer())
    return app


def _answer(body: Any, status: int = 200) -> Response:
    return Response(json_text(body) + "\n", status=status, mimetype="application/json")


def _failure(text: str, status: int) -> Response:
    return _answer({"ok": False, "error": text}, status)


def _is_api() -> bool:
    return request.path.startswith("/api/") or request.path == "/health"


def _add_guards(app: Flask, settings: Settings, configured_hosts: frozenset[str]) -> None:
    @app.before_request
    def check() -> Response | None:
        host = request.headers.get("Host", "")
        # Health tells nothing, and those who ask it may know us by any name.
        if request.path != "/health" and not guard.host_allowed(
            host, settings.dashboard_host, configured_hosts
        ):
            return _failure(f"Host: {host[:100]!r} is not a name of this dashboard", 403)
        if request.path.startswith("/api/") and not guard.same_site(request.headers):
            return _failure("Sec-Fetch-Site: requests of other sites are refused", 403)
        return None

    @app.after_request
    def add_headers(response: Response) -> Response:
        response.headers.update(guard.SECURITY_HEADERS)
        if _is_api():
            response.headers["Cache-Control"] = "no-store"
        else:
            response.headers.setdefault("Cache-Control", "no-cache")
        return response

    @app.errorhandler(HTTPException)
    def on_http_error(error: HTTPException) -> Response | HTTPException:
        text = error.description or error.name
        return _failure(text, error.code or 500) if _is_api() else error

    @app.errorhandler(Exception)
    def on_bug(error: Exception) -> Response:
        app.logger.error("request failed path=%s", request.path, exc_info=error)
        return _failure("internal error; see the dashboard's log", 500)


def _add_pages(app: Flask, feed: Feed) -> None:
    @app.get("/")
    def index() -> str:
        return render_template("index.html")

    @app.get("/health")
    def health() -> Response:
        return _answer(
            {
                "status": "healthy",
                "service": SERVICE_NAME,
                "stack_running": feed.sight.running,
                "viewers": feed.viewers,
            }
        )


def _asked_session(feed: Feed) -> str | None:
    """Return the session of the query, None when it names none; 404 for an unknown one."""
    session_id = request.args.get("session_id") or None
    if session_id is not None and feed.session(session_id) is None:
        abort(404, "session_id: no such session")
    return session_id


def _add_readers(app: Flask, feed: Feed) -> None:
    @app.get("/api/status")
    def status() -> Response:
        return _answer(feed.status(_asked_session(feed)))

    @app.get("/api/stats")
    def stats() -> Response:
        return _answer(feed.stats(_asked_session(feed)))

    @app.get("/api/metrics")
    def metrics() -> Response:
        return _answer(feed.metrics(time.time()))

    @app.get("/metrics", provide_automatic_options=False)
    def prometheus() -> Response:
        text, kind = exposition(feed, time.time(), request.headers.get("Accept", ""))
        return Response(text, content_type=kind)

    @app.get("/api/performance")
    def performance() -> Response:
        return _answer(feed.performance(_asked_session(feed)))

    @app.get("/api/chunks")
    def chunks() -> Response:
        return _answer(feed.chunks(_asked_session(feed)))

    @app.get("/api/chunks/<int:sequence_num>")
    def chunk(sequence_num: int) -> Response:
        found = feed.chunk(sequence_num, _asked_session(feed))
        if found is None:
            abort(404, "no such chunk")
        return _answer(found)

    @app.get("/api/history")
    def history() -> Response:
        raw = request.args.get("seconds", str(HISTORY_SEC))
        if not (raw.isascii() and raw.isdigit() and 1 <= int(raw[:9]) <= HISTORY_SEC):
            abort(400, f"seconds: expected a whole number of 1-{HISTORY_SEC}")
        samples = feed.history(seconds=int(raw), session_id=_asked_session(feed))
        return _answer({"interval_sec": 1, "samples": samples})

    @app.get("/api/events")
    def events() -> Response:
        session_id = _asked_session(feed)
        if request.method == "HEAD":
            return Response(mimetype="text/event-stream")
        if feed.stopping.is_set() or not feed.enter_viewer():
            abort(503, "too many viewers; close another page of the dashboard")
        last = request.headers.get("Last-Event-ID") or request.args.get("last_event_id", "")
        stream = event_stream(
            feed,
            session_id=session_id,
            last_event_id=last,
            gone=request.environ.get("waitress.client_disconnected", lambda: False),
        )
        packed = request.accept_encodings["gzip"] > 0
        body = compressed(stream) if packed else stream
        response = Response(body, mimetype="text/event-stream")
        if packed:
            response.content_encoding = "gzip"
        response.vary.add("Accept-Encoding")
        response.headers["X-Accel-Buffering"] = "no"
        response.call_on_close(feed.leave_viewer)
        return response


def _add_control(app: Flask, feed: Feed, commands: Commands, settings: Settings) -> None:
    @app.post("/api/control")
    def control() -> Response:
        refused = _refuse_foreign()
        if refused is not None:
            return refused
        try:
            command = command_from(
                json.loads(request.get_data()),
                live_session_id=feed.live_session_id(),
                settings=settings,
                command_id=uuid.uuid4().hex,
            )
            result = commands.ask(command, COMMAND_TIMEOUT_SEC)
        except BadRequest as error:
            return _failure(str(error), 400)
        except (ValueError, RecursionError) as error:
            if isinstance(error, NoSession):
                return _failure(str(error), 409)
            return _failure("body: not JSON", 400)
        except StackAbsent as error:
            return _failure(str(error), 503)
        except NoAnswer as error:
            return _failure(str(error), 504)
        return _answer(result_json(result), 200 if result.ok else 409)


def _add_watching(app: Flask, feed: Feed, commands: Commands, settings: Settings) -> None:
    @app.get("/stream/<session_id>/<name>")
    def stream(session_id: str, name: str) -> Response:
        return film(feed, session_id, name)

    @app.post("/api/viewer")
    def viewer() -> Response:
        refused = _refuse_foreign()
        if refused is not None:
            return refused
        try:
            commands.tell(report_from(json.loads(request.get_data())))
        except BadRequest as error:
            return _failure(str(error), 400)
        except (ValueError, RecursionError):
            return _failure("body: not JSON", 400)
        except StackAbsent as error:
            return _failure(str(error), 503)
        return _answer({"ok": True}, 202)

    @app.get("/api/videos")
    def videos() -> Response:
        catalog = Catalog(settings.metadata_service_url, timeout_sec=settings.request_timeout_sec)
        try:
            found = catalog.videos(limit=MAX_VIDEOS)
        except CatalogError as error:
            return _failure(str(error), 502)
        finally:
            catalog.close()
        return _answer({"videos": [asdict(video) for video in found]})


def _add_comparing(app: Flask, feed: Feed, comparer: Comparer) -> None:
    @app.get("/api/compare")
    def comparison() -> Response:
        return _answer(comparer.state())

    @app.post("/api/compare")
    def compare() -> Response:
        refused = _refuse_foreign()
        if refused is not None:
            return refused
        try:
            session_id = session_from(json.loads(request.get_data()))
            session = feed.session(session_id)
            name = session.session_id if session else ""
            comparer.start(name, lambda: feed.conditions(name))
        except BadRequest as error:
            return _failure(str(error), 400)
        except (NothingToCompare, Busy) as error:
            return _failure(str(error), 409)
        except (ValueError, RecursionError):
            return _failure("body: not JSON", 400)
        return _answer(comparer.state(), 202)


def _refuse_foreign() -> Response | None:
    """Refuse what another site's page, or no page of ours, posts."""
    if not guard.same_origin(request.headers):
        return _failure("Origin: requests of other sites are refused", 403)
    if request.mimetype != "application/json":
        return _failure("Content-Type: expected application/json", 400)
    return None
