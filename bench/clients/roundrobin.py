"""Round robin: whole chunks in parallel, chunk i from replica i mod n, verified.

What a careful programmer writes in an afternoon: up to four chunks at a time in playing order, the next replica after
an error, a wrong checksum or 10 s without a byte (the read timeout of many HTTP clients), and once all have failed,
again from the first after a second. Of a coded chunk three fragments are read at the same time, beginning with
fragment i mod 5, and a failed one is replaced by one that was not asked for.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from bench.clients.http import FetchFailed, Limits, fetch
from bench.clients.viewing import ROUND_PAUSE_SEC, Viewing, matches
from common.messages import ChunkSpec, FragmentSpec
from scheduler.erasure import DATA_FRAGMENTS, decode_fragments

PARALLEL = 4
LIMITS = Limits(connect_sec=10, first_byte_sec=10, silence_sec=10)

T = TypeVar("T")


def play(viewing: Viewing) -> None:
    """Fetch the film."""
    turns = iter(viewing.chunks)
    lock = threading.Lock()

    def work() -> None:
        while True:
            # Waiting inside keeps the order: whoever holds the lock has the earliest chunk.
            with lock:
                chunk = next(turns, None)
                if chunk is None:
                    return
                viewing.wait_turn(chunk.sequence_num)
            viewing.arrive(chunk, fetch_chunk(viewing, chunk, chunk.sequence_num))

    with ThreadPoolExecutor(PARALLEL, thread_name_prefix="fetch") as pool:
        for running in [pool.submit(work) for _ in range(PARALLEL)]:
            running.result()


def fetch_chunk(viewing: Viewing, chunk: ChunkSpec, turn: int) -> bytes | bytearray:
    """Return a verified chunk, however long it takes."""
    while True:
        data = (
            _decoded(viewing, chunk, turn)
            if chunk.fragments
            else first_right(viewing, chunk, _rotated([r.url for r in chunk.replicas], turn))
        )
        if data is not None:
            return data
        time.sleep(ROUND_PAUSE_SEC)


def first_right(
    viewing: Viewing, part: ChunkSpec | FragmentSpec, urls: Sequence[str]
) -> bytearray | None:
    """Return the first body of the right checksum, None when no URL has one."""
    for url in urls:
        try:
            data = fetch(url, part.size_bytes, LIMITS)
        except FetchFailed:
            viewing.note_failure()
            continue
        if matches(data, part.checksum_sha256):
            return data
        viewing.note_failure()
    return None


def _decoded(viewing: Viewing, chunk: ChunkSpec, turn: int) -> bytes | None:
    waiting = _rotated(list(chunk.fragments), turn)
    lock = threading.Lock()
    held: dict[int, bytes | memoryview] = {}

    def work() -> None:
        while True:
            with lock:
                if not waiting:
                    return
                fragment = waiting.pop(0)
            data = first_right(viewing, fragment, [r.url for r in fragment.replicas])
            if data is not None:
                held[fragment.fragment_index] = bytes(data)
                return

    with ThreadPoolExecutor(DATA_FRAGMENTS, thread_name_prefix="fragment") as pool:
        for running in [pool.submit(work) for _ in range(DATA_FRAGMENTS)]:
            running.result()
    if len(held) < DATA_FRAGMENTS:
        return None
    data = decode_fragments(held, chunk.size_bytes)
    return data if matches(data, chunk.checksum_sha256) else None


def _rotated(items: list[T], turn: int) -> list[T]:
    return items[turn % len(items) :] + items[: turn % len(items)] if items else []
