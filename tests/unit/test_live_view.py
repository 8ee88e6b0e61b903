"""The layout of the live view, as text: what is shown in which space."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis.strategies import integers, lists, text, tuples

from client.live_view import events_shown, layout
from tests.live_builders import a_node, figures, rendered

FIFTY_NODES = tuple(
    a_node(
        f"storage-{n:02}.example.org:8081",
        state="down" if n >= 48 else "healthy",
        delivered_bytes=50 - n,
    )
    for n in range(50)
)
TEN_EVENTS = tuple(f"12:00:{n:02} event {n}" for n in range(10))


def test_a_usual_terminal_shows_everything() -> None:
    nodes = (
        a_node("node-a:8081", active=True, share_ratio=0.75),
        a_node("node-b:8082", state="suspended", share_ratio=0.25, delivered_bytes=1_000_000),
        a_node("node-c:8083", state="down", success_ratio=0.0, delivered_bytes=0, share_ratio=0),
    )
    rates = tuple((age_sec, 20.0 - age_sec / 4) for age_sec in range(60))
    shown = figures(nodes=nodes, rates=rates, rebuffering_events=1, stalled_sec=2.5)
    assert rendered(shown, 79, 23) == [
        "▶ playing  Test video",
        "0:30 / 2:00          ██████▒▒▒·············  25 %",
        "buffer  20.0 s       ██████████L██·······T·  healthy  L low 15 s  T target 30 s",
        "rate    18.2 Mbit/s  ▃▃▃▄▄▄▄▅▅▅▅▆▆▆▆▆▇▇▇▇██  peak 20.0 in the last minute",
        "1 stall (2.5 s), 2 failovers, started after 0.80 s, 8.1 MB received",
        "",
        "  node        state        score latency Mbit/s success delivered  share",
        "↓ node-a:8081 ✓ healthy     6.50   20 ms   19.5   100 %    3.0 MB  █████████···",
        "  node-b:8082 ‖ suspended   6.50   20 ms   19.5   100 %    1.0 MB  ███·········",
        "  node-c:8083 ✕ down        6.50   20 ms   19.5     0 %       0 B  ············",
        "",
        "12:00:00 playback started after 0.80 s",
    ]


def test_forty_columns_show_the_most_important() -> None:
    lines = rendered(figures(events=TEN_EVENTS), 40, 23)
    assert lines[0] == "▶ playing  Test video"
    assert lines[1].startswith("0:30 / 2:00 ")
    assert "██" in lines[1]
    assert "buffer  20.0 s" in lines[2]
    assert "L" in lines[2]
    assert "18.2 Mbit/s" in lines[3]
    assert lines[4] == "0 stalls, 2 failovers"
    assert "✓ healthy" in "\n".join(lines)
    assert lines[-1] == TEN_EVENTS[-1]


def test_a_wide_terminal_says_how_long_a_node_is_suspended() -> None:
    waiting = a_node(state="suspended", suspended_for_sec=12.3)
    assert "‖ suspended 12 s" in "\n".join(rendered(figures(nodes=(waiting,)), 120))
    banned = a_node(state="suspended", suspended_for_sec=0.0)
    assert "suspended 0 s" not in "\n".join(rendered(figures(nodes=(banned,)), 120))


@pytest.mark.parametrize(
    ("height", "words"),
    [
        (1, ["▶ playing 0:30 / 2:00 buffer 20.0 s 18.2 Mbit/s"]),
        (2, ["0:30 / 2:00", "buffer"]),
        (3, ["▶ playing", "0:30 / 2:00", "buffer"]),
        (4, ["▶ playing", "0:30 / 2:00", "buffer", "rate"]),
        (5, ["▶ playing", "0:30 / 2:00", "buffer", "rate", "0 stalls"]),
        (6, ["▶ playing", "0:30 / 2:00", "buffer", "rate", "0 stalls", "12:00:09"]),
        (7, ["▶", "0:30", "buffer", "rate", "0 stalls", "50 nodes: 48 healthy, 2 d", "12:00:09"]),
        (
            9,
            ["▶", "0:30", "buffer", "rate", "0 stalls", "  node", "  stor", "  and 49", "12:00:09"],
        ),
    ],
)
def test_a_short_terminal_leaves_parts_out(height: int, words: list[str]) -> None:
    lines = rendered(figures(nodes=FIFTY_NODES, events=TEN_EVENTS), 80, height)
    assert len(lines) == len(words)
    for line, word in zip(lines, words, strict=True):
        assert line.startswith(word)


def test_of_many_nodes_the_first_are_shown_and_the_rest_is_counted() -> None:
    lines = rendered(figures(nodes=FIFTY_NODES), 80, 60)
    assert [line.split()[0] for line in lines if "example" in line] == [
        node.name for node in FIFTY_NODES[:12]
    ]
    assert "  and 38 more: 36 healthy, 2 down" in lines


def test_without_nodes_there_is_no_table() -> None:
    lines = rendered(figures(nodes=(), events=()))
    assert len(lines) == 5


def test_the_last_events_are_shown() -> None:
    shown = figures(events=TEN_EVENTS)
    assert rendered(shown)[-6:] == list(TEN_EVENTS[-6:])
    assert events_shown(shown, 24) == 6
    assert events_shown(shown, 6) == 1
    assert events_shown(shown, 5) == 0


def test_a_state_is_read_without_colour() -> None:
    for state, words in {
        "healthy": "✓ healthy",
        "probing": "◔ probing",
        "suspended": "‖ suspended",
        "down": "✕ down",
        "not rated": "– not rated",
    }.items():
        lines = rendered(figures(nodes=(a_node(state=state),)))
        assert any(words in line for line in lines)


@pytest.mark.parametrize(
    "state", ["startup", "playing", "rebuffering", "paused", "seeking", "failed"]
)
def test_a_playback_state_has_a_sign_of_its_own(state: str) -> None:
    first = rendered(figures(state=state))[0]
    assert first[1:].startswith(f" {state} ")
    assert first[0] not in "■ "


def test_what_was_not_measured_is_a_dash() -> None:
    unknown = a_node(score=None, latency_ms=None, bandwidth_mbps=None, success_ratio=None)
    row = next(line for line in rendered(figures(nodes=(unknown,))) if "node-a" in line)
    assert row.split()[3:9] == ["–", "–", "ms", "–", "–", "%"]
    assert "rate       – Mbit/s" in rendered(figures(rate_mbps=None, rates=()))[3]


def test_a_duration_that_is_not_known_is_said_to_be_about_right() -> None:
    assert rendered(figures(duration_known=False))[1].startswith("0:30 / about 2:00")
    assert rendered(figures(duration_sec=0.0, playhead_sec=0.0))[1].startswith("0:00 / 0:00")


def test_the_bars_keep_within_their_room() -> None:
    lines = rendered(figures(buffer_level_sec=500.0, playhead_sec=100.0))
    assert "·" not in lines[1]
    assert "▒" in lines[1]
    assert lines[2].count("·") == 0
    empty = rendered(figures(buffer_level_sec=0.0, buffer_state="empty", low_water_mark_sec=0.0))
    assert "█" not in empty[2]


def test_the_sparkline_ends_now_and_has_gaps_where_nothing_was_measured() -> None:
    rates = ((0.5, 10.0), (59.0, 20.0))
    line = rendered(figures(rates=rates), 120)[3]
    spark = line[line.index("s  ") + 3 :].split("peak")[0].rstrip()
    assert len(spark) == 30
    assert (spark[0], spark[-1]) == ("█", "▅")
    assert spark[1:-1].strip() == ""


def test_a_long_name_of_a_node_keeps_both_ends() -> None:
    node = a_node("a-storage-node-with-a-very-long-name.example.org:8081")
    row = next(line for line in rendered(figures(nodes=(node,))) if "a-storage" in line)
    assert "…" in row
    assert "8081 ✓ healthy" in row


def test_wide_signs_do_not_push_a_line_over_its_end() -> None:
    title = "大きなうさぎ" * 20
    node = a_node("ノード" * 10)
    for width in (30, 31, 40, 80):
        assert rendered(figures(title=title, nodes=(node,), events=(title,)), width)


def test_nothing_from_outside_commands_the_terminal() -> None:
    evil = "\x1b[2J\x1b]0;owned\x07\x9b1mevil\r\n\x08"
    lines = rendered(figures(title=evil, events=(evil,), nodes=(a_node(evil),)), 120)
    assert all(line.isprintable() for line in lines)
    assert sum("evil" in line for line in lines) == 3


def test_markup_from_outside_is_text() -> None:
    assert "[bold red]x[/]" in rendered(figures(title="[bold red]x[/]"))[0]


@given(
    integers(1, 200),
    integers(1, 70),
    text(max_size=60),
    lists(text(max_size=40), max_size=12),
    lists(tuples(text(max_size=40), integers(0, 10**12)), max_size=30),
)
def test_any_figures_fit_any_space(
    width: int, height: int, title: str, events: list[str], nodes: list[tuple[str, int]]
) -> None:
    shown = figures(
        title=title,
        events=tuple(events),
        nodes=tuple(a_node(name, delivered_bytes=size) for name, size in nodes),
    )
    lines = rendered(shown, width, height)
    assert all(line.isprintable() for line in lines)
    assert events_shown(shown, height) <= len(events)
    assert layout(shown, width, height).renderables
