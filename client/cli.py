"""The command line of `main.py`."""

from __future__ import annotations

import asyncio
import os
import sys
import time

from client.arguments import check_arguments, parser, settings_from
from client.printable import printable
from client.run import Run
from client.terminal import open_closed_streams
from common.config import Settings
from common.errors import ExitCode, VideoClientError
from common.log import configure_logging
from common.units import clock_text


def list_videos(settings: Settings) -> int:
    """Print the videos of the store; return the exit code."""
    from common.catalog import Catalog

    catalog = Catalog(settings.metadata_service_url, timeout_sec=settings.request_timeout_sec)
    videos = catalog.videos(limit=1000)
    for video in videos:
        length = clock_text(video.duration_sec)
        title = printable(video.title)
        print(f"{video.video_id:<32} {length:>8} {video.total_chunks:>5} chunks  {title}")
    if not videos:
        print("no videos")
    return ExitCode.PLAYED


def main(argv: list[str] | None = None, *, command_sec: float | None = None) -> int:
    """Run the command line; return the exit code. Errors are said on stderr."""
    command_sec = command_sec or time.monotonic()
    open_closed_streams()
    configure_logging("main", level=os.environ.get("VSTACK_LOG_LEVEL") or "CRITICAL")
    arguments = parser().parse_args(argv)
    try:
        check_arguments(arguments)
        if arguments.list:
            return list_videos(settings_from(arguments))
        if arguments.replay:
            from client.replay import replay

            return replay(arguments, settings_from(arguments))
        run = Run(arguments, command_sec)
        try:
            return asyncio.run(run.play())
        finally:
            run.close()
    except VideoClientError as error:
        print(f"main.py: {printable(str(error))}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
