"""Symbols to bytes and back: an integer probability table and constriction's ANS coder.

Why ANS rather than a range coder: its whole state is one number, of which leading zeros need not be written, so a
payload ends at the byte where the information ends (a range coder pads and cannot tell whether it was given the right
end), and it is a bijection: decoding k symbols must arrive at the empty coder, which detects missing and surplus bytes.

**Floats select nothing.** constriction takes probabilities as floats and quantises them itself; we hand it numbers for
which that quantisation is exact. With n weights w_i >= 1 that sum to 2^24 (``CountTable.weights``), it is given
``p_i = w_i - 1``. In ``fast_quantized_cdf`` (src/stream/model/categorical.rs; ``perfect=False``) it computes::

    scale = (2^24 - n) / sum_i p_i            both are the same integer, so scale = 1.0 exactly
    left_i = floor(sum_(j<i) p_j * scale) + i = sum_(j<i) w_j

All sums are of integers below 2^24, exact in float64 (even in float32) in whatever order they are taken, and the
division is of a number by itself: IEEE 754 leaves no room for another result, so every machine codes with the weights
w_i. The rest of the coder is unsigned integers. (That function is the same in versions 0.4.0 to 0.5.0 of constriction;
golden tests pin the bytes.)

A payload is 2 to 5 bytes longer than the entropy of its symbols, nearly all of it the coder's first word; 131,072
symbols take about 2 ms to encode and 4 ms to decode.
"""

import constriction
import numpy as np

from vov_lightning.bitstream.counts import CountTable, check_symbols
from vov_lightning.bitstream.wire import Reader
from vov_lightning.errors import BitstreamError


def encode_symbols(symbols: np.ndarray) -> tuple[bytes, bytes]:
    """Count table and payload of ``symbols`` (integers ``[k]``, -32768 to 32768); both empty for k = 0.

    The payload is the coder's 32-bit words, least significant byte first, without the zero bytes at its end.

    Example:
        >>> table, payload = encode_symbols(np.array([0, 1, 0, 0, -1, 0, 0, 0], np.int32))
        >>> table.hex(), payload.hex()
        ('0102010601', '0000c03b')
    """
    symbols = check_symbols(symbols)
    if len(symbols) == 0:
        return b"", b""
    table = CountTable.of(symbols)
    if len(table.alphabet) == 1:
        return table.to_bytes(), b""
    low = int(table.alphabet[0])
    index_of = np.zeros(int(table.alphabet[-1]) - low + 1, np.int32)
    index_of[table.alphabet - low] = np.arange(len(table.alphabet), dtype=np.int32)
    coder = constriction.stream.stack.AnsCoder()
    coder.encode_reverse(index_of[symbols - low], _model(table))
    return table.to_bytes(), coder.get_compressed().astype("<u4").tobytes().rstrip(b"\0")


def decode_symbols(data: bytes, k: int) -> tuple[np.ndarray, int]:
    """The ``k`` symbols (int32) behind ``data`` = table + payload, and the size of the table in bytes.

    Any bytes give k symbols that encode to exactly these bytes, or a ``BitstreamError``. The time is about that of
    copying k integers, whatever the bytes are: check k against a limit first.
    """
    reader = Reader(data, "the vector section")
    if k == 0:
        reader.finish()
        return np.zeros(0, np.int32), 0
    table = CountTable.read(reader, k)
    table_size = reader.position
    payload = data[table_size:]
    if len(table.alphabet) == 1:
        reader.finish()
        symbols = np.full(k, table.alphabet[0], np.int32)
    else:
        symbols = _decode_payload(payload, table)
    if CountTable.of(symbols).to_bytes() != data[:table_size]:
        raise BitstreamError("the vector's symbols do not have the counts of its table; the file is damaged")
    return symbols, table_size


def _decode_payload(payload: bytes, table: CountTable) -> np.ndarray:
    if payload.endswith(b"\0"):
        raise BitstreamError("the vector's payload ends in a zero byte, which no encoder writes; the file is damaged")
    words = np.frombuffer(payload + b"\0" * (-len(payload) % 4), "<u4").astype(np.uint32)
    coder = constriction.stream.stack.AnsCoder(words)
    indices = coder.decode(_model(table), table.k)  # int32 [k]
    if not coder.is_empty():
        raise BitstreamError(f"the vector's {table.k} symbols do not use up its payload; the file is damaged")
    return np.take(table.alphabet, indices, out=indices, mode="clip")  # in place: k may be 2^24


def _model(table: CountTable) -> constriction.stream.model.Categorical:
    """constriction's model with exactly the table's weights (see above)."""
    return constriction.stream.model.Categorical((table.weights() - 1).astype(np.float64), perfect=False)
