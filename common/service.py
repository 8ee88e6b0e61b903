"""The loop of a process: sockets, timers and a wake-up pipe in one poller, and one way to stop.

Signals, the death of the parent and commands all end in `stop()`. Blocking work runs in threads that hand results
back with `call_soon`; sockets are used in the loop's thread alone.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import logging
import os
import queue
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import zmq

from common import codec, sockets
from common.endpoints import Channel, Endpoints
from common.errors import ProtocolError

logger = logging.getLogger(__name__)

Handler = Callable[[Any], None]
PayloadHandler = Callable[[Any, zmq.Frame], None]

# Messages of one socket handled before timers and other sockets get their turn.
_BATCH = 64
# Whoever started us may die without a word; looking twice a second is soon enough.
_PARENT_CHECK_SEC = 0.5


class Service:
    """One process's event loop."""

    def __init__(self, endpoints: Endpoints, *, watch_parent: bool | None = None) -> None:
        self.endpoints = endpoints
        self.context = sockets.new_context()
        self.dropped_messages = 0
        self._poller = zmq.Poller()
        self._readers: dict[Any, Callable[[], bool]] = {}
        self._watched: dict[int, Callable[[], None]] = {}
        self._pushes: dict[str, zmq.Socket[bytes]] = {}
        self._publishers: list[sockets.Publisher] = []
        self._closing: list[Callable[[], None]] = []
        self._timers: list[tuple[float, int, float, Callable[[], None]]] = []
        self._timer_ids = itertools.count()
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._poller.register(self._wake_read, zmq.POLLIN)
        self._stopping = False
        self._closed = False
        # Re-entrant: a signal handler may stop the loop while its own thread closes it.
        self._wake_lock = threading.RLock()
        self._parent_pid = os.getppid()
        if watch_parent is None:
            # The parent's process id, for it may be gone before we look; or 1: whoever it is now.
            told = os.environ.get("VSTACK_WATCH_PARENT", "")
            told_pid = int(told) if told.isdecimal() else 0
            self._parent_pid = told_pid if told_pid > 1 else self._parent_pid
            watch_parent = told_pid > 0
        if watch_parent:
            self.every(_PARENT_CHECK_SEC, self._check_parent)

    # ------------------------------------------------------------ sockets

    def publisher(self, channel: Channel) -> sockets.Publisher:
        """Bind the process's event channel."""
        made = sockets.Publisher(self.context, self.endpoints.address(channel))
        self._publishers.append(made)

        def read() -> bool:
            made.on_subscription()
            return False

        self._register(made.socket, read)
        return made

    def subscribe(self, channels: tuple[Channel, ...], handlers: dict[type, Handler]) -> None:
        """Hear what is published on `channels`; messages without a handler are ignored."""
        socket = sockets.connect_subscriber(
            self.context, [self.endpoints.address(c) for c in channels]
        )
        wanted = {codec.tag_of(handled).encode() for handled in handlers}
        self._register(socket, lambda: self._dispatch(socket, handlers, wanted))

    def pull(self, address: str, handlers: dict[type, Handler]) -> str:
        """Bind an inbox for work; return its real address."""
        socket = sockets.bind_pull(self.context, address)
        self._register(socket, lambda: self._dispatch(socket, handlers, None))
        return sockets.bound_address(socket)

    def pull_payloads(self, address: str, handler: PayloadHandler, *, max_bytes: int) -> None:
        """Bind an inbox for messages that carry one raw frame."""
        socket = sockets.bind_pull(
            self.context,
            address,
            max_message_bytes=max_bytes,
            high_water=sockets.PAYLOAD_HIGH_WATER * 2,
        )

        def read() -> bool:
            try:
                frames = socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return False
            if len(frames) == 3:
                msg = self._decode([frames[0].bytes, frames[1].bytes])
                if msg is not None:
                    self._guard(handler, msg, frames[2])
            else:
                self._drop(f"payload message of {len(frames)} frames")
            return True

        self._register(socket, read)

    def watch(self, descriptor: int, action: Callable[[], None]) -> None:
        """Call `action` when somebody's file descriptor is readable; it must outlive the loop."""
        self._poller.register(descriptor, zmq.POLLIN)
        self._watched[descriptor] = action

    def push(self, address: str, msg: object) -> bool:
        """Send work to `address`; False when its queue is full (the work will be asked for again)."""
        return self._send(address, codec.encode(msg), payload=False)

    def connect(self, address: str, *, payload: bool = False) -> None:
        """Open the way to `address` now: the first message need not wait for it."""
        if address not in self._pushes:
            self._pushes[address] = sockets.connect_push(self.context, address, payload=payload)

    def push_payload(
        self, address: str, msg: object, payload: bytes | bytearray | memoryview
    ) -> bool:
        """Send a message and its raw bytes without copying them; they must not change afterwards."""
        frames: list[Any] = [*codec.encode(msg), zmq.Frame(payload, copy=False)]
        return self._send(address, frames, payload=True)

    def forget_push(self, address: str) -> None:
        """Close the socket to a peer that is gone; what it did not take is dropped."""
        socket = self._pushes.pop(address, None)
        if socket is not None:
            socket.close(linger=0)

    def _send(self, address: str, frames: list[Any], *, payload: bool) -> bool:
        self.connect(address, payload=payload)
        socket = self._pushes[address]
        try:
            # Without IMMEDIATE a connecting PUSH queues at once, so EAGAIN means a full queue.
            socket.send_multipart(frames, zmq.NOBLOCK, copy=not payload)
        except zmq.Again:
            return False
        return True

    def _register(self, socket: zmq.Socket[bytes], read: Callable[[], bool]) -> None:
        self._poller.register(socket, zmq.POLLIN)
        self._readers[socket] = read

    def _dispatch(
        self,
        socket: zmq.Socket[bytes],
        handlers: dict[type, Handler],
        wanted: set[bytes] | None,
    ) -> bool:
        """Handle one message; with `wanted` tags, those of others are passed over before they are read."""
        try:
            frames = socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return False
        if wanted is not None and frames[0] not in wanted and codec.is_known(frames[0]):
            return True
        msg = self._decode(frames)
        if msg is not None:
            handler = handlers.get(type(msg))
            if handler is not None:
                self._guard(handler, msg)
            elif wanted is None:
                self._drop(f"no handler for {codec.tag_of(msg)}")
        return True

    def _decode(self, frames: list[bytes]) -> Any:
        try:
            return codec.decode(frames)
        except ProtocolError as error:
            self._drop(str(error))
            return None

    def _drop(self, why: str) -> None:
        self.dropped_messages += 1
        if self.dropped_messages == 1:
            logger.warning("message dropped (further ones are only counted): %s", why)

    def _guard(self, handler: Callable[..., None], *arguments: Any) -> None:
        try:
            handler(*arguments)
        except Exception:
            logger.exception("handler failed handler=%s", getattr(handler, "__qualname__", handler))

    # ------------------------------------------------------------ time and threads

    def every(self, interval_sec: float, action: Callable[[], None]) -> None:
        """Call `action` each `interval_sec`, first after one interval."""
        self._push_timer(time.monotonic() + interval_sec, interval_sec, action)

    def after(self, delay_sec: float, action: Callable[[], None]) -> None:
        """Call `action` once."""
        self._push_timer(time.monotonic() + delay_sec, 0.0, action)

    def _push_timer(self, due_sec: float, interval_sec: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (due_sec, next(self._timer_ids), interval_sec, action))

    def call_soon(self, action: Callable[[], None]) -> None:
        """Run `action` in the loop's thread; callable from any thread."""
        self._calls.put(action)
        self._wake()

    def _wake(self) -> None:
        # Once closed, the number of the descriptor may be somebody else's.
        with self._wake_lock, contextlib.suppress(OSError):
            if not self._closed:
                os.write(self._wake_write, b"\0")

    def _check_parent(self) -> None:
        if os.getppid() != self._parent_pid:
            logger.warning("parent is gone parent_pid=%d", self._parent_pid)
            self.stop()

    # ------------------------------------------------------------ life

    def on_close(self, action: Callable[[], None]) -> None:
        """Run `action` when the loop has ended and before sockets close; the last registered goes first."""
        self._closing.append(action)

    def stop(self) -> None:
        """End the loop after the current turn; idempotent, callable from any thread or signal handler."""
        self._stopping = True
        self._wake()

    def install_signal_handlers(self) -> None:
        """Let SIGTERM and SIGINT stop the loop at once, even in the middle of a poll."""

        def on_signal(_number: int, _frame: FrameType | None) -> None:
            self._stopping = True

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, on_signal)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)

    def run(self) -> None:
        """Serve until stopped, then close everything."""
        try:
            while not self._stopping:
                self.run_once(self._time_to_next_timer_ms())
        finally:
            self.close()

    def run_once(self, timeout_ms: int) -> None:
        """Wait at most `timeout_ms`, then handle what is there."""
        for socket, _ in self._poller.poll(timeout_ms):
            if socket == self._wake_read:
                with contextlib.suppress(BlockingIOError):
                    while os.read(self._wake_read, 4096):
                        pass
                continue
            if socket in self._watched:
                self._guard(self._watched[socket])
                continue
            read = self._readers[socket]
            for _ in range(_BATCH):
                if not read():
                    break
        while not self._calls.empty():
            self._guard(self._calls.get())
        now_sec = time.monotonic()
        while self._timers and self._timers[0][0] <= now_sec:
            due_sec, _, interval_sec, action = heapq.heappop(self._timers)
            if interval_sec:
                self._push_timer(max(due_sec + interval_sec, now_sec), interval_sec, action)
            self._guard(action)

    def _time_to_next_timer_ms(self) -> int:
        if not self._timers:
            return 1000
        return max(0, min(1000, int((self._timers[0][0] - time.monotonic()) * 1000) + 1))

    def close(self) -> None:
        """Run the closing actions, close all sockets and end the context; idempotent."""
        if self._closed:
            return
        for action in reversed(self._closing):
            self._guard(action)
        self._closing.clear()
        with contextlib.suppress(ValueError):  # not the main thread: no wake-up fd was set
            signal.set_wakeup_fd(-1)
        for socket in (*self._readers, *self._pushes.values()):
            socket.close()
        self._readers.clear()
        self._pushes.clear()
        self.context.term()
        with self._wake_lock:
            self._closed = True
            os.close(self._wake_read)
            os.close(self._wake_write)
