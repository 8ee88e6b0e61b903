"""Which nodes the workers are told to keep connections to, and when they are told."""

from __future__ import annotations

from common.messages import WarmNodes
from scheduler.commands import Command
from scheduler.warming import CHOOSE_AGAIN_SEC, MAX_NODES
from tests.builders import A, B, C, a_beat, a_chunk, a_demand, a_score, scores
from tests.planner_rig import PlannerRig, sent

D = "http://node-d:8084"


def warmed(commands: list[Command]) -> list[set[str]]:
    """Return the sets of nodes that were sent out."""
    return [set(msg.node_urls) for msg in sent(commands, WarmNodes)]


def test_workers_are_told_of_healthy_nodes_before_anything_is_wanted() -> None:
    rig = PlannerRig("w1", "w2")
    told = rig.feed(scores(a_score(A), a_score(B, healthy=False)))
    assert warmed(told) == [{A}, {A}]


def test_a_worker_that_joins_is_told_at_once() -> None:
    rig = PlannerRig("w1")
    rig.know()
    assert warmed(rig.feed(a_beat("w2"))) == [{A, B, C}]
    assert warmed(rig.feed(a_beat("w2"))) == [], "once is enough"


def test_nothing_is_said_while_the_set_stays() -> None:
    rig = PlannerRig()
    rig.know()
    told = rig.feed(scores(a_score(A, 5.0), a_score(B, 50.0), a_score(C, 1.0)))
    assert warmed(told + rig.pass_time(5.0)) == []


def test_the_first_demand_of_a_session_brings_its_nodes() -> None:
    rig = PlannerRig()
    rig.know(a_score(A))
    told = rig.feed(a_demand(a_chunk(nodes=(A, D))))
    assert warmed(told) == [{A, D}]


def test_a_new_node_is_warmed_at_the_first_word_of_it() -> None:
    rig = PlannerRig()
    rig.know(a_score(A))
    assert warmed(rig.feed(scores(a_score(A), a_score(D)))) == [{A, D}]


def test_a_node_that_is_ill_is_left_out_after_a_while() -> None:
    rig = PlannerRig()
    rig.know()
    told = rig.feed(scores(a_score(A, healthy=False), a_score(B), a_score(C)))
    assert warmed(told + rig.pass_time(CHOOSE_AGAIN_SEC + 1)) == [{B, C}]


def test_of_many_nodes_those_of_the_demand_come_first_then_the_best() -> None:
    rig = PlannerRig()
    others = [a_score(f"http://node-{i}:80", mbps=10.0 + i) for i in range(2 * MAX_NODES)]
    rig.feed(a_demand(a_chunk(nodes=(A, B))))
    told = rig.feed(scores(*others, a_score(A, 1.0), a_score(B, 1.0)))
    (chosen,) = warmed(told)
    best = {f"http://node-{i}:80" for i in range(MAX_NODES + 2, 2 * MAX_NODES)}
    assert chosen == {A, B} | best


def test_scores_that_flutter_do_not_change_the_set() -> None:
    rig = PlannerRig()
    names = [f"http://node-{i}:80" for i in range(MAX_NODES + 20)]
    rig.feed(scores(*(a_score(name, 10.0 + i) for i, name in enumerate(names))))
    told: list[Command] = []
    for turn in range(3):
        rotated = names[turn * 7 :] + names[: turn * 7]
        told += rig.feed(scores(*(a_score(name, 10.0 + i) for i, name in enumerate(rotated))))
        told += rig.pass_time(CHOOSE_AGAIN_SEC + 0.5)
    assert warmed(told) == []


def test_the_set_follows_scores_that_have_really_changed() -> None:
    rig = PlannerRig()
    names = [f"http://node-{i:03}:80" for i in range(3 * MAX_NODES)]
    rig.feed(scores(*(a_score(name, 10.0 + i) for i, name in enumerate(names))))
    told = rig.feed(scores(*(a_score(name, 500.0 - i) for i, name in enumerate(names))))
    told += rig.pass_time(CHOOSE_AGAIN_SEC + 0.5)
    assert warmed(told) == [set(names[:MAX_NODES])]
