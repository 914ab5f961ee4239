"""Indices <-> bits: exact, compact, and refused in words where they are damaged."""

import numpy as np
import pytest

from vov_lightning.bitstream import BitstreamError
from vov_lightning.bitstream.indices import check_indices, decode_indices, encode_indices, likely_count


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


class TestBlocks:
    """Segments that are sampled block by block, 6 steps each."""

    @staticmethod
    def decoded(data: bytes, max_blocks: int = 9, max_all_steps: int = 1000) -> list[list[int]]:
        found = decode_indices(data, 8, 5, max_indices=400, max_blocks=max_blocks, max_all_steps=max_all_steps)
        return [step.tolist() for step in found]

    @pytest.mark.parametrize(
        "counts",
        [
            [1],
            [0, 3],
            [5, 5, 4, 0, 0, 0, 5, 5, 4],
            [0, 0, 0, 0, 0, 0, 0, 0, 2],
            [9, 2, 0, 7, 0, 0] * 4 + [0, 1],
            [3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 40, 2, 1, 1, 1],
        ],
    )
    def test_round_trip(self, counts):
        indices = some_indices(counts, 8)
        assert self.decoded(encode_indices(indices, 8, block_steps=6)) == [step.tolist() for step in indices]

    def test_a_block_like_the_one_before_takes_a_bit_a_step(self):
        row = [0, 7, 9, 20, 4, 0]
        one, two = (len(encode_indices(some_indices(row * blocks, 8), 8, 6)) for blocks in (1, 9))
        assert two - one == 8 * sum(row) + 5  # bytes of 8 blocks: bits of one

    def test_damage_is_refused(self):
        data = encode_indices(some_indices([3, 0, 1, 0, 0, 0, 2, 2, 1], 8), 8, 6)
        assert data[:2] == bytes([3, 2])
        for damaged in (b"\3", b"\3\0" + data[2:], data[:-1], b"\6" + data[1:], data + b"\0"):
            with pytest.raises(BitstreamError):
                self.decoded(damaged)
        with pytest.raises(BitstreamError, match="of 2 blocks, wanted 1 to 1"):
            self.decoded(data, max_blocks=1)

    @pytest.mark.parametrize("rows", [[[1, 0], [2, 0]], [[1, 2], [0, 0]]])
    def test_a_step_or_block_without_any_at_the_end_is_refused(self, rows):
        """Written as no encoder would: the last step of all blocks, or all steps of the last block, are empty."""
        bits, above = "", None
        for row in rows:
            for place, count in enumerate(row):
                difference = count - likely_count(row[:place], above)
                folded = f"{(2 * difference if difference >= 0 else -2 * difference - 1) + 1:b}"
                bits += "0" * (len(folded) - 1) + folded
            above = row
        bits += "0" * 8 * sum(map(sum, rows))
        data = bytes([2, 2]) + bytes(int(bits[at : at + 8].ljust(8, "0"), 2) for at in range(0, len(bits), 8))
        with pytest.raises(BitstreamError, match="announces 3 indices and holds others"):
            self.decoded(data)

    def test_blocks_are_limited_before_their_steps_are_laid_out(self):
        data = encode_indices(some_indices(([1] + [0] * 5) * 8, 8), 8, 6)
        with pytest.raises(BitstreamError, match=r"8 blocks of 6 steps, above the limit of 47 steps; .*all_steps"):
            self.decoded(data, max_all_steps=47)
        assert len(self.decoded(data, max_all_steps=48)) == 43
