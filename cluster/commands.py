"""What the subcommands of `python -m cluster` do."""

import argparse
import math
import sys
from typing import Any

from cluster.client import CallError, call
from cluster.faults import parse_fault_kind
from cluster.profiles import ProfileError, load_profiles, with_link_spec
from cluster.removal import must_call, remove_video
from cluster.shared import MAX_NODES, checked_id, data_dir, fetch_videos, say, service_url
from cluster.state import ClusterError, ClusterState, UsageError, read_state

_CONTROL_LIMIT_SEC = 5.0


def up(arguments: argparse.Namespace) -> int:
    """Run a cluster in the foreground."""
    from cluster.supervisor import ClusterOptions, Supervisor

    if not 1 <= arguments.nodes <= MAX_NODES:
        raise UsageError(f"--nodes must be 1 to {MAX_NODES}, got {arguments.nodes}")
    for name in ("metadata_port", "node_port"):
        if not 0 <= getattr(arguments, name) <= 65535:
            raise UsageError(f"--{name.replace('_', '-')} must be 0 to 65535")
    try:
        profiles = load_profiles(arguments.profile, arguments.nodes)
        for link in arguments.link:
            node, equals, spec = link.partition("=")
            number = node.removeprefix("node-")
            if not (equals and number.isdecimal() and 1 <= int(number) <= arguments.nodes):
                raise UsageError(
                    f"--link {link}: expected NODE=rate=5,rtt=80 with NODE 1 to {arguments.nodes}"
                )
            index = int(number) - 1
            profiles[index] = with_link_spec(profiles[index], spec, f"--link {node}")
    except ProfileError as error:
        raise UsageError(str(error)) from error
    options = ClusterOptions(
        data=data_dir(arguments).absolute(),
        profiles=tuple(profiles),
        host=arguments.host,
        advertise_host=arguments.advertise_host,
        metadata_port=arguments.metadata_port,
        node_port=arguments.node_port,
        max_chunk_bytes=arguments.max_chunk_bytes,
        quota_bytes=arguments.quota_bytes,
        free_floor_bytes=arguments.free_floor_bytes,
        stdin_commands=arguments.stdin_commands,
        delivery_log=arguments.delivery_log,
    )
    return Supervisor(options).run()


def list_videos(arguments: argparse.Namespace) -> int:
    """Print one line a video."""
    for video in fetch_videos(service_url(arguments)):
        say(
            f"{video['video_id']:<24} {video['status']:<10} {video['duration_sec']:>6} s "
            f"{video['total_chunks']:>5} chunks  {video['title']}"
        )
    return 0


def rm(arguments: argparse.Namespace) -> int:
    """Remove a video."""
    failures = remove_video(service_url(arguments), checked_id(arguments.video_id))
    for line in failures:
        sys.stderr.write(f"not deleted: {line}\n")
    say(f"removed {arguments.video_id}")
    return 1 if failures else 0


def fault(arguments: argparse.Namespace) -> int:
    """Put a fault in force at a node."""
    try:
        kind = parse_fault_kind(arguments.kind)
    except ValueError as error:
        raise UsageError(str(error)) from error
    for_sec = arguments.for_sec
    if for_sec is not None and not (math.isfinite(for_sec) and 0 < for_sec <= 86_400):
        raise UsageError(f"--for must be above 0 and at most 86400 seconds, got {for_sec:g}")
    node = read_state(data_dir(arguments)).find_node(arguments.node)
    set_fault(node.control_url, kind, for_sec, arguments.chunk)
    what = kind if arguments.chunk is None else f"{kind} {arguments.chunk}"
    say(f"{node.id} {what}" + (f" for {for_sec:g} s" if for_sec is not None else ""))
    return 0


def status(arguments: argparse.Namespace) -> int:
    """Print the state of the service and its nodes."""
    if arguments.metadata_url is None:
        state = read_state(data_dir(arguments))
        say(f"metadata {state.metadata_url} {_health_word(state.metadata_url)}")
        _print_nodes(state)
        return 0
    base_url = service_url(arguments)
    nodes = must_call("GET", f"{base_url}/nodes/all").json()
    say(f"metadata {base_url} {_health_word(base_url)}")
    for node in nodes or ():
        say(f"{node['node_id']} {node['node_url']} {node['status']} {node['chunk_count']} chunks")
    return 0


def set_fault(
    control_url: str, kind: str, for_sec: float | None = None, chunk_id: str | None = None
) -> dict[str, Any]:
    """Ask a node over its control address; returns the node's status with the fault in force."""
    body = {"kind": kind, "for_sec": for_sec, "chunk_id": chunk_id}
    try:
        answer = call("PUT", f"{control_url}/fault", json_body=body, timeout_sec=_CONTROL_LIMIT_SEC)
    except CallError as error:
        raise ClusterError(str(error)) from error
    if answer.status != 200:
        raise UsageError(answer.detail())
    status: dict[str, Any] = answer.json()
    return status


def _print_nodes(state: ClusterState) -> None:
    for node in state.nodes:
        try:
            url = f"{node.control_url}/status"
            fields = call("GET", url, timeout_sec=_CONTROL_LIMIT_SEC).json()
        except CallError as error:
            say(f"{node.id} {node.url} not running ({error})")
            continue
        link = fields["link"]
        rate = f"{link['rate_mbps']:.2f} Mbit/s" if link["shaped"] else "unshaped"
        remaining = fields["fault"]["remaining_sec"]
        ends = "" if remaining is None else f" ({remaining:.0f} s left)"
        say(
            f"{node.id} {node.url} fault={fields['fault']['kind']}{ends} link={rate} "
            f"chunks={fields['chunk_count']} stored={fields['used_bytes']} "
            f"requests={fields['requests']} sent={fields['sent_bytes']} "
            f"connections={fields['connections']} outcomes={fields['by_outcome']}"
        )


def _health_word(metadata_url: str) -> str:
    try:
        health = call("GET", f"{metadata_url}/health", timeout_sec=_CONTROL_LIMIT_SEC).json()
    except CallError:
        return "unreachable"
    return str(health.get("status")) if isinstance(health, dict) else "unknown"
