"""`/metrics` of a dashboard process that watches a stack of real sockets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from tests.dashboard_harness import Dashboard, FakeStack
from tests.metric_samples import SESSION_LABELS, Values, value, values_in
from tests.status_builders import NODE_A, NODE_B, a_score, a_session, scheduler_status, scores
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def stack(place: Path) -> Iterator[FakeStack]:
    made = FakeStack(place / "main")
    made.say(a_session(), scores(a_score(NODE_A), a_score(NODE_B)), scheduler_status())
    yield made
    made.close()


@pytest.fixture(scope="module")
def dashboard(place: Path, stack: FakeStack) -> Iterator[Dashboard]:
    made = Dashboard("-m", "dashboard", VSTACK_RUN_DIR=str(place / "main"))
    made.wait_listening()
    yield made
    code, errors = made.stop()
    assert code == 0, errors


def scraped(dashboard: Dashboard) -> Values:
    status, headers, text = dashboard.request("GET", "/metrics")
    assert (status, headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    return values_in(text, text_string_to_metric_families)


def test_a_scrape_follows_the_stack(dashboard: Dashboard, stack: FakeStack) -> None:
    wait_until(
        lambda: (
            value(scraped(dashboard), "vstack_session_received_bytes_total", **SESSION_LABELS)
            == 8_100_000
        )
    )
    wait_until(lambda: value(scraped(dashboard), "vstack_node_score", node=NODE_B) == 6.5)
    stack.say(a_session(stalled_sec=2.5, rebuffering_events=1))
    wait_until(
        lambda: (
            value(scraped(dashboard), "vstack_session_stalled_seconds_total", **SESSION_LABELS)
            == 2.5
        )
    )
    values = scraped(dashboard)
    assert value(values, "vstack_role_up", role="monitor") == 1
    assert value(values, "vstack_workers") == 1


def test_messages_that_cannot_be_read_are_counted(dashboard: Dashboard, stack: FakeStack) -> None:
    before = value(scraped(dashboard), "vstack_dashboard_dropped_messages_total")
    assert before is not None
    stack.say_garbage()
    wait_until(
        lambda: (value(scraped(dashboard), "vstack_dashboard_dropped_messages_total") or 0) > before
    )


def test_openmetrics_is_for_those_who_ask(dashboard: Dashboard) -> None:
    asked = {"Accept": "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.2"}
    status, headers, text = dashboard.request("GET", "/metrics", headers=asked)
    assert status == 200
    assert headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    values = values_in(text, openmetrics.text_string_to_metric_families)
    assert value(values, "vstack_role_up", role="buffer") == 1


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8888", "", "127.0.0.1.evil"])
def test_a_scrape_under_a_foreign_name_is_refused(dashboard: Dashboard, host: str) -> None:
    status, _, text = dashboard.request("GET", "/metrics", headers={"Host": host})
    assert status == 403
    assert "vstack_" not in text


@pytest.mark.parametrize("host", ["localhost:9", "127.0.0.1", "[::1]:8888"])
def test_a_scrape_under_an_own_name_is_answered(dashboard: Dashboard, host: str) -> None:
    assert dashboard.request("GET", "/metrics", headers={"Host": host})[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_metrics_can_only_be_read(dashboard: Dashboard, method: str) -> None:
    status, headers, _ = dashboard.request(method, "/metrics")
    assert status == 405
    assert set(headers["Allow"].split(", ")) == {"GET", "HEAD"}


def test_the_head_of_a_scrape_comes_without_its_body(dashboard: Dashboard) -> None:
    status, headers, text = dashboard.request("HEAD", "/metrics")
    assert (status, text) == (200, "")
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_the_json_of_the_same_name_is_still_there(dashboard: Dashboard) -> None:
    assert dashboard.json("/api/metrics").keys() == {"session", "nodes", "workers", "dashboard"}
