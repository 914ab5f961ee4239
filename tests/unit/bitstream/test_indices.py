"""Indices <-> bits: exact, compact, and refused in words where they are damaged."""

import numpy as np
import pytest

from vov_lightning.bitstream import BitstreamError
from vov_lightning.bitstream.indices import check_indices, decode_indices, encode_indices


def some_indices(counts: list[int], index_bits: int) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(0)
    return check_indices([rng.integers(0, 2**index_bits, count) for count in counts], index_bits)


@pytest.mark.parametrize("counts", [[1], [0, 0, 3], [5, 5, 5, 4], [0, 1, 0, 40, 2]])
@pytest.mark.parametrize("index_bits", [1, 8, 13, 24])
def test_round_trip(counts, index_bits):
    indices = some_indices(counts, index_bits)
    data = encode_indices(indices, index_bits)
    again = decode_indices(data, index_bits, max_steps=9, max_indices=100)
    assert [step.tolist() for step in again] == [step.tolist() for step in indices]


def test_an_index_takes_its_bits_and_a_steady_step_one_more():
    indices = some_indices([10] * 50, 8)
    payload_bits, prefix_bits = 50 * 10 * 8, 9 + 49  # 10 after 0: 9 bits; the others: 1
    assert len(encode_indices(indices, 8)) == 1 + -(-(payload_bits + prefix_bits) // 8)


def test_steps_without_indices_at_the_end_are_left_out():
    assert len(check_indices([np.array([1]), np.array([], np.int64)], 8)) == 1
    assert encode_indices((), 8) == b"\0"
    assert decode_indices(b"\0", 8, max_steps=9, max_indices=100) == ()


@pytest.mark.parametrize("bad", [[np.array([256])], [np.array([-1])], [np.array([[1]])], [np.array([3.7])]])
def test_indices_that_do_not_fit_are_refused(bad):
    with pytest.raises(BitstreamError, match=r"indices of step 0 are not a vector of numbers below 2\^8"):
        check_indices(bad, 8)


def test_damage_is_refused():
    data = encode_indices(some_indices([3, 4, 1], 8), 8)
    for damaged in (b"", b"\0\0", data[:-1], data + b"\0", b"\x0a" + data[1:], data[:-1] + bytes([data[-1] ^ 1])):
        with pytest.raises(BitstreamError):
            decode_indices(damaged, 8, max_steps=5, max_indices=100)


def test_limits_hold_before_anything_is_allocated():
    vast = b"\x01" + np.packbits([0] * 30 + [1] * 31).tobytes()  # a first step of 2^30 - 1 indices
    many = encode_indices(some_indices([60, 60], 8), 8)
    for data in (vast, many, bytes([1]) + bytes(10**6)):
        with pytest.raises(BitstreamError, match=r"holds more than 100 indices; .* raise --limits.indices"):
            decode_indices(data, 8, max_steps=5, max_indices=100)
    assert len(decode_indices(many, 8, max_steps=5, max_indices=120)) == 2


def test_a_negative_number_of_indices_is_refused():
    data = b"\x01" + np.packbits([0, 1, 0]).tobytes()
    with pytest.raises(BitstreamError, match="step 0 carries -1 indices"):
        decode_indices(data, 8, max_steps=5, max_indices=100)
