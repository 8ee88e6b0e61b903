"""When the bench switches faults."""

from bench.scenarios import FaultEvent
from bench.stage import timetable


def test_ends_come_before_what_begins_at_the_same_time() -> None:
    first = FaultEvent(node=0, kind="silent", at_sec=2.0, for_sec=8.0)
    second = FaultEvent(node=1, kind="silent", at_sec=10.0, for_sec=8.0)
    assert timetable([second, first]) == [
        (2.0, first, True),
        (10.0, first, False),
        (10.0, second, True),
        (18.0, second, False),
    ]


def test_what_is_in_force_from_the_start_only_ends_later() -> None:
    for_a_while = FaultEvent(node=0, kind="missing", for_sec=20.0, chunk=3)
    for_good = FaultEvent(node=1, kind="down")
    assert timetable([for_a_while, for_good]) == [(20.0, for_a_while, False)]
