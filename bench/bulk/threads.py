"""`python -m bench.bulk.threads METADATA_URL VIDEO_ID`: what plain requests in threads can do.

Whole chunks from the replicas in turn, each read into memory and hashed, then thrown away. Exits with 6 on a wrong
checksum.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import requests

from common.catalog import Catalog
from common.manifest import parse_manifest
from common.messages import ChunkSpec

_local = threading.local()


def main() -> int:
    """Fetch a video; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.bulk.threads")
    parser.add_argument("metadata_url")
    parser.add_argument("video_id")
    parser.add_argument("--threads", type=int, default=4, help="over all processes (default 4)")
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    catalog = Catalog(options.metadata_url)
    manifest = parse_manifest(catalog.manifest_json(options.video_id), video_id=options.video_id)
    catalog.close()
    count: int = options.processes
    shares = [(manifest.chunks[n::count], options.threads // count) for n in range(count)]
    if count == 1:
        return 0 if fetch(*shares[0]) else 6
    with multiprocessing.Pool(count) as pool:
        right = pool.starmap(fetch, shares)
        pool.close()
        pool.join()
    return 0 if all(right) else 6


def fetch(chunks: tuple[ChunkSpec, ...], threads: int) -> bool:
    """Fetch and check chunks with `threads` at a time; tell whether all are right."""
    with ThreadPoolExecutor(threads) as pool:
        return all(pool.map(_fetch_one, chunks))


def _fetch_one(chunk: ChunkSpec) -> bool:
    if not hasattr(_local, "http"):
        _local.http = requests.Session()
        _local.http.trust_env = False
    http: requests.Session = _local.http
    data = bytearray(chunk.size_bytes)
    rest = memoryview(data)
    url = chunk.replicas[chunk.sequence_num % len(chunk.replicas)].url
    with http.get(url, stream=True, timeout=10, headers={"Accept-Encoding": "identity"}) as answer:
        answer.raise_for_status()
        while rest:
            count = answer.raw.readinto(rest)
            if not count:
                return False
            rest = rest[count:]
    return hashlib.sha256(data).hexdigest() == chunk.checksum_sha256


if __name__ == "__main__":
    sys.exit(main())
