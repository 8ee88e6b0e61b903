"""The process of the metadata service (`python -m cluster.metadata`)."""

import argparse
import logging
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import waitress  # type: ignore[import-untyped, unused-ignore]

from cluster.metadata_app import create_app
from cluster.metadata_schema import SchemaError
from cluster.metadata_store import MetadataStore
from cluster.stopping import terminate_at_end_of_stdin

logger = logging.getLogger(__name__)

_THREADS = 6
EXIT_CONFIGURATION = 78


def main(argv: Sequence[str] | None = None) -> int:
    """Serve on a socket inherited from the parent until SIGTERM or the end of stdin."""
    parser = argparse.ArgumentParser(prog="python -m cluster.metadata")
    parser.add_argument("--listen-fd", type=int, required=True)
    parser.add_argument("--database", type=Path, required=True)
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _exit_on_signal)
    terminate_at_end_of_stdin()
    try:
        store = MetadataStore(arguments.database)
    except SchemaError as error:
        sys.stderr.write(f"metadata: {error}\n")
        return EXIT_CONFIGURATION
    try:
        sock = socket.socket(fileno=arguments.listen_fd)
        server = waitress.create_server(
            create_app(store), sockets=[sock], threads=_THREADS, clear_untrusted_proxy_headers=True
        )
        try:
            server.run()
        except SystemExit:
            server.close()
    finally:
        store.close()
    return 0


def _exit_on_signal(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    raise SystemExit(main())
