"""Round robin in virtual time: turns, failures, bounds."""

from __future__ import annotations

from cluster.profiles import LinkProfile
from common.messages import Demand, FetchRange, RangeFinished, WantedChunk, WorkerHeartbeat
from common.units import node_of
from scheduler.commands import Command, SendJob, TellBuffer
from simulation.comparison import Film, film_of, play
from simulation.fault_events import FaultEvent
from simulation.round_robin import ROUND_PAUSE_SEC, RoundRobin
from simulation.world import NodePlan
from tests.builders import a_chunk
from tests.unit.test_estimate import a_chunk as a_seen_chunk, a_node, a_request


def beat() -> WorkerHeartbeat:
    return WorkerHeartbeat(
        worker_id="w1",
        jobs_endpoint="inproc://w1",
        pid=1,
        slots=8,
        leases=(),
        running=(),
        received_bytes=0,
        draining=False,
    )


def a_demand(count: int, nodes: int) -> Demand:
    urls = [f"http://n{n}:1" for n in range(nodes)]
    wanted = tuple(WantedChunk(chunk=a_chunk(n, urls), deadline_in_sec=n) for n in range(count))
    return Demand(session_id="s1", deliver_to="", wanted=wanted, low_water_mark_sec=15.0)


def fetches(commands: list[Command]) -> list[FetchRange]:
    return [c.msg for c in commands if isinstance(c, SendJob) and isinstance(c.msg, FetchRange)]


def ended(fetch: FetchRange, *, whole: bool) -> RangeFinished:
    return RangeFinished(
        worker_id="w1",
        job_id=fetch.job_id,
        outcome="complete" if whole else "refused",
        start_bytes=0,
        received_until_bytes=fetch.end_bytes if whole else 0,
        received_bytes=0,
        first_byte_sec=None,
        duration_sec=1.0,
        range_honoured=None,
        retry_after_sec=None,
        detail="",
    )


def begun(count: int, nodes: int) -> tuple[RoundRobin, list[FetchRange]]:
    naive = RoundRobin(max_active_chunks=4)
    naive.handle(beat(), 0.0)
    return naive, fetches(naive.handle(a_demand(count, nodes), 0.0))


def test_chunk_i_is_asked_whole_of_holder_i_modulo_their_number() -> None:
    _, asked = begun(4, 3)
    assert [node_of(f.replica.url) for f in asked] == [f"http://n{n}:1" for n in (0, 1, 2, 0)]
    assert {f.start_bytes for f in asked} == {0}


def test_no_more_chunks_are_in_work_than_allowed() -> None:
    _, asked = begun(9, 3)
    assert len(asked) == 4


def test_a_failure_moves_the_whole_chunk_to_the_next_holder() -> None:
    naive, asked = begun(1, 3)
    (again,) = fetches(naive.handle(ended(asked[0], whole=False), 1.0))
    assert (node_of(again.replica.url), again.start_bytes) == ("http://n1:1", 0)


def test_when_all_holders_failed_it_pauses_and_tells_the_buffer() -> None:
    naive, asked = begun(1, 2)
    (second,) = fetches(naive.handle(ended(asked[0], whole=False), 1.0))
    commands = naive.handle(ended(second, whole=False), 2.0)
    assert [type(c) for c in commands] == [TellBuffer]
    assert fetches(naive.tick(2.0 + ROUND_PAUSE_SEC / 2)) == []
    (third,) = fetches(naive.tick(2.0 + ROUND_PAUSE_SEC))
    assert node_of(third.replica.url) == "http://n0:1"


def test_it_plays_past_a_node_that_sends_wrong_bytes() -> None:
    link = LinkProfile(rate_mbps=8.0, rtt_ms=20.0)
    fault = FaultEvent(node=0, kind="corrupt")
    plans = {
        "http://a:1": NodePlan(profile=link, faults=(fault,)),
        "http://b:1": NodePlan(profile=link),
    }
    played = play(plans, _film_on(list(plans)), "round_robin", known=True)
    assert played.outcome == "played"


def _film_on(urls: list[str]) -> Film:
    chunks = [a_seen_chunk(n, holders=[0, 1]) for n in range(3)]
    return film_of(a_request(*(a_node(url) for url in urls), chunks=chunks))
