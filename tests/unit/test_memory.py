"""Memory of chunks that have gone on is used again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.needs import all_required

ROOT = Path(__file__).resolve().parents[2]
CHUNKS = 50
PAGES_OF_A_CHUNK = 2 * 1024 * 1024 // 4096
SCRIPT = f"""
import ctypes
import resource
from common.memory import keep_freed_memory
keep_freed_memory()
held = bytearray(2 * 1024 * 1024)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range({CHUNKS}):
    chunk = bytearray(2 * 1024 * 1024)
    del chunk
faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(faults if hasattr(ctypes.CDLL(None), 'mallopt') else -1)
"""


def test_chunks_one_after_the_other_cost_the_kernel_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=ROOT, check=True, capture_output=True, text=True
    )
    faults = int(done.stdout)
    if faults < 0 and not all_required():
        pytest.skip("the C library has no mallopt")
    assert 0 <= faults < 3 * PAGES_OF_A_CHUNK
