"""The film of a scenario, as a metadata service would tell of it. Pure functions."""

from __future__ import annotations

from bench.scenario import Scenario
from common.manifest import Manifest
from simulation import manifests
from simulation.manifests import Outline


def node_url(number: int) -> str:
    """Return the address of a scenario's node."""
    return f"http://node-{number}:8081"


def manifest_of(scenario: Scenario) -> Manifest:
    """Return the manifest a metadata service would give for a scenario's film."""
    parts = tuple(range(5)) if scenario.coded else ()
    chunks = [
        Outline(
            size_bytes=scenario.chunk_bytes,
            holders=[node_url(node) for node in parts or scenario.nodes_of(number)],
            parts=parts,
        )
        for number in range(scenario.chunks)
    ]
    return manifests.manifest_of(chunks, scenario.film_sec)
