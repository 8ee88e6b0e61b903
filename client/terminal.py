"""What a viewer reads in the terminal: one live line, the status block, the closing words."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, TextIO

from common.messages import SessionStatus
from common.units import bytes_text, clock_text, short_node

BAR_CELLS = 20
RULE = "=" * 60


def status_text(status: dict[str, Any], summary: dict[str, Any]) -> str:
    """Return the status block of `SmartClient.print_status()`."""
    buffer, stats = status["buffer"], status["buffer_stats"]
    downloads = status["scheduler_stats"]
    latency = status["startup_latency"]
    lines = [
        RULE,
        "SMART CLIENT STATUS",
        RULE,
        f"Video: {status['video_id'] or '-'}",
        f"Playing: {'yes' if status['playing'] else 'no'} ({status['state']})",
        f"Startup latency: {f'{latency:.2f} s' if latency is not None else '-'}",
        "",
        f"Buffer: {buffer['buffer_level_sec']:.1f} s ({buffer['buffer_level_chunks']} chunks), "
        f"{buffer['state']}, health {buffer['buffer_health_percent']:.0f} %",
        f"Position: {clock_text(summary['played_sec'])} played, "
        f"{stats['total_chunks_played']} chunks played, "
        f"{stats['total_chunks_buffered']} buffered",
        f"Rebuffering events: {stats['rebuffering_events']} "
        f"({summary['stalled_sec']:.1f} s stalled)",
        f"Average buffer: {stats['average_buffer_level']:.1f} s",
        "",
        f"Downloads: {downloads['total_downloads']} chunks, "
        f"{downloads['failed_downloads']} failed, "
        f"success rate {downloads['success_rate'] * 100:.0f} %, "
        f"{downloads['failover_count']} failovers, {downloads['active_downloads']} active",
        "",
        "Storage nodes:",
    ]
    for url, node in sorted(status["network_stats"].items()):
        now_ms, now_mbps = node["latency_ms"]["current"], node["bandwidth_mbps"]["current"]
        lines.append(
            f"  {short_node(url):<24} score {node['score']:7.2f}  "
            f"latency {_number(now_ms, 'ms')}  bandwidth {_number(now_mbps, 'Mbit/s')}  "
            f"success {node['success_rate'] * 100:3.0f} %  "
            f"chunks {summary['chunks_by_node'].get(url, 0)}"
        )
    lines.append(RULE)
    return "\n".join(lines)


def _number(figure: float | None, unit: str) -> str:
    return f"{figure:7.1f} {unit}" if figure is not None else f"{'-':>7} {unit}"


def closing_text(summary: dict[str, Any]) -> str:
    """Return the last words of a session: what was played, how well, and from where."""
    latency = summary["startup_latency_sec"]
    outcome = summary["outcome"] or "not started"
    lines = [
        f"{summary['video_id']}: {outcome}, {summary['played_sec']:.1f} s played"
        + (f" ({summary.get('error') or summary['message']})" if outcome == "failed" else "")
    ]
    if latency is None:
        return lines[0]
    lines.append(
        f"startup latency {latency:.2f} s, {summary['rebuffering_events']} rebuffering events "
        f"({summary['stalled_sec']:.1f} s), average buffer {summary['average_buffer_sec']:.1f} s"
    )
    shares = sorted(summary["chunks_by_node"].items(), key=lambda item: -item[1])
    sources = ", ".join(f"{count} from {short_node(url)}" for url, count in shares)
    lines.append(
        f"chunks: {sources or 'none'}; {summary['failover_count']} failovers, "
        f"{bytes_text(summary['received_bytes'])} received for "
        f"{bytes_text(summary['needed_bytes'])} needed"
    )
    return "\n".join(lines)


def live_text(status: SessionStatus, rate_mbps: float, nodes: list[str]) -> str:
    """Return the live line: state, position, buffer bar, rate and the nodes at work."""
    filled = min(1.0, status.buffer_level_sec / max(status.target_buffer_sec, 0.1))
    bar = "█" * round(filled * BAR_CELLS)
    at_work = " ".join(short_node(url) for url in nodes) or "-"
    return (
        f"{status.state:<11} {clock_text(status.playhead_sec)}/{clock_text(status.duration_sec)} "
        f"buffer {bar:░<{BAR_CELLS}} {status.buffer_level_sec:4.1f} s "
        f"{rate_mbps:5.1f} Mbit/s from {at_work}"
    )


def open_closed_streams() -> None:
    """Give output and errors somewhere to go when the command was started without them."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            # Open until the process ends, as the real ones are.
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115


def mute(stream: TextIO) -> None:
    """Let a stream whose reader has left swallow everything, what it still holds at exit included."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


class Screen:
    """Writes for people: a line that renews itself on a terminal, plain lines elsewhere."""

    def __init__(self, stream: TextIO, *, quiet: bool) -> None:
        self._stream = stream
        self._quiet = quiet
        self._live: Any = None
        if stream.isatty() and not quiet:
            from rich.console import Console
            from rich.live import Live

            console = Console(file=stream, highlight=False)
            self._live = Live(console=console, refresh_per_second=4, transient=True)
            self._live.start()

    @property
    def live(self) -> bool:
        """Whether a live line is shown."""
        return self._live is not None

    def say(self, text: str) -> None:
        """Write lines that stay."""
        if self._quiet:
            return
        if self._live is not None:
            self._live.console.print(text, markup=False)
            return
        try:
            print(text, file=self._stream, flush=True)
        except OSError:
            mute(self._stream)

    def show(self, text: str) -> None:
        """Renew the live line; nothing happens without a terminal."""
        if self._live is not None:
            from rich.text import Text

            self._live.update(Text(text, no_wrap=True, overflow="ellipsis"))

    def close(self) -> None:
        """Give the terminal back."""
        if self._live is not None:
            self._live.stop()
            self._live = None
