"""What the dashboard process answers, streams and accepts, watching a stack of real sockets."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.messages import (
    SeekTo,
)
from dashboard.feed import MAX_VIEWERS
from tests.dashboard_harness import DEAF, REFUSED, ROOT, Dashboard, FakeStack, read_event
from tests.status_builders import (
    NODE_A,
    NODE_B,
    a_chunk,
    a_score,
    a_session,
    an_event,
    chunk_map,
    scheduler_status,
    scores,
)
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def stack(place: Path) -> Iterator[FakeStack]:
    made = FakeStack(place / "main")
    made.say(a_session(), scores(a_score(NODE_A), a_score(NODE_B)), scheduler_status())
    made.say(chunk_map(a_chunk(0), a_chunk(1, {NODE_A: 1, NODE_B: 3})))
    yield made
    made.close()


@pytest.fixture(scope="module")
def dashboard(place: Path, stack: FakeStack) -> Iterator[Dashboard]:
    made = Dashboard("-m", "dashboard", VSTACK_RUN_DIR=str(place / "main"))
    made.wait_listening()
    wait_until(lambda: made.json("/api/status")["session_id"] == "s1")
    yield made
    code, errors = made.stop()
    assert code == 0, errors


# ---------------------------------------------------------------- reading


def test_status_shows_a_session_that_was_playing_before(dashboard: Dashboard) -> None:
    wait_until(lambda: NODE_B in dashboard.json("/api/status")["node_scores"])
    status = dashboard.json("/api/status")
    assert status["buffer"]["state"] == "healthy"
    assert status["stack"]["running"] is True
    assert [s["session_id"] for s in status["sessions"]] == ["s1"]


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("/api/status", "targets"),
        ("/api/stats", "scheduler_stats"),
        ("/api/metrics", "dashboard"),
        ("/api/history", "samples"),
        ("/api/performance", "summary"),
        ("/api/chunks", "chunks_by_node"),
        ("/api/status?session_id=s1", "session_id"),
    ],
)
def test_every_endpoint_answers_with_json_that_is_not_stored(
    dashboard: Dashboard, path: str, key: str
) -> None:
    status, headers, text = dashboard.request("GET", path)
    assert (status, headers["Cache-Control"]) == (200, "no-store")
    assert key in json.loads(text)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/nothing", 404),
        ("/api/control", 405),
        ("/api/status?session_id=unknown", 404),
        ("/api/history?seconds=0", 400),
        ("/api/history?seconds=9999999999", 400),
        ("/api/history?seconds=x", 400),
    ],
)
def test_errors_of_the_api_are_json(dashboard: Dashboard, path: str, status: int) -> None:
    found, _, text = dashboard.request("GET", path)
    assert found == status
    assert json.loads(text)["ok"] is False


def test_health_names_the_service_under_any_host_name(dashboard: Dashboard) -> None:
    _, _, text = dashboard.request("GET", "/health", headers={"Host": "some-container:1"})
    health = json.loads(text)
    assert (health["status"], health["service"]) == ("healthy", "vstack-dashboard")


def test_history_grows_by_the_second(dashboard: Dashboard) -> None:
    wait_until(lambda: len(dashboard.json("/api/history")["samples"]) >= 2)


def test_garbage_on_the_wire_is_counted_and_ignored(dashboard: Dashboard, stack: FakeStack) -> None:
    stack.say_garbage()
    wait_until(lambda: dashboard.json("/api/metrics")["dashboard"]["dropped_messages"] >= 3)
    assert dashboard.json("/health")["status"] == "healthy"


# ---------------------------------------------------------------- the page


def test_the_page_has_a_strict_policy_and_keeps_to_it(dashboard: Dashboard) -> None:
    _, headers, page = dashboard.request("GET", "/")
    assert headers["Content-Security-Policy"].startswith("default-src 'self';")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|https?://", page)


def test_everything_the_page_loads_is_served(dashboard: Dashboard) -> None:
    _, _, page = dashboard.request("GET", "/")
    paths = set(re.findall(r'(?:src|href)="(/static/[^"]+)"', page))
    for script in (ROOT / "dashboard" / "static").glob("*.js"):
        paths |= {f"/static/{name}" for name in re.findall(r'from "\./(.+)"', script.read_text())}
    assert {dashboard.request("GET", path)[0] for path in paths} == {200}


def test_scripts_never_write_markup() -> None:
    scripts = "".join(p.read_text() for p in (ROOT / "dashboard" / "static").glob("*.js"))
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", scripts)


def test_every_id_that_scripts_use_is_on_the_page() -> None:
    page = (ROOT / "dashboard" / "templates" / "index.html").read_text()
    scripts = "".join(p.read_text() for p in (ROOT / "dashboard" / "static").glob("*.js"))
    used = set(re.findall(r'(?:byId|setText|paint)\(\s*"([\w-]+)"', scripts))
    assert used - set(re.findall(r'\bid="([\w-]+)"', page)) == set()


# ---------------------------------------------------------------- event stream


def test_a_viewer_gets_the_present_and_then_every_change(
    dashboard: Dashboard, stack: FakeStack
) -> None:
    with dashboard.stream() as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        assert answer.readline() == b"retry: 1000\n"
        assert read_event(answer, "status")[1]["session_id"] == "s1"
        assert len(read_event(answer, "chunks")[1]["chunks"]) == 2
        stack.say(a_session(buffer_level_sec=3.25))
        while read_event(answer, "status")[1]["buffer"]["buffer_level_sec"] != 3.25:
            pass


def test_a_viewer_that_reconnects_misses_no_log_entry(
    dashboard: Dashboard, stack: FakeStack
) -> None:
    with dashboard.stream() as answer:
        stack.say(an_event("first"))
        last_id, entry = read_event(answer, "log")
        assert entry["text"] == "first"
    stack.say(an_event("second"))
    with dashboard.stream(Last_Event_ID=last_id) as answer:
        assert read_event(answer, "log")[1]["text"] == "second"


def test_too_many_viewers_are_told_so_and_places_become_free(dashboard: Dashboard) -> None:
    wait_until(lambda: dashboard.json("/health")["viewers"] == 0)
    with contextlib.ExitStack() as viewers:
        for _ in range(MAX_VIEWERS):
            assert viewers.enter_context(dashboard.stream()).status == 200
        status, _, text = dashboard.request("GET", "/api/events")
        assert (status, json.loads(text)["ok"]) == (503, False)
        assert dashboard.json("/health")["viewers"] == MAX_VIEWERS


# ---------------------------------------------------------------- control


def test_a_command_reaches_the_buffer_and_its_result_the_page(
    dashboard: Dashboard, stack: FakeStack
) -> None:
    stack.say(a_session())
    status, body = dashboard.control({"action": "seek", "position_sec": 30})
    assert (status, body["ok"], body["text"]) == (200, True, "done")
    sought = stack.commands[-1]
    assert isinstance(sought, SeekTo)
    assert (sought.session_id, sought.position_sec) == ("s1", 30.0)


def test_a_refused_command_is_a_conflict_with_its_reason(dashboard: Dashboard) -> None:
    status, body = dashboard.control({"action": "pause", "session_id": REFUSED})
    assert (status, body["error"]) == (409, "not now")


def test_a_command_without_answer_times_out(dashboard: Dashboard) -> None:
    status, body = dashboard.control({"action": "stop", "session_id": DEAF})
    assert status == 504
    assert "3 s" in body["error"]


@pytest.mark.parametrize("body", ["{", "[]", '"x"', "[" * 5000, '{"action": "seek"}', b"\xff"])
def test_a_body_that_is_no_command_is_refused(dashboard: Dashboard, body: str | bytes) -> None:
    assert dashboard.control(body)[0] == 400


def test_a_body_beyond_all_measure_is_refused(dashboard: Dashboard) -> None:
    assert dashboard.control("x" * 20_000)[0] == 413


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Host": "evil.example"}, 403),
        ({"Content-Type": "text/plain"}, 400),
    ],
)
def test_other_sites_cannot_control(
    dashboard: Dashboard, stack: FakeStack, headers: dict[str, str], status: int
) -> None:
    before = len(stack.commands)
    assert dashboard.control({"action": "stop"}, headers)[0] == status
    assert len(stack.commands) == before
