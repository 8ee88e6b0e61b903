"""Whatever befalls nodes and workers: the planner delivers what can be had, once, and keeps its books right.

The examples are drawn the same way in every run; the model checks its invariants after every event.
"""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings, strategies as st

from common.messages import ChunkSpec
from tests.builders import a_chunk, a_coded_chunk
from tests.simulation.model import NodePlan, Trouble, World

# The good node alone brings all chunks in 5 s; the rest is waiting for leases, breakers and rounds of back-off.
PATIENCE_SEC = 60.0
MODEST = settings(
    derandomize=True,
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

TROUBLES = st.builds(
    Trouble,
    kind=st.sampled_from(["refused", "silent", "broken", "corrupt"]),
    at_sec=st.floats(0, 4),
    for_sec=st.sampled_from([0.3, 2.0, 1000.0]),
)
NODE_PLANS = st.builds(
    NodePlan,
    rate_mbps=st.sampled_from([0.3, 2.0, 8.0, 50.0]),
    rtt_sec=st.sampled_from([0.0, 0.05, 0.3]),
    accepts_ranges=st.booleans(),
    lacks=st.frozensets(st.integers(0, 4), max_size=3),
    troubles=st.lists(TROUBLES, max_size=2).map(tuple),
)
GOOD_NODES = st.builds(
    NodePlan,
    rate_mbps=st.sampled_from([4.0, 20.0]),
    rtt_sec=st.sampled_from([0.0, 0.1]),
    accepts_ranges=st.booleans(),
)
SIZES = st.sampled_from([1, 10_000, 150_000, 400_000])


def url(number: int) -> str:
    return f"http://node-{number}:80"


def finish(world: World, chunks: list[ChunkSpec], dropped: set[str]) -> None:
    """Let the world come to its end and look at what is left of it."""
    world.run(PATIENCE_SEC)
    assert [c.chunk_id for c in world.wanted] == []
    assert {c: n for c, n in world.delivered.items() if n != 1} == {}, "delivered once"
    assert world.delivered.keys() | dropped == {c.chunk_id for c in chunks}
    world.ask(closed=True)
    assert (list(world.planner.jobs), list(world.planner.chunks)) == ([], [])
    assert all(node.active == 0 for node in world.planner.nodes)
    assert (world.reads, world.homes) == ({}, {})


@MODEST
@given(
    good=GOOD_NODES,
    others=st.lists(NODE_PLANS, max_size=3),
    sizes=st.lists(SIZES, min_size=1, max_size=5),
    max_active=st.integers(1, 4),
    deaths=st.lists(st.floats(0, 5), max_size=2),
    seed=st.integers(0, 99),
)
def test_every_chunk_a_healthy_node_has_is_delivered_once(
    good: NodePlan,
    others: list[NodePlan],
    sizes: list[int],
    max_active: int,
    deaths: list[float],
    seed: int,
) -> None:
    nodes = {url(number): plan for number, plan in enumerate([good, *others])}
    chunks = [a_chunk(n, list(nodes), size_bytes=size) for n, size in enumerate(sizes)]
    world = World(nodes, chunks, max_active_chunks=max_active, seed=seed)
    for death_sec in sorted(deaths):
        world.run(death_sec)
        world.kill_worker()
    finish(world, chunks, set())


@MODEST
@given(
    good=st.lists(GOOD_NODES, min_size=3, max_size=3),
    others=st.lists(NODE_PLANS, min_size=2, max_size=2),
    sizes=st.lists(SIZES, min_size=1, max_size=3),
    order=st.permutations(range(5)),
    deaths=st.lists(st.floats(0, 5), max_size=1),
)
def test_coded_chunks_need_three_good_nodes_of_five(
    good: list[NodePlan],
    others: list[NodePlan],
    sizes: list[int],
    order: list[int],
    deaths: list[float],
) -> None:
    plans = [*good, *others]
    nodes = {url(number): plans[place] for number, place in enumerate(order)}
    chunks = [a_coded_chunk(n, list(nodes), size_bytes=size) for n, size in enumerate(sizes)]
    world = World(nodes, chunks)
    for death_sec in deaths:
        world.run(death_sec)
        world.kill_worker()
    finish(world, chunks, set())


@MODEST
@given(
    good=GOOD_NODES,
    others=st.lists(NODE_PLANS, max_size=2),
    drops=st.lists(st.tuples(st.floats(0, 2), st.integers(0, 4)), min_size=1, max_size=4),
)
def test_work_on_dropped_chunks_vanishes_and_the_rest_is_delivered(
    good: NodePlan, others: list[NodePlan], drops: list[tuple[float, int]]
) -> None:
    nodes = {url(number): plan for number, plan in enumerate([good, *others])}
    chunks = [a_chunk(n, list(nodes), size_bytes=200_000) for n in range(5)]
    world = World(nodes, chunks)
    dropped = set()
    for drop_sec, number in sorted(drops):
        world.run(drop_sec)
        if any(c.sequence_num == number for c in world.wanted):
            dropped.add(chunks[number].chunk_id)
            world.drop(chunks[number])
    finish(world, chunks, dropped)


@MODEST
@given(bad=st.lists(NODE_PLANS, min_size=1, max_size=3), healed_sec=st.floats(1, 10))
def test_when_every_node_fails_playback_goes_on_as_soon_as_one_is_back(
    bad: list[NodePlan], healed_sec: float
) -> None:
    down = NodePlan(
        rate_mbps=8.0,
        rtt_sec=0.05,
        troubles=(Trouble(kind="silent", at_sec=0, for_sec=healed_sec),),
    )
    dead = [
        NodePlan(
            rate_mbps=plan.rate_mbps,
            rtt_sec=plan.rtt_sec,
            accepts_ranges=plan.accepts_ranges,
            troubles=(Trouble(kind="refused", at_sec=0, for_sec=1000),),
        )
        for plan in bad
    ]
    nodes = {url(number): plan for number, plan in enumerate([down, *dead])}
    chunks = [a_chunk(n, list(nodes), size_bytes=100_000) for n in range(2)]
    world = World(nodes, chunks, pinged=False)
    finish(world, chunks, set())
    assert world.now_sec >= healed_sec
