"""The 3+2 code: against an independent slow reference, for every choice of survivors."""

from functools import reduce
from itertools import combinations
from operator import xor

import pytest
from hypothesis import given, settings, strategies as st

from scheduler.erasure import decode_fragments, encode_fragments, fragment_length


def slow_product(left: int, right: int) -> int:
    """Carry-less product, then long division by x^8+x^4+x^3+x^2+1 (unlike the code under test)."""
    product = reduce(xor, (left << bit for bit in range(8) if right >> bit & 1), 0)
    for bit in range(14, 7, -1):
        if product >> bit & 1:
            product ^= 0b1_0001_1101 << (bit - 8)
    return product


def slow_fragments(data: bytes) -> list[bytes]:
    length = (len(data) + 2) // 3
    padded = data + bytes(3 * length - len(data))
    d0, d1, d2 = (padded[i * length : (i + 1) * length] for i in range(3))
    columns = list(zip(d0, d1, d2, strict=True))

    def parity(factors: tuple[int, int, int]) -> bytes:
        return bytes(
            reduce(xor, (slow_product(f, b) for f, b in zip(factors, column, strict=True)))
            for column in columns
        )

    return [d0, d1, d2, parity((15, 7, 3)), parity((14, 6, 2))]


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.binary(max_size=200))
def test_fragments_equal_the_slow_reference(data: bytes) -> None:
    assert list(encode_fragments(data)) == slow_fragments(data)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.binary(max_size=200))
def test_any_three_fragments_give_the_chunk_back(data: bytes) -> None:
    fragments = encode_fragments(data)
    for used in combinations(range(5), 3):
        assert decode_fragments({i: fragments[i] for i in used}, len(data)) == data


def test_a_chunk_larger_than_a_block_comes_back() -> None:
    data = bytes(range(256)) * 2311 + b"tail"
    fragments = encode_fragments(data)
    for used in combinations(range(5), 3):
        given_fragments = {i: memoryview(fragments[i]) for i in used}
        assert decode_fragments(given_fragments, len(data)) == data


def test_data_fragments_are_preferred_to_parity() -> None:
    data = b"the data as it was"
    fragments = list(encode_fragments(data))
    fragments[3] = bytes(len(fragments[3]))
    assert decode_fragments(dict(enumerate(fragments)), len(data)) == data


def test_parity_of_all_five_is_a_plain_xor() -> None:
    fragments = encode_fragments(b"abcdefghijklmnopqrstuvwxyz")
    assert all(reduce(xor, column) == 0 for column in zip(*fragments, strict=True))


@pytest.mark.parametrize(("size_bytes", "length"), [(0, 0), (1, 1), (3, 1), (4, 2), (6, 2)])
def test_fragment_length_rounds_up(size_bytes: int, length: int) -> None:
    assert fragment_length(size_bytes) == length


def test_too_few_fragments_are_refused() -> None:
    with pytest.raises(ValueError, match="3 fragments are needed, got 2"):
        decode_fragments({0: b"ab", 4: b"cd"}, 6)


def test_a_fragment_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(ValueError, match="fragment 1 has 1 bytes, expected 2"):
        decode_fragments({0: b"ab", 1: b"c", 2: b"de"}, 6)


def test_an_index_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="index must be 0-4, got 5"):
        decode_fragments({0: b"ab", 1: b"cd", 5: b"ef"}, 6)
