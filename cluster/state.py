"""What a running cluster tells other programs: `cluster.json` in its data directory."""

import fcntl
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

_STATE_NAME = "cluster.json"
_LOCK_NAME = "cluster.lock"


class ClusterError(Exception):
    """Something the user asked for cannot be done; the message says why."""


class UsageError(ClusterError):
    """A value that is not accepted (exit code 2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeState:
    """One storage node; `profile` holds the fields of its link profile."""

    id: str
    url: str
    control_url: str
    pid: int
    profile: dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterState:
    """The addresses and processes of a running cluster."""

    metadata_url: str
    metadata_pid: int
    pid: int
    nodes: tuple[NodeState, ...]

    def find_node(self, name: str) -> NodeState:
        """Return a node by id, number 1..N or URL; raises UsageError naming what is accepted."""
        for number, node in enumerate(self.nodes, start=1):
            if name.rstrip("/") in (node.id, str(number), node.url):
                return node
        ids = ", ".join(node.id for node in self.nodes)
        raise UsageError(f"no node {name!r}; accepted: {ids}, 1-{len(self.nodes)}, or a node's URL")


def default_data_dir() -> Path:
    """Return `$VSTACK_CLUSTER_DATA`, or `.data/cluster` under the current directory."""
    return Path(os.environ.get("VSTACK_CLUSTER_DATA") or Path(".data") / "cluster")


def write_state(data: Path, state: ClusterState) -> None:
    """Put `cluster.json` in place in one step."""
    temporary = data / f"{_STATE_NAME}.tmp"
    temporary.write_text(json.dumps(asdict(state), indent=2) + "\n", encoding="utf-8")
    temporary.replace(data / _STATE_NAME)


def remove_state(data: Path) -> None:
    """Remove `cluster.json`."""
    (data / _STATE_NAME).unlink(missing_ok=True)


def read_state(data: Path) -> ClusterState:
    """Return the running cluster's state; raises ClusterError when none runs there."""
    missing = ClusterError(f"no cluster is running on {data} (start one: python -m cluster up)")
    try:
        fields = json.loads((data / _STATE_NAME).read_text(encoding="utf-8"))
        nodes = tuple(NodeState(**node) for node in fields.pop("nodes"))
        state = ClusterState(**fields, nodes=nodes)
    except OSError as error:
        raise missing from error
    except (ValueError, TypeError, KeyError) as error:
        raise ClusterError(f"{data / _STATE_NAME} cannot be read: {error}") from error
    if not _is_locked(data):
        raise missing
    return state


def lock_data(data: Path) -> IO[str]:
    """Take the data directory for this process; raises UsageError when a live cluster has it."""
    try:
        data.mkdir(parents=True, exist_ok=True)
        file = (data / _LOCK_NAME).open("w")
    except OSError as error:
        raise UsageError(f"data directory {data} cannot be used: {error.strerror}") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise UsageError(f"data directory {data} is in use by another running cluster") from error
    return file


def _is_locked(data: Path) -> bool:
    try:
        with (data / _LOCK_NAME).open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
