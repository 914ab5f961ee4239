"""Indices of the sampler's steps <-> bits (FORMAT.md, "Indices").

Every index takes exactly ``index_bits`` bits. How many a step carries is coded
as the difference to the step before, by Exp-Golomb codes: steps of a budget tend
to carry as many as their neighbours, and then a step costs one bit.
"""

from collections.abc import Sequence

import numpy as np

from vov_lightning.bitstream.wire import Reader, write_varint
from vov_lightning.errors import BitstreamError

Indices = tuple[np.ndarray, ...]
"""For each step from the first, int64 ``[groups]``; steps behind the last that carries some are left out."""


def check_indices(indices: Sequence[np.ndarray], index_bits: int) -> Indices:
    """``indices`` in canonical form, read-only.

    Raises:
        BitstreamError: If one is not a vector of whole numbers below ``2^index_bits``.
    """
    found = [np.array(step) for step in indices]
    for number, step in enumerate(found):
        if (
            not np.issubdtype(step.dtype, np.integer)
            or step.ndim != 1
            or (step < 0).any()
            or (step >> index_bits).any()
        ):
            raise BitstreamError(f"indices of step {number} are not a vector of numbers below 2^{index_bits}")
        found[number] = step.astype(np.int64)
        found[number].setflags(write=False)
    while found and not len(found[-1]):
        found.pop()
    return tuple(found)


def encode_indices(indices: Indices, index_bits: int) -> bytes:
    """Content of the section; nothing where there are no indices."""
    if not indices:
        return b""
    counts = [len(step) for step in indices]
    differences = np.diff(counts, prepend=0).tolist()
    prefix = "".join(_golomb(2 * d if d >= 0 else -2 * d - 1) for d in differences)
    values = np.concatenate(indices)
    bits = (values[:, None] >> np.arange(index_bits - 1, -1, -1)) & 1
    head = np.frombuffer(prefix.encode(), np.uint8) - ord("0")
    packed = np.packbits(np.concatenate([head, bits.astype(np.uint8).reshape(-1)]))
    return write_varint(len(counts)) + packed.tobytes()


def decode_indices(data: bytes, index_bits: int, max_steps: int, max_indices: int) -> Indices:
    """The indices behind the content of a section.

    Args:
        data: The content.
        index_bits: Bits an index.
        max_steps: Steps that may carry some.
        max_indices: Indices that the reader is willing to hold.

    Raises:
        BitstreamError: If ``data`` is not what `encode_indices` writes.
    """
    reader = Reader(data, "the index section")
    num_steps = reader.varint()
    if not 1 <= num_steps <= max_steps:
        raise BitstreamError(f"the index section has {num_steps} steps, wanted 1 to {max_steps}; the file is damaged")
    if len(data) > 16 + (max_indices * index_bits + 66 * num_steps) // 8:
        raise _above(max_indices)
    stream = np.unpackbits(np.frombuffer(data, np.uint8, offset=reader.position))
    position, count = 0, 0
    counts: list[int] = []
    for _ in range(num_steps):
        folded, position = _read_golomb(stream, position)
        count += -(folded + 1) // 2 if folded % 2 else folded // 2
        if count < 0:
            raise BitstreamError(f"step {len(counts)} carries {count} indices; the file is damaged")
        counts.append(count)
    total = sum(counts)
    if total > max_indices:
        raise _above(max_indices)
    if counts[-1] == 0 or -(-(position + total * index_bits) // 8) * 8 != len(stream):
        raise BitstreamError(f"the index section announces {total} indices and holds others; the file is damaged")
    end = position + total * index_bits
    if stream[end:].any():
        raise BitstreamError("the index section ends in bits that are not zero; the file is damaged")
    weights = 1 << np.arange(index_bits - 1, -1, -1, dtype=np.int64)
    values = stream[position:end].reshape(-1, index_bits) @ weights
    return check_indices(np.split(values, np.cumsum(counts)[:-1]), index_bits)


def _above(max_indices: int) -> BitstreamError:
    return BitstreamError(
        f"the index section holds more than {max_indices} indices; for a file that you trust, raise --limits.indices "
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


def _read_golomb(stream: np.ndarray, position: int) -> tuple[int, int]:
    """The value coded at ``position``, and the position behind it."""
    zeros = 0
    while position + zeros < len(stream) and not stream[position + zeros] and zeros <= 32:
        zeros += 1
    end = position + 2 * zeros + 1
    if zeros > 32 or end > len(stream):
        raise BitstreamError("the index section ends within its counts, or a count is above 2^32; the file is damaged")
    value = int("".join(map(str, stream[position + zeros : end])), 2) - 1
    return value, end
