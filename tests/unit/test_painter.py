"""The painter's controls leave the right lines on a terminal, and write no more than they must."""

from __future__ import annotations

from hypothesis import given
from hypothesis.strategies import integers, lists, sampled_from, text, tuples

from client.painter import Line, Painter
from tests.terminal_emulator import TerminalEmulator

WORDS = text(alphabet=sampled_from("abc xyz"), max_size=19)


def lines(*texts: str) -> list[Line]:
    return [Line(text, len(text)) for text in texts]


def test_lines_are_drawn_over_those_before() -> None:
    painter, terminal = Painter(), TerminalEmulator(20, 6)
    terminal.feed("$ play\r\n")
    terminal.feed(painter.frame(lines("one", "two", "three"), 20))
    terminal.feed(painter.frame(lines("one", "2"), 20))
    assert terminal.text == "$ play\none\n2"


def test_only_what_changed_is_written_and_nothing_erased_before() -> None:
    painter = Painter()
    painter.frame(lines("one", "two", "three"), 20)
    again = painter.frame(lines("one", "2", "three"), 20)
    assert again == "\r\x1b[3A\x1b[1B2\x1b[K\r\n\x1b[1B"
    assert painter.frame(lines("one", "2", "three"), 20) == ""


def test_what_is_said_stays_above() -> None:
    painter, terminal = Painter(), TerminalEmulator(20, 4)
    terminal.feed(painter.frame(lines("view", "view"), 20))
    terminal.feed(
        painter.frame(lines("view", "view"), 20, ["said", "a line of more than twenty cells"])
    )
    terminal.feed(painter.frame(lines("new", "view"), 20, ["said again"]))
    assert terminal.text == "said\na line of more than\ntwenty cells\nsaid again\nnew\nview"


def test_a_narrower_terminal_is_left_without_remains() -> None:
    painter = Painter()
    painter.frame(lines("x" * 30, "y" * 5), 40)
    # The terminal has broken the first line in two.
    terminal = TerminalEmulator(20, 6)
    terminal.feed("above\r\n" + "x" * 30 + "\r\n" + "y" * 5 + "\r\n")
    terminal.feed(painter.frame(lines("narrow"), 20))
    assert terminal.text == "above\nnarrow"


def test_the_view_goes_without_a_trace() -> None:
    painter, terminal = Painter(), TerminalEmulator(20, 6)
    terminal.feed("above\r\n")
    assert painter.clear(20) == ""
    terminal.feed(painter.frame(lines("one", "two"), 20))
    terminal.feed(painter.clear(20) + "after\r\n")
    assert terminal.text == "above\nafter"


@given(
    lists(tuples(lists(WORDS, max_size=5), lists(WORDS, max_size=2)), max_size=8), integers(6, 9)
)
def test_any_views_after_one_another(frames: list[tuple[list[str], list[str]]], rows: int) -> None:
    painter, terminal = Painter(), TerminalEmulator(20, rows)
    said: list[str] = []
    for shown, above in frames:
        said += above
        terminal.feed(painter.frame(lines(*shown), 20, above))
        expected = [text.rstrip() for text in (*said, *shown)]
        assert terminal.text == "\n".join(expected).rstrip()
