"""The command line of the embedded V-Stack-compatible store: `python -m cluster`."""

import argparse
import logging
import sys
from collections.abc import Sequence

from cluster import adding, commands
from cluster.faults import FAULT_KINDS
from cluster.profiles import NAMED_PROFILES
from cluster.state import ClusterError, UsageError

_MAX_CHUNK_BYTES = 2 * 1024 * 1024
# What a node accepts beyond a chunk of the largest size.
_CHUNK_MARGIN_BYTES = 1024
_RAW_CHUNK_BYTES = 1024 * 1024
_FREE_FLOOR_BYTES = 64 * 1024 * 1024
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


def build_parser() -> argparse.ArgumentParser:
    """Build the parser with one subcommand each."""
    parser = argparse.ArgumentParser(prog="python -m cluster", description=__doc__)
    commands_of = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    data = argparse.ArgumentParser(add_help=False)
    data.add_argument(
        "--data", metavar="DIR", help="data directory ($VSTACK_CLUSTER_DATA or .data/cluster)"
    )
    target = argparse.ArgumentParser(add_help=False, parents=[data])
    target.add_argument(
        "--metadata-url", metavar="URL", help="any V-Stack instead of the cluster on --data"
    )
    _add_up(commands_of.add_parser("up", parents=[data], help="run a cluster in the foreground"))
    add = commands_of.add_parser("add", parents=[target], help="upload a film")
    add.add_argument("file", metavar="FILE")
    add.add_argument("--title", help="default: the file's name")
    add.add_argument("--id", help="video id (default: the service chooses)")
    add.add_argument("--reencode", action="store_true", help="re-encode what cannot be cut")
    add.add_argument("--raw", action="store_true", help="cut any bytes, no media")
    add.add_argument(
        "--chunk-bytes", type=int, default=_RAW_CHUNK_BYTES, help="with --raw (default %(default)s)"
    )
    _add_storage(add)
    add.set_defaults(run=adding.add)
    sample = commands_of.add_parser("sample", parents=[target], help="make and add the sample film")
    sample.add_argument("--seconds", type=float, default=120.0, help="default %(default)g")
    _add_storage(sample)
    sample.set_defaults(run=adding.sample, raw=False, reencode=False, chunk_bytes=_RAW_CHUNK_BYTES)
    listing = commands_of.add_parser("list", parents=[target], help="list the videos")
    listing.set_defaults(run=commands.list_videos)
    rm = commands_of.add_parser("rm", parents=[target], help="remove a video")
    rm.add_argument("video_id", metavar="ID")
    rm.set_defaults(run=commands.rm)
    status = commands_of.add_parser("status", parents=[target], help="show nodes and counters")
    status.set_defaults(run=commands.status)
    fault = commands_of.add_parser("fault", parents=[data], help="switch a node's fault")
    fault.add_argument("node", metavar="NODE", help="id, number from 1 or URL")
    fault.add_argument("kind", metavar="KIND", help=", ".join(FAULT_KINDS))
    fault.add_argument("--for", dest="for_sec", type=float, metavar="SEC", help="end it by itself")
    fault.add_argument("--chunk", metavar="ID", help="with missing: only this chunk")
    fault.set_defaults(run=commands.fault)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand and return the exit code."""
    arguments = build_parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    try:
        code: int = arguments.run(arguments)
    except UsageError as error:
        sys.stderr.write(f"cluster: {error}\n")
        return EXIT_USAGE
    except ClusterError as error:
        sys.stderr.write(f"cluster: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("cluster: interrupted\n")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        return 1
    return code


def _add_up(up: argparse.ArgumentParser) -> None:
    up.add_argument("--nodes", type=int, default=3, help="default %(default)s")
    up.add_argument(
        "--profile",
        default="unshaped",
        metavar="NAME",
        help=f"{', '.join(NAMED_PROFILES)} or a TOML file with [[node]] tables "
        "(default %(default)s)",
    )
    up.add_argument(
        "--link",
        action="append",
        default=[],
        metavar="NODE=FIELDS",
        help="change one node's link, for instance 2=rate=5,rtt=80,slow_start=true or "
        "1=trace=3g/NAME,offset=30; also jitter, cut and no_range",
    )
    up.add_argument("--host", default="127.0.0.1", help="address to bind (default %(default)s)")
    up.add_argument("--advertise-host", metavar="HOST", help="host name in URLs (default: --host)")
    up.add_argument("--metadata-port", type=int, default=8080, help="0: any free port")
    up.add_argument("--node-port", type=int, default=8081, help="of the first node; 0: free ports")
    up.add_argument(
        "--max-chunk-bytes",
        type=int,
        default=_MAX_CHUNK_BYTES + _CHUNK_MARGIN_BYTES,
        help="larger chunks are refused (default %(default)s)",
    )
    up.add_argument("--quota-bytes", type=int, help="what one node stores at most")
    up.add_argument(
        "--free-floor-bytes",
        type=int,
        default=_FREE_FLOOR_BYTES,
        help="free disk space to leave (default %(default)s)",
    )
    up.add_argument(
        "--delivery-log",
        action="store_true",
        help="note in each node's requests.jsonl when the parts of a body left",
    )
    # For the process that embeds a cluster: commands on stdin, and its end is the end.
    up.add_argument("--stdin-commands", action="store_true", help=argparse.SUPPRESS)
    up.set_defaults(run=commands.up)


def _add_storage(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--redundancy", choices=("replication", "erasure_coding"), default="replication"
    )
    parser.add_argument("--replicas", type=int, default=3, help="default %(default)s")
    parser.add_argument(
        "--chunk-duration", type=float, default=10.0, metavar="SEC", help="default %(default)g"
    )
    parser.add_argument(
        "--max-chunk-bytes",
        type=int,
        default=_MAX_CHUNK_BYTES,
        help="largest chunk to cut (default %(default)s)",
    )


if __name__ == "__main__":
    raise SystemExit(main())
