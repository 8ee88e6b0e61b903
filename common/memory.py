"""How the C library treats the memory of chunks that have gone on."""

from __future__ import annotations

# Parameters of glibc's mallopt.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
# Chunks up to this size come from memory that is used again.
REUSED_BLOCK_BYTES = 32 * 1024 * 1024
# More free memory than this is given back.
KEPT_FREE_BYTES = 64 * 1024 * 1024


def keep_freed_memory() -> None:
    """Let large blocks be used again instead of going back to the kernel, where the C library can be told so.

    By default each chunk gets fresh pages, and the kernel's work on them costs as much as reading its bytes.
    """
    # It takes milliseconds to load, which a starting process has better uses for.
    import ctypes

    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(_M_MMAP_THRESHOLD, REUSED_BLOCK_BYTES)
    mallopt(_M_TRIM_THRESHOLD, KEPT_FREE_BYTES)
