"""The embedded V-Stack-compatible store: metadata service, storage nodes, link shaping and faults.

No product package imports it. Tests and the demo start one with `EmbeddedCluster`.
"""

from cluster.embedded import EmbeddedCluster
from cluster.profiles import LinkProfile

__all__ = ["EmbeddedCluster", "LinkProfile"]
