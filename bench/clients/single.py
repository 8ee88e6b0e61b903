"""The best single node: whole chunks one after the other from one node, the next node after an error.

So fetch hls.js, dash.js, Shaka and Streamlink: a segment comes from one origin at a time, and the next is asked for
when it is there. The limits are hls.js' `fragLoadPolicy` defaults: `maxTimeToFirstByteMs` 10 000, `maxLoadTimeMs`
120 000, no limit on silence after the first byte; `maxBufferLength` 30 s; no checksums. Three things are kinder than
those players: the node is the one that brings the first 256 KiB soonest (they take what the manifest names first), an
error is answered by the next node at once (hls.js first asks the same one up to six times, with 1-8 s between), and
it is stayed with thereafter. Of a coded chunk the fragments are read in turn until three are there.
"""

from __future__ import annotations

import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from bench.clients.http import FetchFailed, Limits, fetch
from bench.clients.viewing import ROUND_PAUSE_SEC, Viewing
from common.messages import ChunkSpec
from common.units import node_of
from scheduler.erasure import DATA_FRAGMENTS, decode_fragments

LIMITS = Limits(connect_sec=10, first_byte_sec=10, silence_sec=120, total_sec=120)
PROBE_BYTES = 256 * 1024
PROBE_LIMITS = Limits(connect_sec=10, first_byte_sec=10, silence_sec=10, total_sec=10)


def play(viewing: Viewing) -> None:
    """Fetch the film."""
    preferred = "" if viewing.coded else _fastest_node(viewing.chunks[0])
    for chunk in viewing.chunks:
        viewing.wait_turn(chunk.sequence_num)
        if chunk.fragments:
            viewing.arrive(chunk, _decoded(viewing, chunk))
            continue
        data, preferred = _whole(viewing, chunk, preferred)
        viewing.arrive(chunk, data)


def _fastest_node(chunk: ChunkSpec) -> str:
    """Return the node from which the start of a chunk comes first; the slower reads end by themselves."""

    def probe(url: str) -> str:
        size = min(PROBE_BYTES, chunk.size_bytes)
        fetch(url, chunk.size_bytes, PROBE_LIMITS, stop_after_bytes=size)
        return node_of(url)

    pool = ThreadPoolExecutor(max(1, len(chunk.replicas)), thread_name_prefix="probe")
    running: set[Future[str]] = {pool.submit(probe, replica.url) for replica in chunk.replicas}
    try:
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                if future.exception() is None:
                    return future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return ""


def _whole(viewing: Viewing, chunk: ChunkSpec, preferred: str) -> tuple[bytearray, str]:
    """Return a chunk and the node it came from."""
    urls = [replica.url for replica in chunk.replicas]
    while True:
        # The one before, then the others in the manifest's order.
        for url in sorted(urls, key=lambda url: node_of(url) != preferred):
            try:
                return fetch(url, chunk.size_bytes, LIMITS), node_of(url)
            except FetchFailed:
                viewing.note_failure()
        time.sleep(ROUND_PAUSE_SEC)


def _decoded(viewing: Viewing, chunk: ChunkSpec) -> bytes:
    held: dict[int, bytes | memoryview] = {}
    while True:
        for fragment in chunk.fragments:
            for replica in fragment.replicas if fragment.fragment_index not in held else ():
                try:
                    data = fetch(replica.url, fragment.size_bytes, LIMITS)
                except FetchFailed:
                    viewing.note_failure()
                    continue
                held[fragment.fragment_index] = bytes(data)
                break
            if len(held) == DATA_FRAGMENTS:
                return decode_fragments(held, chunk.size_bytes)
        time.sleep(ROUND_PAUSE_SEC)
