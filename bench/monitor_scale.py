"""`python -m bench.monitor_scale`: what the monitor process costs with many nodes.

The real process, taught a thousand nodes through the metadata service's list of healthy nodes and left alone; its
processor time is read from the kernel. Beside it run the nodes (one process that answers after 20 ms) and one
subscriber, as the scheduler is one; their time is not counted.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from bench.ping_nodes import address_of
from bench.setting import occasion, write_measured
from bench.stack import PROJECT_DIR, client_environment, short_dir
from common.endpoints import Endpoints
from common.messages import NodeScores
from common.service import Service

SIZES = (10, 100, 1000)
# Until all nodes were pinged and their first answers published.
READY_SEC = 60.0
# The first rounds also connect and look for `Range`; what is measured is the state after them.
SETTLE_SEC = 8.0
FILES_PER_NODE = 2
SPARE_FILES = 200


@dataclass(frozen=True, slots=True)
class Cost:
    """What the monitor took over a measured time."""

    nodes: int
    cpu_ratio: float
    pings_per_sec: float
    messages_per_sec: float
    decode_ms: float
    held_ms: float
    latency_ms: float


class _NodeList:
    """A metadata service that knows nodes and nothing else."""

    def __init__(self, node_urls: list[str]) -> None:
        body = json.dumps([{"node_url": url, "status": "healthy"} for url in node_urls]).encode()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                known = self.path == "/nodes/healthy"
                self.send_response(200 if known else 404)
                self.send_header("Content-Length", str(len(body) if known else 0))
                self.end_headers()
                self.wfile.write(body if known else b"")

            def log_message(self, *_arguments: object) -> None:
                """Say nothing: the measurement is the output."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        # A kept connection must not keep the end waiting.
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Listener:
    """A subscriber in the place of the scheduler."""

    def __init__(self, run_dir: Path) -> None:
        self.newest: NodeScores | None = None
        self.messages = 0
        self._service = Service(Endpoints(run_dir), watch_parent=False)
        self._service.subscribe(("monitor.events",), {NodeScores: self._on_scores})
        self._thread = threading.Thread(target=self._run)
        self.cpu_sec = 0.0
        self._thread.start()

    def _run(self) -> None:
        self._service.run()

    def _on_scores(self, scores: NodeScores) -> None:
        self.newest = scores
        self.messages += 1
        self.cpu_sec = time.thread_time()

    def measured(self) -> list[float]:
        """Return the latencies of all nodes that have one."""
        nodes = self.newest.nodes if self.newest is not None else ()
        return [node.latency_ms for node in nodes if node.latency_ms is not None]

    def close(self) -> None:
        self._service.stop()
        self._thread.join()


def cpu_sec(pid: int) -> float:
    """Return the processor time a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def _child(command: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    child = subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=PROJECT_DIR,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield child
    finally:
        child.terminate()
        child.communicate()


def _ask(child: subprocess.Popen[str]) -> dict[str, float]:
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write("count\n")
    child.stdin.flush()
    told: dict[str, float] = json.loads(child.stdout.readline())
    return told


def measure(nodes: int, measured_sec: float, hold_ms: float) -> Cost:
    """Run the monitor on `nodes` nodes and look at it for a while."""
    with contextlib.ExitStack() as stack:
        run_dir = stack.enter_context(short_dir())
        environment = client_environment(str(run_dir))
        ping = ["bench.ping_nodes", "--nodes", str(nodes), "--hold-ms", str(hold_ms)]
        pinged = stack.enter_context(_child(ping, environment))
        assert pinged.stdout is not None
        port = int(pinged.stdout.readline())
        known = _NodeList([f"http://{address_of(i)}:{port}" for i in range(nodes)])
        stack.callback(known.close)
        listener = _Listener(run_dir)
        stack.callback(listener.close)
        environment |= {"VSTACK_RUN_DIR": str(run_dir), "METADATA_SERVICE_URL": known.url}
        monitor = stack.enter_context(_child(["monitor"], environment))
        deadline_sec = time.monotonic() + READY_SEC
        while len(listener.measured()) < nodes:
            if time.monotonic() > deadline_sec:
                raise RuntimeError(f"{len(listener.measured())} of {nodes} nodes were measured")
            time.sleep(0.05)
        time.sleep(SETTLE_SEC)
        begun_sec, begun_cpu_sec, before = time.monotonic(), cpu_sec(monitor.pid), _ask(pinged)
        messages, decoding_sec = listener.messages, listener.cpu_sec
        time.sleep(measured_sec)
        took_sec, after = time.monotonic() - begun_sec, _ask(pinged)
        heard = max(1, listener.messages - messages)
        return Cost(
            nodes=nodes,
            cpu_ratio=(cpu_sec(monitor.pid) - begun_cpu_sec) / took_sec,
            pings_per_sec=(after["answered"] - before["answered"]) / took_sec,
            messages_per_sec=heard / took_sec,
            decode_ms=(listener.cpu_sec - decoding_sec) / heard * 1000,
            held_ms=after["held_ms"],
            latency_ms=statistics.median(listener.measured()),
        )


def _raise_file_limit(nodes: int) -> None:
    """Let the children have as many files as they need; they inherit the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = nodes * FILES_PER_NODE + SPARE_FILES
    if soft < wanted:
        if hard != resource.RLIM_INFINITY and hard < wanted:
            raise SystemExit(f"{nodes} nodes need {wanted} open files; this system allows {hard}")
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def run(
    sizes: Sequence[int] = SIZES, *, measured_sec: float = 30.0, hold_ms: float = 20.0
) -> list[Cost]:
    """Measure, print and return the table."""
    costs = []
    _raise_file_limit(max(sizes))
    print(
        "nodes  of a core  pings/s  held ms  latency ms  error ms  messages/s  subscriber ms each"
    )
    for nodes in sizes:
        cost = measure(nodes, measured_sec, hold_ms)
        costs.append(cost)
        print(
            f"{cost.nodes:>5} {cost.cpu_ratio:>10.1%} {cost.pings_per_sec:>8.1f} {cost.held_ms:>8.2f} "
            f"{cost.latency_ms:>11.2f} {cost.latency_ms - cost.held_ms:>9.2f} "
            f"{cost.messages_per_sec:>11.2f} {cost.decode_ms:>19.2f}",
            flush=True,
        )
    return costs


def main() -> None:
    """Print the table for the arguments given."""
    parser = argparse.ArgumentParser(prog="python -m bench.monitor_scale", description=__doc__)
    parser.add_argument("--nodes", type=int, help=f"one size instead of {SIZES}")
    parser.add_argument("--seconds", type=float, default=30.0, help="measured time (default 30)")
    parser.add_argument("--hold-ms", type=float, default=20.0, help="how long a node takes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    arguments = parser.parse_args()
    when = occasion("python -m bench.monitor_scale")
    costs = run(
        (arguments.nodes,) if arguments.nodes else SIZES,
        measured_sec=arguments.seconds,
        hold_ms=arguments.hold_ms,
    )
    if arguments.json:
        fields = {"measured_sec": arguments.seconds, "costs": [asdict(cost) for cost in costs]}
        write_measured(arguments.json, when, fields)


if __name__ == "__main__":
    main()
