"""The count table: how often each symbol occurs, in about one byte a symbol.

The table is sent instead of any learned model, and it alone drives the coder (``coder.py``), in integers from end to
end. A count is sent as a *minifloat*: its leading bit and the ``p`` bits below it, so that counts below 2^(p+1) are
exact and the others are off by at most 1/32 (p = 4; 1/16 for p = 3). Such an error costs the payload only its square.
Measured, bytes of table plus bytes lost in the payload, Laplacian symbols:

=======  ============  ============  ======================  ================
k        bits / entry  exact counts  counts scaled to 2^12   minifloats (this)
=======  ============  ============  ======================  ================
1024     2.0           16            18                      13
4096     1.0           11            11                      8
4096     2.0           19            19                      14
131072   2.0           31            42                      21
131072   5.0           177           275                     126
=======  ============  ============  ======================  ================
"""

from dataclasses import dataclass

import numpy as np

from vov_lightning.bitstream.wire import Reader, fold, unfold, write_varint
from vov_lightning.errors import BitstreamError

MAX_SYMBOL = 2**15
PRECISION = 24
"""The weights that drive the coder sum to ``2**PRECISION``."""

_CHUNK = 2**20


@dataclass(frozen=True, eq=False)
class CountTable:
    """The symbols that occur, ascending (int32 ``[n]``), and their minifloat codes (int64 ``[n]``, 1 to 255).

    A table is a function of the symbols alone, so a decoder can check that what it decoded is what was counted. If a
    single symbol occurs, its count is k and no code is sent (``codes`` is ``[0]``).
    """

    alphabet: np.ndarray
    codes: np.ndarray
    k: int

    @classmethod
    def of(cls, symbols: np.ndarray) -> "CountTable":
        """The table of ``symbols`` ``[k]`` as ``check_symbols`` returns them, k >= 1."""
        low, high = int(symbols.min()), int(symbols.max())
        counts = count_symbols(symbols, low, high)
        used = np.flatnonzero(counts)
        codes = round_counts(counts[used], len(symbols)) if len(used) > 1 else np.zeros(1, np.int64)
        return cls((used + low).astype(np.int32), codes, len(symbols))

    def weights(self) -> np.ndarray:
        """Integer probabilities, int64 ``[n]``: at least 1 each, and ``2**PRECISION`` in all.

        ``1 + floor(count (2^24 - n) / sum of counts)``; what rounding leaves over goes to the first largest.
        """
        counts = decode_counts(self.codes, self.k)
        free = (1 << PRECISION) - len(counts)
        weights = 1 + counts * free // counts.sum()  # below 2^34 * 2^24: no overflow in int64
        weights[np.argmax(weights)] += (1 << PRECISION) - weights.sum()
        return weights

    def to_bytes(self) -> bytes:
        """Lowest symbol (zigzag varint), highest minus lowest (varint), then a byte for each symbol between them.

        A run of r symbols that do not occur is a zero byte and the varint r - 1.
        """
        low, high = int(self.alphabet[0]), int(self.alphabet[-1])
        out = bytearray(write_varint(fold(low)) + write_varint(high - low))
        if low == high:
            return bytes(out)
        expected = low
        for symbol, code in zip(self.alphabet.tolist(), self.codes.tolist(), strict=True):
            if symbol > expected:
                out += b"\0" + write_varint(symbol - expected - 1)
            out.append(code)
            expected = symbol + 1
        return bytes(out)

    @classmethod
    def read(cls, reader: Reader, k: int) -> "CountTable":
        """The table of a vector of ``k`` entries, from where ``reader`` stands."""
        low, span = unfold(reader.varint()), reader.varint()
        high = low + span
        if max(-low, high) > MAX_SYMBOL:
            raise BitstreamError(f"count table announces symbols {low} to {high}, wanted -32768 to 32768")
        alphabet, codes = [low], [0]
        if span:
            alphabet, codes, symbol = [], [], low
            while symbol <= high:
                (code,) = reader.take(1)
                if code == 0:
                    symbol += 1 + reader.varint()
                    continue
                alphabet.append(symbol)
                codes.append(code)
                symbol += 1
            if len(alphabet) < 2 or alphabet[0] != low or alphabet[-1] != high:
                raise BitstreamError(f"count table does not fill its range {low} to {high}; the file is damaged")
        table = cls(np.array(alphabet, np.int32), np.array(codes, np.int64), k)
        total = int(decode_counts(table.codes, k).sum())
        if abs(total - k) > k // 16:  # rounding moves a count, and so their sum, by at most this
            raise BitstreamError(f"count table announces about {total} symbols, the header {k}; the file is damaged")
        return table


def check_symbols(symbols: np.ndarray) -> np.ndarray:
    """``symbols`` as int32 ``[k]``; ``BitstreamError`` if they are not integers from -32768 to 32768."""
    symbols = np.asarray(symbols)
    if symbols.ndim != 1 or symbols.dtype.kind not in "iu":
        raise BitstreamError(f"symbols are {symbols.dtype} {list(symbols.shape)}, wanted integers [k]")
    if len(symbols):
        low, high = int(symbols.min()), int(symbols.max())
        if max(-low, high) > MAX_SYMBOL:
            raise BitstreamError(f"symbols reach from {low} to {high}, wanted -32768 to 32768; use a larger step")
    return symbols.astype(np.int32, copy=False)


def count_symbols(symbols: np.ndarray, low: int, high: int) -> np.ndarray:
    """How often each integer of ``[low, high]`` occurs, int64 ``[high - low + 1]``; in slices, to bound the memory."""
    counts = np.zeros(high - low + 1, np.int64)
    for start in range(0, len(symbols), _CHUNK):
        counts += np.bincount(symbols[start : start + _CHUNK] - low, minlength=len(counts))
    return counts


def mantissa_bits(k: int) -> int:
    """4, or 3 where a count of 2^18 and more would not fit a byte."""
    return 4 if k <= 2**18 else 3


def round_counts(counts: np.ndarray, k: int) -> np.ndarray:
    """Minifloat codes of positive counts: c itself if c < 2^(p+1), else exponent 2^p + mantissa, rounded half up.

    Example:
        >>> round_counts(np.array([1, 31, 32, 33, 100, 131072]), k=131072)
        array([  1,  31,  32,  33,  57, 224])
    """
    p = mantissa_bits(k)
    exponents = np.array([max(0, int(c).bit_length() - p - 1) for c in counts.tolist()], np.int64)
    mantissas = (counts + ((1 << exponents) >> 1)) >> exponents  # [2^p, 2^(p+1)]: the upper end carries by itself
    return (exponents << p) + mantissas


def decode_counts(codes: np.ndarray, k: int) -> np.ndarray:
    """The counts that minifloat codes stand for, int64; the code 0 of a single symbol stands for k."""
    p = mantissa_bits(k)
    exponents = np.maximum(codes >> p, 1) - 1
    counts = (codes - (exponents << p)) << exponents
    return np.where(codes == 0, k, counts)


def entropy_bits(counts: np.ndarray) -> float:
    """Bits that an ideal coder needs for symbols with these counts, the table not included.

    ``sum_i c_i log2(k / c_i)``: the yardstick for the payload, which stays within 1 % + 8 bytes of it.

    Example:
        >>> entropy_bits([4, 2, 2])
        12.0
    """
    counts = np.asarray(counts, np.float64)
    counts = counts[counts > 0]
    return float((counts * np.log2(counts.sum() / counts)).sum()) if counts.size else 0.0
