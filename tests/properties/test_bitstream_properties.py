"""The bitstream under any input: what is written comes back, and any other bytes are refused, quickly and in words."""

import string
import time
import tracemalloc
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from vov_lightning.bitstream import (
    BitstreamError,
    FrameTimes,
    Header,
    Limits,
    Segment,
    VovFile,
    decode_symbols,
    encode_symbols,
    entropy_bits,
    format_description,
)
from vov_lightning.bitstream import describe as describe_file
from vov_lightning.bitstream.counts import CountTable
from vov_lightning.bitstream.head import Head, read_head
from vov_lightning.bitstream.indices import check_indices, decode_indices, encode_indices
from vov_lightning.bitstream.limits import DEFAULT_LIMITS
from vov_lightning.bitstream.parts import write_parts
from vov_lightning.bitstream.times import decode_times, encode_times
from vov_lightning.bitstream.version1 import read_header, write_header
from vov_lightning.bitstream.vocabulary import ATTRIBUTES, sentence

ANY = settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
MANY = settings(ANY, max_examples=400)

floats = st.floats(2.0**-100, 2.0**100, width=32)
seeds = st.integers(0, 2**64 - 1)
ratios = st.builds(Fraction, st.integers(1, 2**32 - 1), st.integers(1, 2**32 - 1))
rates = st.one_of(
    ratios, st.builds(Fraction, st.integers(1, 130)), st.sampled_from([Fraction(30000, 1001), Fraction(1)])
)
windows = st.one_of(
    st.just(()),
    st.tuples(*[st.integers(1, 2**16 - 1)] * 3).flatmap(
        lambda size: st.tuples(*map(st.just, size), st.integers(0, size[0] - 1), st.integers(0, min(size[1:]) - 1))
    ),
)
vocabulary = st.fixed_dictionaries({}, optional={name: st.sampled_from(words) for name, words in ATTRIBUTES.items()})
captions = st.one_of(st.text(st.characters(exclude_categories=["Cs"]), max_size=200), vocabulary.map(sentence))
symbol_lists = st.one_of(
    st.lists(st.integers(-3, 3), max_size=200),
    st.lists(st.integers(-(2**15), 2**15), max_size=60),
    st.tuples(st.integers(-(2**15), 2**15), st.integers(1, 300)).map(lambda pair: [pair[0]] * pair[1]),
).map(lambda values: np.array(values, np.int32))


@st.composite
def contexts(draw) -> dict[str, Any]:
    """Windows, and perhaps context."""
    window = draw(windows)
    if not window or window[3] or window[0] == 1:
        return {"window": window}
    context = draw(st.integers(0, window[0] - 1))
    return {"window": window, "context": context, "deblock": context > 0 and draw(st.booleans())}


@st.composite
def headers(draw, k: int | None = None, steps: int | None = None, frames: int | None = None, **more) -> Header:
    k = draw(st.integers(0, 2**32 - 1)) if k is None else k
    grid = draw(st.sampled_from(["linear", "shifted"]))
    vector = {}
    if k:
        scheme = draw(st.sampled_from(["v1", "unilora_numpy", "lora", "dictionary"]))
        vector = {"step": draw(floats), "hash_scheme": scheme, "hash_seed": 0 if scheme == "lora" else draw(seeds)}
        if scheme != "dictionary":
            vector |= {"rank": draw(st.integers(1, 256)), "targets": draw(st.integers(1, 2**32 - 1))}
    return Header(
        base_name=draw(st.text(string.ascii_lowercase + string.digits + "._-", min_size=1, max_size=64)),
        base_revision=draw(
            st.one_of(
                st.text([chr(c) for c in range(33, 127)], max_size=64),
                st.text("0123456789abcdef", min_size=40, max_size=40),
            )
        ),
        base_fingerprint=draw(st.binary(min_size=4, max_size=8)),
        frames=draw(st.integers(1, 600)) if frames is None else frames,
        height=draw(st.integers(1, 1000)),
        width=draw(st.integers(1, 1000)),
        fps=draw(rates),
        compute_dtype=draw(st.sampled_from(["float32", "bfloat16", "float16", "weights"])),
        grid=grid,
        shift=draw(floats) if grid == "shifted" else 3.0,
        k=k,
        guidance=draw(st.one_of(st.just(0.0), floats)),
        steps=draw(st.integers(1, 1000)) if steps is None else steps,
        pad_height=draw(st.integers(0, 16)),
        pad_width=draw(st.integers(0, 16)),
        vae_tiling=draw(st.booleans()),
        seed=draw(seeds),
        sample_aspect_ratio=draw(ratios),
        **vector,
        **(draw(contexts()) | more),
    )


@st.composite
def segment_lists(draw, index_bits: int) -> tuple[Segment, ...]:
    step = st.lists(st.integers(0, 2**index_bits - 1), max_size=5)
    indices = st.lists(step.map(lambda values: np.array(values, np.int64)), max_size=8).map(tuple)
    segment = st.builds(Segment, st.integers(1, 300), st.sampled_from([0, 0, 1, 16]), indices)
    return tuple(draw(st.lists(segment, min_size=1, max_size=5)))


def in_blocks(segment: Segment, steps: int) -> Segment:
    """``segment`` with as many blocks as it has frames at most, and none of the indices of their last steps."""
    kept = segment.indices[: steps * (segment.frames + segment.pad_frames)]
    nothing = np.zeros(0, np.int64)
    indices = tuple(nothing if place % steps == steps - 1 else step for place, step in enumerate(kept))
    return replace(segment, indices=indices)


@st.composite
def times_of(draw, frames: int) -> FrameTimes:
    gaps = draw(st.lists(st.sampled_from([20, 40, 1, 2**40]), min_size=1, max_size=4))
    return FrameTimes(draw(ratios), np.cumsum([0] + [gaps[i % len(gaps)] for i in range(frames - 1)]))


@st.composite
def files(draw) -> VovFile:
    symbols = draw(symbol_lists)
    index_bits = draw(st.integers(1, 24))
    segments = draw(segment_lists(index_bits))
    frames = sum(segment.frames for segment in segments)
    pads = {"pad_frames": segments[0].pad_frames} if len(segments) == 1 else {}
    scaling = {}
    if any(len(step) for segment in segments for step in segment.indices):
        scaling = {"steps": 9, "index_bits": index_bits, "codebook": draw(st.sampled_from(["hadamard", "iid"]))}
        scaling |= draw(st.sampled_from([{"kernel": "ancestral", "eta": 0.5}, {"kernel": "euler_maruyama"}]))
        scaling |= {"context": 0}
        if draw(st.booleans()):  # blocks of three steps, of which the last takes no indices
            segments = tuple(in_blocks(segment, 3) for segment in segments)
            assume(any(len(step) for segment in segments for step in segment.indices))
            scaling |= {"steps": 3, "context": 1, "window": (2, 8, 8, 0, 2)}
    header = draw(headers(k=len(symbols), frames=frames, **scaling, **pads))
    times = draw(st.one_of(st.none(), times_of(frames))) if frames > 1 else None
    return VovFile(header, draw(captions), symbols, segments, draw(st.binary(max_size=50)), times)


def parse(data: bytes, limits: Limits = DEFAULT_LIMITS) -> VovFile | None:
    """The file, or None where ``from_bytes`` refuses; any other exception fails the test, and so does a slow answer."""
    start = time.perf_counter()
    try:
        return VovFile.from_bytes(data, limits)
    except BitstreamError:
        return None
    finally:
        assert time.perf_counter() - start < 3.0  # milliseconds on an idle machine


SMALL = VovFile(
    Header(
        base_name="nano",
        base_revision="1",
        base_fingerprint=bytes(range(8)),
        frames=9,
        height=64,
        width=64,
        fps=Fraction(24),
        k=12,
        step=0.5,
        seed=3,
        steps=6,
        kernel="ancestral",
        eta=1.0,
    ),
    "a cat",
    np.array([0, 1, 0, -1, 0, 0, 2, 0, -1, 0, 1, 0]),
    (Segment(5, 3, (np.array([3]), np.array([], np.int64), np.array([200, 7]))), Segment(4, 0, (np.array([1]),))),
    b"OggS",
    FrameTimes(Fraction(1, 600), np.array([0, 20, 40, 60, 80, 120, 140, 160, 180])),
)


@ANY
@given(files())
def test_any_file_comes_back(file):
    data = file.to_bytes()
    again = VovFile.from_bytes(data, Limits(output_samples=2**60, candidates=2**40))
    assert again == file
    assert replace(again).to_bytes() == data
    assert sum(again.section_bytes().values()) == len(data)
    assert all(line.isprintable() for line in format_description(describe_file(again)).splitlines())


@ANY
@given(files())
def test_the_parts_of_any_file_come_back_alone(file):
    for number, segment in enumerate(file.segments):
        part = VovFile.from_bytes(file.part(number).to_bytes(), Limits(output_samples=2**60, candidates=2**40))
        assert part.segments == (segment,)
        assert (part.caption, part.header.seed) == (file.caption, (file.header.seed + number) % 2**64)


@ANY
@given(headers())
def test_any_header_comes_back(header):
    head = Head(header, (header.frames,), (0,), vector=b"v" if header.k else b"")
    limits = Limits(output_samples=2**60, k=2**32)
    assert read_head(head.to_bytes(), limits).header == header
    old = replace(header, window=(), context=0, sample_aspect_ratio=Fraction(1))
    if old.compute_dtype == "weights":
        old = replace(old, compute_dtype="float32")  # what version 1 does not have, nor dictionaries
    if old.hash_scheme == "dictionary":
        old = replace(old, hash_scheme="v1")
    assert read_header(write_header(old, bytes(old.base_fingerprint) + bytes(4))) == old


@ANY
@given(st.integers(2, 500).flatmap(times_of))
def test_any_times_come_back(times):
    data = encode_times(times)
    assert decode_times(data, len(times.ticks)) == times
    for frames in {2, len(times.ticks) - 1, len(times.ticks) + 1} - {1, len(times.ticks)}:
        with pytest.raises(BitstreamError):
            decode_times(data, frames)


@ANY
@given(symbol_lists)
def test_any_symbols_come_back_near_their_entropy(symbols):
    table, payload = encode_symbols(symbols)
    decoded, table_size = decode_symbols(table + payload, len(symbols))
    assert np.array_equal(decoded, symbols)
    assert table_size == len(table)
    counts = np.unique(symbols, return_counts=True)[1]
    assert len(payload) <= 1.01 * entropy_bits(counts) / 8 + 8


@MANY
@given(st.binary(max_size=60), st.integers(0, 3000))
def test_decoded_symbols_encode_to_the_same_bytes(data, k):
    """One encoding for each vector: whatever decodes, encodes back."""
    try:
        symbols, _ = decode_symbols(data, k)
    except BitstreamError:
        return
    assert b"".join(encode_symbols(symbols)) == data


@MANY
@given(st.lists(st.integers(-2, 2), min_size=2, max_size=40), st.binary(max_size=12))
def test_any_payload_behind_a_sound_table_is_exact_or_refused(values, payload):
    symbols = np.array(values, np.int32)
    data = CountTable.of(symbols).to_bytes() + payload
    try:
        decoded, _ = decode_symbols(data, len(values))
    except BitstreamError:
        return
    assert b"".join(encode_symbols(decoded)) == data


@MANY
@given(st.binary(max_size=60), st.integers(1, 24))
def test_decoded_indices_encode_to_the_same_bytes(data, index_bits):
    try:
        indices = decode_indices(data, index_bits, max_steps=100, max_indices=1000)
    except BitstreamError:
        return
    assert encode_indices(indices, index_bits) == data


@MANY
@given(st.binary(max_size=60), st.integers(1, 24), st.integers(2, 40), st.integers(1, 9))
def test_decoded_indices_of_blocks_encode_to_the_same_bytes(data, index_bits, steps, most_blocks):
    for candidate in (data, bytes([steps - 1, most_blocks]) + data):
        try:
            indices = decode_indices(candidate, index_bits, steps - 1, max_indices=1000, max_blocks=most_blocks)
        except BitstreamError:
            continue
        assert not any(map(len, indices[steps - 1 :: steps]))
        assert encode_indices(indices, index_bits, steps) == candidate


@MANY
@given(st.lists(st.lists(st.integers(0, 30), min_size=5, max_size=5), min_size=1, max_size=6), st.integers(1, 8))
def test_any_counts_of_blocks_come_back(rows, index_bits):
    counts = [count for row in rows for count in (*row, 0)]
    indices = check_indices([np.arange(count) % 2**index_bits for count in counts], index_bits)
    data = encode_indices(indices, index_bits, block_steps=6)
    again = decode_indices(data, index_bits, max_steps=5, max_indices=10**4, max_blocks=6)
    assert [step.tolist() for step in again] == [step.tolist() for step in indices]


@MANY
@given(st.binary(max_size=80))
def test_any_bytes_are_one_head_or_none(data):
    start = Head(SMALL.header, (9,), (0,), vector=b"v").to_bytes()[:12]
    for candidate in (data, start + data):
        try:
            head = read_head(candidate, DEFAULT_LIMITS)
        except BitstreamError:
            continue
        assert head.to_bytes() == candidate


@MANY
@given(st.binary(max_size=200))
def test_any_bytes_are_a_file_or_refused(data):
    for candidate in (data, b"VOV\x01" + data, b"VOV\x01\x81" + data, b"VOV\x02" + data):
        parse(candidate)


def test_every_truncation_is_refused():
    data = SMALL.to_bytes()
    for size in range(len(data)):
        with pytest.raises(BitstreamError):
            VovFile.from_bytes(data[:size])


def test_every_flipped_bit_is_refused():
    data = SMALL.to_bytes()
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BitstreamError):
            VovFile.from_bytes(bytes(flipped))


def hostile(k: int, vector: bytes) -> bytes:
    header = Header("nano", "1", bytes(8), frames=1, height=8, width=8, fps=Fraction(1), k=k, step=0.5)
    return write_parts(Head(header, (1,), (0,), vector=vector).to_bytes(), [])


@pytest.mark.parametrize("k", [2**24, 2**24 + 1, 2**32 - 1])
@pytest.mark.parametrize(
    "vector",
    [b"", b"\x00\x01", b"\x00\x01\x01\x01", b"\x00\x01\xff\x01\x01", b"\x00\x01\x01\x01" + bytes(7) + b"\x01"],
)
def test_a_vast_vector_in_a_few_bytes_is_refused_before_it_is_allocated(k, vector):
    tracemalloc.start()
    assert parse(hostile(k, vector)) is None
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def test_the_largest_vector_in_the_fewest_bytes_is_bounded():
    """All symbols but one equal: 16 million entries that honestly take eight bytes."""
    symbols = np.zeros(2**24, np.int32)
    symbols[5] = 1
    data = hostile(2**24, b"".join(encode_symbols(symbols)))
    assert len(data) < 70
    del symbols
    tracemalloc.start()
    file = VovFile.from_bytes(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert file.symbols[5] == 1
    assert peak < 4 * 64 * 2**20
