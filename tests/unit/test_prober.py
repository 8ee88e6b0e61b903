"""Which nodes are pinged, and when: pure, with time moved by hand."""

import random

import pytest

from monitor.directory import ASK_SEC, wait_sec
from monitor.probe import probe_timeout_sec
from monitor.roster import Roster, SessionNodes
from monitor.schedule import PingSchedule

A, B, C = "http://a:1", "http://b:1", "http://c:1"


def a_schedule(interval_sec: float = 3.0, **limits: int) -> PingSchedule:
    return PingSchedule(interval_sec=interval_sec, rng=random.Random(7), **limits)


def test_all_nodes_are_pinged_from_the_first_moment() -> None:
    schedule = a_schedule()
    for node_url in (A, B, C):
        schedule.add(node_url, 5.0)
    assert schedule.due(5.0) == [A, B, C]
    assert schedule.due(5.0) == []


def test_interval_is_jittered_by_a_tenth() -> None:
    schedule = a_schedule()
    schedule.add(A, 0.0)
    now_sec, gaps = 0.0, []
    for _ in range(200):
        assert schedule.due(now_sec) == [A]
        schedule.finished(A, answered=True, now_sec=now_sec + 0.02)
        next_sec = schedule.next_due_sec()
        assert next_sec is not None
        gaps.append(next_sec - now_sec)
        now_sec = next_sec
    assert min(gaps) >= 2.7
    assert max(gaps) <= 3.3
    assert min(gaps) < 2.8 < 3.2 < max(gaps)


def test_new_node_is_pinged_again_soon_once_it_answered() -> None:
    schedule = PingSchedule(interval_sec=3.0, rng=random.Random(7), second_after_sec=0.3)
    schedule.add(A, 0.0)
    gaps = []
    now_sec = 0.0
    for answered in (False, True, True, True):
        assert schedule.due(now_sec) == [A]
        schedule.finished(A, answered=answered, now_sec=now_sec)
        next_sec = schedule.next_due_sec()
        assert next_sec is not None
        gaps.append(round(next_sec - now_sec, 1))
        now_sec = next_sec
    assert [gap < 0.4 for gap in gaps] == [False, True, False, False]


def test_no_second_probe_while_one_is_in_flight() -> None:
    schedule = a_schedule(interval_sec=1.0)
    schedule.add(A, 0.0)
    assert schedule.due(0.0) == [A]
    assert schedule.next_due_sec() is None
    assert schedule.due(100.0) == []
    schedule.finished(A, answered=False, now_sec=100.0)
    assert schedule.next_due_sec() == 100.0
    assert schedule.due(100.0) == [A]


def test_hanging_node_does_not_delay_another() -> None:
    schedule = a_schedule(interval_sec=1.0)
    schedule.add(A, 0.0)
    schedule.add(B, 0.0)
    schedule.due(0.0)
    schedule.finished(B, answered=True, now_sec=0.01)
    assert schedule.due(1.2) == [B]


def test_removed_node_is_not_pinged_again() -> None:
    schedule = a_schedule()
    schedule.add(A, 0.0)
    schedule.remove(A)
    assert schedule.due(1.0) == []
    schedule.add(A, 1.0)
    assert schedule.due(1.0) == [A]
    schedule.remove(A)
    schedule.finished(A, answered=True, now_sec=1.1)
    assert schedule.next_due_sec() is None


def test_node_added_again_during_its_probe_is_pinged_after_it() -> None:
    schedule = a_schedule()
    schedule.add(A, 0.0)
    schedule.due(0.0)
    schedule.remove(A)
    schedule.add(A, 0.5)
    assert schedule.due(0.5) == []
    schedule.finished(A, answered=True, now_sec=1.0)
    assert schedule.due(4.5) == [A]


def test_adding_a_known_node_keeps_its_timer() -> None:
    schedule = a_schedule()
    schedule.add(A, 0.0)
    schedule.due(0.0)
    schedule.finished(A, answered=True, now_sec=0.1)
    schedule.add(A, 0.2)
    assert schedule.due(0.3) == []


def test_nodes_that_find_no_room_have_their_turn_later() -> None:
    schedule = a_schedule(max_in_flight=2, max_suspects_in_flight=1)
    for node_url in (A, B, C):
        schedule.add(node_url, 0.0)
    assert schedule.due(0.0) == [A, B]
    schedule.finished(A, answered=True, now_sec=0.1)
    assert schedule.due(0.1) == [C]


def test_nodes_that_did_not_answer_get_only_their_share_of_the_room() -> None:
    schedule = a_schedule(interval_sec=1.0, max_in_flight=3, max_suspects_in_flight=1)
    for node_url in (A, B, C):
        schedule.add(node_url, 0.0)
    schedule.due(0.0)
    schedule.finished(A, answered=False, now_sec=0.5)
    schedule.finished(B, answered=False, now_sec=0.5)
    schedule.finished(C, answered=True, now_sec=0.5)
    first = schedule.due(2.0)
    assert first[0] == C
    assert len(first) == 2
    waiting = ({A, B} - set(first)).pop()
    schedule.finished(first[1], answered=True, now_sec=2.1)
    assert schedule.due(2.1) == [waiting]


def test_probes_that_overrun_are_named() -> None:
    schedule = a_schedule()
    schedule.add(A, 0.0)
    schedule.due(0.0)
    assert schedule.overdue(4.0, 4.0) == []
    assert schedule.overdue(4.1, 4.0) == [A]


def test_a_thousand_nodes_are_all_pinged_in_every_interval() -> None:
    schedule = a_schedule()
    nodes = [f"http://n{i}:1" for i in range(1000)]
    for node_url in nodes:
        schedule.add(node_url, 0.0)
    pinged: dict[str, int] = dict.fromkeys(nodes, 0)
    flying: list[str] = []
    for step in range(1000):  # 10 s in steps of 10 ms, each probe takes one step
        now_sec = step * 0.01
        for node_url in flying:
            schedule.finished(node_url, answered=True, now_sec=now_sec)
        flying = schedule.due(now_sec)
        assert len(flying) <= 256
        for node_url in flying:
            pinged[node_url] += 1
    assert set(pinged.values()) <= {3, 4}


@pytest.mark.parametrize(("interval_sec", "timeout_sec"), [(3, 2), (2, 2), (0.5, 0.5)])
def test_timeout_is_at_most_the_interval(interval_sec: float, timeout_sec: float) -> None:
    assert probe_timeout_sec(interval_sec) == timeout_sec


# ---------------------------------------------------------------- sessions


def test_nodes_of_all_sessions_are_named_once() -> None:
    sessions = SessionNodes()
    sessions.update("s1", (A, B), live=True, now_sec=0)
    sessions.update("s2", (B + "/", C), live=True, now_sec=0)
    assert sessions.node_urls(1) == (A, B, C)


def test_nodes_of_an_ended_session_stay_a_minute() -> None:
    sessions = SessionNodes()
    sessions.update("s1", (A,), live=True, now_sec=0)
    sessions.update("s1", (A,), live=False, now_sec=100)
    sessions.update("s1", (A,), live=False, now_sec=150)  # repeating it buys no time
    assert sessions.node_urls(159.9) == (A,)
    assert sessions.node_urls(160) == ()
    sessions.update("s1", (A,), live=False, now_sec=161)
    assert sessions.node_urls(161) == ()


def test_session_that_lives_again_keeps_its_nodes() -> None:
    sessions = SessionNodes()
    sessions.update("s1", (A,), live=False, now_sec=0)
    sessions.update("s1", (A, B), live=True, now_sec=10)
    assert sessions.node_urls(500) == (A, B)


def test_session_whose_process_is_gone_is_forgotten() -> None:
    sessions = SessionNodes()
    sessions.update("s1", (A,), live=True, now_sec=0)
    assert sessions.node_urls(599) == (A,)
    assert sessions.node_urls(600) == ()


# ---------------------------------------------------------------- the metadata service's nodes


def test_listed_nodes_are_pinged_until_they_are_listed_no_more() -> None:
    roster = Roster()
    roster.list_standing((A, B + "/"))
    assert roster.node_urls(0) == (A, B)
    roster.list_standing((B,))
    assert roster.node_urls(1) == (B,)


def test_node_of_a_session_stays_though_it_is_listed_no_more() -> None:
    roster = Roster()
    roster.list_standing((A, B))
    roster.sessions.update("s1", (A,), live=True, now_sec=0)
    roster.list_standing(())
    assert roster.node_urls(1) == (A,)


def test_nodes_of_sessions_do_not_count_towards_the_bound() -> None:
    roster = Roster(max_standing=1)
    roster.sessions.update("s1", (C, A), live=True, now_sec=0)
    roster.list_standing((A, B, "http://d:1"))
    assert roster.node_urls(0) == (C, A, B)


def test_questions_to_a_service_that_is_away_become_rare() -> None:
    rng = random.Random(3)
    waits_sec = [wait_sec(failures, rng) for failures in (1, 2, 3, 4, 5, 50)]
    expected_sec = (2, 4, 8, 16, ASK_SEC, ASK_SEC)
    assert all(abs(w / e - 1) <= 0.1 for w, e in zip(waits_sec, expected_sec, strict=True))


def test_a_service_that_answers_is_asked_at_its_pace_out_of_step() -> None:
    rng = random.Random(3)
    waits_sec = [wait_sec(0, rng) for _ in range(200)]
    assert 0.9 * ASK_SEC <= min(waits_sec) < max(waits_sec) <= 1.1 * ASK_SEC
    assert max(waits_sec) - min(waits_sec) > 0.1 * ASK_SEC
