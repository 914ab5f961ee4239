"""Symbols to bytes: literal bytes, the size promise, and every way in which bytes can be wrong."""

import time

import numpy as np
import pytest

from vov_lightning.bitstream import BitstreamError, CountTable, decode_symbols, encode_symbols, entropy_bits
from vov_lightning.bitstream.counts import PRECISION, decode_counts, round_counts


def laplacian(k: int, scale: float, seed: int = 0) -> np.ndarray:
    return np.rint(np.random.default_rng(seed).laplace(size=k) * scale).astype(np.int32)


def empirical_bits(symbols: np.ndarray) -> float:
    return entropy_bits(np.unique(symbols, return_counts=True)[1])


@pytest.mark.parametrize(
    ("symbols", "table", "payload"),
    [
        ([], "", ""),
        ([5], "0a00", ""),
        ([-7] * 300, "0d00", ""),
        ([0, 1], "00010101", "00000001"),
        ([0, 1, 0, 0, -1, 0, 0, 0], "0102010601", "0000c03b"),
        ([-3, 4, -3, 4, 4], "050702000503", "02000009"),
    ],
)
def test_literal_bytes(symbols, table, payload):
    found_table, found_payload = encode_symbols(np.array(symbols, np.int32))
    assert (found_table.hex(), found_payload.hex()) == (table, payload)
    decoded, table_size = decode_symbols(found_table + found_payload, len(symbols))
    assert decoded.dtype == np.int32
    assert decoded.tolist() == symbols
    assert table_size == len(found_table)


@pytest.mark.parametrize("k", [1, 2, 3, 31, 257, 4096])
@pytest.mark.parametrize("scale", [0.1, 0.7, 2.0, 12.0, 300.0])
def test_round_trip_within_one_percent_and_eight_bytes(k, scale):
    symbols = laplacian(k, scale, seed=k)
    table, payload = encode_symbols(symbols)
    assert np.array_equal(decode_symbols(table + payload, k)[0], symbols)
    assert len(payload) <= 1.01 * empirical_bits(symbols) / 8 + 8


def test_sizes_of_a_typical_vector():
    table, _ = encode_symbols(laplacian(131072, 0.65))  # 1.9 bits an entry, about 15 symbols
    assert len(table) < 24
    table, _ = encode_symbols(laplacian(4096, 0.4))  # 1.2 bits an entry, 7 symbols
    assert len(table) < 12


def test_speed_at_the_size_of_the_paper():
    symbols = laplacian(131072, 1.0)
    start = time.perf_counter()
    table, payload = encode_symbols(symbols)
    decode_symbols(table + payload, len(symbols))
    assert time.perf_counter() - start < 0.5  # 5 ms on an idle core; the margin is for busy test machines


def test_one_outlier_costs_a_few_bytes():
    plain, outlier = laplacian(4096, 0.5), laplacian(4096, 0.5)
    outlier[7] = 2**15
    assert len(b"".join(encode_symbols(outlier))) <= len(b"".join(encode_symbols(plain))) + 8
    table, payload = encode_symbols(outlier)
    assert np.array_equal(decode_symbols(table + payload, 4096)[0], outlier)


def test_every_symbol_there_is():
    symbols = np.random.default_rng(0).permutation(np.arange(-(2**15), 2**15 + 1)).astype(np.int32)
    table, payload = encode_symbols(symbols)
    assert np.array_equal(decode_symbols(table + payload, len(symbols))[0], symbols)
    assert len(payload) <= 1.01 * empirical_bits(symbols) / 8 + 8


def test_rare_symbols_in_a_long_vector_keep_the_promise():
    symbols = np.zeros(2**20, np.int32)
    symbols[: 2**14] = np.repeat(np.arange(1, 2**13 + 1), 2)  # 8192 symbols, twice each
    table, payload = encode_symbols(symbols)
    assert np.array_equal(decode_symbols(table + payload, len(symbols))[0], symbols)
    assert len(payload) <= 1.01 * empirical_bits(symbols) / 8 + 8


@pytest.mark.parametrize("k", [1024, 2**18, 2**18 + 1, 2**24])
def test_counts_are_exact_when_small_and_close_when_large(k):
    counts = np.unique(np.geomspace(1, k - 1, 2000).astype(np.int64))
    codes = round_counts(counts, k)
    assert codes.min() >= 1
    assert codes.max() <= 255
    decoded = decode_counts(codes, k)
    small = counts < (32 if k <= 2**18 else 16)
    assert np.array_equal(decoded[small], counts[small])
    assert (np.abs(decoded - counts) * (32 if k <= 2**18 else 16) <= counts).all()
    assert np.array_equal(round_counts(decoded, k), codes)


def test_weights_are_integers_that_fill_the_precision():
    weights = CountTable.of(laplacian(5000, 3.0)).weights()
    assert weights.dtype == np.int64
    assert weights.min() >= 1
    assert weights.sum() == 2**PRECISION


def test_constriction_codes_with_exactly_our_weights():
    """A plain-integer ANS coder (see FORMAT.md) writes the words that constriction writes."""
    symbols = laplacian(3000, 5.0)
    table = CountTable.of(symbols)
    weights = table.weights().tolist()
    left = np.concatenate([[0], np.cumsum(table.weights())]).tolist()
    state, words = 0, []
    for i in np.searchsorted(table.alphabet, symbols)[::-1].tolist():
        if state >> 40 >= weights[i]:
            words.append(state & 0xFFFFFFFF)
            state >>= 32
        state = (state // weights[i] << 24) + left[i] + state % weights[i]
    number = b"".join(word.to_bytes(4, "little") for word in words) + state.to_bytes(8, "little")
    assert encode_symbols(symbols)[1] == number.rstrip(b"\0")


@pytest.mark.parametrize("change", ["truncated", "longer", "zero byte", "table count", "k + 1", "k - 1", "half of k"])
def test_wrong_bytes_are_refused(change):
    symbols = laplacian(400, 1.0)
    table, payload = encode_symbols(symbols)
    data, k = table + payload, 400
    wrong_data, wrong_k = {
        "truncated": (data[:-1], k),
        "longer": (data + b"\x01", k),
        "zero byte": (data + b"\0", k),
        "table count": (data[:2] + bytes([data[2] + 1]) + data[3:], k),
        "k + 1": (data, k + 1),
        "k - 1": (data, k - 1),
        "half of k": (data, k // 2),
    }[change]
    with pytest.raises(BitstreamError, match="damaged"):
        decode_symbols(wrong_data, wrong_k)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("", "ends after 0 bytes"),
        ("0005", "ends after 2 bytes"),
        ("000201", "ends after 3 bytes"),
        ("0a0001", "1 bytes more than it needs"),
        ("ffff0f00", "announces symbols"),
        ("00808008", "announces symbols"),
        ("00ffffffffffffffffff01", "announces symbols"),
        ("0002010001", "announces about 1 symbols|does not fill its range"),
        ("0002000001" + "01", "does not fill its range"),
        ("000201000a", "does not fill its range"),
        ("8000", "varint"),
    ],
)
def test_wrong_tables_are_refused(data, message):
    with pytest.raises(BitstreamError, match=message):
        decode_symbols(bytes.fromhex(data), 8)


def test_bytes_without_entries_are_refused():
    with pytest.raises(BitstreamError, match="more than it needs"):
        decode_symbols(b"\0", 0)


@pytest.mark.parametrize(
    ("symbols", "message"),
    [
        (np.array([2**15 + 1]), "-32768 to 32768"),
        (np.array([-(2**15) - 1]), "-32768 to 32768"),
        (np.array([1.0, 2.0]), "wanted integers"),
        (np.zeros((2, 2), np.int32), "wanted integers"),
    ],
)
def test_wrong_symbols_are_refused(symbols, message):
    with pytest.raises(BitstreamError, match=message):
        encode_symbols(symbols)


def test_entropy_bits():
    assert entropy_bits([]) == 0.0
    assert entropy_bits([10]) == 0.0
    assert entropy_bits([2, 2, 2, 2, 0]) == 16.0
    assert entropy_bits(np.array([3, 1])) == pytest.approx(3 * np.log2(4 / 3) + 2)
