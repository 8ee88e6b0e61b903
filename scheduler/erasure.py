"""Reed-Solomon coding of a chunk as three data and two parity fragments.

No I/O, no clock, no randomness: time and rng are arguments.

Arithmetic is in GF(2^8) with the polynomial 0x11d. Byte by byte the parity fragments are
`P0 = 15*D0 ^ 7*D1 ^ 3*D2` and `P1 = 14*D0 ^ 6*D1 ^ 2*D2`; any three of the five fragments give the
chunk back. All five together are zero, so of two that are lost only the first takes multiplications.
With two fragments lost nothing here can notice a wrong byte: check the sha256.
"""

from collections.abc import Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray

DATA_FRAGMENTS = 3
PARITY_FRAGMENTS = 2
TOTAL_FRAGMENTS = DATA_FRAGMENTS + PARITY_FRAGMENTS

_POLYNOMIAL = 0x11D
_MATRIX: tuple[tuple[int, int, int], ...] = (
    (1, 0, 0),
    (0, 1, 0),
    (0, 0, 1),
    (15, 7, 3),
    (14, 6, 2),
)

# Elements of the 16-bit tables looked up at a time: 128 KiB in and out stay in the level-2 cache.
_BLOCK_PAIRS = 64 * 1024

_Buffer = bytes | bytearray | memoryview
_Pairs = NDArray[np.uint16]


def fragment_length(size_bytes: int) -> int:
    """Return the length of each of the five fragments of a chunk of `size_bytes`."""
    if size_bytes < 0:
        raise ValueError(f"size_bytes must not be negative, got {size_bytes}")
    return -(-size_bytes // DATA_FRAGMENTS)


def encode_fragments(data: _Buffer) -> tuple[bytes, ...]:
    """Return the three data fragments (zero padded) and the two parity fragments of `data`."""
    length = fragment_length(len(data))
    source = memoryview(data).cast("B")
    columns = [
        _to_pairs(source[index * length : (index + 1) * length], length)
        for index in range(DATA_FRAGMENTS)
    ]
    fragments = [column.tobytes()[:length] for column in columns]
    for row in _MATRIX[DATA_FRAGMENTS:]:
        fragments.append(_combine(row, columns).tobytes()[:length])
    return tuple(fragments)


def decode_fragments(fragments: Mapping[int, bytes | memoryview], size_bytes: int) -> bytes:
    """Return the chunk of `size_bytes` from any three fragments, given by index 0-4.

    Data fragments are preferred: with all three there is nothing to compute. Raises ValueError for
    an index out of range, fewer than three fragments, or a fragment of the wrong length.
    """
    length = fragment_length(size_bytes)
    for index, fragment in fragments.items():
        if not 0 <= index < TOTAL_FRAGMENTS:
            raise ValueError(f"fragment index must be 0-{TOTAL_FRAGMENTS - 1}, got {index}")
        if len(fragment) != length:
            raise ValueError(f"fragment {index} has {len(fragment)} bytes, expected {length}")
    used = tuple(sorted(fragments)[:DATA_FRAGMENTS])
    if len(used) < DATA_FRAGMENTS:
        raise ValueError(f"{DATA_FRAGMENTS} fragments are needed, got {len(used)}")
    parts: dict[int, bytes | memoryview] = {i: fragments[i] for i in used if i < DATA_FRAGMENTS}
    if len(parts) < DATA_FRAGMENTS:
        columns = [_to_pairs(memoryview(fragments[i]).cast("B"), length) for i in used]
        lost = [index for index in range(DATA_FRAGMENTS) if index not in parts]
        for index in lost:
            # The second of two that are lost is the sum of the four others, whichever parities these are.
            row = _inverse(used)[index] if index == lost[0] else (1,) * len(columns)
            columns.append(_combine(row, columns))
            parts[index] = columns[-1].data.cast("B")[:length]
    whole = b"".join(parts[index] for index in range(DATA_FRAGMENTS))
    return whole if len(whole) == size_bytes else whole[:size_bytes]


def _multiply(left: int, right: int) -> int:
    product = 0
    while right:
        if right & 1:
            product ^= left
        left <<= 1
        if left & 0x100:
            left ^= _POLYNOMIAL
        right >>= 1
    return product


@cache
def _reciprocal(value: int) -> int:
    return next(other for other in range(1, 256) if _multiply(value, other) == 1)


@cache
def _pair_table(factor: int) -> _Pairs:
    """Map two bytes at once to their products with `factor` (128 KiB a table, built on demand)."""
    products = np.array([_multiply(factor, value) for value in range(256)], dtype=np.uint16)
    return np.asarray((products[:, None] << 8) | products[None, :], dtype=np.uint16).reshape(-1)


@cache
def _inverse(used: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Invert the three generator rows of the fragments in `used` (Gauss-Jordan in GF(2^8))."""
    rows = [
        [*_MATRIX[index], *(1 if column == place else 0 for column in range(DATA_FRAGMENTS))]
        for place, index in enumerate(used)
    ]
    for column in range(DATA_FRAGMENTS):
        pivot = next(r for r in range(column, DATA_FRAGMENTS) if rows[r][column])
        rows[column], rows[pivot] = rows[pivot], rows[column]
        scale = _reciprocal(rows[column][column])
        rows[column] = [_multiply(scale, value) for value in rows[column]]
        for other in range(DATA_FRAGMENTS):
            factor = rows[other][column]
            if other != column and factor:
                rows[other] = [
                    value ^ _multiply(factor, pivot_value)
                    for value, pivot_value in zip(rows[other], rows[column], strict=True)
                ]
    return tuple(tuple(row[DATA_FRAGMENTS:]) for row in rows)


def _to_pairs(part: memoryview, length: int) -> _Pairs:
    """View `part` as 16-bit elements, zero padded to an even `length`; copies only when it must."""
    even = length + (length & 1)
    if len(part) == even:
        return np.frombuffer(part, dtype=np.uint16)
    padded = np.zeros(even, dtype=np.uint8)
    padded[: len(part)] = np.frombuffer(part, dtype=np.uint8)
    return padded.view(np.uint16)


def _combine(row: tuple[int, ...], columns: list[_Pairs]) -> _Pairs:
    """Return the sum over GF(2^8) of `columns`, each times its factor in `row`."""
    count = len(columns[0])
    total = np.zeros(count, dtype=np.uint16)
    scratch = np.empty(min(count, _BLOCK_PAIRS), dtype=np.uint16)
    for start in range(0, count, _BLOCK_PAIRS):
        block = total[start : start + _BLOCK_PAIRS]
        for factor, column in zip(row, columns, strict=True):
            part = column[start : start + _BLOCK_PAIRS]
            if factor == 1:
                np.bitwise_xor(block, part, out=block)
            elif factor:
                # mode="wrap" cannot matter (65536 entries) and spares numpy a buffered copy.
                product = np.take(_pair_table(factor), part, out=scratch[: len(part)], mode="wrap")
                np.bitwise_xor(block, product, out=block)
    return total
