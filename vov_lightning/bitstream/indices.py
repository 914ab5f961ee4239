"""Indices of the sampler's steps <-> bits (FORMAT.md, "Indices").

Every index takes exactly ``index_bits`` bits. How many a step carries is coded as the difference to what the steps
around it make likely, by Exp-Golomb codes: steps of a budget tend to carry as many as their neighbours, and then a step
costs one bit. A segment that is sampled block by block has the steps of its first block, then those of its second, ...
"""

from collections.abc import Sequence

import numpy as np

from vov_lightning.bitstream.wire import Reader, fold, unfold, write_varint
from vov_lightning.errors import BitstreamError

Indices = tuple[np.ndarray, ...]
"""For each step from the first, int64 ``[groups]``; steps behind the last that carries some are left out. Step j of
block b is number ``b * steps + j``."""


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


def encode_indices(indices: Indices, index_bits: int, block_steps: int | None = None) -> bytes:
    """Indices of a segment as bytes; a zero byte where there are none.

    Args:
        indices: As `check_indices` returns them.
        index_bits: Bits an index.
        block_steps: Steps of a block, for a segment that is sampled block by block.
    """
    if not indices:
        return b"\0"
    counts = _table([len(step) for step in indices], block_steps)
    prefix = "".join(
        _golomb(fold(count - likely_count(row[:number], above)))
        for row, above in zip(counts, [None, *counts], strict=False)
        for number, count in enumerate(row)
    )
    values = np.concatenate(indices)
    bits = (values[:, None] >> np.arange(index_bits - 1, -1, -1)) & 1
    head = np.frombuffer(prefix.encode(), np.uint8) - ord("0")
    packed = np.packbits(np.concatenate([head, bits.astype(np.uint8).reshape(-1)]))
    num_blocks = b"" if block_steps is None else write_varint(len(counts))
    return write_varint(len(counts[0])) + num_blocks + packed.tobytes()


def _table(counts: list[int], block_steps: int | None) -> list[list[int]]:
    """Counts of each block (rows) and step, as many steps as some block has need of."""
    size = block_steps or len(counts)
    rows = [counts[start : start + size] for start in range(0, len(counts), size)]
    width = max(number + 1 for row in rows for number, count in enumerate(row) if count)
    return [(row + [0] * width)[:width] for row in rows]


def decode_indices(
    data: bytes,
    index_bits: int,
    max_steps: int,
    max_indices: int,
    max_blocks: int | None = None,
    max_all_steps: int = 2**20,
) -> Indices:
    """The indices behind the bytes of a segment.

    Args:
        data: What `encode_indices` gave.
        index_bits: Bits an index.
        max_steps: Steps that may carry some, one less than there are.
        max_indices: Indices that the reader is willing to hold.
        max_blocks: Most blocks of a segment that is sampled block by block.
        max_all_steps: Steps of all blocks that the reader is willing to hold.

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
    num_blocks = 1 if max_blocks is None else reader.varint()
    if not 1 <= num_blocks <= (max_blocks or 1):
        raise BitstreamError(f"indices are of {num_blocks} blocks, wanted 1 to {max_blocks}; the file is damaged")
    if (max_steps + 1) * num_blocks > max_all_steps and max_blocks is not None:
        raise BitstreamError(
            f"indices are of {num_blocks} blocks of {max_steps + 1} steps, above the limit of {max_all_steps} steps; "
            "for a file that you trust, raise --limits.all_steps"
        )
    num_counts = num_steps * num_blocks
    if len(data) > 16 + (max_indices * index_bits + 66 * num_counts) // 8:
        raise _above(max_indices)
    stream = np.unpackbits(np.frombuffer(data, np.uint8, offset=reader.position))
    rows, position = _read_counts(stream[: 66 * num_counts].tobytes(), num_steps, num_blocks)
    total = sum(map(sum, rows))
    if total > max_indices:
        raise _above(max_indices)
    end = position + total * index_bits
    used = any(row[-1] for row in rows) and any(rows[-1])
    if not used or -(-end // 8) * 8 != len(stream):
        raise BitstreamError(f"the file announces {total} indices and holds others; it is damaged")
    if stream[end:].any():
        raise BitstreamError("indices end in bits that are not zero; the file is damaged")
    weights = 1 << np.arange(index_bits - 1, -1, -1, dtype=np.int64)
    unused = [0] * (max_steps + 1 - num_steps)
    counts = [count for row in rows for count in row + unused][: len(unused) * (num_blocks - 1) + num_counts]
    while not counts[-1]:
        counts.pop()
    return _split(stream[position:end].reshape(-1, index_bits) @ weights, counts)


def _read_counts(bits: bytes, num_steps: int, num_blocks: int) -> tuple[list[list[int]], int]:
    """Indices of each block and step, and the position of the first index; ``bits`` has a byte for each bit."""
    rows: list[list[int]] = []
    position = 0
    for _ in range(num_blocks):
        row: list[int] = []
        for number in range(num_steps):
            first = bits.find(1, position, position + 33)
            end = 2 * first - position + 1
            if first < 0 or end > len(bits):
                raise BitstreamError(
                    "the file ends within its counts of indices, or a count is above 2^32; it is damaged"
                )
            folded = int(bits[first:end].translate(_DIGITS), 2) - 1
            position = end
            count = unfold(folded) + likely_count(row, rows[-1] if rows else None)
            if count < 0:
                raise BitstreamError(f"step {number} carries {count} indices; the file is damaged")
            row.append(count)
        rows.append(row)
    return rows, position


def likely_count(before: Sequence[int], above: Sequence[int] | None) -> int:
    """What the next step of a block is expected to carry: the median of its neighbours and of their plane (LOCO-I).

    Args:
        before: Counts of the block's steps before it.
        above: Counts of the steps of the block before; nothing for the first block.

    Example:
        >>> likely_count([3, 5], None), likely_count([3, 5], [3, 6, 9]), likely_count([], [3])
        (5, 8, 3)
    """
    left = before[-1] if before else 0
    if above is None:
        return left
    number = len(before)
    up, corner = above[number], above[number - 1] if number else 0
    return sorted((left, up, left + up - corner))[1]


def _above(max_indices: int) -> BitstreamError:
    return BitstreamError(
        f"a segment holds more than {max_indices} indices; for a file that you trust, raise --limits.indices "
        "and --limits.candidates"
    )


def count_bits(count: int, likely: int) -> int:
    """Bits that ``count`` indices of a step take besides the indices, where ``likely`` were expected.

    Example:
        >>> [count_bits(count, 10) for count in (10, 11, 8)]
        [1, 3, 5]
    """
    return 2 * (fold(count - likely) + 1).bit_length() - 1


def _golomb(value: int) -> str:
    """Exp-Golomb code of order 0: as many zeros as the binary form of ``value + 1`` has bits after its first, then it.

    Example:
        >>> [_golomb(value) for value in (0, 1, 4)]
        ['1', '010', '00101']
    """
    binary = f"{value + 1:b}"
    return "0" * (len(binary) - 1) + binary
