"""A live session's demands: the first at once, others of the same moment together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from buffer.commands import Ask, SessionOptions, Tell
from buffer.live import Hooks, LiveSession, OutputThread
from buffer.outputs.null import NullOutput
from buffer.playback import Playback
from buffer.session import Session
from common.messages import WantedChunk
from tests.builders import a_chunk, a_manifest


class Live:
    """A live session whose demands and timers are noted."""

    def __init__(self, spill_dir: Path) -> None:
        self.asked: list[Ask] = []
        self.timers: list[Callable[[], None]] = []
        self.thread = OutputThread(NullOutput(), spill_dir, lambda action: action())
        self.real = LiveSession(
            session_id="s1",
            core=Session(
                manifest=a_manifest(),
                options=SessionOptions(),
                playback=Playback(command_sec=0.0, paced=True),
            ),
            thread=self.thread,
            spill_dir=spill_dir,
            metadata_url="",
            output_text="none",
            manifest_sec=0.0,
            owner_lease_sec=0.0,
            started_unix_sec=0.0,
            owner_seen_sec=0.0,
            hooks=Hooks(
                send_demand=self.asked.append,
                after=lambda _delay_sec, action: self.timers.append(action),
                tell=lambda _tell: None,
                refresh=lambda: None,
                count_view=lambda: None,
            ),
        )


@pytest.fixture
def live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Live]:
    monkeypatch.setattr("buffer.live.ASK_SPACING_SEC", 1000.0)
    made = Live(tmp_path)
    yield made
    made.thread.close(complete=False, closed=lambda _text: None)
    made.thread.join(10)


def ask(number: int) -> Ask:
    return Ask((WantedChunk(chunk=a_chunk(number), deadline_in_sec=0.0),))


def test_the_first_word_is_said_at_once(live: Live) -> None:
    live.real.execute([Tell("session", "starts"), ask(0)])
    assert (live.asked, live.timers) == ([ask(0)], [])


def test_of_words_in_one_moment_the_last_is_said_at_its_end(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        live.real.execute([ask(number)])
    assert live.asked == [ask(0)]
    assert len(live.timers) == 1, "one timer is enough"
    monkeypatch.setattr("buffer.live.ASK_SPACING_SEC", 0.0)
    live.timers[0]()
    assert live.asked == [ask(0), ask(3)]
    live.timers[0]()
    assert live.asked == [ask(0), ask(3)], "once is enough"


def test_an_end_waits_for_nothing(live: Live) -> None:
    live.real.execute([ask(0), ask(1)])
    live.real.execute(live.real.core.stop())
    assert live.asked == [ask(0), Ask(())]
    live.timers[0]()
    assert live.asked == [ask(0), Ask(())], "what waited is said no more"
