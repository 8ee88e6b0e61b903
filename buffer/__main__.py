"""`python -m buffer`: the buffer/player process."""

from __future__ import annotations

import sys

from buffer.service import BufferProcess
from common.config import load_settings
from common.endpoints import endpoints_from_environment
from common.process import serve
from common.service import Service


def build() -> Service:
    """Return the process's service, ready to run."""
    return BufferProcess(endpoints_from_environment(), load_settings()).service


if __name__ == "__main__":
    sys.exit(serve("buffer", build, __doc__ or ""))
