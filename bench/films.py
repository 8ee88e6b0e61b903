"""The film of a scenario, as a metadata service would tell of it. Pure functions."""

from __future__ import annotations

import json

from bench.scenario import Scenario
from common.manifest import Manifest, parse_manifest
from simulation.viewer import VIDEO_ID

_NO_CHECKSUM = "0" * 64


def node_url(number: int) -> str:
    """Return the address of a scenario's node."""
    return f"http://node-{number}:8081"


def manifest_of(scenario: Scenario) -> Manifest:
    """Return the manifest a metadata service would give for a scenario's film."""
    chunks = []
    for number in range(scenario.chunks):
        name = f"{VIDEO_ID}-{number:05}"
        chunk: dict[str, object] = {
            "chunk_id": name,
            "sequence_num": number,
            "size_bytes": scenario.chunk_bytes,
            "checksum": _NO_CHECKSUM,
        }
        if scenario.coded:
            chunk["redundancy_mode"] = "erasure_coding"
            chunk["fragments"] = [
                {
                    "fragment_id": f"{name}-{index}",
                    "fragment_index": index,
                    "node_url": node_url(index),
                    "size_bytes": -(-scenario.chunk_bytes // 3),
                    "checksum": _NO_CHECKSUM,
                }
                for index in range(5)
            ]
        else:
            chunk["replicas"] = [node_url(node) for node in scenario.nodes_of(number)]
        chunks.append(chunk)
    fields = {
        "video_id": VIDEO_ID,
        "duration_sec": scenario.film_sec,
        "chunk_duration_sec": scenario.chunk_sec,
        "total_chunks": scenario.chunks,
        "chunks": chunks,
    }
    return parse_manifest(json.dumps(fields).encode(), video_id=VIDEO_ID)
