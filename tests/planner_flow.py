"""Nodes that send at steady rates, for tests of the planner that need more than a few reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.units import node_of
from scheduler.commands import Command
from tests.planner_rig import PlannerRig

REPORT_SEC = 0.1


def flow(
    rig: PlannerRig,
    rates_mbps: Mapping[str, float],
    duration_sec: float,
    *,
    report_sec: float = REPORT_SEC,
) -> list[Command]:
    """Let nodes answer at once and send what they were asked for, until nothing runs or time is up.

    A node sends its ranges one after the other, and is silent without a rate. Those without `Range` begin at byte 0.
    """
    made: list[Command] = []
    sent_bytes: dict[str, float] = {}
    until_sec = rig.now_sec + duration_sec
    while rig.now_sec < until_sec - 1e-9 and rig.running:
        made += rig.pass_time(report_sec)
        left = {node: rate * 1e6 / 8 * report_sec for node, rate in rates_mbps.items()}
        for job_id in list(rig.running):
            fetch = rig.running.get(job_id)
            node = node_of(fetch.replica.url) if fetch is not None else ""
            if fetch is None or left.get(node, 0.0) <= 0:
                continue
            begin = 0 if fetch.accepts_ranges is False else fetch.start_bytes
            if job_id not in sent_bytes:
                sent_bytes[job_id] = 0.0
                made += rig.head(fetch, honoured=fetch.accepts_ranges is not False)
            # The head may have told the planner enough to move the range's end.
            fetch = rig.running.get(job_id, fetch)
            step = min(left[node], fetch.end_bytes - begin - sent_bytes[job_id])
            left[node] -= max(0.0, step)
            sent_bytes[job_id] += max(0.0, step)
            at = round(begin + sent_bytes[job_id])
            until = max(at, fetch.start_bytes)
            told: dict[str, Any] = {
                "received_bytes": at - begin,
                "range_honoured": begin == fetch.start_bytes,
            }
            if fetch.accepts_ranges is False:
                told["range_honoured"] = False
            if job_id in rig.cancelled:
                made += rig.end(fetch, "cancelled", until=until, mbps=rates_mbps[node], **told)
            elif at >= fetch.end_bytes:
                made += rig.end(fetch, until=until, mbps=rates_mbps[node], **told)
            else:
                made += rig.progress(fetch, until, received_bytes=at - begin)
    return made
