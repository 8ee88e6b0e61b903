"""The service loop: timers, threads, sockets, replay, bad messages, and every way to stop."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from common import codec, sockets
from common.endpoints import Endpoints
from common.messages import ChunkDelivery, CommandResult, KeepAlive, SetPaused, StopSession
from common.service import Service
from tests.waiting import wait_until

Make = Callable[[], Service]


@pytest.fixture
def make(run_dir: Path) -> Iterator[Make]:
    """Return a maker of services that share a run directory; they are closed at the end."""
    made: list[Service] = []

    def new() -> Service:
        service = Service(Endpoints(run_dir), watch_parent=False)
        made.append(service)
        return service

    yield new
    for service in made:
        service.close()


def turn(*services: Service, until: Callable[[], object]) -> None:
    """Run the loops in turn until something is true."""

    def turned() -> object:
        for service in services:
            service.run_once(1)
        return until()

    wait_until(turned)


def raw_push(service: Service, address: str) -> zmq.Socket[bytes]:
    """Return a socket for frames no service would send; it is closed with the service."""
    socket = sockets.connect_push(service.context, address)
    service.on_close(lambda: socket.close(linger=0))
    return socket


def keep_alive(session_id: str = "s1") -> KeepAlive:
    return KeepAlive(session_id=session_id)


def result(command_id: str, text: str = "") -> CommandResult:
    return CommandResult(command_id=command_id, session_id="s1", ok=True, exit_code=0, text=text)


# ---------------------------------------------------------------- timers and threads


def test_a_repeated_timer_goes_on(make: Make) -> None:
    service, calls = make(), []
    service.every(0.001, lambda: calls.append(1))
    turn(service, until=lambda: len(calls) >= 3)


def test_a_single_timer_fires_once(make: Make) -> None:
    service, once, ticks = make(), [], []
    service.after(0.001, lambda: once.append(1))
    service.every(0.002, lambda: ticks.append(1))
    turn(service, until=lambda: len(ticks) >= 5)
    assert once == [1]


def test_timers_fire_in_the_order_they_are_due(make: Make) -> None:
    service, order = make(), []
    service.after(0.004, lambda: order.append("late"))
    service.after(0.001, lambda: order.append("soon"))
    turn(service, until=lambda: len(order) == 2)
    assert order == ["soon", "late"]


def test_a_timer_that_fails_does_not_end_the_loop(make: Make) -> None:
    service, calls = make(), []

    def fail() -> None:
        calls.append(1)
        raise RuntimeError("each time")

    service.every(0.001, fail)
    turn(service, until=lambda: len(calls) >= 2)


def test_work_of_other_threads_is_done_in_the_loops_thread(make: Make) -> None:
    service, seen = make(), []
    threads = [
        threading.Thread(
            target=lambda: service.call_soon(lambda: seen.append(threading.current_thread()))
        )
        for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    turn(service, until=lambda: len(seen) == 5)
    assert set(seen) == {threading.current_thread()}


def test_call_soon_wakes_a_loop_that_waits(make: Make) -> None:
    service = make()
    running = threading.Thread(target=service.run)
    running.start()
    service.call_soon(service.stop)
    running.join(10)
    assert not running.is_alive()


def test_a_late_thread_may_still_call_after_the_loop_was_closed(make: Make, run_dir: Path) -> None:
    service = make()
    service.close()
    # Files opened now get the numbers of the wake-up pipe.
    files = [(run_dir / f"{number}").open("wb") for number in range(8)]
    service.call_soon(lambda: None)
    service.stop()
    for file in files:
        file.close()
    assert {(run_dir / f"{number}").read_bytes() for number in range(8)} == {b""}


def test_closing_twice_closes_nobody_elses_files(make: Make, run_dir: Path) -> None:
    service = make()
    service.close()
    with (run_dir / "a").open("wb") as first, (run_dir / "b").open("wb") as second:
        service.close()
        first.write(b"a")
        second.write(b"b")


def test_closing_actions_run_last_in_first_out_and_once(make: Make) -> None:
    service, order = make(), []
    service.on_close(lambda: order.append("lock"))
    service.on_close(lambda: order.append("output"))
    service.close()
    service.close()
    assert order == ["output", "lock"]


# ---------------------------------------------------------------- work


def test_a_watched_descriptor_is_served_when_it_is_readable(make: Make) -> None:
    service = make()
    reader, writer = os.pipe()
    got: list[bytes] = []
    try:
        service.watch(reader, lambda: got.append(os.read(reader, 10)))
        service.run_once(0)
        assert got == []
        os.write(writer, b"x")
        turn(service, until=lambda: got == [b"x"])
    finally:
        os.close(reader)
        os.close(writer)


def test_what_a_subscriber_has_no_handler_for_is_not_even_read(make: Make) -> None:
    service = make()
    publisher = service.publisher("buffer.events")
    listener = make()
    got: list[Any] = []
    listener.subscribe(("buffer.events",), {CommandResult: got.append})
    publisher.publish(result("joined"))
    turn(service, listener, until=lambda: got)
    publisher.socket.send_multipart([b"command.keepalive", b"not msgpack"])
    publisher.socket.send_multipart([b"no.such.message", b""])
    publisher.publish(result("after"), key=None)
    turn(service, listener, until=lambda: got[-1] == result("after"))
    assert listener.dropped_messages == 1


def test_work_reaches_the_handler_of_its_kind(make: Make) -> None:
    service = make()
    got: list[Any] = []
    address = service.endpoints.address("buffer.commands")
    service.pull(address, {KeepAlive: got.append, StopSession: got.append})
    sender = make()
    sent = [keep_alive(), StopSession(command_id="c1", session_id="")]
    for msg in sent:
        assert sender.push(address, msg)
    turn(service, until=lambda: len(got) == 2)
    assert got == sent


def test_work_sent_before_its_receiver_exists_waits(make: Make) -> None:
    sender = make()
    address = sender.endpoints.address("buffer.commands")
    assert sender.push(address, keep_alive())
    service = make()
    got: list[Any] = []
    service.pull(address, {KeepAlive: got.append})
    turn(service, until=lambda: got)


def test_a_full_queue_is_said_not_waited_for(make: Make) -> None:
    sender = make()
    address = sender.endpoints.address("buffer.commands")
    taken = 0
    while sender.push(address, keep_alive()):
        taken += 1
    assert taken == sockets.PUBLISH_HIGH_WATER
    sender.forget_push(address)


def test_payloads_travel_as_they_are(make: Make) -> None:
    service = make()
    got: list[Any] = []
    address = service.endpoints.address("buffer.chunks")
    service.pull_payloads(
        address, lambda msg, frame: got.append((msg, bytes(frame.buffer))), max_bytes=10_000
    )
    sender = make()
    msg = ChunkDelivery(
        session_id="s1",
        chunk_id="c",
        sequence_num=0,
        size_bytes=5,
        worker_id="w1",
        sources=(),
        ranges=(),
    )
    sender.push_payload(address, msg, memoryview(b"bytes"))
    turn(service, until=lambda: got)
    assert got == [(msg, b"bytes")]


def test_a_handler_that_fails_does_not_end_the_loop(make: Make) -> None:
    service = make()
    got: list[Any] = []

    def fail_once(msg: KeepAlive) -> None:
        got.append(msg)
        if len(got) == 1:
            raise RuntimeError("first one")

    address = service.endpoints.address("buffer.commands")
    service.pull(address, {KeepAlive: fail_once})
    sender = make()
    sender.push(address, keep_alive())
    sender.push(address, keep_alive())
    turn(service, until=lambda: len(got) == 2)


# ---------------------------------------------------------------- bad messages


def test_bad_messages_are_dropped_and_counted(make: Make, run_dir: Path) -> None:
    service = make()
    got: list[Any] = []
    address = service.endpoints.address("buffer.commands")
    service.pull(address, {KeepAlive: got.append})
    sender = make()
    raw = raw_push(sender, address)
    bad: list[list[bytes]] = [
        [b"garbage"],
        [b"no.such.message", b""],
        [b"command.keepalive", b"\xc1"],
        [b"command.keepalive", b"x", b"y"],
        codec.encode(SetPaused(command_id="c", session_id="s", paused=True)),  # not for this inbox
    ]
    for frames in bad:
        raw.send_multipart(frames)
    raw.send_multipart(codec.encode(keep_alive()))
    turn(service, until=lambda: got)
    assert service.dropped_messages == len(bad)


def test_a_payload_without_its_bytes_is_dropped(make: Make) -> None:
    service = make()
    got: list[Any] = []
    address = service.endpoints.address("buffer.chunks")
    service.pull_payloads(address, lambda msg, _: got.append(msg), max_bytes=10_000)
    raw = raw_push(service, address)
    raw.send_multipart(codec.encode(keep_alive()))
    turn(service, until=lambda: service.dropped_messages)
    assert got == []


def test_a_message_too_large_never_reaches_memory(make: Make) -> None:
    service = make()
    got: list[Any] = []
    address = service.endpoints.address("buffer.chunks")
    service.pull_payloads(address, lambda msg, _: got.append(msg), max_bytes=1000)
    raw = raw_push(service, address)
    raw.send_multipart([*codec.encode(keep_alive()), bytes(2000)])
    small = [*codec.encode(keep_alive()), b"small"]
    # The connection is closed with what was in it; work may be repeated, and is.
    turn(service, until=lambda: got or raw.send_multipart(small))
    assert got[0] == keep_alive()


# ---------------------------------------------------------------- state


def test_a_late_subscriber_hears_the_last_value_of_each_key(make: Make) -> None:
    service = make()
    publisher = service.publisher("buffer.events")
    publisher.publish(result("a", "old"), key="a")
    publisher.publish(result("a", "new"), key="a")
    publisher.publish(result("b"), key="b")
    publisher.publish(result("gone"), key=None)
    listener = make()
    got: list[Any] = []
    listener.subscribe(("buffer.events",), {CommandResult: got.append})
    turn(service, listener, until=lambda: len(got) >= 2)
    publisher.publish(result("c"), key=None)
    turn(service, listener, until=lambda: got[-1].command_id == "c")
    assert got == [result("a", "new"), result("b"), result("c")]


def test_a_forgotten_value_is_not_replayed(make: Make) -> None:
    service = make()
    publisher = service.publisher("buffer.events")
    publisher.publish(result("a"), key="a")
    publisher.publish(result("b"), key="b")
    publisher.forget(CommandResult, "a")
    publisher.forget(CommandResult, "never")
    listener = make()
    got: list[Any] = []
    listener.subscribe(("buffer.events",), {CommandResult: got.append})
    turn(service, listener, until=lambda: got)
    assert got == [result("b")]


def test_a_subscriber_may_come_before_its_publisher(make: Make) -> None:
    listener = make()
    got: list[Any] = []
    listener.subscribe(("buffer.events",), {CommandResult: got.append})
    service = make()
    service.publisher("buffer.events").publish(result("a"), key="a")
    turn(service, listener, until=lambda: got)


def test_what_nobody_listens_to_is_no_error(make: Make) -> None:
    service = make()
    publisher = service.publisher("buffer.events")
    listener = make()
    got: list[Any] = []
    listener.subscribe(("buffer.events",), {CommandResult: got.append})
    publisher.publish(keep_alive(), key="k")
    publisher.publish(result("a"), key="a")
    turn(service, listener, until=lambda: got)
    assert listener.dropped_messages == 0


# ---------------------------------------------------------------- ways to stop


def test_stop_called_in_a_handler_ends_the_loop_after_it(make: Make) -> None:
    service, order = make(), []
    service.after(0, service.stop)
    service.on_close(lambda: order.append("closed"))
    service.run()
    assert order == ["closed"]
    assert service.context.closed


def test_closing_does_not_wait_for_peers_that_never_came(make: Make) -> None:
    service = make()
    service.push(service.endpoints.address("buffer.commands"), keep_alive())
    service.close()
    assert isinstance(service.context, zmq.Context)
    assert service.context.closed
