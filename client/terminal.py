"""What a viewer reads in the terminal: the live view or plain lines, the status block, the closing words."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from client.printable import printable
from client.stderr import STDERR_FD, StderrLines, same_terminal
from common.units import bytes_text, clock_text, short_node

if TYPE_CHECKING:
    from client.live_figures import LiveFigures
    from client.live_screen import LiveScreen

# Values of TERM that promise no cursor to move.
TERMINALS_THAT_ONLY_WRITE = ("", "dumb", "unknown")
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
    """Writes for people: a live view on a terminal, plain lines elsewhere and before the view's first figures."""

    def __init__(self, stream: TextIO, *, quiet: bool, plain: bool = False) -> None:
        # Whether there is to be a live view.
        self.wants_view = not quiet and not plain and _can_redraw(stream)
        self._stream = stream
        self._quiet = quiet
        self._fd: int | None = None
        self._errors: StderrLines | None = None
        self._live: LiveScreen | None = None
        if isinstance(stream, io.TextIOWrapper):
            # A title that the stream's encoding lacks must not end the film.
            stream.reconfigure(errors="replace")

    def open(self) -> None:
        """Prepare for the view; what is started from now on cannot write into it."""
        if self.wants_view:
            self._stream.flush()
            self._fd = os.dup(self._stream.fileno())
            if same_terminal(self._fd, STDERR_FD):
                self._errors = StderrLines()

    def say(self, text: str) -> None:
        """Write lines that stay."""
        if self._quiet:
            return
        for line in text.split("\n"):
            if self._live is not None:
                self._live.say(line)
            else:
                self._print(printable(line), self._stream)

    def show(self, figures: LiveFigures) -> None:
        """Draw the live view anew; nothing happens when it is not wanted, or over."""
        if self._fd is None:
            return
        if self._live is None:
            from client.live_screen import LiveScreen

            self._live = LiveScreen(self._stream, self._fd)
        for line in self._errors.take() if self._errors is not None else ():
            self._live.say(line)
        self._live.show(figures)

    @contextlib.contextmanager
    def put_aside(self) -> Iterator[None]:
        """Leave the terminal to others inside the block."""
        if self._live is not None:
            self._live.suspend()
        yield
        if self._live is not None:
            self._live.resume()

    def close(self) -> None:
        """Give the terminal back; what follows is plain. Idempotent."""
        self.wants_view = False
        live, self._live = self._live, None
        errors, self._errors = self._errors, None
        fd, self._fd = self._fd, None
        left = errors.close() if errors is not None else []
        if live is not None:
            for line in left:
                live.say(line)
            live.close()
        else:
            for line in left:
                self._print(printable(line), sys.stderr)
        if fd is not None:
            os.close(fd)

    def _print(self, line: str, stream: TextIO) -> None:
        try:
            print(line, file=stream, flush=True)
        except OSError:
            mute(stream)


def _can_redraw(stream: TextIO) -> bool:
    return stream.isatty() and os.environ.get("TERM", "") not in TERMINALS_THAT_ONLY_WRITE
