"""Indices of the sampler's steps <-> bits (FORMAT.md, "Indices").

Every index takes exactly ``index_bits`` bits. How many a step carries is coded as the difference to the step before, by
Exp-Golomb codes: steps of a budget tend to carry as many as their neighbours, and then a step costs one bit.
"""

from collections.abc import Sequence

import numpy as np

from vov_lightning.bitstream.wire import Reader, write_varint
from vov_lightning.errors import BitstreamError

Indices = tuple[np.ndarray, ...]
"""For each step from the first, int64 ``[groups]``; steps behind the last that carries some are left out."""


_DIGITS = bytes([ord("0"), ord("1")]) + bytes(254)


def check_indices(indices: Sequence[np.ndarray], index_bits: int) -> Indices:
    """``indices`` in canonical form, read-only.

    Raises:
        BitstreamError: If one is not a vector of whole numbers below ``2^index_bits``.
    """
    steps, most = [np.asarray(step) for step in indices], 1 << index_bits
    while steps and not steps[-1].size:
        steps.pop()
    for number, step in enumerate(steps):
        if step.dtype.kind not in "iu" or step.ndim != 1 or (step.size and not 0 <= step.min() <= step.max() < most):
            raise BitstreamError(f"indices of step {number} are not a vector of numbers below 2^{index_bits}")
    if not steps:
        return ()
    return _split(np.concatenate([step.astype(np.int64) for step in steps]), [len(step) for step in steps])


def _split(values: np.ndarray, counts: list[int]) -> Indices:
    """Read-only views of ``values``, ``counts[i]`` numbers for step i."""
    values.setflags(write=False)
    ends = np.cumsum(counts).tolist()
    return tuple(values[end - count : end] for end, count in zip(ends, counts, strict=True))


def encode_indices(indices: Indices, index_bits: int) -> bytes:
    """Indices of a segment as bytes; a zero byte where there are none."""
    if not indices:
        return b"\0"
    counts = [len(step) for step in indices]
    differences = np.diff(counts, prepend=0).tolist()
    prefix = "".join(_golomb(2 * d if d >= 0 else -2 * d - 1) for d in differences)
    values = np.concatenate(indices)
    bits = (values[:, None] >> np.arange(index_bits - 1, -1, -1)) & 1
    head = np.frombuffer(prefix.encode(), np.uint8) - ord("0")
    packed = np.packbits(np.concatenate([head, bits.astype(np.uint8).reshape(-1)]))
    return write_varint(len(counts)) + packed.tobytes()


def decode_indices(data: bytes, index_bits: int, max_steps: int, max_indices: int) -> Indices:
    """The indices behind the bytes of a segment.

    Args:
        data: What `encode_indices` gave.
        index_bits: Bits an index.
        max_steps: Steps that may carry some.
        max_indices: Indices that the reader is willing to hold.

    Raises:
        BitstreamError: If ``data`` is not what `encode_indices` writes.
    """
    reader = Reader(data, "the indices' part")
    num_steps = reader.varint()
    if num_steps > max_steps:
        raise BitstreamError(f"indices are of {num_steps} steps, wanted at most {max_steps}; the file is damaged")
    if num_steps == 0:
        reader.finish()
        return ()
    if len(data) > 16 + (max_indices * index_bits + 66 * num_steps) // 8:
        raise _above(max_indices)
    stream = np.unpackbits(np.frombuffer(data, np.uint8, offset=reader.position))
    counts, position = _read_counts(stream[: 66 * num_steps].tobytes(), num_steps)
    total = sum(counts)
    if total > max_indices:
        raise _above(max_indices)
    end = position + total * index_bits
    if counts[-1] == 0 or -(-end // 8) * 8 != len(stream):
        raise BitstreamError(f"the file announces {total} indices and holds others; it is damaged")
    if stream[end:].any():
        raise BitstreamError("indices end in bits that are not zero; the file is damaged")
    weights = 1 << np.arange(index_bits - 1, -1, -1, dtype=np.int64)
    return _split(stream[position:end].reshape(-1, index_bits) @ weights, counts)


def _read_counts(bits: bytes, num_steps: int) -> tuple[list[int], int]:
    """Indices of each step, and the position of the first index; ``bits`` has a byte for each bit."""
    counts: list[int] = []
    count = position = 0
    for number in range(num_steps):
        first = bits.find(1, position, position + 33)
        end = 2 * first - position + 1
        if first < 0 or end > len(bits):
            raise BitstreamError("the file ends within its counts of indices, or a count is above 2^32; it is damaged")
        folded = int(bits[first:end].translate(_DIGITS), 2) - 1
        position = end
        count += -(folded + 1) // 2 if folded % 2 else folded // 2
        if count < 0:
            raise BitstreamError(f"step {number} carries {count} indices; the file is damaged")
        counts.append(count)
    return counts, position


def _above(max_indices: int) -> BitstreamError:
    return BitstreamError(
        f"a segment holds more than {max_indices} indices; for a file that you trust, raise --limits.indices "
        "and --limits.candidates"
    )


def _golomb(value: int) -> str:
    """Exp-Golomb code of order 0: as many zeros as the binary form of ``value + 1`` has bits after its first, then it.

    Example:
        >>> [_golomb(value) for value in (0, 1, 4)]
        ['1', '010', '00101']
    """
    binary = f"{value + 1:b}"
    return "0" * (len(binary) - 1) + binary
