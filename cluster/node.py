"""The process of one storage node (`python -m cluster.node`, started by `python -m cluster up`)."""

import argparse
import json
import logging
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cluster.chunk_store import ChunkStore
from cluster.client import CallError, call
from cluster.control import ControlServer
from cluster.exchange import NodeParts
from cluster.faults import FaultKind, rate_ratio
from cluster.link import Link
from cluster.listener import Listener
from cluster.node_service import NodeIdentity, NodeService
from cluster.profiles import LinkProfile, profile_from_json
from cluster.request_log import RequestLog
from cluster.stopping import StopWatch

logger = logging.getLogger(__name__)

VERSION = "1.0"
_HEARTBEAT_SEC = 3.0
# Until the metadata service knows the node, it is asked this often.
_REGISTER_RETRY_SEC = 0.2
_CALL_LIMIT_SEC = 1.0
# Answers to `settle` wait at most this long.
_SETTLE_LIMIT_SEC = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOptions:
    """What the parent process tells a node."""

    node_id: str
    node_url: str
    metadata_url: str
    folder: Path
    profile: LinkProfile
    max_chunk_bytes: int
    quota_bytes: int | None
    free_floor_bytes: int
    delivery_log: bool


class FaultSwitch:
    """The fault in force, since when, and when it ends."""

    def __init__(self) -> None:
        self._kind: FaultKind = "none"
        self._chunk_id: str | None = None
        self.since_unix_sec = time.time()
        self.ends_at_sec: float | None = None

    @property
    def kind(self) -> FaultKind:
        """Return the fault in force."""
        return self._kind

    @property
    def chunk_id(self) -> str | None:
        """Return the chunk it is limited to."""
        return self._chunk_id

    def set(self, kind: FaultKind, ends_at_sec: float | None, chunk_id: str | None) -> None:
        """Put a fault in force until the monotonic time `ends_at_sec`."""
        self._kind = kind
        self._chunk_id = chunk_id
        self.since_unix_sec = time.time()
        self.ends_at_sec = ends_at_sec


class StorageNode:
    """Wire a node's parts together; `run` returns when it is told to stop."""

    def __init__(
        self,
        options: NodeOptions,
        sock: socket.socket,
        control_sock: socket.socket,
        stop: StopWatch,
    ) -> None:
        self._options = options
        self._stop = stop
        self._switching = threading.RLock()
        self._faults = FaultSwitch()
        self._ended = threading.Event()
        self._started_sec = time.monotonic()
        self._store = ChunkStore(
            options.folder / "chunks",
            quota_bytes=options.quota_bytes,
            free_floor_bytes=options.free_floor_bytes,
        )
        self._link = Link(options.profile, seed=options.node_id)
        self._log = RequestLog(options.folder / "requests.jsonl")
        parts = NodeParts(
            link=self._link,
            faults=self._faults,
            log=self._log,
            cut_response_after_sec=options.profile.cut_response_after_sec,
            tracks_delivery=options.delivery_log,
        )
        identity = NodeIdentity(
            node_id=options.node_id,
            max_chunk_bytes=options.max_chunk_bytes,
            no_range=options.profile.no_range,
            started_sec=self._started_sec,
        )
        service = NodeService(identity, self._store, parts)
        self._listener = Listener(sock, service.serve, shaped=self._link.shaped)
        self._control = ControlServer(control_sock, self)

    def run(self) -> None:
        """Serve until the stop watch says stop, then close everything."""
        beats = threading.Thread(target=self._beat_loop, name="heartbeat")
        self._listener.start()
        self._control.start()
        beats.start()
        logger.info("node started node_id=%s url=%s", self._options.node_id, self._options.node_url)
        try:
            while not self._stop.wait(self._faults.ends_at_sec):
                self._end_fault_in_time()
        finally:
            self._ended.set()
            self._control.close()
            self._listener.close()
            beats.join()
            self._log.close()
            logger.info("node stopped node_id=%s", self._options.node_id)

    def set_fault(
        self, kind: FaultKind, for_sec: float | None, chunk_id: str | None = None
    ) -> None:
        """Put a fault in force, for running transfers too; returns when it is."""
        with self._switching:
            ends_at_sec = None if for_sec is None else time.monotonic() + for_sec
            self._faults.set(kind, None if kind == "none" else ends_at_sec, chunk_id)
            self._link.set_rate_ratio(rate_ratio(kind))
            if kind == "down":
                self._listener.refuse("down")
            else:
                self._listener.accept()
            self._listener.wake_all()
            logger.info("fault set node_id=%s kind=%s", self._options.node_id, kind)
        self._stop.wake()

    def restart_link(self) -> None:
        """Play the link's trace from its beginning again."""
        self._link.restart()

    def settle(self) -> None:
        """Wait until the records of all answers already sent are written."""
        self._log.settle(_SETTLE_LIMIT_SEC)

    def status(self) -> dict[str, object]:
        """Return what the control address tells about the node."""
        ends_at_sec = self._faults.ends_at_sec
        remaining = None if ends_at_sec is None else max(0.0, ends_at_sec - time.monotonic())
        return {
            "node_id": self._options.node_id,
            "url": self._options.node_url,
            "fault": {
                "kind": self._faults.kind,
                "chunk_id": self._faults.chunk_id,
                "since_unix_sec": self._faults.since_unix_sec,
                "remaining_sec": remaining,
            },
            "connections": self._listener.connection_count,
            "chunk_count": len(self._store),
            "used_bytes": self._store.used_bytes,
            "disk_usage_percent": round(self._store.disk_usage_percent(), 2),
            "uptime_sec": round(time.monotonic() - self._started_sec, 3),
            "link": self._link.status(),
            **self._log.counters(),
        }

    def _end_fault_in_time(self) -> None:
        with self._switching:
            ends_at_sec = self._faults.ends_at_sec
            if ends_at_sec is not None and time.monotonic() >= ends_at_sec:
                self.set_fault("none", None)

    def _beat_loop(self) -> None:
        registered = False
        while True:
            # A node that is off the network does not reach the metadata service either.
            if self._faults.kind not in ("down", "silent"):
                registered = self._beat(registered)
            if self._ended.wait(_HEARTBEAT_SEC if registered else _REGISTER_RETRY_SEC):
                return

    def _beat(self, registered: bool) -> bool:
        """Register or send one heartbeat; return whether the metadata service knows the node."""
        options = self._options
        try:
            if not registered:
                body = {
                    "node_url": options.node_url,
                    "node_id": options.node_id,
                    "version": VERSION,
                }
                url = f"{options.metadata_url}/nodes/register"
                if call("POST", url, json_body=body, timeout_sec=_CALL_LIMIT_SEC).status >= 300:
                    return False
            beat = {
                "disk_usage_percent": round(self._store.disk_usage_percent(), 2),
                "chunk_count": len(self._store),
                "version": VERSION,
            }
            url = f"{options.metadata_url}/nodes/{options.node_id}/heartbeat"
            return call("POST", url, json_body=beat, timeout_sec=_CALL_LIMIT_SEC).status < 300
        except CallError as error:
            logger.debug("heartbeat failed node_id=%s error=%s", options.node_id, error)
            return False


def main(argv: Sequence[str] | None = None) -> int:
    """Run one node on sockets inherited from the parent."""
    parser = argparse.ArgumentParser(prog="python -m cluster.node")
    parser.add_argument("--listen-fd", type=int, required=True)
    parser.add_argument("--control-fd", type=int, required=True)
    parser.add_argument("--options", required=True, help="JSON")
    arguments = parser.parse_args(argv)
    fields = json.loads(arguments.options)
    options = NodeOptions(
        **{
            **fields,
            "folder": Path(fields["folder"]),
            "profile": profile_from_json(fields["profile"]),
        }
    )
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    stop = StopWatch(watch_stdin=True)
    sock = socket.socket(fileno=arguments.listen_fd)
    control_sock = socket.socket(fileno=arguments.control_fd)
    StorageNode(options, sock, control_sock, stop).run()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
