"""`python -m simulation`: a session's conditions as JSON on stdin, what each policy would have come to on stdout.

It ends with its parent, and before it takes more processor time or memory than such a comparison may.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import threading
from dataclasses import asdict

from pydantic import ValidationError

from common.errors import ExitCode
from simulation.comparison import compare, film_of
from simulation.estimate import estimate
from simulation.request import Request

MAX_INPUT_BYTES = 16 * 1024 * 1024
MAX_CPU_SEC = 60
PARENT_CHECK_SEC = 0.5
NICENESS = 10
MAX_MEMORY_BYTES = 1024 * 1024 * 1024


def main() -> int:
    """Read one line, play, and write the result; return the exit code."""
    # Whoever watches a film meanwhile comes first.
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_CPU_SEC, MAX_CPU_SEC))
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    _end_with_parent()
    line = sys.stdin.buffer.readline(MAX_INPUT_BYTES)
    try:
        request = Request.model_validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "request"
        print(f"simulation: {place}: {first['msg']}", file=sys.stderr)
        return int(ExitCode.USAGE)
    found = estimate(request)
    known = any(node.known for node in request.nodes)
    played = compare(found.nodes, film_of(request), known=known)
    result = {
        "policies": [asdict(one) for one in played],
        "observed_ratio": found.observed_ratio,
        "nodes": len(request.nodes),
        "chunks": len(request.chunks),
        "span_sec": request.span_sec,
        "film_sec": sum(chunk.duration_sec for chunk in request.chunks),
    }
    print(json.dumps(result, allow_nan=False), flush=True)
    return 0


def _end_with_parent() -> None:
    """End when whoever asked is gone, however it ended; its process id is told, for it may be gone already."""
    told = os.environ.get("VSTACK_WATCH_PARENT", "")
    parent_pid = int(told) if told.isdecimal() and int(told) > 1 else os.getppid()

    def watch() -> None:
        while not threading.Event().wait(PARENT_CHECK_SEC):
            if os.getppid() != parent_pid:
                # The main thread is busy, and there is nothing to put away.
                signal.raise_signal(signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    sys.exit(main())
