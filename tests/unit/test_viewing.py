"""What the page tells of its player becomes a message, or a word on what is wrong with it."""

from __future__ import annotations

from typing import Any

import pytest

from common.messages import ViewerReport
from dashboard.fields import BadRequest
from dashboard.viewing import report_from


def fields(**changed: Any) -> dict[str, Any]:
    return {
        "session_id": "s1",
        "viewer_id": "v1",
        "state": "playing",
        "position_sec": 12.5,
        "rate_ratio": 1,
        "dropped_frames": 2,
        "error": "",
    } | changed


def test_a_report_is_taken_as_it_is() -> None:
    assert report_from(fields()) == ViewerReport(
        session_id="s1",
        viewer_id="v1",
        state="playing",
        position_sec=12.5,
        rate_ratio=1.0,
        dropped_frames=2,
        error="",
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("session_id", ""),
        ("session_id", "x" * 65),
        ("viewer_id", 7),
        ("state", "asleep"),
        ("position_sec", -1),
        ("position_sec", float("nan")),
        ("position_sec", float("inf")),
        ("position_sec", 10**400),
        ("position_sec", True),
        ("position_sec", "12"),
        ("rate_ratio", 17),
        ("dropped_frames", -1),
        ("dropped_frames", []),
        ("error", "x" * 301),
        ("error", None),
    ],
)
def test_a_wrong_field_is_named(name: str, value: object) -> None:
    with pytest.raises(BadRequest, match=f"^{name}: expected"):
        report_from(fields(**{name: value}))


@pytest.mark.parametrize("body", [None, [], "text", 3])
def test_a_report_is_an_object(body: object) -> None:
    with pytest.raises(BadRequest, match="body"):
        report_from(body)
