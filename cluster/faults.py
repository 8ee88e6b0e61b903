"""What each fault does to a node's answers.

No I/O, no clock, no randomness: time and rng are arguments.
"""

from typing import Literal, get_args

FaultKind = Literal[
    "none",
    "down",
    "silent",
    "silent_data",
    "503",
    "stall",
    "slow",
    "corrupt",
    "truncate",
    "missing",
]
FAULT_KINDS: tuple[FaultKind, ...] = get_args(FaultKind)

# A slow node keeps this share of its rate.
SLOW_RATE_RATIO = 0.02
# The rate an unshaped node is taken to have when it turns slow.
UNSHAPED_RATE_MBPS = 20.0
# A corrupting node inverts one byte in each stretch of this many, counted from the chunk's start,
# so that two answers about the same bytes tell the same lie.
CORRUPT_EVERY_BYTES = 16 * 1024


def parse_fault_kind(text: str) -> FaultKind:
    """Return `text` as a fault kind; ValueError names the accepted values."""
    if text not in FAULT_KINDS:
        raise ValueError(f"unknown fault {text!r}; accepted: {', '.join(FAULT_KINDS)}")
    return text


def lacks(kind: FaultKind, only_chunk_id: str | None, object_id: str) -> bool:
    """Say whether a node with this fault says that it does not have an object.

    `only_chunk_id` narrows the fault to one chunk and its fragments.
    """
    if kind != "missing":
        return False
    is_same = object_id == only_chunk_id or object_id.startswith(f"{only_chunk_id}-f")
    return only_chunk_id is None or is_same


def withholds_answer(kind: FaultKind, *, is_data: bool) -> bool:
    """Say whether a node with this fault keeps a request waiting, and sends no byte of a body."""
    return kind == "silent" or (kind == "silent_data" and is_data)


def body_limit_bytes(kind: FaultKind, wanted_bytes: int) -> int:
    """Return after how many of the wanted bytes a body stops."""
    return wanted_bytes // 2 if kind in ("stall", "truncate") else wanted_bytes


def rate_ratio(kind: FaultKind) -> float:
    """Return the share of its rate that a node keeps."""
    return SLOW_RATE_RATIO if kind == "slow" else 1.0


def corrupted(piece: bytes, *, offset_bytes: int, is_first: bool) -> bytes:
    """Return `piece`, found at `offset_bytes` of the chunk, with bytes inverted."""
    wrong = bytearray(piece)
    for position in wrong_positions(len(piece), offset_bytes=offset_bytes, is_first=is_first):
        wrong[position - offset_bytes] ^= 0xFF
    return bytes(wrong)


def wrong_positions(size_bytes: int, *, offset_bytes: int, is_first: bool) -> list[int]:
    """Return where in the chunk a corrupting node lies in a piece of `size_bytes` at `offset_bytes`.

    The first piece of a body always carries a wrong byte, however short the body is.
    """
    first = (CORRUPT_EVERY_BYTES // 2 - offset_bytes) % CORRUPT_EVERY_BYTES
    end_bytes = offset_bytes + size_bytes
    positions = list(range(offset_bytes + first, end_bytes, CORRUPT_EVERY_BYTES))
    if is_first and not positions and size_bytes:
        positions = [offset_bytes + size_bytes // 2]
    return positions
